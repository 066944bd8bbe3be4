//! What an executor needs to start, and its limits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::Cluster;
use everlog_log_client::EventLog;
use everlog_log_schema::metadata::Metadata;
use tokio::sync::watch;

use crate::invoker::Invoker;

/// What an executor needs to start.
pub struct ExecutorConfig {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// What is known of the other executors: which partitions are whose to take.
    pub cluster: Arc<dyn Cluster>,
    /// What is registered, kept up to date by a follower of the metadata topic.
    pub metadata: watch::Receiver<Arc<Metadata>>,
    /// Where the tables are kept. One process at a time.
    pub tables_dir: PathBuf,
    /// Runs attempts.
    pub invoker: Arc<dyn Invoker>,
    /// The address at which gateways reach this executor, as its announcements say.
    pub address: String,
    /// Limits and intervals.
    pub limits: ExecutorLimits,
}

/// How many executors may stand by for a partition.
pub const STANDBYS_MAX: usize = 2;

/// Limits and intervals of an executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorLimits {
    /// How many attempts are open at once, over all partitions. The rest of the running
    /// invocations wait on disk.
    pub open_attempts_max: usize,
    /// How many of them run the code of one deployment, so that a slow one leaves places to others.
    pub deployment_concurrency_max: usize,
    /// How many bytes of memory take the journals and the state that large attempts begin with, over
    /// all partitions. An attempt that needs more than that alone runs when no other large one does.
    pub attempt_memory_max: u64,
    /// How many of them run one service or handler, where that is limited: by service name.
    pub concurrency: BTreeMap<String, ServiceConcurrency>,
    /// How many callers wait for answers at once, per partition.
    pub waiting_callers_max: usize,
    /// How many executors stand by for each partition: they fold its log, and take over from an
    /// owner that does not answer. At most [`STANDBYS_MAX`], and the same for all executors.
    pub standbys: usize,
    /// How often whoever follows a partition asks its owner whether it lives.
    pub ping_interval: Duration,
    /// After how many questions an owner counts as dead that is not where it was.
    pub pings_missed_max: u32,
    /// How long an owner may take to answer one: it may be busy, or stopped, or cut off. Shorter is not
    /// sooner where a process dies, as its host says so; longer keeps one that is slow from being deposed.
    pub ping_answer_max: Duration,
    /// How long an executor that is asked to own a partition leaves it to the standbys to take over
    /// from a dead owner.
    pub standby_wait: Duration,
    /// How long open attempts may go on while a partition is handed over.
    pub hand_over_grace: Duration,
    /// How often the tables are flushed, so that a restart reads little of the log.
    pub flush_interval: Duration,
    /// How long records stay in the log after the tables hold them.
    pub history_age_max: Duration,
    /// How many bytes of records, over all partitions, stay in the log after the tables hold them.
    pub history_bytes_max: u64,
    /// How long an idle stream to a function is kept open, where its author does not say.
    pub inactivity_timeout: Duration,
    /// How long after that the function has to end its attempt, where its author does not say.
    pub abort_timeout: Duration,
    /// The highest version of the service protocol that new invocations are run with.
    pub protocol_version_max: u32,
    /// How many bytes of an object's state, keys and values, an attempt begins with.
    pub eager_state_bytes_max: u64,
    /// How many timers that calls wait for a partition keeps in memory; its tables hold them all.
    pub timers_in_memory_max: usize,
    /// How long the outcome of a function's call without idempotency key is kept, where the called
    /// handler's author does not say.
    pub unkeyed_retention: Duration,
    /// Whether checkpoints go to the journal topic, so that the tables can be restored elsewhere. Always on
    /// Kafka; on the embedded log the flush of the tables is the checkpoint without it.
    pub journal: bool,
    /// How often the rows that have changed are written to the journal topic, for each partition.
    pub checkpoint_interval: Duration,
    /// How many changes of rows bring about a checkpoint before its time, for each partition. At twice
    /// as many nothing is taken in. A row that changes in two commits counts twice.
    pub dirty_rows_max: u64,
    /// How old tables on disk may be that have missed something: the `delete.retention.ms` of the journal
    /// topic.
    pub stale_tables_age: Duration,
}

/// How many attempts of one service are open at once, over all partitions of an executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceConcurrency {
    /// Of all its handlers together, if limited.
    pub concurrency: Option<NonZeroUsize>,
    /// Of single handlers, by name.
    pub handlers: BTreeMap<String, NonZeroUsize>,
}

impl Default for ExecutorLimits {
    fn default() -> Self {
        Self {
            open_attempts_max: 2_000,
            deployment_concurrency_max: 1_000,
            attempt_memory_max: 1 << 30,
            concurrency: BTreeMap::new(),
            waiting_callers_max: 100_000,
            standbys: 1,
            ping_interval: Duration::from_millis(100),
            pings_missed_max: 3,
            ping_answer_max: Duration::from_secs(2),
            standby_wait: Duration::from_secs(2),
            hand_over_grace: Duration::from_secs(1),
            flush_interval: Duration::from_secs(5),
            history_age_max: Duration::from_hours(1),
            history_bytes_max: 256 << 20,
            inactivity_timeout: Duration::from_mins(1),
            abort_timeout: Duration::from_mins(10),
            protocol_version_max: 7,
            eager_state_bytes_max: 1 << 20,
            timers_in_memory_max: 16_384,
            unkeyed_retention: Duration::from_mins(10),
            journal: false,
            checkpoint_interval: Duration::from_secs(5),
            dirty_rows_max: 500_000,
            stale_tables_age: Duration::from_hours(24),
        }
    }
}
