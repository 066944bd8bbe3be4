//! Handlers that fail, for good or for a while, and steps that must not run twice.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use restate_sdk::prelude::*;

/// What lives as long as the process, so that a handler can end its own failures.
#[derive(Default)]
pub(super) struct Failing {
    tries: Mutex<BTreeMap<String, u64>>,
    allowed: Mutex<BTreeSet<String>>,
    wandered: Mutex<BTreeMap<String, u64>>,
}

fn declined() -> TerminalError {
    TerminalError::new_with_code(422, "the card was declined")
}

#[service]
impl Failing {
    #[handler]
    async fn terminally(&self, _ctx: Context<'_>) -> HandlerResult<()> {
        Err(declined().into())
    }

    #[handler(name = "terminalStep")]
    async fn terminal_step(&self, ctx: Context<'_>) -> HandlerResult<()> {
        Ok(ctx.run(async || Err::<(), _>(declined().into())).name("charge").await?)
    }

    #[handler(invocation_retry_policy(initial_interval = "10ms"))]
    async fn twice(&self, ctx: Context<'_>) -> HandlerResult<u64> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tries.entry(ctx.invocation_id().to_owned()).or_default();
        *count += 1;
        if *count < 3 {
            return Err(std::io::Error::other("not yet").into());
        }
        Ok(*count)
    }

    #[handler(invocation_retry_policy(
        initial_interval = "10ms",
        max_attempts = 2,
        on_max_attempts = "pause"
    ))]
    async fn pauses(&self, _ctx: Context<'_>, name: String) -> HandlerResult<String> {
        if self.allowed.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(name);
        }
        Err(std::io::Error::other(format!("{name} is not allowed yet")).into())
    }

    /// Takes the same step whenever it is asked, but for once.
    #[handler(invocation_retry_policy(
        initial_interval = "10ms",
        max_attempts = 2,
        on_max_attempts = "pause"
    ))]
    async fn wanders(&self, ctx: Context<'_>) -> HandlerResult<String> {
        let invocation = ctx.invocation_id().to_owned();
        let go_on = |from| {
            let mut wandered = self.wandered.lock().unwrap_or_else(PoisonError::into_inner);
            let before = wandered.entry(invocation.clone()).or_default();
            let is_there = *before == from;
            *before += u64::from(is_there);
            is_there
        };
        if go_on(1) {
            ctx.sleep(std::time::Duration::from_millis(1)).await?;
        }
        let packed = ctx.run(async || Ok("packed".to_owned())).name("pack").await?;
        if go_on(0) {
            return Err(std::io::Error::other("lost").into());
        }
        Ok(packed)
    }

    #[handler]
    async fn allow(&self, _ctx: Context<'_>, name: String) -> HandlerResult<()> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(())
    }

    #[handler(invocation_retry_policy(
        initial_interval = "10ms",
        max_attempts = 2,
        on_max_attempts = "kill"
    ))]
    async fn dies(&self, _ctx: Context<'_>) -> HandlerResult<()> {
        Err(std::io::Error::other("never").into())
    }
}

pub(super) struct Steps;

#[service]
impl Steps {
    #[handler]
    async fn run(&self, ctx: Context<'_>, count: u32) -> HandlerResult<Json<Vec<String>>> {
        let mut tokens = Vec::new();
        for step in 0..count {
            let token = async || Ok(format!("{:032x}", rand::random::<u128>()));
            tokens.push(ctx.run(token).name(format!("step {step}")).await?);
        }
        Ok(Json(tokens))
    }
}
