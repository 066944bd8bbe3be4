//! An executor: the tables, and one task per partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::{Cluster, Holdings, StandingAnswer, Standings};
use everlog_log_schema::owner_api::OwnerApi;
use everlog_log_schema::{LogOffset, PartitionId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{ExecutorConfig, STANDBYS_MAX};
use crate::desk::{Desk, Standing};
use crate::holdings::Held;
use crate::owner_api::Owners;
use crate::shell::{Hints, Instance, Order, Places, Shell};
use crate::store::{Positions, Store, StoreError, StoreOptions};
use crate::{failpoints, metrics};

/// How long after the grace period partitions have to append their resignation.
const RESIGN_MAX: Duration = Duration::from_secs(5);

/// Why an executor cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The tables cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More standbys than can be of use.
    #[error("{found} standbys for each partition are asked for: there may be 0 to {STANDBYS_MAX}")]
    Standbys {
        /// How many are asked for.
        found: usize,
    },
}

/// Owns partitions and runs their functions, follows others, and takes over as the cluster and the
/// log have it. Dropping it is a crash: all stops where it stands.
pub struct Executor {
    store: Arc<Store>,
    owners: Arc<Owners>,
    cluster: Arc<dyn Cluster>,
    orders: watch::Sender<Order>,
    partitions: JoinSet<()>,
    /// The periodic flush, and what tells the cluster of what is held.
    background: JoinSet<()>,
}

impl Executor {
    /// Opens the tables and begins to take over the partitions that the cluster has assigned to it.
    /// Returns before they are owned: callers of the owner API wait, or are told to ask again.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(config: ExecutorConfig) -> Result<Self, StartError> {
        failpoints::arm();
        let limits = config.limits;
        if limits.standbys > STANDBYS_MAX {
            return Err(StartError::Standbys { found: limits.standbys });
        }
        let options = StoreOptions { dirty_marks: limits.journal };
        let store = Arc::new(Store::open(&config.tables_dir, options)?);
        let partitions = config.log.partitions();
        let (orders, _) = watch::channel(Order::Serve);
        let (flushed, _) = watch::channel(Arc::new(Positions::new()));
        let places = Places::new(&limits);
        let (instance, held) = (Instance::new(), Held::default());
        let mut tasks = JoinSet::new();
        let mut desks = Vec::new();
        for partition in (0..partitions).map(PartitionId) {
            let desk = Arc::new(Desk::new(limits.waiting_callers_max));
            desks.push(Arc::clone(&desk));
            let shell = Shell {
                partition,
                partitions,
                instance,
                log: Arc::clone(&config.log),
                store: Arc::clone(&store),
                metadata: config.metadata.clone(),
                invoker: Arc::clone(&config.invoker),
                places: Arc::clone(&places),
                desk,
                flushed: flushed.subscribe(),
                orders: orders.subscribe(),
                address: config.address.clone(),
                hints: Hints::new(Arc::clone(&config.cluster), partition, limits.standbys),
                held: held.clone(),
                limits: limits.clone(),
                progressed: false,
                deposed: None,
                resigned: None,
                handed_over: None,
                role: None,
            };
            tasks.spawn(shell.run());
        }
        let mut background = JoinSet::new();
        background.spawn(flush_now_and_then(Arc::clone(&store), flushed, limits.flush_interval));
        background.spawn(held.tell(Arc::clone(&config.cluster)));
        let owners = Arc::new(Owners { log: config.log, store: Arc::clone(&store), desks });
        let cluster = config.cluster;
        Ok(Self { store, owners, cluster, orders, partitions: tasks, background })
    }

    /// What answers other executors that ask how this one stands with a partition. It answers for
    /// as long as anybody holds it: once the executor has ended, that nothing is owned.
    pub fn standings(&self) -> Standings {
        // It holds no tables open: desks alone.
        let desks = self.owners.desks.clone();
        Arc::new(move |partition, question| {
            let desk = usize::try_from(partition.0).ok().and_then(|index| desks.get(index));
            let nothing = StandingAnswer { owner: None, next_log: LogOffset(0) };
            desk.map_or(nothing, |desk| desk.tell(question))
        })
    }

    /// The questions that gateways ask. It answers for as long as the executor lives.
    pub fn owner_api(&self) -> Arc<dyn OwnerApi> {
        Arc::clone(&self.owners) as Arc<dyn OwnerApi>
    }

    /// How each partition stands.
    pub fn health(&self) -> BTreeMap<PartitionId, Standing> {
        let desks = self.owners.desks.iter();
        (0..).map(PartitionId).zip(desks.map(|desk| desk.standing())).collect()
    }

    /// Lets go of all partitions: takes in nothing more, gives open attempts `grace` to end, tells
    /// the log, and flushes the tables.
    ///
    /// An error means that the tables were not flushed: the next start reads more of the log.
    pub async fn drain(mut self, grace: Duration) -> Result<(), StoreError> {
        self.orders.send_replace(Order::Drain(Instant::now() + grace));
        let all = async { while self.partitions.join_next().await.is_some() {} };
        if tokio::time::timeout(grace + RESIGN_MAX, all).await.is_err() {
            tracing::warn!("some partitions did not resign in time");
        }
        self.stop_tasks().await;
        self.cluster.hold(Arc::new(Holdings::new()));
        self.store.idle().await;
        flush(&self.store).await.map(drop)
    }

    /// Stops at once, as a crash would, but waits until nothing runs any more.
    pub async fn abort(mut self) {
        self.stop_tasks().await;
        self.store.idle().await;
    }

    async fn stop_tasks(&mut self) {
        self.partitions.shutdown().await;
        self.background.shutdown().await;
        for desk in &self.owners.desks {
            desk.close(Standing::Standby("the executor has stopped".into()));
        }
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Flushes the tables at intervals, where that is worth it, and tells the partitions how far they
/// are safe.
async fn flush_now_and_then(
    store: Arc<Store>,
    flushed: watch::Sender<Arc<Positions>>,
    interval: Duration,
) {
    let mut commits_before = 0;
    loop {
        tokio::time::sleep(interval).await;
        let commits = store.commits_worth_flushing();
        if commits == commits_before {
            continue;
        }
        match flush(&store).await {
            Ok(positions) => {
                commits_before = commits;
                flushed.send_replace(Arc::new(positions));
            }
            Err(error) => tracing::error!(%error, "failed to flush the tables; will try again"),
        }
    }
}

async fn flush(store: &Arc<Store>) -> Result<Positions, StoreError> {
    let timer = metrics::FLUSH_SECONDS.start_timer();
    let positions = store.run(Store::flush).await;
    timer.observe_duration();
    positions
}
