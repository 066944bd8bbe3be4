//! This process's clock, and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use everlog_log_schema::Millis;
use jiff::{SignedDuration, Timestamp};

/// The time now.
pub(crate) fn now() -> Millis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.expect("the clock stands after 1970").into()
}

/// A time in RFC 3339, in UTC, to the millisecond; none beyond the year 9999.
pub(crate) fn rfc3339(time: Millis) -> Option<String> {
    let time = Timestamp::from_millisecond(i64::try_from(time.0).ok()?).ok()?;
    Some(format!("{time:.3}"))
}

/// A duration such as `1h 30m`.
pub(crate) fn readable(duration: Millis) -> String {
    let millis = i64::try_from(duration.0).unwrap_or(i64::MAX);
    format!("{:#}", SignedDuration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        assert_eq!(rfc3339(Millis(1_795_000_000_123)).unwrap(), "2026-11-18T11:06:40.123Z");
        assert_eq!(rfc3339(Millis(u64::MAX)), None);
        assert_eq!(readable(Millis(5_400_000)), "1h 30m");
        assert_eq!(readable(Millis(500)), "500ms");
    }
}
