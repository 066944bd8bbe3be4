//! Whoever has lent an attempt its place, as the attempt sees it.
//!
//! **Invariant:** what an attempt is asked for here is safe at any time. One that suspends though it
//! might have gone on loses no step: its next attempt replays them.

use std::fmt::Debug;

use everlog_log_schema::owner_api::BoxFuture;
use tokio::time::Instant;

/// Whoever has lent an attempt its place.
pub trait Lender: Debug + Send + Sync {
    /// Learns that the function has taken in the journal and the state that a large attempt began
    /// with, or never will, so that they are in memory no more.
    fn told(&self);

    /// Waits until others want the place of an attempt that has done nothing but wait since then.
    ///
    /// The attempt counts as one that waits for as long as the future lives.
    fn wants_back(&self, idle_since: Instant) -> BoxFuture<'_, ()>;
}
