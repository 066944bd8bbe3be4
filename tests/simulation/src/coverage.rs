//! Counts of the interesting cases that a batch has met.
//!
//! A simulation that never meets a case proves nothing about it: a batch with a counter at zero
//! fails.

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A case that every batch must meet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Case {
            $($(#[$doc])* $name,)*
        }

        impl Case {
            /// All cases with their names, in the order of the counters.
            pub const ALL: &'static [(Case, &'static str)] = &[$((Case::$name, $text),)*];
        }
    };
}

cases! {
    /// A process died.
    Crash = "crash",
    /// A process died behind an append.
    CrashAfterAppend = "crash after append",
    /// A process died between an acknowledgement and `apply`.
    CrashBeforeApply = "crash before apply",
    /// A process died between `apply` and its commit.
    CrashBeforeCommit = "crash before commit",
    /// A process died between commit and its actions.
    CrashBeforeAct = "crash before act",
    /// A process died with some of a record's actions done.
    CrashWhileActing = "crash while acting",
    /// A process died between a checkpoint's commit and `Checkpointed`.
    CrashBehindCommit = "crash behind a checkpoint's commit",
    /// The log lost unacknowledged records.
    TornTail = "torn tail",
    /// Two announcements of one epoch met in the log.
    SameEpoch = "two announcements of one epoch",
    /// A record of a deposed owner was ignored.
    ZombieRecord = "record of a deposed owner ignored",
    /// A record behind a gap was ignored.
    ClosedTerm = "term closed by a gap",
    /// An owner resigned.
    Resigned = "resignation",
    /// A paused owner woke up deposed.
    WokenZombie = "woken zombie",
    /// A record was refused while its successors were acknowledged.
    RefusedInTheMiddle = "refused in the middle of a pipeline",
    /// A record of unknown outcome stood in the log after all.
    UnknownLanded = "unknown outcome that landed",
    /// A record of unknown outcome never arrived.
    UnknownLost = "unknown outcome that did not",
    /// A record landed after its owner's successor had announced itself.
    LandedLate = "record landed behind a successor",
    /// An acknowledged offset left a gap that had to be read.
    AckGap = "gap in acknowledged offsets",
    /// A process restarted from tables older than the log.
    StaleTables = "restart from stale tables",
    /// A process restarted without tables.
    LostTables = "restart without tables",
    /// A process restored a checkpoint because the log was trimmed.
    Restored = "restart from a checkpoint",
    /// The log was trimmed.
    Trimmed = "log trimmed",
    /// A deposed owner's checkpoint was refused.
    FencedCheckpoint = "checkpoint fenced",
    /// The cleaner passed over the journal topic.
    Compacted = "journal compacted",
    /// A row came and went between two checkpoints.
    BornAndGone = "row born and gone between checkpoints",
    /// A process restarted with tables older than the last checkpoint.
    OlderTables = "restart with tables older than the checkpoint",
    /// A process restarted with tables newer than the last checkpoint.
    NewerTables = "restart with tables newer than the checkpoint",
    /// A checkpoint's outcome was unknown.
    UnknownCommit = "checkpoint of unknown outcome",
    /// The inbox could not be read for a while.
    NoInbox = "inbox out of reach",
    /// A message was delivered twice.
    Duplicate = "duplicate message",
    /// A message could not be decoded.
    Rejected = "undecodable message",
    /// A partition's message was ignored for its number.
    SenderGap = "gap in a sender's numbers",
    /// A record stood twice in the log, and counted once.
    Echo = "record duplicated in the log",
    /// A run had a second result.
    SecondResult = "second result of a run",
    /// An attempt that was given up spoke.
    StaleAttempt = "stale attempt spoke",
    /// An invocation waited for its key.
    Queued = "queued behind its key",
    /// An attempt was retried.
    Retry = "retry",
    /// An invocation was killed by its retry policy.
    Killed = "killed",
    /// An invocation was paused by its retry policy.
    Paused = "paused",
    /// An attempt hung and was given up.
    Hang = "hang",
    /// An attempt suspended and was woken.
    Suspended = "suspension",
    /// A suspension met what was already stored.
    SuspendRace = "suspension with its answer already stored",
    /// A call waited for its start time.
    Scheduled = "scheduled call",
    /// A function called another.
    Called = "call of another function",
    /// A function's call found its invocation there already.
    Joined = "call that joined another",
    /// An owner's clock was set back.
    ClockSetBack = "owner's clock set back",
    /// An owner's clock was set right, far ahead of what it showed.
    ClockSetRight = "owner's clock set right",
    /// A function that waited for an outcome found no room for its answer.
    Owed = "answer without room",
    /// What still owed answers was purged by an order.
    PurgedOwing = "purge of what owes answers",
    /// A message to an inbox was sent again.
    Resend = "message sent again",
    /// A new owner found messages that were not delivered.
    FoundOutbox = "undelivered messages found by a new owner",
    /// A suspension met a signal that it had not been told.
    UntoldSignal = "suspension with an untold signal",
    /// A tree of futures was settled, and woke who waited for it.
    FuturesSettled = "tree of futures settled",
    /// A part of a tree of futures was settled, and woke nobody.
    FuturesPartly = "part of a tree of futures settled",
    /// A tree of futures in which something failed was settled.
    FuturesFailed = "tree of futures settled with a failure",
    /// A signal was stored.
    Signalled = "signal",
    /// What had not begun was cancelled.
    CanceledEarly = "cancelled before it began",
    /// An invocation was killed by an order.
    KilledByOrder = "killed by an order",
    /// An invocation was killed with its caller.
    KilledWithCaller = "killed with its caller",
    /// An invocation was paused by an order.
    PausedByOrder = "paused by an order",
    /// A paused invocation was resumed.
    Resumed = "resumed",
    /// A completed invocation was purged by an order.
    Purged = "purged",
    /// The journal of a completed invocation was forgotten before its outcome.
    JournalForgotten = "journal forgotten",
    /// An invocation began like a completed one.
    Restarted = "restarted",
    /// An invocation went on with other code.
    OtherCode = "other code",
    /// A call of a workflow's run was refused, as there was one.
    RunRefused = "run refused",
    /// A workflow's run was forgotten.
    WorkflowForgotten = "workflow forgotten",
    /// A function was told what a promise was completed with.
    PromiseTold = "promise told",
    /// A promise was completed before.
    PromiseRefused = "promise completed before",
    /// A function that waited for a promise found no room for its answer.
    PromiseOwed = "promise told without room",
    /// State was read that somebody had written.
    StateRead = "state read",
    /// The state of an object was reset, as nobody had written it for long.
    StateExpired = "state expired",
    /// All of an object's state was cleared.
    StateCleared = "state cleared",
    /// An id lived again.
    SecondLife = "second life of an id",
    /// An invocation expired before a late resend could come no more.
    Expired = "invocation expired",
    /// A call began the next life of an expired invocation.
    BegunAnew = "expired invocation called anew",
    /// A request was resent and found its invocation.
    Resent = "resend found its invocation",
    /// A call was answered.
    Answered = "answer",
    /// An answer was lost and asked for again.
    LostAnswer = "lost answer",
    /// A caller came after the outcome was forgotten.
    Forgotten = "outcome forgotten",
    /// A side effect ran again before its result was stored.
    RepeatedEffect = "effect repeated before its result was stored",
    /// A deposed owner repeated an effect whose result was stored.
    ZombieEffect = "effect repeated by a deposed owner",
}

/// How often each case was met.
#[derive(Debug, Clone)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; Case::ALL.len()] }
    }
}

impl Coverage {
    /// Counts a case.
    pub fn hit(&mut self, case: Case) {
        if let Some(count) = self.counts.get_mut(case as usize) {
            *count += 1;
        }
    }

    /// Tells how often a case was met.
    pub fn count(&self, case: Case) -> u64 {
        self.counts.get(case as usize).copied().unwrap_or_default()
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Names the cases that were never met.
    pub fn missed(&self) -> Vec<&'static str> {
        Case::ALL.iter().filter(|(case, _)| self.count(*case) == 0).map(|(_, name)| *name).collect()
    }

    /// Lists all counts, one a line.
    pub fn table(&self) -> String {
        let line = |(case, name): &(Case, &str)| format!("{:>12}  {name}", self.count(*case));
        Case::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
