//! How the partitions of this process stand, as its ports show it.

use std::sync::{Arc, PoisonError};

use everlog_executor::{Executor, Standing};
use everlog_gateway::{HealthCheck, PartitionStanding, StandingCheck};

use super::Running;
use super::membership::Membership;

/// Names the partitions that have stopped for good, and what keeps this process from its cluster:
/// partitions that only change hands are well.
pub(super) fn health_of(executor: &Running, membership: Option<&Arc<Membership>>) -> HealthCheck {
    let (executor, membership) = (Arc::clone(executor), membership.cloned());
    Arc::new(move || {
        let executor = executor.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = executor.as_ref().map(Executor::health).unwrap_or_default();
        let stopped = standings.into_iter().filter_map(|(partition, standing)| match standing {
            Standing::Stopped(reason) => {
                Some(format!("partition {partition} has stopped: {reason}"))
            }
            Standing::Owner { .. } | Standing::Standby(_) => None,
        });
        let outside = membership.as_ref().and_then(|membership| membership.problem());
        stopped.chain(outside).collect()
    })
}

/// Tells how each partition stands; nothing once the executor is drained.
pub(super) fn standings_of(executor: &Running) -> StandingCheck {
    let executor = Arc::clone(executor);
    Arc::new(move || {
        let executor = executor.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = executor.as_ref().map(Executor::health).unwrap_or_default();
        let shown = standings.into_iter().map(|(partition, standing)| {
            let (word, owned) = match standing {
                Standing::Owner { next_log, next_inbox } => ("owner", Some((next_log, next_inbox))),
                Standing::Standby(_) => ("standby", None),
                Standing::Stopped(_) => ("stopped", None),
            };
            let (next_log, next_inbox) = owned.unzip();
            PartitionStanding { partition, standing: word, next_log, next_inbox }
        });
        shown.collect()
    })
}
