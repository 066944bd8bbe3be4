//! Appending to Kafka: a few idempotent producers, each with its share of the streams.
//!
//! A client sends one request per broker connection at a time, so that one producer would make all
//! partitions wait for each other. All appenders of a stream go through the same producer, as long
//! as that tells of what it was given.
//!
//! When an appender has stalled ([`super::stall`]), its records are still in its producer's queue, and
//! nothing but the end of the whole producer takes them out: they may be written at any time from now
//! on. The next appender of the stream goes through another producer, whose records may be written
//! before them, between them, or behind them. That must be harmless, and is: in the log, a record of
//! a term that does not reign has no effect, and one that comes before the next announcement is folded
//! before it; in an inbox, a partition's messages are numbered and a gateway's have an id; in the
//! metadata, the version that a change replaces decides. It would do no harm to go through the same
//! producer either, but gain nothing: what is queued there waits for the same broker, and each new
//! attempt would add to it. So where every producer holds abandoned records of a stream, no appender
//! is opened: the caller waits until one of them has told, or has failed for good.
//!
//! A producer that has failed for good is replaced when the next appender is opened; the appenders of
//! the old one fail for ever, and their owners announce themselves anew.
//!
//! **Invariant:** a delivery report without an offset, and any error that does not say for certain
//! that nothing was written, is *unknown*.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everlog_log_schema::limits;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::client::{self, Cluster};
use super::line::{Give, Line, Wake};
use super::lock;
use super::stall::{Queue, Queued};
use crate::{AppendError, Appender, Appending, LogError, Stream};

/// How often appenders are looked at, within one deadline.
const LOOKS_PER_DEADLINE: u32 = 20;
/// The longest and the shortest time between two looks.
const LOOK_WAIT_MAX: Duration = Duration::from_millis(250);
const LOOK_WAIT_MIN: Duration = Duration::from_millis(5);

/// Resolves appends as the brokers report on them.
#[derive(Default)]
struct Deliveries {
    /// What went wrong last: a producer that fails for good lets its records go without a reason.
    last: Mutex<Option<(KafkaError, String)>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
        *lock(&self.last) = Some((error, reason.to_owned()));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Queued>;

    fn delivery(&self, report: &DeliveryResult<'_>, queued: Self::DeliveryOpaque) {
        queued.told(match report {
            Ok(message) => u64::try_from(message.offset()).map_err(|_| {
                // A duplicate that the broker had already: it is there, but nobody knows where.
                AppendError::Unknown("the broker acknowledged the record without an offset".into())
            }),
            Err((error, message)) => Err(self.failed(error, message.payload_len())),
        });
    }
}

impl Deliveries {
    fn failed(&self, error: &KafkaError, bytes: usize) -> AppendError {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            // It says so of a whole batch: small records refused with a large one are not in the log
            // either.
            let batch =
                format!("Kafka refused the batch with this record of {bytes} bytes: {error}");
            return AppendError::Refused(batch);
        }
        let purged = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if code.is_some_and(|code| purged.contains(&code))
            && let Some((error, reason)) = &*lock(&self.last)
        {
            let advice = error.rdkafka_error_code().map(client::advice).unwrap_or_default();
            return AppendError::Unknown(format!("the Kafka producer has ended: {reason}{advice}"));
        }
        // Also where a broker refuses this process: an earlier try of the same record may have
        // arrived.
        AppendError::Unknown(told(error))
    }
}

/// An error, with what to do about it.
fn told(error: &KafkaError) -> String {
    let advice = error.rdkafka_error_code().map(client::advice).unwrap_or_default();
    format!("{error}{advice}")
}

/// A producer, and what it holds of each stream.
struct Channel {
    producer: ThreadedProducer<Deliveries>,
    lines: Mutex<HashMap<Stream, Arc<Line>>>,
}

impl Channel {
    fn open(cluster: &Cluster) -> Result<Arc<Self>, LogError> {
        let producer = cluster.producer_config().create_with_context(Deliveries::default());
        let producer = producer.map_err(|error| client::setup(&error))?;
        Ok(Arc::new(Self { producer, lines: Mutex::default() }))
    }

    fn line(self: &Arc<Self>, stream: Stream, topic: &str, wake: &Wake) -> Arc<Line> {
        let open = || {
            let producer = Arc::downgrade(self);
            Arc::new(Line::new(self.give(stream, topic), producer, wake.clone()))
        };
        Arc::clone(lock(&self.lines).entry(stream).or_insert_with(open))
    }

    fn give(self: &Arc<Self>, stream: Stream, topic: &str) -> Give {
        // A line does not keep its producer.
        let (channel, topic) = (Arc::downgrade(self), topic.to_owned());
        let partition = client::partition_number(stream.partition);
        Box::new(move |queued, payload| {
            let Some(channel) = channel.upgrade() else {
                return Err((AppendError::Refused("the producer has ended".into()), queued));
            };
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(&topic, queued)
                .partition(partition)
                .payload(payload);
            let Err((error, record)) = channel.producer.send(record) else { return Ok(()) };
            let refused = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => AppendError::QueueFull,
                _ => AppendError::Refused(told(&error)),
            };
            Err((refused, record.delivery_opaque))
        })
    }
}

/// The producers of a process.
pub(super) struct Producers {
    channels: Mutex<Vec<Arc<Channel>>>,
    /// The producer of each stream that is not at its first.
    moved: Mutex<HashMap<Stream, usize>>,
    watched: Arc<Mutex<Vec<Weak<Queue>>>>,
    /// The thread that watches. It ends with the last line.
    wake: Wake,
}

impl Producers {
    pub(super) fn new(cluster: &Cluster) -> Result<Self, LogError> {
        let count = cluster.options().producers.max(1);
        let channels = (0..count).map(|_| Channel::open(cluster)).collect::<Result<_, _>>()?;
        let watched = Arc::default();
        let wake = watch(Arc::clone(&watched), cluster.options().append_stall_max)?;
        Ok(Self { channels: Mutex::new(channels), moved: Mutex::default(), watched, wake })
    }

    pub(super) fn appender(
        &self,
        cluster: &Cluster,
        stream: Stream,
    ) -> Result<KafkaAppender, LogError> {
        let topic = cluster.topic(stream.topic);
        let mut channels = lock(&self.channels);
        let count = channels.len();
        let first = lock(&self.moved).get(&stream).copied().unwrap_or_else(|| place(stream, count));
        for index in (0..count).map(|step| (first + step) % count) {
            let channel = channels.get_mut(index).expect("less than the length");
            if let Some((code, reason)) = channel.producer.client().fatal_error() {
                tracing::warn!(%code, reason, "a Kafka producer failed for good and is replaced");
                *channel = Channel::open(cluster)?;
            }
            let line = channel.line(stream, &topic, &self.wake);
            if line.abandoned() > 0 {
                continue;
            }
            if index != first {
                lock(&self.moved).insert(stream, index);
            }
            let queue = Queue::new(line);
            lock(&self.watched).push(Arc::downgrade(&queue));
            return Ok(KafkaAppender { _channel: Arc::clone(channel), queue });
        }
        Err(LogError::Unavailable(format!(
            "{topic} [{}]: no broker has told of earlier appends, by any of {count} producers",
            stream.partition
        )))
    }
}

/// The producer that a stream has first.
fn place(stream: Stream, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    usize::try_from(hasher.finish() % count as u64).expect("less than a length")
}

/// Has lines give their next records, and watches appenders, until all senders are dropped.
///
/// Not done where a producer tells of records: that is the producer's own thread, which must not be
/// the one to end it.
fn watch(watched: Arc<Mutex<Vec<Weak<Queue>>>>, stall_max: Duration) -> Result<Wake, LogError> {
    let (wake, woken) = mpsc::channel::<Weak<Line>>();
    let wait = (stall_max / LOOKS_PER_DEADLINE).clamp(LOOK_WAIT_MIN, LOOK_WAIT_MAX);
    let run = move || {
        let mut look_at = Instant::now() + wait;
        loop {
            match woken.recv_timeout(look_at.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(line) = line.upgrade() {
                        line.hand_over();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    look(&watched, stall_max);
                    look_at = Instant::now() + wait;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    };
    std::thread::Builder::new()
        .name("appends".into())
        .spawn(run)
        .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
    Ok(wake)
}

/// Has appenders stall whose oldest record has waited for too long.
fn look(watched: &Mutex<Vec<Weak<Queue>>>, stall_max: Duration) {
    // What an appender has queued is watched even when the appender is gone.
    lock(watched).retain(|queue| {
        let Some(queue) = queue.upgrade() else { return false };
        if let Some(records) = queue.stall_after(stall_max) {
            tracing::info!(records, ?stall_max, "no broker acknowledges an appender's records");
        }
        true
    });
}

/// Appends to one stream.
pub(super) struct KafkaAppender {
    /// The producer lives as long as somebody appends through it.
    _channel: Arc<Channel>,
    queue: Arc<Queue>,
}

impl Appender for KafkaAppender {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        let (bytes, max) = (payload.len(), limits::RECORD_BYTES_MAX);
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        self.queue.append(payload)
    }
}
