//! What an executor holds, as its partitions change it, and as the others are told.
//!
//! **Invariant:** a change of role is told at once; how far a standby has come, at most once in
//! [`TELL_INTERVAL`].

use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::{Cluster, Holding, Holdings};
use everlog_log_schema::PartitionId;
use tokio::sync::watch;

/// How often the others are told how far standbys have come.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// What one executor holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(watch::Sender<Holdings>);

impl Held {
    /// Takes note of how a partition is held now, if at all.
    pub(crate) fn set(&self, partition: PartitionId, holding: Option<Holding>) {
        self.0.send_if_modified(|held| {
            let before = match holding {
                Some(holding) => held.insert(partition, holding),
                None => held.remove(&partition),
            };
            let mere_progress = matches!(
                (before, holding),
                (Some(Holding::Standby { .. }), Some(Holding::Standby { .. }))
            );
            before != holding && !mere_progress
        });
    }

    /// Tells the cluster, for ever.
    pub(crate) async fn tell(self, cluster: Arc<dyn Cluster>) {
        let mut changes = self.0.subscribe();
        let mut told = Holdings::new();
        loop {
            let held = changes.borrow_and_update().clone();
            if held != told {
                told.clone_from(&held);
                cluster.hold(Arc::new(held));
            }
            tokio::select! {
                // It holds a sender itself: this never fails.
                _ = changes.changed() => {}
                () = tokio::time::sleep(TELL_INTERVAL) => {}
            }
        }
    }
}
