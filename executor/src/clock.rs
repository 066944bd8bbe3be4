//! The owner's clock: milliseconds since the Unix epoch that never go back within a term. And how
//! far the system's is from the log's.

use std::fmt;
use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use everlog_log_schema::Millis;

/// Stamps records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    last: Millis,
}

impl Clock {
    /// A clock that never shows less than `last`, the time of the last record accepted.
    pub(crate) fn not_before(last: Millis) -> Self {
        Self { last }
    }

    /// The time now.
    pub(crate) fn now(&mut self) -> Millis {
        self.last = self.last.max(system_now());
        self.last
    }
}

/// The system's time; 0 where it is set before 1970.
pub(crate) fn system_now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().into()
}

/// How far the system's clock may be from the log's, before no timer fires by it.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(2);

/// How far the system's clock is from the log's, at least. More than [`CLOCK_SKEW_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skew {
    /// It shows a later time.
    Ahead(Duration),
    /// It shows an earlier time.
    Behind(Duration),
}

impl Skew {
    /// Compares the time at which the log has dated a record, with the time by the system's clock
    /// that it was certainly not appended before, and not after.
    pub(crate) fn of(dated: Millis, before: Millis, after: Millis) -> Option<Self> {
        let ahead = Duration::from_millis(before.0.saturating_sub(dated.0));
        let behind = Duration::from_millis(dated.0.saturating_sub(after.0));
        if ahead > CLOCK_SKEW_MAX {
            return Some(Self::Ahead(ahead));
        }
        (behind > CLOCK_SKEW_MAX).then_some(Self::Behind(behind))
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead(by) => write!(f, "{} ms ahead of", by.as_millis()),
            Self::Behind(by) => write!(f, "{} ms behind", by.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_by_what_no_slow_append_explains() {
        let of = |dated| Skew::of(Millis(dated), Millis(10_000), Millis(15_000));
        for right in [8_000, 10_000, 12_000, 15_000, 17_000] {
            assert_eq!(of(right), None, "{right}");
        }
        assert_eq!(of(7_999), Some(Skew::Ahead(Duration::from_millis(2_001))));
        assert_eq!(of(17_001), Some(Skew::Behind(Duration::from_millis(2_001))));
        assert_eq!(of(7_999).unwrap().to_string(), "2001 ms ahead of");
    }
}
