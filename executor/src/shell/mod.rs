//! The shell of one partition: read → apply → commit → act.
//!
//! A partition is one task. It is idle where this executor is neither asked to own it nor chosen to
//! stand by; else it follows the log ([`follow`]) until its announcement comes back as the reigning
//! one, then owns the partition ([`owner`]) until the log, an order, or an heir says otherwise.
//!
//! **Invariant:** what is done in the world follows from records that are acknowledged, accepted,
//! applied and committed, in this order.

mod attempts;
mod begin;
mod checkpoint;
mod code;
mod eager;
mod error;
mod fold;
mod follow;
mod hints;
mod history;
mod intake;
mod lines;
mod outbox;
mod owner;
mod pings;
mod places;
mod proposals;
mod purges;
mod restore;
mod sizes;
mod standby;
mod warnings;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::Holding;
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{Epoch, PartitionId, Term};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;

use self::error::Interruption;
use self::fold::Fold;
use self::follow::Followed;
pub(crate) use self::hints::Hints;
use self::owner::Owner;
pub(crate) use self::places::Places;
pub(crate) use self::standby::Instance;
use crate::config::ExecutorLimits;
use crate::desk::{Desk, Standing};
use crate::holdings::Held;
use crate::invoker::Invoker;
use crate::store::{Positions, Store};

/// The first pause before a partition is taken over again, which doubles each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What an executor wants of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Own and follow what the cluster has assigned.
    Serve,
    /// Let go: open attempts may end until then.
    Drain(Instant),
}

/// What an executor is to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Neither of the others: it reads nothing.
    Idle,
    /// It folds the log, and does not act.
    Follower,
    /// It acts.
    Owner(Epoch),
}

/// An executor that another has superseded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deposed {
    /// When.
    at: Instant,
    /// For how manieth time since it was calm.
    times: u32,
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
    pub(crate) hints: Hints,
    pub(crate) held: Held,
    /// Present from when another owner superseded this one until it is newly assigned: it must not
    /// depose whoever reigns, however often it begins anew.
    pub(crate) deposed: Option<Deposed>,
    /// The last term that is known to have ended in a resignation.
    pub(crate) resigned: Option<Term>,
    /// The last term that this executor ended itself, so that another may begin one.
    pub(crate) handed_over: Option<Term>,
    /// As told last.
    pub(crate) role: Option<Role>,
}

impl Shell {
    /// Runs the partition until it is told to drain, or has to stop.
    pub(crate) async fn run(mut self) {
        let (desk, held) = (Arc::clone(&self.desk), self.held.clone());
        let partition = self.partition;
        let ended = AssertUnwindSafe(self.hold()).catch_unwind().await;
        let reason = match ended {
            Ok(Ok(())) => {
                held.set(partition, None);
                desk.close(Standing::Standby("the executor is shutting down".into()));
                return;
            }
            Ok(Err(reason)) => reason.to_string(),
            Err(_) => "an invariant of the shell broke: see the log of the process".to_owned(),
        };
        tracing::error!(%partition, reason, "a partition has stopped");
        desk.close(Standing::Stopped(reason));
        held.set(partition, Some(Holding::Stopped));
    }

    /// Is what the partition needs, until it is drained or must stop.
    async fn hold(&mut self) -> Result<(), error::StopReason> {
        let mut back_off = BACK_OFF_MIN;
        while *self.orders.borrow() == Order::Serve {
            self.progressed = false;
            let interruption = match Box::pin(self.hold_once()).await {
                Ok(()) => {
                    self.desk.close(Standing::Standby("the partition changes its owner".into()));
                    continue;
                }
                Err(Interruption::Stop(reason)) => return Err(reason),
                Err(interruption) => interruption,
            };
            self.on_interruption(&interruption);
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

    fn on_interruption(&mut self, interruption: &Interruption) {
        let partition = self.partition;
        self.desk.close(Standing::Standby(interruption.to_string()));
        self.held.set(partition, None);
        if *interruption == Interruption::Superseded {
            // From here on a new assignment counts.
            self.hints.newly_assigned();
            let times = self.deposed.map_or(0, |deposed| deposed.times).saturating_add(1);
            self.deposed = Some(Deposed { at: Instant::now(), times });
            tracing::info!(%partition, "another executor has taken the partition over");
            return;
        }
        tracing::warn!(%partition, reason = %interruption, "a partition begins anew");
    }

    /// Idle; or a follower, and then perhaps the owner, to the end of its term.
    async fn hold_once(&mut self) -> Result<(), Interruption> {
        self.notice_assignment();
        let last_owner = self.open_fold()?.row().address.clone();
        if !self.hints.part(&last_owner).follows() {
            self.idle(&last_owner).await;
            return Ok(());
        }
        let orders = self.orders.clone();
        tokio::select! {
            prepared = Box::pin(restore::prepare(self)) => prepared?,
            () = drained(orders.clone()) => return Ok(()),
        }
        let mut fold = self.open_fold()?;
        let followed = tokio::select! {
            followed = Box::pin(follow::follow(self, &mut fold)) => followed?,
            () = drained(orders) => return Ok(()),
        };
        let Followed::Reigns(reign) = followed else { return Ok(()) };
        self.held.set(self.partition, Some(Holding::Owner(reign.epoch)));
        let mut owner = Owner::begin(self, fold, reign).await?;
        let ended = owner.serve().await;
        owner.end();
        ended
    }

    fn open_fold(&self) -> Result<Fold, Interruption> {
        Ok(Fold::open(Arc::clone(&self.store), self.partition)?)
    }

    /// Waits until the partition is to be followed, or the order to let go.
    async fn idle(&mut self, last_owner: &str) {
        let drained = drained(self.orders.clone());
        tokio::pin!(drained);
        self.held.set(self.partition, None);
        self.changes_role(Role::Idle, "it is neither asked to own the partition nor to stand by");
        while !self.hints.part(last_owner).follows() {
            let owner = self.hints.owner().unwrap_or_else(|| "nobody that is known".into());
            let standing = Standing::Standby(format!("{owner} owns the partition"));
            if self.desk.standing() != standing {
                self.desk.close(standing);
            }
            tokio::select! {
                () = self.hints.changed() => {}
                () = &mut drained => return,
            }
        }
    }

    /// Takes note of whether this executor is asked to own the partition.
    fn notice_assignment(&mut self) {
        if self.hints.newly_assigned() {
            self.deposed = None;
        }
    }

    /// Tells whoever runs the cluster of another role. Alone, an executor has but one.
    fn changes_role(&mut self, role: Role, why: &'static str) {
        if self.role.replace(role) == Some(role) {
            return;
        }
        let partition = self.partition;
        match role {
            _ if self.hints.is_alone() => tracing::debug!(%partition, ?role, why, "another role"),
            Role::Idle => tracing::info!(%partition, why, "the partition is left alone"),
            Role::Follower => tracing::info!(%partition, why, "the partition is followed"),
            Role::Owner(epoch) => tracing::info!(%partition, %epoch, why, "the partition is owned"),
        }
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
