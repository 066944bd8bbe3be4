//! Reading one stream from Kafka, by manual assignment.
//!
//! Each reader has a consumer and a thread of its own: librdkafka tells that an offset is out of
//! range without telling of which partition, so that a shared consumer could not say whose log is
//! short.
//!
//! **Invariant:** the reader starts at the offset it was given or fails; it never moves by itself.

use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::mpsc;

use super::client::{self, Cluster, Logging, Purpose};
use crate::{Bounds, LogError, Logged, Reader, Stream};

/// One batch ends at this many records…
const BATCH_RECORDS_MAX: usize = 1_024;
/// …or payload bytes, whichever comes first; it has at least one record.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches that wait for the reader's caller.
const BATCHES_MAX: usize = 4;
/// How long the thread waits for a record before it looks whether it is still wanted.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Reads from a thread that consumes.
pub(super) struct StreamReader {
    cluster: Cluster,
    stream: Stream,
    next: u64,
    batches: mpsc::Receiver<Result<Vec<Logged>, Stop>>,
    /// Why nothing more comes: told again to whoever asks again.
    stopped: Option<Stop>,
}

/// Why the thread ended.
enum Stop {
    /// The offset wanted is not in the log.
    OutOfRange,
    /// Anything else.
    Failed(LogError),
}

impl StreamReader {
    pub(super) fn open(cluster: &Cluster, stream: Stream, from: u64) -> Result<Self, LogError> {
        let topic = cluster.topic(stream.topic);
        let offset = Offset::Offset(client::offset_number(from));
        let consumer = cluster.consumer(&topic, stream.partition, offset, Purpose::Follow)?;
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        std::thread::Builder::new()
            .name(format!("read-{}", stream.partition))
            .spawn(move || consume(&consumer, &sender))
            .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
        Ok(Self { cluster: cluster.clone(), stream, next: from, batches, stopped: None })
    }

    async fn next_batch(&mut self) -> Result<Vec<Logged>, LogError> {
        if self.stopped.is_none() {
            match self.batches.recv().await {
                Some(Ok(batch)) => {
                    if let Some(last) = batch.last() {
                        self.next = last.offset + 1;
                    }
                    return Ok(batch);
                }
                Some(Err(stop)) => self.stopped = Some(stop),
                None => {}
            }
        }
        Err(match &self.stopped {
            Some(Stop::Failed(error)) => error.clone(),
            Some(Stop::OutOfRange) => self.out_of_range().await,
            None => LogError::Unavailable("the reader's thread ended".into()),
        })
    }

    async fn out_of_range(&self) -> LogError {
        let wanted = self.next;
        match self.cluster.bounds(self.stream).await {
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

fn consume(consumer: &BaseConsumer<Logging>, sender: &mpsc::Sender<Result<Vec<Logged>, Stop>>) {
    while !sender.is_closed() {
        let (batch, stop) = gather(consumer);
        if !batch.is_empty() && sender.blocking_send(Ok(batch)).is_err() {
            return;
        }
        if let Some(stop) = stop {
            // The caller may be gone.
            let _ = sender.blocking_send(Err(stop));
            return;
        }
    }
}

/// Waits for a record and takes those that are there with it.
fn gather(consumer: &BaseConsumer<Logging>) -> (Vec<Logged>, Option<Stop>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut wait = POLL_WAIT;
    while batch.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        let record = match consumer.poll(wait) {
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
        wait = Duration::ZERO;
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
