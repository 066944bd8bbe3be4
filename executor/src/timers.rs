//! The timers of one partition that are due soon, in memory; the table holds them all.
//!
//! Purges are kept apart from the timers that calls wait for, so that purges that must wait hold
//! up nothing.
//!
//! **Invariant:** every timer of its sort in the table up to `covered` is in memory or has been
//! proposed as fired in this term. None is handed out before the clock shows its time.

use std::collections::BTreeSet;

use everlog_log_schema::{
    Incarnation, InvocationId, Millis, PartitionKey, RowKey, Timer, TimerKind,
};
use everlog_partition::{Tables, TablesError, reads};

/// How far ahead the table is read, in milliseconds.
const AHEAD_MS: u64 = 60_000;
/// How many purges are kept in memory.
const PURGES_MAX: usize = 16_384;
/// How many timers of the table are read in one go, those of the other sort included.
const READ_MAX: usize = 2_048;
/// How many timers fire in one go. After a takeover many may be overdue: other input gets its turn
/// between, and the limit of records in flight sets the pace.
const FIRED_MAX: usize = 256;

/// Orders above all timers of the same due time.
fn last_at(due: Millis) -> Timer {
    let invocation = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
    Timer { due, invocation, incarnation: Incarnation(1 << 62), kind: TimerKind::Expire }
}

/// The timers of one partition and one sort, as its owner sees them.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Whether these are the purges, or all others.
    purges: bool,
    /// How many are kept in memory, at least 1.
    max: usize,
    soon: BTreeSet<Timer>,
    /// The highest timer up to which all are in memory; none before the first look at the table.
    covered: Option<Timer>,
}

impl Timers {
    /// Those that calls wait for, at most `max` of them in memory. None is yet.
    pub(crate) fn of_calls(max: usize) -> Self {
        Self { purges: false, max, soon: BTreeSet::new(), covered: None }
    }

    /// Those that forget completed invocations, journals and state. None is in memory yet.
    pub(crate) fn of_purges() -> Self {
        Self { purges: true, ..Self::of_calls(PURGES_MAX) }
    }

    /// Takes note of a timer that has just been set; one of the other sort is passed over.
    pub(crate) fn arm(&mut self, timer: Timer) {
        if self.is_of_sort(timer) && self.covered.is_some_and(|covered| timer <= covered) {
            self.soon.insert(timer);
            if self.soon.len() > self.max {
                let furthest = self.soon.pop_last();
                self.covered = self.soon.last().copied().or(furthest);
            }
        }
    }

    /// When to look again: at the next timer's time, or when the table must be read on.
    pub(crate) fn wake_at(&self) -> Millis {
        let covered = self.covered.map_or(Millis(0), |covered| covered.due);
        self.soon.first().map_or(covered, |timer| timer.due.min(covered))
    }

    /// Takes timers that are due at `now`, at most [`FIRED_MAX`]. Those that were removed from the
    /// table since are left out.
    pub(crate) fn take_due(
        &mut self,
        tables: &impl Tables,
        now: Millis,
    ) -> Result<Vec<Timer>, TablesError> {
        if self.covered.is_none_or(|covered| covered.due <= now) {
            self.read_on(tables, now)?;
        }
        let mut due = Vec::new();
        while due.len() < FIRED_MAX
            && let Some(timer) = self.soon.first().copied().filter(|timer| timer.due <= now)
        {
            self.soon.remove(&timer);
            if tables.get(&RowKey::Timer(timer))?.is_some() {
                due.push(timer);
            }
        }
        Ok(due)
    }

    fn read_on(&mut self, tables: &impl Tables, now: Millis) -> Result<(), TablesError> {
        let until = Millis(now.0 + AHEAD_MS);
        for _ in 0..READ_MAX {
            if self.soon.len() >= self.max {
                break;
            }
            let Some(timer) = reads::next_timer(tables, self.covered, until)? else {
                self.covered = Some(last_at(until));
                break;
            };
            if self.is_of_sort(timer) {
                self.soon.insert(timer);
            }
            self.covered = Some(timer);
        }
        Ok(())
    }

    fn is_of_sort(&self, timer: Timer) -> bool {
        let forgets = [TimerKind::Purge, TimerKind::PurgeJournal, TimerKind::Expire];
        forgets.contains(&timer.kind) == self.purges
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::Row;
    use everlog_partition::MemoryTables;

    use super::*;

    fn timer(due: u64, uuid: u128) -> Timer {
        let invocation = InvocationId { partition_key: PartitionKey(0), uuid };
        Timer { due: Millis(due), invocation, incarnation: Incarnation(0), kind: TimerKind::Retry }
    }

    fn set(tables: &mut MemoryTables, timer: Timer) {
        tables.put(RowKey::Timer(timer), Row::Timer);
    }

    #[test]
    fn a_timer_fires_at_its_time_and_once() {
        let (mut tables, mut timers) = (MemoryTables::default(), Timers::of_calls(PURGES_MAX));
        set(&mut tables, timer(100, 1));
        assert_eq!(timers.take_due(&tables, Millis(99)).unwrap(), []);
        assert_eq!(timers.wake_at(), Millis(100));
        assert_eq!(timers.take_due(&tables, Millis(100)).unwrap(), [timer(100, 1)]);
        assert_eq!(timers.take_due(&tables, Millis(100)).unwrap(), []);
    }

    #[test]
    fn a_timer_beyond_the_horizon_is_read_when_its_minute_comes() {
        let (mut tables, mut timers) = (MemoryTables::default(), Timers::of_calls(PURGES_MAX));
        assert_eq!(timers.take_due(&tables, Millis(0)).unwrap(), []);
        let far = timer(AHEAD_MS + 1, 1);
        set(&mut tables, far);
        timers.arm(far);
        assert_eq!(timers.wake_at(), Millis(AHEAD_MS));
        assert_eq!(timers.take_due(&tables, Millis(AHEAD_MS)).unwrap(), []);
        assert_eq!(timers.wake_at(), far.due);
        assert_eq!(timers.take_due(&tables, far.due).unwrap(), [far]);
    }

    #[test]
    fn a_removed_timer_does_not_fire() {
        let (mut tables, mut timers) = (MemoryTables::default(), Timers::of_calls(PURGES_MAX));
        set(&mut tables, timer(5, 1));
        assert_eq!(timers.take_due(&tables, Millis(0)).unwrap(), []);
        tables.delete(&RowKey::Timer(timer(5, 1)));
        assert_eq!(timers.take_due(&tables, Millis(5)).unwrap(), []);
    }

    #[test]
    fn each_sort_has_its_own_timers_however_many_of_the_other_there_are() {
        let mut tables = MemoryTables::default();
        let purge = |n| Timer { kind: TimerKind::Purge, ..timer(n, 1) };
        for n in 0..READ_MAX as u64 * 3 {
            set(&mut tables, purge(n));
        }
        let (late, now) = (timer(READ_MAX as u64 * 3, 1), Millis(READ_MAX as u64 * 4));
        set(&mut tables, late);
        let mut calls = Timers::of_calls(PURGES_MAX);
        let mut taken = Vec::new();
        while calls.wake_at() <= now {
            taken.extend(calls.take_due(&tables, now).unwrap());
        }
        assert_eq!(taken, [late]);
        let mut purges = Timers::of_purges();
        assert_eq!(purges.take_due(&tables, Millis(1)).unwrap(), [purge(0), purge(1)]);
        purges.arm(timer(2, 2));
        assert_eq!(purges.take_due(&tables, Millis(2)).unwrap(), [purge(2)]);
    }

    #[test]
    fn more_timers_than_fit_in_memory_all_fire_in_order() {
        for max in [1, 2, 1_000] {
            all_fire_in_order(max);
        }
    }

    fn all_fire_in_order(max: usize) {
        let (mut tables, mut timers) = (MemoryTables::default(), Timers::of_calls(max));
        assert_eq!(timers.take_due(&tables, Millis(0)).unwrap(), []);
        let all: Vec<Timer> =
            (0..max as u64 + 500).map(|n| timer(10 + n / 7, u128::from(n))).collect();
        for timer in all.iter().rev() {
            set(&mut tables, *timer);
            timers.arm(*timer);
            assert!(timers.soon.len() <= max);
        }
        let mut fired = Vec::new();
        while fired.len() < all.len() {
            let due = timers.take_due(&tables, Millis(1_000_000)).unwrap();
            assert!(due.len() <= FIRED_MAX);
            for timer in &due {
                tables.delete(&RowKey::Timer(*timer));
            }
            fired.extend(due);
        }
        assert_eq!(fired, all);
    }
}
