//! The delay of a send: `?delay=10s`, `1h 30m` or ISO-8601 `PT10S`.

use std::time::Duration;

use super::error::IngressError;
use crate::time::duration;
use crate::url;

/// The longest delay. Longer ones are mistakes of unit.
pub(crate) const DELAY_MAX: Duration = Duration::from_hours(10 * 366 * 24);

/// Reads the delay out of a query string. A day has 24 hours.
pub(crate) fn delay_of(query: Option<&str>) -> Result<Option<Duration>, IngressError> {
    let values =
        url::parameter(query, "delay").map_err(|(own, _)| IngressError::MalformedDelay(own))?;
    if values.is_empty() {
        return Ok(None);
    }
    let text = values.join(", ");
    let malformed = || IngressError::MalformedDelay(text.clone());
    if values.len() > 1 {
        return Err(malformed());
    }
    match duration(&text) {
        Some(delay) if delay <= DELAY_MAX => Ok(Some(delay)),
        Some(_) | None => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(query: &str) -> u128 {
        delay_of(Some(query)).unwrap().unwrap().as_millis()
    }

    #[test]
    fn a_delay_is_written_for_people_or_as_iso_8601() {
        for (query, expected) in [
            ("delay=10s", 10_000),
            ("delay=250ms", 250),
            ("delay=1h%2030m", 5_400_000),
            ("delay=1h+30m", 5_400_000),
            ("delay=1%20day", 86_400_000),
            ("delay=2days%203hours", 183_600_000),
            ("delay=1w", 604_800_000),
            ("delay=PT10S", 10_000),
            ("delay=P1DT1H", 90_000_000),
            ("delay=PT0.5S", 500),
            ("x=1&delay=0s", 0),
        ] {
            assert_eq!(millis(query), expected, "{query}");
        }
        assert_eq!(delay_of(None).unwrap(), None);
        assert_eq!(delay_of(Some("later=1s&x=%zz")).unwrap(), None);
    }

    #[test]
    fn what_is_no_delay_is_refused() {
        for query in [
            "delay=",
            "delay=10",
            "delay=soon",
            "delay=-5s",
            "delay=1month",
            "delay=1y",
            "delay=PT",
            "delay=1s&delay=2s",
            "delay=%ff",
            "delay=99999999h",
        ] {
            assert!(
                matches!(delay_of(Some(query)), Err(IngressError::MalformedDelay(_))),
                "{query}"
            );
        }
    }

    #[test]
    fn the_longest_delay_is_ten_years() {
        assert_eq!(millis("delay=87840h"), DELAY_MAX.as_millis());
        assert!(delay_of(Some("delay=87840h1ms")).is_err());
    }
}
