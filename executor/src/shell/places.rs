//! The places for open attempts, which all partitions of an executor share.
//!
//! **Invariant:** places go to partitions in the order in which these began to wait, however busy
//! a partition is with other things meanwhile.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::metrics;

/// A place that is taken.
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::ATTEMPTS_OPEN.inc();
        Self(permit)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::ATTEMPTS_OPEN.dec();
    }
}

type Turn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// The places, as one partition reaches them.
pub(super) struct Places {
    places: Arc<Semaphore>,
    /// Where this partition stands among those that wait, if it waits.
    turn: Option<Turn>,
}

impl Places {
    pub(super) fn of(places: Arc<Semaphore>) -> Self {
        Self { places, turn: None }
    }

    /// Takes a place if one is free and nobody waits for it.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits for a place. May be dropped and called again at any time: the turn is kept.
    pub(super) async fn take(&mut self) -> OwnedSemaphorePermit {
        let begin = || Box::pin(Arc::clone(&self.places).acquire_owned()) as Turn;
        let permit = self.turn.get_or_insert_with(begin).await;
        self.turn = None;
        permit.expect("the semaphore is never closed")
    }

    /// Leaves the place to others.
    pub(super) fn give_up_turn(&mut self) {
        self.turn = None;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_busy_partition_keeps_its_turn() {
        let places = Arc::new(Semaphore::new(1));
        let [mut first, mut second, mut third] = [(); 3].map(|()| Places::of(Arc::clone(&places)));
        let taken = first.try_take().unwrap();
        for waiting in [&mut second, &mut third] {
            assert!(waiting.take().now_or_never().is_none());
        }
        drop(taken);
        assert!(third.take().now_or_never().is_none());
        let taken = second.take().now_or_never().unwrap();
        drop(taken);
        assert!(first.take().now_or_never().is_none());
        third.give_up_turn();
        assert!(first.take().now_or_never().is_some());
    }
}
