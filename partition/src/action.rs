//! What a partition wants done.

use everlog_log_schema::{
    AttemptId, Entry, InboxOffset, InvocationId, LogOffset, OutboxRow, PartitionId, Seq, Timer,
};

/// A request to the shell, which performs it only after the record that caused it is applied, and
/// only while it owns the partition. Repeating any of them is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this attempt: run the handler, or resume it from its journal.
    Start(InvocationId, AttemptId),
    /// Pass the notification that now stands at `index` of the journal to the attempt, if it is live.
    Notify {
        /// Whose journal.
        invocation: InvocationId,
        /// The attempt to tell.
        attempt: AttemptId,
        /// The entry's place.
        index: u32,
        /// The entry.
        entry: Entry,
    },
    /// Stop whatever attempt of the invocation is live: it has no say any more.
    Stop(InvocationId),
    /// Propose [`Command::TimerFired`](everlog_log_schema::Command::TimerFired) when the timer is due.
    ArmTimer(Timer),
    /// Put a message into another partition's inbox, or into this one's. The messages to one
    /// partition are numbered, and go in the order of their numbers.
    Send {
        /// Whose inbox.
        to: PartitionId,
        /// The message's number.
        seq: Seq,
        /// The message.
        row: Box<OutboxRow>,
    },
    /// Answer whoever waits for the invocation: it has completed.
    Answer(InvocationId),
    /// Give up the log and the inbox below these offsets (and the history window).
    Trim {
        /// The first log record still needed.
        log: LogOffset,
        /// The first inbox message still needed.
        inbox: InboxOffset,
    },
}
