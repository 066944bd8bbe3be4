//! Records: what a partition's owner took in and decided, in order.

use serde::{Deserialize, Serialize};

use crate::codec::{adapt, list};
use crate::{
    AttemptId, DeploymentId, Entry, Envelope, Epoch, FutureTree, InboxOffset, InvocationId, Level,
    LogOffset, Millis, PartitionId, Seq, Source, Term, Timer,
};

/// One entry of a partition's event log. All its commands take effect, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The epoch that the writer believes to own.
    pub epoch: Epoch,
    /// The nonce of the writer's announcement.
    pub term: Term,
    /// The record's place in the term, from 0 (the announcement itself).
    pub seq: Seq,
    /// The writer's clock; never lower than in the record before.
    pub now: Millis,
    /// What to do, in order.
    #[serde(with = "list::commands")]
    pub commands: Vec<Command>,
}

/// What a record asks the state machine to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A new owner takes over. Always alone, in a record of `seq` 0.
    AnnounceOwner(AnnounceOwner),
    /// The owner lets go.
    Resign,
    /// A message of the inbox is taken in.
    Ingest(Ingest),
    /// An attempt's next journal entries.
    Append(Append),
    /// An attempt ended, waiting for something.
    Suspend(Suspend),
    /// An attempt failed.
    AttemptFailed(AttemptFailed),
    /// An attempt ended, and the invocation with it.
    End(End),
    /// A timer is due.
    TimerFired(TimerFired),
    /// Another partition's inbox holds messages of this one.
    OutboxDelivered(OutboxDelivered),
    /// The owner's checkpoint transaction is about to begin.
    CheckpointOpened,
    /// The tables are safe elsewhere up to an offset.
    Checkpointed(Checkpointed),
}

/// The announcement of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnounceOwner {
    /// Where the owner can be reached.
    pub address: String,
    /// How `apply` behaves for the whole term.
    pub level: Level,
    /// How many partitions there are: the same in every announcement.
    pub partitions: u32,
}

/// The intake of one inbox message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// Where it stood in the inbox.
    pub offset: InboxOffset,
    /// What was found there.
    pub intake: Intake,
}

/// What was found in the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intake {
    /// A message.
    Message(Envelope),
    /// Bytes that are no message of a known level. They still count as the sender's `seq`.
    Rejected {
        /// Who sent them, where the envelope could be read.
        #[serde(with = "adapt::optional_source")]
        source: Option<Source>,
        /// Why they were refused.
        reason: String,
    },
}

/// Journal entries from an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Whose journal.
    pub invocation: InvocationId,
    /// The attempt that speaks.
    pub attempt: AttemptId,
    /// How many commands the journal holds before these entries (the input counts as one).
    pub first_command: u32,
    /// The entries, in order: commands, outputs, and results of runs.
    #[serde(with = "list::entries")]
    pub entries: Vec<Entry>,
    /// On the first entries of an invocation: the code that it stays with.
    pub pin: Option<Pin>,
}

/// The code that an invocation stays with once it has recorded a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The negotiated version of the service protocol.
    pub protocol_version: u32,
}

/// The end of an attempt that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspend {
    /// Which invocation.
    pub invocation: InvocationId,
    /// The attempt that speaks.
    pub attempt: AttemptId,
    /// What it waits for.
    pub waiting: FutureTree,
    /// How many of the journal's signals the function has been told: a later one wakes it.
    pub signals_told: u32,
}

/// The failure of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// Which invocation.
    pub invocation: InvocationId,
    /// The attempt that failed.
    pub attempt: AttemptId,
    /// Why.
    pub error: AttemptError,
    /// What follows, as the owner decided by the invocation's retry policy.
    pub then: Then,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// A stable code of ours or of the service protocol.
    pub code: u32,
    /// A sentence.
    pub message: String,
    /// The index of the command that failed, where known.
    pub command_index: Option<u32>,
    /// The name of the command that failed, where known.
    pub command_name: Option<String>,
    /// The message type of the command that failed, where known.
    pub command_kind: Option<u16>,
    /// Whether the function itself chose the delay, which then does not use up the retry policy.
    pub delay_by_function: bool,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Another attempt at this time.
    RetryAt(Millis),
    /// Nothing until somebody resumes it.
    Pause,
    /// The invocation ends with the error.
    Kill,
}

/// The end of an invocation: its output is the last entry of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which invocation.
    pub invocation: InvocationId,
    /// The attempt that speaks.
    pub attempt: AttemptId,
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// Which.
    pub timer: Timer,
}

/// Messages have reached another partition's inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxDelivered {
    /// The partition they were for.
    pub to: PartitionId,
    /// All messages to it up to this number were acknowledged, at rising offsets.
    pub up_to: Seq,
}

/// The tables are safe elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    /// All records below this offset are in the checkpoint.
    pub log: LogOffset,
    /// All messages below this offset are in the checkpoint.
    pub inbox: InboxOffset,
    /// Whether the checkpoint is on the journal topic; else only the owner has it.
    pub journal: bool,
}
