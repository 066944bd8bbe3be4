//! Values with a unit, as people write them: `90s`, `1h 30m`, `256MiB`.
//!
//! Invariant: what is shown is accepted, and means the same.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize};

/// The units of a duration, in milliseconds.
const DURATIONS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 24 * 3_600_000),
];
/// The units of a size, in bytes.
const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
/// The longest duration, in milliseconds: a hundred years.
const DURATION_MS_MAX: u64 = 100 * 366 * 24 * 3_600 * 1_000;

/// How long something lasts, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Period(pub(crate) Duration);

/// How large something is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "String")]
pub(crate) struct ByteSize(pub(crate) u64);

/// A size as it is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

/// The number of partitions: 1 to 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Partitions(pub(crate) u32);

/// A number between two others, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Bounded<const MIN: u32, const MAX: u32>(pub(crate) u32);

/// By how much each delay exceeds the one before: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Factor(pub(crate) f64);

/// How large a part is, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Ratio(pub(crate) f64);

impl Factor {
    /// The factor in thousandths.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1000 to 1000000 fits"
    )]
    pub(crate) fn permille(self) -> u32 {
        (self.0 * 1_000.0).round() as u32
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no duration");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(malformed());
        }
        let mut total = 0_u64;
        while !rest.is_empty() {
            let (number, unit, behind) = quantity(rest);
            let (number, unit) = (number.parse::<u64>(), scale(&DURATIONS, unit));
            let (Ok(number), Some(unit)) = (number, unit) else { return Err(malformed()) };
            let sum = number.checked_mul(unit).and_then(|millis| total.checked_add(millis));
            total = sum.filter(|sum| *sum <= DURATION_MS_MAX).ok_or_else(|| {
                format!("`{text}` is longer than {} years", DURATION_MS_MAX / 366 / 24 / 3_600_000)
            })?;
            rest = behind;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        write!(f, "{:#}", SignedDuration::from_millis(millis))
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl ByteSize {
    /// The size as memory is counted.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no size");
        let (number, unit, behind) = quantity(text.trim());
        let unit = scale(&SIZES, unit).filter(|_| behind.is_empty()).ok_or_else(malformed)?;
        let number = number.parse::<u64>().map_err(|_| malformed())?;
        number.checked_mul(unit).map(Self).ok_or_else(|| format!("`{text}` is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES
            .iter()
            .rev()
            .take(3)
            .find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<NumberOrText> for ByteSize {
    type Error = String;

    fn try_from(written: NumberOrText) -> Result<Self, String> {
        match written {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl TryFrom<u32> for Partitions {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        const PARTITIONS_MAX: u32 = 1_024;
        let fits = (1..=PARTITIONS_MAX).contains(&number);
        fits.then_some(Self(number))
            .ok_or_else(|| format!("{number} is not between 1 and {PARTITIONS_MAX}"))
    }
}

impl FromStr for Partitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: u32 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
        number.try_into()
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<u32> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let fits = (MIN..=MAX).contains(&number);
        fits.then_some(Self(number))
            .ok_or_else(|| format!("{number} is not between {MIN} and {MAX}"))
    }
}

impl TryFrom<f64> for Factor {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        const FACTOR_MAX: f64 = 1_000.0;
        let fits = (1.0..=FACTOR_MAX).contains(&number);
        fits.then_some(Self(number))
            .ok_or_else(|| format!("{number} is not between 1 and {FACTOR_MAX}"))
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let fits = (0.0..=1.0).contains(&number);
        fits.then_some(Self(number)).ok_or_else(|| format!("{number} is not between 0 and 1"))
    }
}

/// A number that is at least one.
pub(crate) const fn count(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

/// Reads a duration of at least so many milliseconds.
pub(crate) fn period_from<'de, D: Deserializer<'de>, const MILLIS: u64>(
    deserializer: D,
) -> Result<Period, D::Error> {
    let period = Period::deserialize(deserializer)?;
    let least = Period(Duration::from_millis(MILLIS));
    let reason = || serde::de::Error::custom(format!("{period} is shorter than {least}"));
    (period.0 >= least.0).then_some(period).ok_or_else(reason)
}

/// Splits a text into its first number, the unit behind it, and what follows.
fn quantity(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, behind) = rest.split_at(letters);
    (number, unit, behind.trim_start())
}

fn scale(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis, shown) in [
            ("0s", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("90s", 90_000, "1m 30s"),
            ("1h 30m", 5_400_000, "1h 30m"),
            ("1h30min", 5_400_000, "1h 30m"),
            ("2 d", 172_800_000, "48h"),
            ("36600d", DURATION_MS_MAX, "878400h"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0, Duration::from_millis(millis), "{text}");
            assert_eq!(period.to_string(), shown);
            assert_eq!(shown.parse(), Ok(period));
        }
        let ends = ["36600d 1ms", "18446744073709551615d"];
        for text in ["", "5", "s", "5 parsecs", "-1s", "1.5s", "1s;"].iter().chain(&ends) {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("1000", 1_000, "1000"),
            ("2 GiB", 2 << 30, "2GiB"),
            ("256MiB", 256 << 20, "256MiB"),
            ("1536KiB", 1536 << 10, "1536KiB"),
            ("1GB", 1_000_000_000, "1000000000"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse(), Ok(size));
        }
        for text in ["", "MiB", "1.5GiB", "1TiB", "1MiB 1KiB", "-1", "18446744073709551615KiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
        assert!(serde_json::from_str::<ByteSize>("true").is_err());
    }

    #[test]
    fn bounded_numbers_stay_within_their_bounds() {
        for (number, fits) in [(0, false), (1, true), (1_024, true), (1_025, false)] {
            assert_eq!(Partitions::try_from(number).is_ok(), fits, "{number}");
        }
        for (number, fits) in [(1, false), (2, true), (3, true), (4, false)] {
            assert_eq!(Bounded::<2, 3>::try_from(number).is_ok(), fits, "{number}");
        }
        for (number, fits) in [(0.99, false), (1.0, true), (1e3, true), (1_000.1, false)] {
            assert_eq!(Factor::try_from(number).is_ok(), fits, "{number}");
        }
        assert!(Factor::try_from(f64::NAN).is_err());
        for (number, fits) in [(-0.01, false), (0.0, true), (1.0, true), (1.01, false)] {
            assert_eq!(Ratio::try_from(number).is_ok(), fits, "{number}");
        }
        assert!(Ratio::try_from(f64::NAN).is_err());
    }
}
