//! Known mistakes, each one line of the code it spoils, which the simulation must find.
//!
//! Compiled in only with `--cfg planted_bugs`, and even then none is made until [`set`] chooses it.
//! Without that `cfg`, [`is`] is constantly false and nothing remains of them.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A record takes effect whatever its epoch, term and `seq`.
    SkipFence,
    /// A record takes effect though its `seq` was seen before.
    AcceptDuplicateSeq,
    /// A gap in `seq` is stepped over and does not close the term.
    AcceptGap,
    /// A message takes effect each time it is taken in.
    NoInboxDedup,
    /// What is meant for an earlier life of an id reaches a later one.
    IgnoreIncarnation,
    /// An attempt that is not the current one may still speak.
    AcceptStaleAttempt,
    /// The current attempt stays the same when the owner changes.
    AttemptIgnoresEpoch,
    /// A second result of a run is stored beside the first.
    StoreSecondRunResult,
    /// A suspending attempt is parked though what it waits for has happened.
    LostWakeUp,
    /// The last in the queue of an object key comes first.
    QueueLifo,
    /// A killed invocation keeps its object key.
    KeepLockOnKill,
    /// A timer stays after it has fired.
    KeepFiredTimer,
    /// The timers of open sleeps stay behind a completed invocation.
    KeepSleepTimers,
    /// A completed invocation is never forgotten.
    ForgetNothing,
    /// A completed invocation is forgotten at once.
    ForgetAtOnce,
    /// An invocation that ends is not answered.
    LostAnswer,
    /// A function that attached to a call of another is not answered.
    ForgetWaiting,
    /// Answers for which a record has no room are never sent.
    OneSlice,
    /// A completed invocation is forgotten though functions still wait for it.
    ForgetOwing,
    /// A suspending attempt is parked though a signal came that it has not been told.
    LostSignal,
    /// A call is sent twice, under two numbers.
    SendTwice,
    /// One message more than was delivered leaves the outbox.
    DropUndelivered,
    /// Clearing all of an object's state leaves its first key.
    KeepClearedState,
    /// A killed invocation leaves the calls that it waits for alive.
    SpareChildren,
    /// A cancelled invocation keeps its place in the queue of its object key.
    KeepQueuePlace,
    /// A paused invocation is tried again all the same.
    PausedRetries,
    /// Nested futures never count.
    NestedIgnored,
    /// All of some futures count as settled with the first.
    AllIsRace,
    /// A failure settles what waits for a success.
    AnyTakesFailure,
    /// What needs every success waits on after a failure.
    AllWaitsForFailed,
    /// A suspending attempt waits for a part of what it waits for that has come already.
    ForgetsCame,
    /// What a parked invocation waits for does not shrink as parts of it come.
    KeepsSettled,
    /// A future that failed counts as one that succeeded.
    FailureIsSuccess,
    /// Another call of a workflow's run waits for the run, instead of being refused.
    JoinWorkflow,
    /// The state of a workflow stays when its run is forgotten.
    KeepWorkflowState,
    /// The promises of a workflow stay when its run is forgotten.
    KeepPromises,
    /// A promise is completed again.
    CompletePromiseTwice,
    /// Whoever waits for a promise is not told when it is completed.
    ForgetPromised,
    /// An invocation that ends is still noted as waiting for its promises.
    KeepPromiseWaiter,
    /// What has not completed is restarted, too.
    RestartUnfinished,
    /// A restarted invocation lacks the results that came behind its last entry.
    RestartWithoutResults,
    /// What lacks results is restarted, too.
    RestartOpen,
    /// A restarted invocation answers the caller of the old one.
    RestartForCaller,
    /// A running invocation gets other code.
    RepinRunning,
    /// The journal of a completed invocation that is to be kept for a while goes at once.
    ForgetJournalAtOnce,
    /// A resend of a call whose invocation has expired runs it again.
    RepeatExpired,
    /// A call joins an invocation that has expired.
    JoinExpired,
    /// The state of an object that is to be reset is not.
    NeverExpire,
    /// The state of an object is reset though it was written meanwhile.
    ExpireWritten,
    /// The state of an object is reset while a handler holds its key.
    ExpireHeld,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 50] = [
        Self::SkipFence,
        Self::AcceptDuplicateSeq,
        Self::AcceptGap,
        Self::NoInboxDedup,
        Self::IgnoreIncarnation,
        Self::AcceptStaleAttempt,
        Self::AttemptIgnoresEpoch,
        Self::StoreSecondRunResult,
        Self::LostWakeUp,
        Self::QueueLifo,
        Self::KeepLockOnKill,
        Self::KeepFiredTimer,
        Self::KeepSleepTimers,
        Self::ForgetNothing,
        Self::ForgetAtOnce,
        Self::LostAnswer,
        Self::ForgetWaiting,
        Self::OneSlice,
        Self::ForgetOwing,
        Self::LostSignal,
        Self::SendTwice,
        Self::DropUndelivered,
        Self::KeepClearedState,
        Self::SpareChildren,
        Self::KeepQueuePlace,
        Self::PausedRetries,
        Self::NestedIgnored,
        Self::AllIsRace,
        Self::AnyTakesFailure,
        Self::AllWaitsForFailed,
        Self::ForgetsCame,
        Self::KeepsSettled,
        Self::FailureIsSuccess,
        Self::JoinWorkflow,
        Self::KeepWorkflowState,
        Self::KeepPromises,
        Self::CompletePromiseTwice,
        Self::ForgetPromised,
        Self::KeepPromiseWaiter,
        Self::RestartUnfinished,
        Self::RestartWithoutResults,
        Self::RestartOpen,
        Self::RestartForCaller,
        Self::RepinRunning,
        Self::ForgetJournalAtOnce,
        Self::RepeatExpired,
        Self::JoinExpired,
        Self::NeverExpire,
        Self::ExpireWritten,
        Self::ExpireHeld,
    ];
}

#[cfg(planted_bugs)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Chooses the mistake that this thread makes from now on; none makes it correct again.
#[cfg(planted_bugs)]
pub fn set(bug: Option<Bug>) {
    CHOSEN.set(bug);
}

/// Tells whether this thread makes the mistake.
#[cfg(planted_bugs)]
pub(crate) fn is(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}

/// Tells that no mistake is made.
#[cfg(not(planted_bugs))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}
