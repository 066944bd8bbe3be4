//! What a backend offers.
//!
//! An append has three ends: an offset, certainly not in the log, or unknown. The third is never
//! folded into the others.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::oneshot;

/// A topic that is an ordered log. The compacted topic of rows is reached by
/// [`EventLog::checkpointer`] and [`EventLog::checkpoint`] instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The inbox: messages that anybody sends to a partition.
    Invocations,
    /// The event log: what the partition's owner took in and decided.
    Log,
    /// What is registered. One partition.
    Metadata,
}

/// One partition of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: PartitionId,
}

/// A record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place. Offsets rise, but not always by one.
    pub offset: u64,
    /// When the log took it, in milliseconds since the Unix epoch, by the log's clock.
    pub appended_at_ms: u64,
    /// What was appended.
    pub payload: Bytes,
}

/// The extent of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that can still be read.
    pub start: u64,
    /// One past the last offset.
    pub end: u64,
}

/// A change of one row of the compacted topic: a new value, or none for a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The row's key.
    pub key: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

/// An event log: Kafka, or the embedded one.
pub trait EventLog: Send + Sync + 'static {
    /// The number N of partitions, the same for all co-partitioned topics, for ever.
    fn partitions(&self) -> u32;

    /// Opens an appender. Any number may exist for a stream; each keeps its own order.
    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError>;

    /// Opens a reader whose first record is the first at or above `from`.
    ///
    /// Fails with [`LogError::OutOfRange`] (here or at the first read) where `from` lies below the
    /// stream's start or above its end: the log never moves a reader by itself.
    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError>;

    /// Tells the extent of a stream.
    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>>;

    /// Whether [`bounds`](Self::bounds) tell of every record that was acknowledged before they were
    /// asked for, whoever wrote it. A broker that leads a partition no more, and has not learnt it,
    /// tells of an older end.
    fn bounds_are_current(&self) -> bool {
        false
    }

    /// Gives up all records below `below`. Repeating it, or going back, is harmless.
    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>>;

    /// Opens the only checkpointer of a partition: one opened before can commit nothing any more.
    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>>;

    /// Reads the partition's rows as of its last committed checkpoint, in no promised order, each
    /// key once or more with its newest value last; tombstones may appear or be left out.
    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>>;
}

/// Appends to one stream, in order and pipelined.
pub trait Appender: Send {
    /// Queues a record. What is queued later stands later in the log. An error means that nothing
    /// was queued.
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError>;
}

/// Reads one stream, in order.
pub trait Reader: Send {
    /// Waits until there is at least one record and returns a batch of bounded size. Dropping the
    /// future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>>;
}

/// Writes the compacted rows of one partition, in transactions.
///
/// Rows become visible with [`Checkpointer::commit`], all or none. After an error none of those added
/// since the last commit counts, and the next row begins another transaction; after
/// [`AppendError::Fenced`] or [`AppendError::Unknown`] another checkpointer is needed.
pub trait Checkpointer: Send {
    /// Whether the partition had no rows when this checkpointer was opened: none was committed ever, or the
    /// topic was lost and made anew.
    fn began_empty(&self) -> bool;

    /// Adds rows to the transaction, and waits until there is room for more: so a large transaction
    /// takes little memory where the backend is Kafka. The embedded log keeps it in memory.
    fn add(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>>;

    /// Writes all rows that were added, and `rows` behind them, or none of them.
    fn commit(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// Reads the compacted rows of one partition.
pub trait CheckpointReader: Send {
    /// The next rows; empty at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<RowChange>, LogError>>;
}

/// A queued append: resolves to its offset once the record is durable.
#[derive(Debug)]
pub struct Appending(oneshot::Receiver<Result<u64, AppendError>>);

impl Appending {
    /// Makes an append and the end that its backend resolves. Dropping that end means *unknown*.
    #[must_use]
    pub fn new() -> (oneshot::Sender<Result<u64, AppendError>>, Self) {
        let (resolve, receiver) = oneshot::channel();
        (resolve, Self(receiver))
    }
}

impl Future for Appending {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| {
            received
                .unwrap_or_else(|_| Err(AppendError::Unknown("the log's writer stopped".into())))
        })
    }
}

/// Why an append has no offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The record is not in the log and never will be; what was queued behind it may be.
    #[error("append was refused: {0}")]
    Refused(String),
    /// The record is too large: not in the log, and never will be.
    #[error("record of {bytes} bytes exceeds the log's limit of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The appender's queue is full: nothing was queued, try later.
    #[error("the log's queue is full")]
    QueueFull,
    /// A later checkpointer of the partition exists.
    #[error("fenced by a later writer")]
    Fenced,
    /// The record may be in the log, now or later, or not.
    #[error("outcome of the append is unknown: {0}")]
    Unknown(String),
}

/// Why the log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The offset asked for is gone, or never was.
    #[error("offset {wanted} is outside the log, which holds {start} to {end}")]
    OutOfRange {
        /// The offset asked for.
        wanted: u64,
        /// The first offset there is.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// The log cannot be reached, or not now: try later.
    #[error("log is unavailable: {0}")]
    Unavailable(String),
    /// What was read is not what was written: stop.
    #[error("log is corrupt: {0}")]
    Corrupt(String),
    /// The log, or its directory, is not as it must be: stop, and say what to change.
    #[error("log cannot be opened: {0}")]
    Setup(String),
}
