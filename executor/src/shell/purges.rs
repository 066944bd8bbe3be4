//! When completed invocations are forgotten.
//!
//! A copy of a call may wait in the inbox, sent while the call was remembered: forgotten too early,
//! the call would run again.
//!
//! **Invariant:** a purge fires only once everything is taken in that the inbox held at some time
//! after the purge fell due. Those that wait stay in the table, and hold up no other timer.

use everlog_log_schema::{InboxOffset, Millis, Timer};
use everlog_partition::{Tables, TablesError};

use crate::timers::Timers;

/// The purges of one partition, as its owner sees them.
#[derive(Debug)]
pub(super) struct Purges {
    timers: Timers,
    horizon: Option<Horizon>,
}

/// What was due, and what was in the inbox, at one time.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    at: Millis,
    inbox: InboxOffset,
}

impl Purges {
    /// Allowed to fire nothing yet.
    pub(super) fn new() -> Self {
        Self { timers: Timers::of_purges(), horizon: None }
    }

    /// Takes note of a purge that has just been set.
    pub(super) fn arm(&mut self, timer: Timer) {
        self.timers.arm(timer);
    }

    /// Whether purges are due at `now` for which the end of the inbox must be looked up.
    pub(super) fn wait_for_horizon(&self, now: Millis) -> bool {
        let wake_at = self.timers.wake_at();
        wake_at <= now && self.horizon.is_none_or(|horizon| horizon.at < wake_at)
    }

    /// Allows what is due at `at`, once all below `inbox` is taken in. `inbox` must have been the
    /// end of the inbox at `at` or later.
    pub(super) fn set_horizon(&mut self, at: Millis, inbox: InboxOffset) {
        self.horizon = Some(Horizon { at, inbox });
    }

    /// Whether some may fire now that all below `next_inbox` is taken in.
    pub(super) fn may_fire(&self, next_inbox: InboxOffset) -> bool {
        self.reached(next_inbox).is_some_and(|at| self.timers.wake_at() <= at)
    }

    /// Takes some of those that may fire.
    pub(super) fn take_due(
        &mut self,
        tables: &impl Tables,
        next_inbox: InboxOffset,
    ) -> Result<Vec<Timer>, TablesError> {
        match self.reached(next_inbox) {
            Some(at) => self.timers.take_due(tables, at),
            None => Ok(Vec::new()),
        }
    }

    fn reached(&self, next_inbox: InboxOffset) -> Option<Millis> {
        self.horizon.filter(|horizon| horizon.inbox <= next_inbox).map(|horizon| horizon.at)
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{Incarnation, InvocationId, PartitionKey, Row, RowKey, TimerKind};
    use everlog_partition::MemoryTables;

    use super::*;

    fn purge(due: u64) -> Timer {
        let invocation = InvocationId { partition_key: PartitionKey(0), uuid: u128::from(due) };
        Timer { due: Millis(due), invocation, incarnation: Incarnation(0), kind: TimerKind::Purge }
    }

    #[test]
    fn a_purge_waits_for_what_the_inbox_held_after_it_fell_due() {
        let (mut tables, mut purges) = (MemoryTables::default(), Purges::new());
        for timer in [purge(10), purge(20)] {
            tables.put(RowKey::Timer(timer), Row::Timer);
        }
        assert!(purges.wait_for_horizon(Millis(10)) && !purges.may_fire(InboxOffset(99)));
        purges.set_horizon(Millis(10), InboxOffset(5));
        assert!(!purges.may_fire(InboxOffset(4)));
        assert_eq!(purges.take_due(&tables, InboxOffset(4)).unwrap(), []);
        assert!(purges.may_fire(InboxOffset(5)));
        assert_eq!(purges.take_due(&tables, InboxOffset(5)).unwrap(), [purge(10)]);
        // The second fell due later: what came in between counts for it.
        assert!(!purges.may_fire(InboxOffset(5)) && !purges.wait_for_horizon(Millis(19)));
        assert!(purges.wait_for_horizon(Millis(20)));
        purges.set_horizon(Millis(20), InboxOffset(6));
        assert!(!purges.wait_for_horizon(Millis(20)) && !purges.may_fire(InboxOffset(5)));
        assert_eq!(purges.take_due(&tables, InboxOffset(6)).unwrap(), [purge(20)]);
    }
}
