//! How commands print: tables for people, JSON for programs, once or again and again.
//!
//! Invariant: what a server or a user put into a name never reaches the terminal as a control
//! sequence.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::admin::AdminFailure;
use crate::config::Period;
use crate::say::complain;

/// The shortest time between two looks.
const WATCH_MIN: Duration = Duration::from_millis(100);
/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// How to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// Print JSON, as the server gives it.
    #[arg(long)]
    pub(crate) json: bool,
    /// Look again and again, every 2 s or as often as said.
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s"
    )]
    pub(crate) watch: Option<Period>,
}

/// What there is to print.
#[derive(Debug)]
pub(crate) struct Shown {
    /// For programs.
    pub(crate) json: Value,
    /// For people.
    pub(crate) text: String,
}

/// Prints what `look` finds, as often as is wanted.
pub(crate) async fn present(
    how: &OutputArguments,
    look: impl AsyncFn() -> Result<Shown, AdminFailure>,
) -> ExitCode {
    let mut stdout = std::io::stdout();
    let clear = if how.watch.is_some() && !how.json && stdout.is_terminal() { CLEAR } else { "" };
    loop {
        let found = look().await;
        let text = match &found {
            Ok(shown) if !how.json => shown.text.clone(),
            Ok(shown) if how.watch.is_some() => shown.json.to_string(),
            Ok(shown) => format!("{:#}", shown.json),
            Err(error) => {
                complain(format_args!("everlog: {error}"));
                String::new()
            }
        };
        if !text.is_empty() && writeln!(stdout, "{clear}{}", text.trim_end()).is_err() {
            return ExitCode::FAILURE;
        }
        match how.watch {
            Some(every) => tokio::time::sleep(every.0.max(WATCH_MIN)).await,
            None if found.is_ok() => return ExitCode::SUCCESS,
            None => return ExitCode::FAILURE,
        }
    }
}

/// A table whose columns are as wide as what is in them.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// Makes a table of rows with as many cells each, the first of which has the headings.
    pub(crate) fn of(rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        let shown = |row: Vec<String>| row.iter().map(|cell| printable(cell)).collect();
        Self { rows: rows.into_iter().map(shown).collect() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A text without anything that a terminal would act on.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A duration in its two largest units.
pub(crate) fn brief(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    let two = |large: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{large}{}", names[0]),
        _ => format!("{large}{} {small}{}", names[0], names[1]),
    };
    match seconds {
        0 => format!("{millis}ms"),
        1..10 if millis % 1_000 >= 100 => format!("{seconds}.{}s", millis % 1_000 / 100),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, seconds % 60, ["m", "s"]),
        3_600..86_400 => two(seconds / 3_600, seconds % 3_600 / 60, ["h", "m"]),
        _ => two(seconds / 86_400, seconds % 86_400 / 3_600, ["d", "h"]),
    }
}

/// How long ago a time is, or nothing where it lies ahead.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A time as `3m 2s ago` or `in 5s`.
pub(crate) fn relative(then: Timestamp, now: Timestamp) -> String {
    if then > now {
        format!("in {}", brief(since(now, then)))
    } else {
        format!("{} ago", brief(since(then, now)))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(["ID", "NAME"]);
        table.row(["inv_1".into(), "Zoë".into()]);
        table.row(["2".into(), "a\x1b[2Jb\n".into()]);
        expect![[r"
            ID     NAME
            inv_1  Zoë
            2      a�[2Jb�
        "]]
        .assert_eq(&table.to_string());
    }

    #[test]
    fn durations_are_brief() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_250, "1.2s"),
            (10_900, "10s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (182_000, "3m 2s"),
            (3_600_000, "1h"),
            (7_500_000, "2h 5m"),
            (86_400_000, "1d"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(brief(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now: Timestamp = "2026-11-18T11:00:00Z".parse().unwrap();
        assert_eq!(relative("2026-11-18T10:57:58Z".parse().unwrap(), now), "2m 2s ago");
        assert_eq!(relative("2026-11-18T11:00:05Z".parse().unwrap(), now), "in 5s");
        assert_eq!(since("2026-11-18T11:00:05Z".parse().unwrap(), now), Duration::ZERO);
    }
}
