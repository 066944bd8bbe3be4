//! The services that one set of tests runs against in every language, here in Rust.
//!
//! The same services, with the same names, inputs and answers, are in `functions/typescript` and
//! `functions/python`. They run in a process of their own, so that it can be killed.

mod calls;
mod failing;
mod state;
mod waits;

use std::time::{SystemTime, UNIX_EPOCH};

use restate_sdk::prelude::*;

pub use state::next_hash;

/// Puts all services together.
#[must_use]
pub fn endpoint() -> Endpoint {
    Endpoint::builder()
        .bind(state::Store)
        .bind(state::LazyStore)
        .bind(state::History)
        .bind(calls::Caller)
        .bind(calls::Timer)
        .bind(waits::Waiter)
        .bind(waits::Blocker)
        .bind(waits::Resolver)
        .bind(failing::Failing::default())
        .bind(failing::Steps)
        .build()
}

/// The system's clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
