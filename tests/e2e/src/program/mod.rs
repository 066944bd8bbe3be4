//! The services that one set of tests runs against in every language, here in Rust.
//!
//! The same services, with the same names, inputs and answers, are in `functions/typescript` and
//! `functions/python`. They run in a process of their own, so that it can be killed.

mod calls;
mod combine;
mod failing;
mod state;
mod waits;
mod workflows;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use restate_sdk::prelude::*;

pub use state::next_hash;

/// Names the key of the server whose requests alone are answered; everybody's without it.
pub const IDENTITY_KEY: &str = "IDENTITY_KEY";

/// Puts all services together. Fails where [`IDENTITY_KEY`] names no key.
pub fn endpoint() -> Result<Endpoint> {
    let builder = Endpoint::builder()
        .bind(state::Store)
        .bind(state::LazyStore)
        .bind(state::History)
        .bind(calls::Caller)
        .bind(calls::Timer)
        .bind(waits::Waiter)
        .bind(waits::Blocker)
        .bind(waits::Resolver)
        .bind(combine::Combiner)
        .bind(failing::Failing::default())
        .bind(failing::Steps)
        .bind(workflows::Order)
        .bind(workflows::Desk);
    Ok(match std::env::var(IDENTITY_KEY) {
        Ok(key) => builder.identity_key(&key)?.build(),
        Err(_unset) => builder.build(),
    })
}

/// The system's clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
