//! Whether the owner of a partition lives: it is asked again and again, by whoever would follow it.
//!
//! A process that has died is told from one that is slow: its host refuses the connection at once, and
//! a few refusals are enough. Only who says nothing at all is waited for.
//!
//! **Invariant:** an owner that answers in time, as one of an epoch that is not past, is never
//! silent.

use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::{Cluster, StandingAnswer, StandingQuestion};
use everlog_log_schema::owner_api::BoxFuture;
use everlog_log_schema::{Epoch, PartitionId};
use tokio::time::Instant;

use crate::config::ExecutorLimits;
use crate::metrics;

/// Asks one owner.
pub(super) struct Pings {
    cluster: Arc<dyn Cluster>,
    partition: PartitionId,
    interval: Duration,
    missed_max: u32,
    answer_max: Duration,
    address: String,
    epoch: Epoch,
    missed: u32,
    next_at: Instant,
    asking: Option<BoxFuture<'static, Heard>>,
}

/// What came of a question.
enum Heard {
    Answer(StandingAnswer),
    /// The other said that it is not there.
    Nobody,
    /// Time was up.
    Nothing,
}

impl Pings {
    /// Asks whoever announced `epoch` and listens at `address`.
    pub(super) fn new(
        cluster: Arc<dyn Cluster>,
        partition: PartitionId,
        limits: &ExecutorLimits,
        (address, epoch): (String, Epoch),
    ) -> Self {
        let (interval, missed_max) = (limits.ping_interval, limits.pings_missed_max.max(1));
        let next_at = Instant::now();
        Self {
            cluster,
            partition,
            interval,
            missed_max,
            answer_max: limits.ping_answer_max,
            address,
            epoch,
            missed: 0,
            next_at,
            asking: None,
        }
    }

    /// The epoch that it asks for.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Asks at the next turn, and waits for what is answered: an answer of the owner, or nothing
    /// where it was a miss. May be dropped at any time: the question stands.
    pub(super) async fn next(&mut self, question: StandingQuestion) -> Option<StandingAnswer> {
        if self.asking.is_none() {
            tokio::time::sleep_until(self.next_at).await;
            self.next_at = Instant::now() + self.interval;
            self.asking = Some(self.ask(question));
        }
        let heard = match &mut self.asking {
            Some(asking) => asking.await,
            None => Heard::Nothing,
        };
        self.asking = None;
        let missed = match heard {
            Heard::Answer(answer) if answer.owner.is_some_and(|epoch| epoch >= self.epoch) => {
                self.missed = 0;
                return Some(answer);
            }
            Heard::Answer(_) | Heard::Nobody => 1,
            Heard::Nothing => self.missed_max.saturating_sub(self.missed).max(1),
        };
        metrics::PINGS_MISSED.inc_by(u64::from(missed));
        self.missed = self.missed.saturating_add(missed);
        None
    }

    /// Whether as many were missed as make an owner a silent one.
    pub(super) fn is_silent(&self) -> bool {
        self.missed >= self.missed_max
    }

    /// Takes note that the owner was heard of in another way.
    pub(super) fn heard_otherwise(&mut self) {
        self.missed = 0;
    }

    fn ask(&self, question: StandingQuestion) -> BoxFuture<'static, Heard> {
        let (cluster, partition) = (Arc::clone(&self.cluster), self.partition);
        let wait = self.answer_max;
        let address = self.address.clone();
        Box::pin(async move {
            let asked = cluster.ask(&address, partition, question);
            match tokio::time::timeout(wait, asked).await {
                Ok(Ok(answer)) => Heard::Answer(answer),
                Ok(Err(_)) => Heard::Nobody,
                Err(_) => Heard::Nothing,
            }
        })
    }
}
