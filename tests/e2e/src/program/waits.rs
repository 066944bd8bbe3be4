//! Handlers that wait for somebody else, and those who end the wait.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::state::{HistoryClient, Step, StoreClient};

fn note(ctx: &ObjectContext<'_>, name: &str, value: &str) {
    let set = Step::Set { name: name.to_owned(), value: value.to_owned() };
    ctx.object_client::<StoreClient>(ctx.key()).apply(Json(vec![set])).send();
}

pub(super) struct Waiter;

#[object]
impl Waiter {
    #[handler]
    async fn awakeable(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let (id, promise) = ctx.awakeable::<String>();
        note(&ctx, "awakeable", &id);
        Ok(promise.await?)
    }

    #[handler]
    async fn signal(&self, ctx: ObjectContext<'_>, name: String) -> HandlerResult<String> {
        note(&ctx, "invocation", ctx.invocation_id());
        Ok(ctx.signal::<String>(&name).await?)
    }
}

pub(super) struct Blocker;

#[object]
impl Blocker {
    #[handler]
    async fn block(&self, ctx: ObjectContext<'_>) -> HandlerResult<()> {
        note(&ctx, "blocked", ctx.invocation_id());
        let (_, promise) = ctx.awakeable::<String>();
        if let Err(error) = promise.await {
            let told = error.message().to_owned();
            ctx.object_client::<HistoryClient>(ctx.key()).append(told).send();
            return Err(error.into());
        }
        Ok(())
    }

    #[handler]
    async fn free(&self, _ctx: ObjectContext<'_>) -> HandlerResult<String> {
        Ok("free".to_owned())
    }

    #[handler]
    async fn look(&self, _ctx: SharedObjectContext<'_>) -> HandlerResult<String> {
        Ok("here".to_owned())
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Resolved {
    id: String,
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Signal {
    invocation: String,
    name: String,
    value: String,
}

pub(super) struct Resolver;

#[service]
impl Resolver {
    #[handler]
    async fn resolve(&self, ctx: Context<'_>, Json(it): Json<Resolved>) -> HandlerResult<()> {
        ctx.resolve_awakeable(&it.id, it.value);
        Ok(())
    }

    #[handler]
    async fn reject(&self, ctx: Context<'_>, Json(it): Json<Resolved>) -> HandlerResult<()> {
        ctx.reject_awakeable(&it.id, TerminalError::new(it.value));
        Ok(())
    }

    #[handler]
    async fn signal(&self, ctx: Context<'_>, Json(it): Json<Signal>) -> HandlerResult<()> {
        ctx.invocation_handle(it.invocation).signal(it.name).resolve(it.value);
        Ok(())
    }

    #[handler(name = "rejectSignal")]
    async fn reject_signal(&self, ctx: Context<'_>, Json(it): Json<Signal>) -> HandlerResult<()> {
        let failure = TerminalError::new(it.value);
        ctx.invocation_handle(it.invocation).signal(it.name).reject(failure);
        Ok(())
    }

    #[handler]
    async fn cancel(&self, ctx: Context<'_>, invocation: String) -> HandlerResult<()> {
        ctx.invocation_handle(invocation).cancel();
        Ok(())
    }
}
