//! How much of the log stays after the tables hold it.
//!
//! The window is counted in marks: one for what was in the log when this owner began, as old as
//! its oldest record and of unknown size, and one taken at each checkpoint. What lies below a mark
//! stays until the mark leaves the window.
//!
//! **Invariant:** nothing is given up that the tables may not hold.

use std::collections::VecDeque;
use std::time::Duration;

use everlog_log_schema::{LogOffset, Millis};

/// How many marks are kept: they merge beyond it.
const MARKS_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: LogOffset,
    at: Millis,
    /// All bytes appended before it.
    bytes: u64,
}

/// The history window of one partition.
#[derive(Debug)]
pub(super) struct History {
    age_max: Duration,
    bytes_max: u64,
    bytes: u64,
    marks: VecDeque<Mark>,
}

impl History {
    /// Goes on behind a log that ends at `end` and whose oldest record is from `oldest`.
    pub(super) fn new(age_max: Duration, bytes_max: u64, end: LogOffset, oldest: Millis) -> Self {
        let marks = VecDeque::from([Mark { offset: end, at: oldest, bytes: 0 }]);
        Self { age_max, bytes_max, bytes: 0, marks }
    }

    /// Counts a record.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Takes note that the tables are safe up to `checkpoint`, and names the offset below which
    /// the log has left the window, if any has.
    pub(super) fn checkpoint(&mut self, checkpoint: LogOffset, now: Millis) -> Option<LogOffset> {
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_back();
        }
        self.marks.push_back(Mark { offset: checkpoint, at: now, bytes: self.bytes });
        let mut below = None;
        while let Some(mark) = self.marks.front().copied()
            && mark.offset <= checkpoint
            && self.has_left(mark, now)
        {
            self.marks.pop_front();
            below = Some(mark.offset);
        }
        below
    }

    fn has_left(&self, mark: Mark, now: Millis) -> bool {
        let age = Duration::from_millis(now.0.saturating_sub(mark.at.0));
        age > self.age_max || self.bytes - mark.bytes > self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn what_is_within_age_and_bytes_stays() {
        let mut history = History::new(HOUR, 100, LogOffset(0), Millis(0));
        assert_eq!(history.checkpoint(LogOffset(5), Millis(0)), None);
        history.count(100);
        assert_eq!(history.checkpoint(LogOffset(9), Millis(3_600_000)), None);
    }

    #[test]
    fn what_is_older_than_the_window_goes() {
        let mut history = History::new(HOUR, 100, LogOffset(0), Millis(0));
        assert_eq!(history.checkpoint(LogOffset(5), Millis(0)), None);
        assert_eq!(history.checkpoint(LogOffset(6), Millis(3_600_001)), Some(LogOffset(5)));
    }

    #[test]
    fn what_is_beyond_the_bytes_goes() {
        let mut history = History::new(HOUR, 100, LogOffset(0), Millis(0));
        assert_eq!(history.checkpoint(LogOffset(5), Millis(0)), None);
        history.count(101);
        assert_eq!(history.checkpoint(LogOffset(6), Millis(1)), Some(LogOffset(5)));
    }

    #[test]
    fn an_old_log_goes_with_the_first_checkpoint_that_covers_it() {
        let (began, now) = (LogOffset(50), Millis(3_600_001));
        let mut history = History::new(HOUR, 100, began, Millis(0));
        assert_eq!(history.checkpoint(LogOffset(49), now), None);
        assert_eq!(history.checkpoint(LogOffset(60), now), Some(LogOffset(50)));
    }

    #[test]
    fn a_young_log_stays_until_the_owner_has_written_enough() {
        let mut history = History::new(HOUR, 100, LogOffset(50), Millis(0));
        assert_eq!(history.checkpoint(LogOffset(60), Millis(3_600_000)), None);
        history.count(101);
        assert_eq!(history.checkpoint(LogOffset(70), Millis(1)), Some(LogOffset(60)));
    }

    #[test]
    fn marks_are_limited() {
        let mut history = History::new(HOUR, 100, LogOffset(0), Millis(0));
        for offset in 0..10_000 {
            history.checkpoint(LogOffset(offset), Millis(0));
        }
        assert_eq!(history.marks.len(), MARKS_MAX);
    }
}
