//! Functions that wait for a signal, and one that sends it.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use restate_sdk::prelude::*;

/// The signal that ends the waits.
const SIGNAL: &str = "go";

/// Puts together those that are suspended while they wait, and who wakes them.
pub(super) fn suspended() -> Endpoint {
    Endpoint::builder().bind(Suspended).bind(Waker).build()
}

/// Puts together those that keep their attempt open while they wait.
pub(super) fn open() -> Endpoint {
    Endpoint::builder().bind(Open).build()
}

struct Suspended;

#[service(inactivity_timeout = "0s")]
impl Suspended {
    #[handler]
    async fn wait(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.signal::<String>(SIGNAL).await
    }
}

struct Open;

#[service(inactivity_timeout = "1h")]
impl Open {
    #[handler]
    async fn wait(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.signal::<String>(SIGNAL).await
    }
}

struct Waker;

#[service]
impl Waker {
    /// Sends the signal to each of these invocations.
    #[handler]
    async fn wake(
        &self,
        ctx: Context<'_>,
        Json(ids): Json<Vec<String>>,
    ) -> Result<(), TerminalError> {
        for id in ids {
            ctx.invocation_handle(id).signal(SIGNAL).resolve("gone".to_owned());
        }
        Ok(())
    }
}
