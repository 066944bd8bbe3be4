//! The functions that the table of calls per second is about.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use restate_sdk::prelude::*;

/// Puts them together.
pub(super) fn endpoint() -> Endpoint {
    Endpoint::builder().bind(Bench).bind(Hot).bind(First).bind(Second).bind(Third).build()
}

/// Plain functions with a number of recorded steps.
struct Bench;

#[service]
impl Bench {
    #[handler]
    async fn noop(&self, _ctx: Context<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }

    #[handler]
    async fn three(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        steps(&ctx, 3).await
    }

    #[handler]
    async fn nine(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        steps(&ctx, 9).await
    }
}

async fn steps(ctx: &Context<'_>, count: u32) -> Result<String, TerminalError> {
    for step in 0..count {
        ctx.run(move || async move { Ok(format!("result of step {step}")) }).name("step").await?;
    }
    Ok("done".into())
}

/// Functions that run one call at a time per key.
struct Hot;

#[object]
impl Hot {
    #[handler]
    async fn touch(&self, _ctx: ObjectContext<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }

    #[handler]
    async fn count(&self, ctx: ObjectContext<'_>) -> Result<u64, TerminalError> {
        let count = ctx.get::<u64>("count").await?.unwrap_or(0) + 1;
        ctx.set("count", count);
        Ok(count)
    }
}

/// Services that call each other, and wait for the answer.
struct First;
struct Second;
struct Third;

#[service]
impl First {
    #[handler]
    async fn call(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.service_client::<SecondClient>().call().call().await
    }
}

#[service]
impl Second {
    #[handler]
    async fn call(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.service_client::<ThirdClient>().call().call().await
    }
}

#[service]
impl Third {
    #[handler]
    async fn call(&self, _ctx: Context<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }
}
