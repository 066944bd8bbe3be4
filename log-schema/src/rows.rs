//! Rows: what a partition remembers. One row per key; the same rows in memory, in RocksDB and on
//! the compacted journal topic.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::adapt;
use crate::{
    AttemptError, Caller, CompletionId, Entry, Epoch, HandlerKind, InboxOffset, Incarnation,
    InvocationId, Level, Life, LogOffset, Message, MetadataOffset, Millis, Outcome, PartitionId,
    Pin, RequestId, RetryPolicy, Seq, Status, Target, Term,
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
    /// The journal of a completed invocation, in numbered parts.
    Packed(InvocationId, u32),
    /// What is counted of an object's state and promises; there while it has any.
    Object {
        /// The service.
        service: String,
        /// The object key.
        key: String,
    },
    /// One key of an object's state.
    State {
        /// The service.
        service: String,
        /// The object key.
        key: String,
        /// The key of the state.
        name: Bytes,
    },
    /// A message on its way to another partition, by its number.
    Outbox(PartitionId, Seq),
    /// How many messages there were for another partition.
    Sent(PartitionId),
    /// Marks what has come about and some functions still wait for: their answers found no room.
    Owing(InvocationId),
    /// A function that waits for an invocation's outcome, beside the one that called it; or for a
    /// promise, by [`of_promise`](crate::identity::of_promise).
    Waiting(InvocationId, Life, CompletionId),
    /// A completed promise of a workflow.
    Promise {
        /// The workflow.
        service: String,
        /// The workflow key.
        key: String,
        /// The promise.
        name: String,
    },
    /// The object that a timer is about, by [`of_object`](crate::identity::of_object).
    Expiring(InvocationId),
}

/// A row's value. The variant is that of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// For [`RowKey::Partition`].
    Partition(PartitionRow),
    /// For [`RowKey::Invocation`].
    Invocation(Box<InvocationRow>),
    /// For [`RowKey::Journal`].
    Journal(JournalRow),
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
    /// For [`RowKey::Packed`].
    Packed(Vec<JournalRow>),
    /// For [`RowKey::Object`].
    Object(ObjectRow),
    /// For [`RowKey::State`].
    State(Bytes),
    /// For [`RowKey::Outbox`].
    Outbox(Box<OutboxRow>),
    /// For [`RowKey::Sent`].
    Sent(SentRow),
    /// For [`RowKey::Owing`].
    Owing(Owed),
    /// For [`RowKey::Waiting`].
    Waiting,
    /// For [`RowKey::Promise`].
    Promise(Outcome),
    /// For [`RowKey::Expiring`].
    Expiring(ExpiringRow),
}

/// The object whose state a timer resets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiringRow {
    /// The service.
    pub service: String,
    /// The object key.
    pub key: String,
}

/// What has come about, where functions still wait to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owed {
    /// The outcome of the invocation in the key.
    Invocation,
    /// What a promise was completed with.
    Promise {
        /// The workflow.
        service: String,
        /// The workflow key.
        key: String,
        /// The promise.
        name: String,
    },
}

/// A journal entry with when and how it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// When it was recorded.
    pub at: Millis,
    /// How many attempts had begun until then.
    pub attempts: u32,
    /// The entry.
    pub entry: Entry,
}

/// What is counted of an object's state, and of a workflow's promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// How many keys it has.
    pub keys: u32,
    /// How many completed promises it has.
    pub promises: u32,
    /// What keys, promises and their values take, in bytes.
    #[serde(with = "adapt::long")]
    pub bytes: u64,
    /// When its state is reset, if it ever is.
    pub expiry: Option<Expiry>,
}

/// When the state of an object is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// After how long without a write (a duration).
    pub ttl: Millis,
    /// When it was written last.
    pub written_at: Millis,
    /// When that is looked at: a write does not move the timer.
    pub timer: Millis,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// How far metadata was folded when it was resolved.
    pub metadata: MetadataOffset,
    /// The message.
    pub message: Message,
}

/// The numbers of the messages to one partition: they count from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRow {
    /// The last number given.
    pub last: Seq,
    /// All up to this one have arrived, and have no row any more.
    pub delivered: Seq,
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
    /// How many partitions there are; 0 before the first announcement.
    pub partitions: u32,
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
    /// The message whose arrival makes room for answers that found none; there while any wait so.
    pub room_behind: Option<OutboxPlace>,
}

/// What the rows of a partition on the journal topic stand for. It is the last row of each
/// transaction there, and no row of the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// All records of the log below are in the rows, and none above.
    pub log: LogOffset,
    /// All messages of the inbox below are taken in.
    pub inbox: InboxOffset,
    /// The epoch of the owner that wrote them.
    pub epoch: Epoch,
    /// The time of the last record in them.
    pub at: Millis,
}

/// The place of a message on its way to another partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxPlace {
    /// To which.
    pub to: PartitionId,
    /// Its number.
    pub seq: Seq,
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
    /// The scope that the call was made in: part of what an idempotency key names.
    pub scope: Option<String>,
    /// The limit key that the call was made with.
    pub limit_key: Option<String>,
    /// How long the outcome is kept after completion (a duration).
    pub retention: Millis,
    /// How long the journal is kept after completion, where that is less (a duration).
    pub journal_retention: Option<Millis>,
    /// After how long without a write the state of the object is reset (a duration); never if none.
    pub state_ttl: Option<Millis>,
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// The caller's W3C trace context.
    pub traceparent: Option<String>,
    /// The function that called, if one did.
    pub caller: Option<Caller>,
    /// The completed invocation that it began like, if it did.
    pub restarted_from: Option<InvocationId>,
    /// When the message was taken in.
    pub created_at: Millis,
    /// When the status last changed.
    pub modified_at: Millis,
    /// Where it stands.
    pub status: Status,
    /// The epoch of the last attempt: in a later epoch the current attempt is number 0 of that one.
    pub attempt_epoch: Epoch,
    /// The number of the last attempt in its epoch.
    pub attempt_counter: u32,
    /// How many attempts have begun.
    pub attempts: u32,
    /// The code it stays with, once a step is recorded.
    pub pin: Option<Pin>,
    /// How many entries the journal holds: of a completed invocation without one, the output alone.
    pub entries: u32,
    /// How many of them are commands, the input included.
    pub commands: u32,
    /// How many of the entries are signals.
    pub signals: u32,
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

impl InvocationRow {
    /// Whether its retention has passed: see [`Status::Completed`].
    #[must_use]
    pub fn has_expired(&self) -> bool {
        matches!(self.status, Status::Completed { expired: true, .. })
    }
}

/// A completion that has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRow {
    /// What will bring it.
    pub kind: OpenKind,
}

/// What brings a completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenKind {
    /// The function's own proposal.
    Run,
    /// A timer.
    Sleep {
        /// When it is due: with the rest of this row's key it names the timer.
        wake_at: Millis,
    },
    /// The end of an invocation that was called.
    Call {
        /// Which.
        callee: InvocationId,
    },
    /// The end of an invocation that it attached to.
    Attach {
        /// Which.
        target: InvocationId,
    },
    /// An answer from another partition, which comes soon.
    Output {
        /// Whose outcome was asked for.
        target: InvocationId,
    },
    /// Whoever completes a promise of the workflow.
    Promise {
        /// Which promise.
        name: String,
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
    /// The journal of a completed invocation is forgotten.
    PurgeJournal,
    /// The state of an object is reset. It belongs to no invocation: its id stands for the object.
    Expire,
}
