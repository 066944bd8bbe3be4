//! What all clients of one Kafka share: settings, names, the extent of a stream, and how errors are
//! told.
//!
//! **Invariant:** no client resets an offset or creates a topic by itself, and none reads by a group.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use everlog_log_schema::{PartitionId, limits};
use rdkafka::admin::AdminClient;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{ANSWER_WAIT, KafkaOptions, properties};
use crate::{Bounds, LogError, Stream, Topic};

/// What a record may need beside its payload, in bytes.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 1 << 20;

/// How long a client gets to say why it reaches no broker.
const REASON_WAIT: Duration = Duration::from_secs(5);

/// Sends librdkafka's own messages to the log of the process. What matters reaches the callers as
/// errors; a broker that is away is expected to come back.
#[derive(Debug, Clone, Default)]
pub(super) struct Logging {
    /// What went wrong last.
    last: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Logging {}

/// See [`Logging`]: for the contexts that have another work beside.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let grave = matches!(
        level,
        RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
    );
    if grave {
        tracing::info!(facility, message, "kafka client");
    } else {
        tracing::debug!(facility, message, "kafka client");
    }
}

/// What a consumer is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// To read a log that nobody writes in transactions, for ever.
    Follow,
    /// To read what transactions committed, up to its end.
    Restore,
    /// To see whether they committed anything.
    Look,
}

/// One Kafka, one set of topics.
#[derive(Clone)]
pub(super) struct Cluster {
    options: Arc<KafkaOptions>,
    admin: Arc<AdminClient<Logging>>,
}

impl Cluster {
    pub(super) fn new(options: KafkaOptions) -> Result<Self, LogError> {
        properties::check(&options)?;
        let admin = config(&options).create_with_context(Logging::default());
        let admin = admin.map_err(|error| setup(&error))?;
        Ok(Self { options: Arc::new(options), admin: Arc::new(admin) })
    }

    /// An error of a question to the brokers; where none answered, with what keeps them from it. Blocks
    /// for a while then.
    pub(super) fn unanswered(&self, error: &KafkaError) -> LogError {
        let silent = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
            )
        );
        let reason = if silent { self.why_silent() } else { None };
        match reason {
            Some(reason) => LogError::Unavailable(format!("no broker answers: {reason}")),
            None => unavailable(error),
        }
    }

    /// Connects once more to hear why that fails: the client for administration is never polled for
    /// it.
    fn why_silent(&self) -> Option<String> {
        let logging = Logging::default();
        let config = self.consumer_config(Purpose::Follow);
        let asking: BaseConsumer<Logging> = config.create_with_context(logging.clone()).ok()?;
        let deadline = Instant::now() + REASON_WAIT;
        while Instant::now() < deadline {
            // What it says comes to its context.
            asking.poll(Duration::from_millis(50));
            let said = logging.last.lock().unwrap_or_else(PoisonError::into_inner).take();
            if said.is_some() {
                return said;
            }
        }
        None
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    pub(super) fn topic(&self, topic: Topic) -> String {
        let name = match topic {
            Topic::Invocations => "invocations",
            Topic::Log => "log",
            Topic::Metadata => "metadata",
        };
        format!("{}{name}", self.options.topic_prefix)
    }

    /// The compacted topic of rows.
    pub(super) fn journal_topic(&self) -> String {
        format!("{}journal", self.options.topic_prefix)
    }

    /// The compacted topic in which the processes tell of themselves.
    pub(super) fn members_topic(&self) -> String {
        format!("{}members", self.options.topic_prefix)
    }

    /// The topic of records that are to be delivered later, from any producer.
    pub(super) fn delayed_topic(&self) -> String {
        format!("{}delayed", self.options.topic_prefix)
    }

    /// Fails for a stream that the log does not have.
    pub(super) fn check(&self, stream: Stream) -> Result<(), LogError> {
        let partitions = match stream.topic {
            Topic::Invocations | Topic::Log => self.options.partitions,
            Topic::Metadata => 1,
        };
        if stream.partition.0 < partitions {
            return Ok(());
        }
        Err(LogError::Setup(format!("{stream:?} is none of the log's {partitions} partitions")))
    }

    /// The settings of producers.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = config(&self.options);
        config
            .set("enable.idempotence", "true")
            // Without it a record that waits too long leaves a hole in the order.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "0")
            .set("allow.auto.create.topics", "false")
            .set("queue.buffering.max.messages", "65536")
            .set("queue.buffering.max.kbytes", "262144")
            .set(
                "message.max.bytes",
                (limits::RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES).to_string(),
            );
        overridden(&self.options, config)
    }

    /// The settings of a transactional producer of a partition's rows.
    pub(super) fn transactional_config(&self, partition: PartitionId) -> ClientConfig {
        let mut config = self.producer_config();
        config
            .set("transactional.id", format!("{}-{partition}", self.journal_topic()))
            // A transaction bounds the wait itself, and refuses 0.
            .set("message.timeout.ms", "60000")
            // A large checkpoint is one transaction. Readers wait for an open one of a dead owner, until
            // the next owner opens its checkpointer.
            .set("transaction.timeout.ms", "120000")
            .set("linger.ms", "5");
        overridden(&self.options, config)
    }

    /// The settings of consumers.
    pub(super) fn consumer_config(&self, purpose: Purpose) -> ClientConfig {
        let (isolation, end, wait) = match purpose {
            // A record of any partition ends the wait; one that is assigned anew waits for its end.
            Purpose::Follow => ("read_uncommitted", "false", "50"),
            // The end of the partition shows only once the wait is over.
            Purpose::Restore | Purpose::Look => ("read_committed", "true", "50"),
        };
        let mut config = config(&self.options);
        config
            // The client wants a name, but it never joins: partitions are assigned by hand.
            .set("group.id", format!("{}unused", self.options.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation)
            .set("enable.partition.eof", end)
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", wait)
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "16384");
        if matches!(purpose, Purpose::Restore) {
            // Many small rows: large fetches, and the next one under way while these are handed out.
            config
                .set("fetch.message.max.bytes", "8388608")
                .set("fetch.max.bytes", "33554432")
                .set("queued.min.messages", "1000000")
                .set("queued.max.messages.kbytes", "32768");
        }
        overridden(&self.options, config)
    }

    /// The settings of a member of a consumer group that wants to know what is assigned to it, and
    /// reads nothing.
    pub(super) fn group_config(
        &self,
        group: &str,
        member: &str,
        session_timeout: Duration,
        heartbeats: u32,
    ) -> ClientConfig {
        let heartbeat = session_timeout / heartbeats;
        let mut config = config(&self.options);
        config
            .set("group.id", group)
            .set("group.instance.id", member)
            // The newer protocol has a session of 45 s at least.
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("queued.min.messages", "1");
        overridden(&self.options, config)
    }

    /// Makes a consumer of one partition that begins at `from`.
    pub(super) fn consumer(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        purpose: Purpose,
    ) -> Result<BaseConsumer<Logging>, LogError> {
        let consumer: BaseConsumer<Logging> = self
            .consumer_config(purpose)
            .create_with_context(Logging::default())
            .map_err(|error| setup(&error))?;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition_number(partition), from)
            .and_then(|()| consumer.assign(&assignment))
            .map_err(|error| setup(&error))?;
        Ok(consumer)
    }

    /// The client for administration.
    pub(super) fn admin(&self) -> &AdminClient<Logging> {
        &self.admin
    }

    /// Asks for the extent of a stream.
    pub(super) async fn bounds(&self, stream: Stream) -> Result<Bounds, LogError> {
        let (cluster, topic) = (self.clone(), self.topic(stream.topic));
        blocking(move || {
            let (start, end) = cluster
                .admin
                .inner()
                .fetch_watermarks(&topic, partition_number(stream.partition), ANSWER_WAIT)
                .map_err(|error| unavailable(&error))?;
            let known = |offset: i64| {
                u64::try_from(offset)
                    .map_err(|_| LogError::Unavailable(format!("{topic} has no known extent yet")))
            };
            Ok(Bounds { start: known(start)?, end: known(end)? })
        })
        .await
    }
}

/// The settings of all clients.
fn config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.bootstrap_servers)
        .set("socket.nagle.disable", "true")
        // A broker that hangs is given up, and what was sent to it is sent to the next leader.
        .set("socket.timeout.ms", "10000")
        .set("socket.connection.setup.timeout.ms", "5000")
        // A right that was granted, or a topic that came back, is seen so soon.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000");
    overridden(options, config)
}

fn overridden(options: &KafkaOptions, mut config: ClientConfig) -> ClientConfig {
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config
}

/// Runs what waits for brokers away from the tasks that must not block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(LogError::Unavailable(format!("failed to wait for a broker: {error}")))
    })
}

/// A partition as Kafka counts it.
pub(super) fn partition_number(partition: PartitionId) -> i32 {
    i32::try_from(partition.0).expect("Kafka has no such partition, as was checked")
}

/// An offset as Kafka counts it; the highest where there is no such offset.
pub(super) fn offset_number(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// An error of a client that is used: it may pass. What somebody has to put right first is said
/// with it. Nothing of ours has to be started again then.
pub(super) fn unavailable(error: &KafkaError) -> LogError {
    let advice = error.rdkafka_error_code().map(advice).unwrap_or_default();
    LogError::Unavailable(format!("{error}{advice}"))
}

/// An error of a client that could not even be made.
pub(super) fn setup(error: &KafkaError) -> LogError {
    LogError::Setup(format!("the Kafka client cannot be made: {error}; see kafka.properties"))
}

/// What to do about an error that does not pass by itself; begins with what parts it from the error.
pub(super) fn advice(code: RDKafkaErrorCode) -> &'static str {
    if is_missing(code) {
        return "; if no broker is just starting, a topic is missing: see `everlog topics check`";
    }
    if is_refused(code) {
        return "; grant the rights that docs/kafka.md lists, or correct kafka.properties: it goes on then";
    }
    ""
}

/// Whether a topic is said not to be there. A broker that has just started says so, too.
fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}

/// Whether the brokers refuse this process.
fn is_refused(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
    )
}

/// Whether a reader should give up, so that its caller learns why nothing comes. Another one may be
/// opened at once.
pub(super) fn keeps_waiting(code: RDKafkaErrorCode) -> bool {
    // The client looks for the coordinator of its group even though it never joins: whether it may,
    // is of no account to what is assigned by hand.
    let of_group = code == RDKafkaErrorCode::GroupAuthorizationFailed;
    is_missing(code) || is_refused(code) && !of_group
}
