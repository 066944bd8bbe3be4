//! The event log on Apache Kafka.
//!
//! Plain topics are appended to by a few idempotent producers ([`producers`]) and read by consumers
//! with manual assignment ([`reader`]); the compacted topic of rows is written by one transactional
//! producer per partition ([`checkpoint`]). A consumer group ([`group`]) hints who should own what;
//! ownership is decided in the log itself. What was learnt on the way is in `docs/kafka-notes.md`.
//!
//! **Invariant:** an append resolves to an offset only if Kafka acknowledged it with one; what Kafka
//! leaves open stays *unknown*. No offset is ever reset, and no record is retried by hand.

mod checkpoint;
mod client;
mod group;
mod line;
mod members;
mod producers;
mod properties;
mod reader;
mod rows;
mod stall;
mod topic_check;
mod topics;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};

use self::checkpoint::KafkaCheckpointer;
use self::client::{Cluster, Purpose};
pub use self::group::{Assigned, Group};
pub use self::members::{MemberRow, MembersEvent, MembersReader, MembersWriter};
use self::producers::Producers;
pub use self::properties::{is_secret_property, property_problem};
use self::reader::{Consumers, StreamReader};
use self::rows::RowsReader;
pub use self::topic_check::{TopicProblem, TopicReport};
use crate::{
    Appender, Bounds, CheckpointReader, Checkpointer, EventLog, LogError, Reader, Stream, Topic,
};

/// How long a question to the brokers may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How an event log on Kafka is reached.
#[derive(Clone)]
pub struct KafkaOptions {
    /// Brokers to ask first, as `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// What all topic names begin with: several Everlogs may share a Kafka.
    pub topic_prefix: String,
    /// The number N of partitions of the co-partitioned topics.
    pub partitions: u32,
    /// The number of partitions of the topic of delays, which is apart from N.
    pub delayed_partitions: u32,
    /// On how many brokers each topic has a copy.
    pub replication_factor: u16,
    /// An append that no broker has acknowledged for so long has an unknown outcome.
    pub append_stall_max: Duration,
    /// How many producers share the partitions. One sends a single request per broker at a time.
    pub producers: u32,
    /// Properties of librdkafka for every client, over Everlog's own. See [`property_problem`].
    pub properties: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// The defaults, for the brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic_prefix: "everlog.".into(),
            partitions: 24,
            delayed_partitions: 8,
            replication_factor: 3,
            append_stall_max: Duration::from_secs(10),
            producers: 4,
            properties: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("delayed_partitions", &self.delayed_partitions)
            .field("replication_factor", &self.replication_factor)
            .field("append_stall_max", &self.append_stall_max)
            .field("producers", &self.producers)
            .field("properties", &properties::shown(&self.properties))
            .finish()
    }
}

/// What a mutex holds, whatever became of who held it before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event log on Kafka.
pub struct KafkaLog {
    cluster: Cluster,
    producers: Producers,
    consumers: Consumers,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("options", self.cluster.options()).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, and checks that each topic is there and is as it must be.
    ///
    /// Fails with [`LogError::Unavailable`] where no broker answers or the brokers refuse this
    /// process, with [`LogError::Setup`] where a topic is missing or a promise would not hold on it:
    /// the error says what to change.
    pub async fn connect(options: KafkaOptions) -> Result<Arc<Self>, LogError> {
        let cluster = Cluster::new(options)?;
        topic_check::check(&cluster).await?;
        let producers = Producers::new(&cluster)?;
        Ok(Arc::new(Self { cluster, producers, consumers: Consumers::default() }))
    }

    /// Tells how many brokers there are.
    pub async fn brokers(options: KafkaOptions) -> Result<u16, LogError> {
        let cluster = Cluster::new(options)?;
        client::blocking(move || {
            let metadata = cluster.admin().inner().fetch_metadata(None, ANSWER_WAIT);
            let metadata = metadata.map_err(|error| cluster.unanswered(&error))?;
            Ok(u16::try_from(metadata.brokers().len()).unwrap_or(u16::MAX))
        })
        .await
    }

    /// Makes the topics that are missing, with the settings they need, waits until all can be used,
    /// and checks them. Returns the names of those that it made.
    pub async fn ensure_topics(options: KafkaOptions) -> Result<Vec<String>, LogError> {
        topics::ensure(&Cluster::new(options)?).await
    }

    /// Looks at each topic and tells how it is, without changing anything.
    pub async fn check_topics(options: KafkaOptions) -> Result<Vec<TopicReport>, LogError> {
        topic_check::inspect(&Cluster::new(options)?).await
    }
}

impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.cluster.options().partitions
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        self.cluster.check(stream)?;
        Ok(Box::new(self.producers.appender(&self.cluster, stream)?))
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        self.cluster.check(stream)?;
        Ok(Box::new(StreamReader::open(&self.cluster, &self.consumers, stream, from)?))
    }

    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>> {
        Box::pin(async move {
            self.cluster.check(stream)?;
            self.cluster.bounds(stream).await
        })
    }

    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            self.cluster.check(stream)?;
            let Bounds { start, end } = self.cluster.bounds(stream).await?;
            if below > end {
                return Err(LogError::OutOfRange { wanted: below, start, end });
            }
            if below <= start {
                return Ok(());
            }
            let mut offsets = TopicPartitionList::new();
            let topic = self.cluster.topic(stream.topic);
            offsets
                .add_partition_offset(
                    &topic,
                    client::partition_number(stream.partition),
                    Offset::Offset(client::offset_number(below)),
                )
                .map_err(|error| client::unavailable(&error))?;
            let options = AdminOptions::new().operation_timeout(Some(ANSWER_WAIT));
            let answers = self
                .cluster
                .admin()
                .delete_records(&offsets, &options)
                .await
                .map_err(|error| client::unavailable(&error))?;
            for answer in answers.elements() {
                answer.error().map_err(|error| client::unavailable(&error))?;
            }
            Ok(())
        })
    }

    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>> {
        Box::pin(async move {
            self.cluster.check(Stream { topic: Topic::Log, partition })?;
            let checkpointer = KafkaCheckpointer::open(&self.cluster, partition).await?;
            Ok(Box::new(checkpointer) as Box<dyn Checkpointer>)
        })
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        Box::pin(async move {
            self.cluster.check(Stream { topic: Topic::Log, partition })?;
            let reader = RowsReader::open(&self.cluster, partition, Purpose::Restore)?;
            Ok(Box::new(reader) as Box<dyn CheckpointReader>)
        })
    }
}
