//! The owner's clock: milliseconds since the Unix epoch that never go back within a term.

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
