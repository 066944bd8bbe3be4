//! Reading streams from Kafka, by manual assignment.
//!
//! The readers of a process share consumers: each client of librdkafka has connections and threads of
//! its own, which cost a takeover the more the more partitions it takes. Each reader has its partition's
//! own queue, in which errors come too: librdkafka tells that an offset is out of range without telling
//! of which partition. No consumer reads one stream twice.
//!
//! **Invariant:** the reader starts at the offset it was given or fails; it never moves by itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Notify, watch};

use super::client::{self, Cluster, Logging, Purpose};
use super::lock;
use crate::{Bounds, LogError, Logged, Reader, Stream};

/// One batch ends at this many records…
const BATCH_RECORDS_MAX: usize = 1_024;
/// …or payload bytes, whichever comes first; it has at least one record.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long the thread of a consumer waits for an event before it looks whether it is still wanted.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The consumers that the readers of a process share.
#[derive(Default)]
pub(super) struct Consumers(Mutex<Vec<Arc<Shared>>>);

impl Consumers {
    /// A place at a consumer that does not read the stream yet.
    fn seat(&self, cluster: &Cluster, stream: Stream) -> Result<Seat, LogError> {
        let mut consumers = lock(&self.0);
        consumers.retain(|shared| shared.failed.borrow().is_none());
        let free = |shared: &&Arc<Shared>| lock(&shared.streams).insert(stream);
        if let Some(shared) = consumers.iter().find(free) {
            return Ok(Seat { shared: Arc::clone(shared), stream });
        }
        let shared = Arc::new(Shared::open(cluster)?);
        lock(&shared.streams).insert(stream);
        consumers.push(Arc::clone(&shared));
        Ok(Seat { shared, stream })
    }
}

/// The right to read a stream by a consumer, until it is dropped.
struct Seat {
    shared: Arc<Shared>,
    stream: Stream,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.shared.streams).remove(&self.stream);
    }
}

/// A consumer of several streams.
struct Shared {
    consumer: Arc<BaseConsumer<Logging>>,
    streams: Mutex<HashSet<Stream>>,
    /// Why none of its readers gets anything more.
    failed: watch::Receiver<Option<LogError>>,
}

impl Shared {
    fn open(cluster: &Cluster) -> Result<Self, LogError> {
        let consumer = cluster.consumer_config(Purpose::Follow);
        let consumer = consumer.create_with_context(Logging::default());
        let consumer: Arc<BaseConsumer<Logging>> =
            Arc::new(consumer.map_err(|error| client::setup(&error))?);
        let (sender, failed) = watch::channel(None);
        let polled = Arc::downgrade(&consumer);
        let poll = move || {
            // What is of one partition goes to its reader: here is what is of all.
            while let Some(consumer) = polled.upgrade() {
                if let Some(Err(error)) = consumer.poll(POLL_WAIT)
                    && let Some(Stop::Failed(error)) = stop(&error)
                {
                    sender.send_replace(Some(error));
                }
            }
        };
        std::thread::Builder::new()
            .name("read-events".into())
            .spawn(poll)
            .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
        Ok(Self { consumer, streams: Mutex::default(), failed })
    }
}

/// Reads one stream.
pub(super) struct StreamReader {
    cluster: Cluster,
    next: u64,
    /// Why nothing more comes: told again to whoever asks again.
    stopped: Option<Stop>,
    /// The queue is not empty any more.
    filled: Arc<Notify>,
    /// Dropped before the seat: the next reader of the stream has the same queue, and must not lose its
    /// callback.
    queue: PartitionQueue<Logging>,
    seat: Seat,
}

/// Why a reader ended.
enum Stop {
    /// The offset wanted is not in the log.
    OutOfRange,
    /// Anything else.
    Failed(LogError),
}

impl StreamReader {
    pub(super) fn open(
        cluster: &Cluster,
        consumers: &Consumers,
        stream: Stream,
        from: u64,
    ) -> Result<Self, LogError> {
        let topic = cluster.topic(stream.topic);
        let seat = consumers.seat(cluster, stream)?;
        let consumer = Arc::clone(&seat.shared.consumer);
        let queue =
            consumer.split_partition_queue(&topic, client::partition_number(stream.partition));
        let mut queue = queue.ok_or_else(|| {
            LogError::Unavailable(format!("{topic} [{}] has no queue", stream.partition))
        })?;
        let filled = Arc::new(Notify::new());
        let notify = Arc::clone(&filled);
        queue.set_nonempty_callback(move || notify.notify_one());
        // What an earlier reader has left there: librdkafka forgets its records, but not its errors.
        while queue.poll(Duration::ZERO).is_some() {}
        let cluster = cluster.clone();
        let reader = Self { cluster, next: from, stopped: None, filled, queue, seat };
        let offset = Offset::Offset(client::offset_number(from));
        consumer
            .incremental_assign(&reader.assignment(offset))
            .map_err(|error| client::setup(&error))?;
        Ok(reader)
    }

    fn assignment(&self, from: Offset) -> TopicPartitionList {
        let (stream, mut of) = (self.seat.stream, TopicPartitionList::new());
        let topic = self.cluster.topic(stream.topic);
        of.add_partition_offset(&topic, client::partition_number(stream.partition), from)
            .expect("the offset is one, or none");
        of
    }

    async fn next_batch(&mut self) -> Result<Vec<Logged>, LogError> {
        let mut failed = self.seat.shared.failed.clone();
        while self.stopped.is_none() {
            let (batch, stop) = gather(&self.queue);
            self.stopped = stop;
            if let Some(last) = batch.last() {
                self.next = last.offset + 1;
                return Ok(batch);
            }
            if self.stopped.is_none() {
                tokio::select! {
                    () = self.filled.notified() => {}
                    Ok(error) = failed.wait_for(Option::is_some) => {
                        self.stopped = error.clone().map(Stop::Failed);
                    }
                }
            }
        }
        Err(match &self.stopped {
            Some(Stop::Failed(error)) => error.clone(),
            Some(Stop::OutOfRange) | None => self.out_of_range().await,
        })
    }

    async fn out_of_range(&self) -> LogError {
        let wanted = self.next;
        match self.cluster.bounds(self.seat.stream).await {
            // A broker that has just become the leader may not know yet how far its log goes.
            Ok(Bounds { start, end }) if (start..=end).contains(&wanted) => LogError::Unavailable(
                format!("a broker said that it does not hold offset {wanted}, which it does"),
            ),
            Ok(Bounds { start, end }) => LogError::OutOfRange { wanted, start, end },
            Err(error) => error,
        }
    }
}

impl Reader for StreamReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>> {
        Box::pin(self.next_batch())
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        let of = self.assignment(Offset::Invalid);
        if let Err(error) = self.seat.shared.consumer.incremental_unassign(&of) {
            // It was never assigned.
            tracing::debug!(%error, stream = ?self.seat.stream, "a Kafka reader ends");
        }
    }
}

/// Takes the records that are there.
fn gather(queue: &PartitionQueue<Logging>) -> (Vec<Logged>, Option<Stop>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        let record = match queue.poll(Duration::ZERO) {
            None => break,
            Some(Ok(message)) => logged(&message),
            Some(Err(error)) => match stop(&error) {
                Some(stop) => return (batch, Some(stop)),
                None => continue,
            },
        };
        match record {
            Ok(record) => {
                bytes += record.payload.len();
                batch.push(record);
            }
            Err(error) => return (batch, Some(Stop::Failed(error))),
        }
    }
    (batch, None)
}

fn logged(message: &BorrowedMessage<'_>) -> Result<Logged, LogError> {
    let number = |number: i64| {
        u64::try_from(number)
            .map_err(|_| LogError::Corrupt("a record has no offset or time".into()))
    };
    Ok(Logged {
        offset: number(message.offset())?,
        appended_at_ms: number(message.timestamp().to_millis().unwrap_or(-1))?,
        payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    })
}

/// Tells the errors that end a reader from those that the client gets over by itself.
fn stop(error: &KafkaError) -> Option<Stop> {
    let code = error.rdkafka_error_code()?;
    if matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) {
        return Some(Stop::OutOfRange);
    }
    if code == RDKafkaErrorCode::LogTruncation {
        let reason = "the log was cut below what was read before";
        return Some(Stop::Failed(LogError::Corrupt(reason.into())));
    }
    if client::keeps_waiting(code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Some(Stop::Failed(client::unavailable(error)));
    }
    tracing::debug!(%code, "a Kafka reader waits");
    None
}
