//! Whether the clock of this machine is right, as far as the log can tell, which dates each record.
//!
//! Timers fire by the owner's clock. One that is ahead of all others would fire them early, and one
//! that is behind would not fire them.
//!
//! **Invariant:** while the clock is known to be wrong no timer fires, and it is looked at again until
//! it is right.

use std::time::Duration;

use everlog_log_client::Topic;
use everlog_log_schema::{LogOffset, Millis, PartitionId};
use tokio::time::Instant;

use super::Owner;
use crate::clock::{Skew, system_now};
use crate::shell::fold::Step;

/// How often the clock is held against the log's, where there are records to do so by.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// How long a record may take to be read back, before it is left.
const READ_MAX: Duration = Duration::from_secs(1);

/// The clock, as one owner knows it.
pub(super) struct ClockCheck {
    off: Option<Skew>,
    due: Instant,
    noted: Option<Noted>,
}

/// A record, and when it was appended by the system's clock: not before, and not after.
struct Noted {
    offset: LogOffset,
    before: Millis,
    after: Millis,
}

impl ClockCheck {
    /// Begins with what the announcement has shown.
    pub(super) fn new(partition: PartitionId, off: Option<Skew>) -> Self {
        let mut check = Self { off: None, due: Instant::now(), noted: None };
        check.judge(partition, off);
        check
    }

    /// Whether timers may fire.
    pub(super) fn is_right(&self) -> bool {
        self.off.is_none()
    }

    /// Takes note of an own record that was just acknowledged, if the clock is due to be checked.
    pub(super) fn note(&mut self, step: &Step) {
        let (before, after) = (step.record.now, system_now());
        // A record is dated later than now where the last owner's clock was ahead.
        if self.noted.is_none() && Instant::now() >= self.due && before <= after {
            self.noted = Some(Noted { offset: step.offset, before, after });
        }
    }

    fn judge(&mut self, partition: PartitionId, off: Option<Skew>) {
        match (self.off, off) {
            (None, Some(skew)) => tracing::warn!(
                %partition,
                "the clock of this machine is {skew} the log's: no timer fires here until it is right"
            ),
            (Some(_), None) => {
                tracing::info!(%partition, "the clock of this machine is right again: timers fire");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.off = off;
        let wait = if off.is_some() { Duration::ZERO } else { CHECK_INTERVAL };
        self.due = Instant::now() + wait;
    }
}

impl Owner<'_> {
    /// Holds the clock against the log's, by a record that was appended since the last time. Where the
    /// clock was wrong, one is appended if need be.
    pub(super) async fn check_clock(&mut self) {
        let Some(Noted { offset, before, after }) = self.clock_check.noted.take() else {
            if !self.clock_check.is_right() {
                self.proposals.append_something();
            }
            return;
        };
        let read = tokio::time::timeout(READ_MAX, async {
            let mut reader = self.shell.log.reader(self.shell.stream(Topic::Log), offset.0)?;
            reader.next().await
        });
        // What cannot be read, or is trimmed already, tells nothing; another record will.
        if let Ok(Ok(records)) = read.await
            && let Some(record) = records.first().filter(|record| record.offset == offset.0)
        {
            let off = Skew::of(Millis(record.appended_at_ms), before, after);
            self.clock_check.judge(self.shell.partition, off);
        }
    }
}
