//! The shell of one partition: read → apply → commit → act.
//!
//! A partition is one task. It is a standby ([`standby`]) until its announcement comes back from
//! the log as the reigning one, then an owner ([`owner`]) until the log, or an order, says
//! otherwise.
//!
//! **Invariant:** what is done in the world follows from records that are acknowledged, accepted,
//! applied and committed, in this order.

mod attempts;
mod begin;
mod code;
mod eager;
mod error;
mod fold;
mod history;
mod intake;
mod lines;
mod outbox;
mod owner;
mod places;
mod proposals;
mod purges;
mod sizes;
mod standby;
mod warnings;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{PartitionId, Term};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;

use self::error::Interruption;
use self::fold::Fold;
use self::owner::Owner;
pub(crate) use self::places::Places;
pub(crate) use self::standby::Instance;
use crate::config::ExecutorLimits;
use crate::desk::{Desk, Standing};
use crate::invoker::Invoker;
use crate::store::{Positions, Store};

/// The first pause before a partition is taken over again, which doubles each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What an executor wants of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Own the partition and serve.
    Serve,
    /// Let go: open attempts may end until then.
    Drain(Instant),
}

/// All that the shell of one partition works with.
pub(crate) struct Shell {
    pub(crate) partition: PartitionId,
    pub(crate) partitions: u32,
    pub(crate) instance: Instance,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<Store>,
    pub(crate) metadata: watch::Receiver<Arc<Metadata>>,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) places: Arc<Places>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) flushed: watch::Receiver<Arc<Positions>>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) address: String,
    pub(crate) limits: ExecutorLimits,
    /// Whether a record has taken effect in this term, so that the next pause is short again.
    pub(crate) progressed: bool,
    /// Whether another owner has superseded this executor since it last took the partition over:
    /// then it must not depose whoever reigns, however often it begins anew.
    pub(crate) must_ask: bool,
}

impl Shell {
    /// Runs the partition until it is told to drain, or has to stop.
    pub(crate) async fn run(mut self) {
        let desk = Arc::clone(&self.desk);
        let partition = self.partition;
        let ended = AssertUnwindSafe(self.hold()).catch_unwind().await;
        let reason = match ended {
            Ok(Ok(())) => {
                desk.close(Standing::Standby("the executor is shutting down".into()));
                return;
            }
            Ok(Err(reason)) => reason.to_string(),
            Err(_) => "an invariant of the shell broke: see the log of the process".to_owned(),
        };
        tracing::error!(%partition, reason, "a partition has stopped");
        desk.close(Standing::Stopped(reason));
    }

    /// Takes the partition over, again and again, until it is drained or must stop.
    async fn hold(&mut self) -> Result<(), error::StopReason> {
        let mut back_off = BACK_OFF_MIN;
        while *self.orders.borrow() == Order::Serve {
            self.progressed = false;
            let interruption = match Box::pin(self.hold_once()).await {
                Ok(()) => return Ok(()),
                Err(Interruption::Stop(reason)) => return Err(reason),
                Err(interruption) => interruption,
            };
            self.must_ask |= interruption == Interruption::Superseded;
            tracing::warn!(partition = %self.partition, reason = %interruption, "a term has ended");
            self.desk.close(Standing::Standby(interruption.to_string()));
            if self.progressed {
                back_off = BACK_OFF_MIN;
            }
            let pause = back_off.mul_f64(1.0 + rand::random::<f64>());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.orders.changed() => {}
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        Ok(())
    }

    /// One term: from standby to owner, to its end.
    async fn hold_once(&mut self) -> Result<(), Interruption> {
        let mut fold = Fold::open(Arc::clone(&self.store), self.partition)?;
        let reign = tokio::select! {
            reign = standby::take_over(self, &mut fold) => reign?,
            () = drained(self.orders.clone()) => return Ok(()),
        };
        self.must_ask = false;
        let mut owner = Owner::begin(self, fold, reign).await?;
        let ended = owner.serve().await;
        owner.end();
        ended
    }

    /// What it means that `term` reigns, and not the one that this executor believed in.
    fn outreigned_by(&self, term: Term) -> Interruption {
        if self.instance.announced(term) {
            let why = "an earlier announcement of this executor came late, and reigns";
            return Interruption::Retry(why.into());
        }
        Interruption::Superseded
    }

    fn stream(&self, topic: Topic) -> Stream {
        Stream { topic, partition: self.partition }
    }
}

/// Waits for the order to let go.
async fn drained(mut orders: watch::Receiver<Order>) {
    let drained = orders.wait_for(|order| matches!(order, Order::Drain(_))).await;
    // The executor is gone, and its tasks with it.
    drop(drained);
}
