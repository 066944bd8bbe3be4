//! The compacted topic of rows, read up to the last committed transaction.
//!
//! A thread of its own reads ahead of whoever takes the rows in, a batch at a time; the rows of a batch
//! share one buffer, so that a row costs no allocation.
//!
//! **Invariant:** a reader that has failed returns no further rows: none is left out.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use tokio::sync::mpsc;

use super::client::{self, Cluster, Logging, Purpose};
use crate::{CheckpointReader, LogError, RowChange};

/// How long to wait for rows where none come and the end is not told.
const READ_WAIT: Duration = Duration::from_secs(30);
/// How often to look whether the reader is gone.
const POLL_WAIT: Duration = Duration::from_millis(200);
const BATCH_ROWS_MAX: usize = 8_192;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches read ahead.
const BATCHES_AHEAD: usize = 4;

/// Reads a partition's rows from the beginning of the topic to its end.
pub(super) struct RowsReader {
    batches: mpsc::Receiver<Result<Vec<RowChange>, LogError>>,
    /// Nothing more comes: the end, or why.
    ended: Option<Result<(), LogError>>,
}

impl RowsReader {
    /// `purpose` is to restore, or to look.
    pub(super) fn open(
        cluster: &Cluster,
        partition: PartitionId,
        purpose: Purpose,
    ) -> Result<Self, LogError> {
        let topic = cluster.journal_topic();
        let consumer = cluster.consumer(&topic, partition, Offset::Beginning, purpose)?;
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        std::thread::Builder::new()
            .name(format!("rows-{partition}"))
            .spawn(move || consume(&consumer, &sender))
            .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
        Ok(Self { batches, ended: None })
    }

    pub(super) async fn next_batch(&mut self) -> Result<Vec<RowChange>, LogError> {
        if self.ended.is_none() {
            match self.batches.recv().await {
                Some(Ok(batch)) if !batch.is_empty() => return Ok(batch),
                Some(Ok(_)) => self.ended = Some(Ok(())),
                Some(Err(error)) => self.ended = Some(Err(error)),
                None => {
                    let reason = "the thread that reads rows has ended".to_owned();
                    self.ended = Some(Err(LogError::Unavailable(reason)));
                }
            }
        }
        let ended = self.ended.clone().unwrap_or(Ok(()));
        ended.map(|()| Vec::new())
    }
}

impl CheckpointReader for RowsReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<RowChange>, LogError>> {
        Box::pin(self.next_batch())
    }
}

/// Hands over all rows, and an empty batch behind the last.
fn consume(
    consumer: &BaseConsumer<Logging>,
    sender: &mpsc::Sender<Result<Vec<RowChange>, LogError>>,
) {
    let mut batch = Batch::default();
    let mut deadline = Instant::now() + READ_WAIT;
    while !sender.is_closed() {
        match consumer.poll(POLL_WAIT) {
            Some(Ok(message)) => {
                batch.push(message.key().unwrap_or_default(), message.payload());
                if !batch.is_full() {
                    continue;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let rest = batch.take();
                if rest.is_empty() || sender.blocking_send(Ok(rest)).is_ok() {
                    // Whoever read may be gone.
                    let _ = sender.blocking_send(Ok(Vec::new()));
                }
                return;
            }
            Some(Err(error)) => {
                let _ = sender.blocking_send(Err(client::unavailable(&error)));
                return;
            }
            None if batch.rows.is_empty() && Instant::now() >= deadline => {
                let reason = "no broker gives the rows".to_owned();
                let _ = sender.blocking_send(Err(LogError::Unavailable(reason)));
                return;
            }
            None => {}
        }
        let rows = batch.take();
        if rows.is_empty() {
            continue;
        }
        if sender.blocking_send(Ok(rows)).is_err() {
            return;
        }
        deadline = Instant::now() + READ_WAIT;
    }
}

/// Rows that share a buffer.
#[derive(Default)]
struct Batch {
    buffer: BytesMut,
    /// The lengths of key and value; none for a tombstone.
    rows: Vec<(usize, Option<usize>)>,
}

impl Batch {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.rows.push((key.len(), value.map(<[u8]>::len)));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS_MAX || self.buffer.len() >= BATCH_BYTES_MAX
    }

    fn take(&mut self) -> Vec<RowChange> {
        let mut bytes = std::mem::take(&mut self.buffer).freeze();
        self.buffer.reserve(bytes.len());
        let mut cut = |length: usize| -> Bytes { bytes.split_to(length) };
        let rows = self.rows.drain(..);
        rows.map(|(key, value)| RowChange { key: cut(key), value: value.map(&mut cut) }).collect()
    }
}
