//! What must hold, one property a file, each a fold over a history.
//!
//! They know nothing of the simulator: a history of real processes is judged by the same code.

mod answers;
mod calls;
mod current_attempt;
mod exactly_once_journal;
mod fencing;
mod futures;
mod no_lost_invocation;
mod orders;
mod outside_effects;
mod owing;
mod per_key_order;
mod promises;
pub mod replay_equality;
mod restarts;
mod state;
mod timers;

use std::fmt;

use crate::coverage::{Case, Coverage};
use crate::history::Event;

pub(crate) use owing::kept_for;

/// The clocks of two processes may differ by this much, in milliseconds; more and they stop firing.
pub(crate) const CLOCK_SKEW_MS_MAX: u64 = 2_000;

/// Something that must not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What should have held.
    pub property: &'static str,
    /// What happened instead.
    pub what: String,
}

impl Violation {
    /// Makes a violation.
    pub fn new(property: &'static str, what: String) -> Self {
        Self { property, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

/// Whether a history has been in order so far.
pub type Judged = Result<(), Violation>;

/// Fails with the text of a violation unless a condition holds.
macro_rules! demand {
    ($property:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::properties::Violation::new($property, format!($($text)+)));
        }
    };
}
pub(crate) use demand;

/// All properties of one history.
#[derive(Debug, Default)]
pub struct Properties {
    fencing: fencing::Fencing,
    attempts: current_attempt::CurrentAttempt,
    journal: exactly_once_journal::ExactlyOnceJournal,
    keys: per_key_order::PerKeyOrder,
    timers: timers::Timers,
    effects: outside_effects::OutsideEffects,
    invocations: no_lost_invocation::NoLostInvocation,
    calls: calls::Calls,
    answers: answers::Answers,
    state: state::State,
    promises: promises::Promises,
    orders: orders::Orders,
    futures: futures::Futures,
    restarts: restarts::Restarts,
}

impl Properties {
    /// Takes the next event in.
    pub fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        self.fencing.observe(event, coverage)?;
        self.attempts.observe(event)?;
        self.effects.observe(event, coverage)?;
        self.journal.observe(event)?;
        self.keys.observe(event, coverage)?;
        self.timers.observe(event, coverage)?;
        self.invocations.observe(event, coverage)?;
        if let Event::Recorded(recorded) = event
            && recorded.accepted
        {
            self.calls.observe(recorded, coverage)?;
            self.answers.observe(recorded, coverage)?;
            self.state.observe(recorded, coverage)?;
            self.promises.observe(recorded, coverage)?;
            self.orders.observe(recorded, coverage)?;
            self.futures.observe(recorded, coverage)?;
            self.restarts.observe(recorded, coverage)?;
        }
        if let Event::Recorded(recorded) = event {
            count_attempts(recorded, coverage);
        }
        Ok(())
    }

    /// Judges the end of the history.
    pub fn finish(&self) -> Judged {
        self.invocations.finish()?;
        self.calls.finish()
    }
}

/// The properties that the log of one partition shows by itself, whatever its functions do.
///
/// The others follow what the simulator's functions write into their journals, or messages that stay
/// within one partition.
#[derive(Debug, Default)]
pub struct LogProperties {
    fencing: fencing::Fencing,
    attempts: current_attempt::CurrentAttempt,
    keys: per_key_order::PerKeyOrder,
    timers: timers::Timers,
    invocations: no_lost_invocation::NoLostInvocation,
    answers: answers::Answers,
    state: state::State,
    orders: orders::Orders,
    futures: futures::Futures,
}

impl LogProperties {
    /// Takes the next record in.
    pub fn observe(
        &mut self,
        recorded: &crate::history::Recorded<'_>,
        coverage: &mut Coverage,
    ) -> Judged {
        let event = Event::Recorded(recorded);
        self.fencing.observe(&event, coverage)?;
        self.attempts.observe(&event)?;
        self.keys.observe(&event, coverage)?;
        self.timers.observe(&event, coverage)?;
        self.invocations.observe(&event, coverage)?;
        if recorded.accepted {
            self.answers.observe(recorded, coverage)?;
            self.state.observe(recorded, coverage)?;
            self.orders.observe(recorded, coverage)?;
            self.futures.observe(recorded, coverage)?;
        }
        count_attempts(recorded, coverage);
        Ok(())
    }
}

/// Counts what became of attempts.
fn count_attempts(recorded: &crate::history::Recorded<'_>, coverage: &mut Coverage) {
    use everlog_log_schema::{Command, Row, Status};
    for change in recorded.changes {
        let Some(Row::Invocation(new)) = &change.new else { continue };
        let before = match &change.old {
            Some(Row::Invocation(old)) => Some(&old.status),
            _ => None,
        };
        let case = match (before, &new.status) {
            (_, Status::Suspended(_)) => Some(Case::Suspended),
            (_, Status::BackingOff { .. }) => Some(Case::Retry),
            (_, Status::Paused) => Some(Case::Paused),
            _ => None,
        };
        if let Some(case) = case {
            coverage.hit(case);
        }
    }
    if !recorded.accepted {
        return;
    }
    for command in &recorded.record.commands {
        if let Command::Suspend(suspend) = command {
            let woken = recorded.actions.iter().any(|action| {
                matches!(action, everlog_partition::Action::Start(id, attempt)
                    if *id == suspend.invocation && attempt.incarnation == suspend.attempt.incarnation)
            });
            if woken {
                coverage.hit(Case::SuspendRace);
            }
        }
    }
}
