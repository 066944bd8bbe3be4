//! The topic of members: one row for each process, written by the process itself, and read by all.
//!
//! **Invariant:** a reader starts near the end, since only rows of the last seconds say who lives,
//! and says when it has read all that was there: until then nobody is known to be absent.

use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::PartitionId;
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::mpsc;

use super::client::{self, Cluster, Logging, Purpose};
use super::{ANSWER_WAIT, KafkaOptions};
use crate::LogError;

/// How far from the end a reader starts, in rows: more than the members of any cluster write in the
/// time in which one of them is held to be dead.
const TAIL_ROWS: u64 = 20_000;
/// A row that no broker takes for so long is given up: the next one says more.
const WRITE_MAX_MS: &str = "5000";
/// Rows that are handed over at once, and batches of them that wait.
const BATCH_ROWS_MAX: usize = 1_024;
const BATCHES_MAX: usize = 4;
/// How long the thread waits for a row before it looks whether it is still wanted.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// A row of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Whose.
    pub id: String,
    /// What it says of itself; nothing when it has left.
    pub value: Option<Bytes>,
    /// When the brokers took it, in milliseconds since the Unix epoch.
    pub appended_at_ms: u64,
}

/// What happens in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersEvent {
    /// Some rows, in order.
    Rows(Vec<MemberRow>),
    /// All rows that there are have been read.
    CaughtUp,
}

/// Reads the topic of members.
#[derive(Debug)]
pub struct MembersReader {
    events: mpsc::Receiver<Result<MembersEvent, LogError>>,
}

/// Writes the row of one member.
pub struct MembersWriter {
    producer: FutureProducer<Logging>,
    topic: String,
    id: String,
}

impl std::fmt::Debug for MembersWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MembersWriter").field("id", &self.id).finish_non_exhaustive()
    }
}

fn topic(cluster: &Cluster) -> String {
    format!("{}members", cluster.options().topic_prefix)
}

impl MembersReader {
    /// Begins to read.
    pub async fn open(options: KafkaOptions) -> Result<Self, LogError> {
        let cluster = Cluster::new(options)?;
        let (sender, events) = mpsc::channel(BATCHES_MAX);
        client::blocking(move || {
            let topic = topic(&cluster);
            let watermarks = cluster.admin().inner().fetch_watermarks(&topic, 0, ANSWER_WAIT);
            let (low, high) = watermarks.map_err(|error| client::unavailable(&error))?;
            let tail = i64::try_from(TAIL_ROWS).expect("a small number");
            let from = Offset::Offset(low.max(high - tail));
            let consumer = cluster.consumer(&topic, PartitionId(0), from, Purpose::Restore)?;
            std::thread::Builder::new()
                .name("members".into())
                .spawn(move || consume(&consumer, &sender))
                .map_err(|error| {
                    LogError::Unavailable(format!("failed to start a thread: {error}"))
                })?;
            Ok(())
        })
        .await?;
        Ok(Self { events })
    }

    /// Waits for what happens next. After an error nothing more comes: open another.
    pub async fn next(&mut self) -> Result<MembersEvent, LogError> {
        let stopped = || Err(LogError::Unavailable("the reader of members has stopped".into()));
        self.events.recv().await.unwrap_or_else(stopped)
    }
}

impl MembersWriter {
    /// Opens the writer of the member `id`.
    pub fn open(options: KafkaOptions, id: impl Into<String>) -> Result<Self, LogError> {
        let cluster = Cluster::new(options)?;
        let mut config = cluster.producer_config();
        config.set("message.timeout.ms", WRITE_MAX_MS).set("queue.buffering.max.messages", "16");
        let producer = config
            .create_with_context(Logging::default())
            .map_err(|error| client::setup(&error))?;
        Ok(Self { producer, topic: topic(&cluster), id: id.into() })
    }

    /// Writes the member's row, or that it has left. One at a time, so that the last word counts.
    pub async fn write(&mut self, value: Option<Bytes>) -> Result<(), LogError> {
        let failed = |error: &KafkaError| LogError::Unavailable(error.to_string());
        let mut record = FutureRecord::to(&self.topic).partition(0).key(&self.id);
        if let Some(value) = &value {
            record = record.payload(&value[..]);
        }
        let delivery = self.producer.send_result(record).map_err(|(error, _)| failed(&error))?;
        match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(failed(&error)),
            Err(_) => Err(LogError::Unavailable("the writer of members has stopped".into())),
        }
    }
}

fn consume(
    consumer: &BaseConsumer<Logging>,
    sender: &mpsc::Sender<Result<MembersEvent, LogError>>,
) {
    while !sender.is_closed() {
        let (rows, then) = gather(consumer);
        if !rows.is_empty() && sender.blocking_send(Ok(MembersEvent::Rows(rows))).is_err() {
            return;
        }
        let sent = match then {
            Then::GoOn => continue,
            Then::CaughtUp => sender.blocking_send(Ok(MembersEvent::CaughtUp)),
            Then::Stop(error) => {
                // The caller may be gone.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

enum Then {
    GoOn,
    CaughtUp,
    Stop(LogError),
}

/// Waits for a row and takes those that are there with it.
fn gather(consumer: &BaseConsumer<Logging>) -> (Vec<MemberRow>, Then) {
    let mut rows = Vec::new();
    let mut wait = POLL_WAIT;
    while rows.len() < BATCH_ROWS_MAX {
        match consumer.poll(wait) {
            None => break,
            Some(Ok(message)) => rows.extend(row(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => return (rows, Then::CaughtUp),
            Some(Err(error)) if ends(&error) => {
                return (rows, Then::Stop(LogError::Unavailable(error.to_string())));
            }
            Some(Err(error)) => tracing::debug!(%error, "the reader of members waits"),
        }
        wait = Duration::ZERO;
    }
    (rows, Then::GoOn)
}

/// A row without a name or a time is nobody's.
fn row(message: &BorrowedMessage<'_>) -> Option<MemberRow> {
    let id = std::str::from_utf8(message.key()?).ok()?.to_owned();
    let appended_at_ms = u64::try_from(message.timestamp().to_millis()?).ok()?;
    Some(MemberRow { id, value: message.payload().map(Bytes::copy_from_slice), appended_at_ms })
}

/// Whether the client does not get over an error by itself.
fn ends(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        )
}
