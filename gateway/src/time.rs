//! This process's clock, and times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everlog_log_schema::Millis;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

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

/// The longest duration that is taken: a hundred years.
const DURATION_MAX: Duration = Duration::from_hours(100 * 366 * 24);

/// Reads a duration such as `1h 30m` or `PT1H30M`; a day has 24 hours.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(exact).ok().filter(|duration| *duration <= DURATION_MAX)
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

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("0s", 0), ("1h 30m", 5_400_000), ("PT10S", 10_000), ("2 days", 172_800_000)]
        {
            assert_eq!(duration(text).map(|read| read.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "10", "soon", "-1s", "1month", "878401h"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("878400h"), Some(DURATION_MAX));
    }
}
