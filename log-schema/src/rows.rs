//! Rows: what a partition remembers. One row per key; the same rows in memory, in RocksDB and on
//! the compacted journal topic.

use serde::{Deserialize, Serialize};

use crate::codec::adapt;
use crate::{
    AttemptError, CompletionId, Entry, Epoch, HandlerKind, InboxOffset, Incarnation, InvocationId,
    Level, LogOffset, Millis, PartitionId, Pin, RequestId, RetryPolicy, Seq, Target, Term, WaitSet,
};

/// The key of a row. Orders as its bytes do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The one row that acceptance and intake need.
    Partition,
    /// An invocation.
    Invocation(InvocationId),
    /// An entry of its journal, by index.
    Journal(InvocationId, u32),
    /// A completion that its journal declares and that has not come.
    Open(InvocationId, CompletionId),
    /// Marks an invocation that should have an attempt running: what a new owner walks.
    Running(InvocationId),
    /// A timer; orders by due time.
    Timer(Timer),
    /// The lock of an object key.
    Lock {
        /// The service.
        service: String,
        /// The object key.
        key: String,
    },
    /// A place in the queue for an object key.
    Queue {
        /// The service.
        service: String,
        /// The object key.
        key: String,
        /// The place; places rise.
        place: u64,
    },
    /// The highest message number taken in from a sending partition.
    Sender(PartitionId),
}

/// A row's value. The variant is that of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// For [`RowKey::Partition`].
    Partition(PartitionRow),
    /// For [`RowKey::Invocation`].
    Invocation(Box<InvocationRow>),
    /// For [`RowKey::Journal`].
    Journal(Entry),
    /// For [`RowKey::Open`].
    Open(OpenRow),
    /// For [`RowKey::Running`].
    Running,
    /// For [`RowKey::Timer`].
    Timer,
    /// For [`RowKey::Lock`].
    Lock(LockRow),
    /// For [`RowKey::Queue`].
    Queue(InvocationId),
    /// For [`RowKey::Sender`].
    Sender(Seq),
}

/// What acceptance and intake need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// The reigning epoch; 0 before the first announcement.
    pub epoch: Epoch,
    /// The reigning announcement's nonce.
    pub term: Term,
    /// The `seq` that the next record of the term must have.
    pub next_seq: Seq,
    /// Whether a gap has ended the term: the rest of it is ignored.
    pub closed: bool,
    /// How `apply` behaves in this term.
    pub level: Level,
    /// Where the owner can be reached.
    pub address: String,
    /// The next inbox offset to take in: all below are taken in.
    pub next_inbox: InboxOffset,
    /// The time of the last accepted record.
    pub now: Millis,
    /// The next log offset to apply: all below are applied or ignored.
    pub next_log: LogOffset,
    /// XXH3-64 of the last record's bytes, to tell a log that was cut and written anew.
    #[serde(with = "adapt::hash")]
    pub last_hash: u64,
}

/// Where an invocation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationRow {
    /// Which life of the id this is.
    pub incarnation: Incarnation,
    /// The request that created it.
    pub request_id: RequestId,
    /// Whom it calls.
    pub target: Target,
    /// How the handler is run.
    pub kind: HandlerKind,
    /// The key under which a repeated call is the same call.
    pub idempotency_key: Option<String>,
    /// How long the outcome is kept after completion (a duration).
    pub retention: Millis,
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// The caller's W3C trace context.
    pub traceparent: Option<String>,
    /// When the message was taken in.
    pub created_at: Millis,
    /// Where it stands.
    pub status: Status,
    /// The epoch of the last attempt: in a later epoch the current attempt is number 0 of that one.
    pub attempt_epoch: Epoch,
    /// The number of the last attempt in its epoch.
    pub attempt_counter: u32,
    /// The code it stays with, once a step is recorded.
    pub pin: Option<Pin>,
    /// How many entries the journal holds.
    pub entries: u32,
    /// How many of them are commands, the input included.
    pub commands: u32,
    /// How many bytes they hold, as [`Entry::payload_bytes`] counts them.
    #[serde(with = "adapt::long")]
    pub journal_bytes: u64,
    /// Whether the last of them is the output.
    pub has_output: bool,
    /// How many attempts the retry policy has counted since it last began.
    pub policy_attempts: u32,
    /// How many attempts failed since a command was last recorded.
    pub failures_since_progress: u32,
    /// When a command was last recorded.
    pub progress_at: Millis,
    /// Why the last failed attempt failed; cleared by completion.
    pub last_error: Option<AttemptError>,
}

/// The life of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Waits for its time.
    Scheduled,
    /// Waits for its object key.
    Pending,
    /// Has an attempt, or should have one.
    Running,
    /// Waits for any one of these.
    Suspended(WaitSet),
    /// Waits for its next attempt.
    BackingOff {
        /// When that is.
        until: Millis,
    },
    /// Waits for somebody to resume it.
    Paused,
    /// Has ended. Its output is the last entry of its journal.
    Completed {
        /// When it ended.
        at: Millis,
    },
}

/// A completion that has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRow {
    /// What will bring it.
    pub kind: OpenKind,
}

/// What brings a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenKind {
    /// The function's own proposal.
    Run,
    /// A timer.
    Sleep {
        /// When it is due: with the rest of this row's key it names the timer.
        wake_at: Millis,
    },
}

/// The holder of an object key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// The invocation that runs.
    pub holder: InvocationId,
    /// No queue row has a lower place, so that a search need not pass over deleted ones.
    #[serde(with = "adapt::long")]
    pub first_place: u64,
    /// The place that the next one to come will take.
    #[serde(with = "adapt::long")]
    pub next_place: u64,
}

/// A timer. Its key says all there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timer {
    /// When it is due.
    pub due: Millis,
    /// Whose it is.
    pub invocation: InvocationId,
    /// The life it belongs to.
    pub incarnation: Incarnation,
    /// What it is for.
    pub kind: TimerKind,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimerKind {
    /// A scheduled invocation starts.
    Start,
    /// A failed attempt is tried again.
    Retry,
    /// A sleep ends.
    Sleep(CompletionId),
    /// A completed invocation is forgotten.
    Purge,
}
