//! The partitions whose owner said that they have stopped.
//!
//! Its invariant: it is a hint and decides nothing. It only says of which partitions it is worth
//! asking the owner again before a call is recorded there.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everlog_log_schema::PartitionId;

/// The partitions. There are never more than N.
#[derive(Debug, Default)]
pub(crate) struct Stopped(Mutex<BTreeSet<PartitionId>>);

impl Stopped {
    /// Whether the partition had stopped when its owner was last asked.
    pub(crate) fn holds(&self, partition: PartitionId) -> bool {
        self.lock().contains(&partition)
    }

    /// Adds one that has stopped.
    pub(crate) fn insert(&self, partition: PartitionId) {
        self.lock().insert(partition);
    }

    /// Removes one that has not, or that does not answer.
    pub(crate) fn remove(&self, partition: PartitionId) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PartitionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
