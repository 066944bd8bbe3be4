//! The only process there is: it owns everything, and nobody else is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::watch;

use crate::{Cluster, Holdings, MemberId, Members, StandingAnswer, StandingQuestion, Unreachable};

/// A cluster of one, as in `everlog dev` on the embedded log.
#[derive(Debug)]
pub struct Alone {
    assigned: watch::Sender<Arc<BTreeSet<PartitionId>>>,
    members: watch::Sender<Arc<Members>>,
}

impl Alone {
    /// Owns all of so many partitions.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        let all: BTreeSet<_> = (0..partitions).map(PartitionId).collect();
        let (assigned, members) = (watch::Sender::new(Arc::new(all)), watch::Sender::default());
        Self { assigned, members }
    }
}

impl Cluster for Alone {
    fn me(&self) -> MemberId {
        MemberId("alone".into())
    }

    fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<PartitionId>>> {
        self.assigned.subscribe()
    }

    fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    fn hold(&self, _: Arc<Holdings>) {}

    fn ask<'a>(
        &'a self,
        address: &'a str,
        _: PartitionId,
        _: StandingQuestion,
    ) -> BoxFuture<'a, Result<StandingAnswer, Unreachable>> {
        let reason = "this process is the only one".into();
        let gone = Unreachable::Gone { address: address.into(), reason };
        Box::pin(std::future::ready(Err(gone)))
    }
}
