//! Draws a journal as a timeline: a line for each step, with a bar from when it was recorded until
//! its result was.
//!
//! Its invariant: every entry is seen. A notification that ends a step is the end of that step's
//! bar, and one that names the callee of a call is in the call's line; each other one has a line
//! of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::model::{Entry, Invocation, Side, plain};
use crate::output::{Table, brief, relative, since};

/// The width of the bars, in characters.
const WIDTH: usize = 32;

/// Draws it.
pub(super) fn draw(invocation: &Invocation, entries: &[Entry], now: Timestamp) -> String {
    let Some(last) = entries.iter().map(|entry| entry.at).max() else {
        return "The journal is empty.\n".into();
    };
    let scale = Scale {
        start: invocation.created_at,
        // What has ended does not grow any more.
        end: invocation.completed_at.unwrap_or(now).max(last),
    };
    let results = Results::of(entries);
    let whole = brief(since(scale.start, scale.end));
    let ruler = format!("0{whole:>width$}", width = WIDTH + 1);
    let mut table = Table::new(["#", "STEP", "AT", "TOOK", "ATTEMPT", &ruler, "RESULT"]);
    for (position, entry) in entries.iter().enumerate() {
        if results.ends_a_step(position) {
            continue;
        }
        let ended = results.of_step(entry);
        let awaited = entry.side == Side::Command && entry.completion.is_some();
        let is_open = awaited && ended.is_none() && invocation.completed_at.is_none();
        let end = ended.map_or(entry.at, |result| result.at);
        let took = match ended {
            Some(result) => brief(since(entry.at, result.at)),
            None if is_open => format!("{}‥", brief(since(entry.at, now))),
            None => String::new(),
        };
        table.row([
            entry.index.to_string(),
            step(entry),
            format!("+{}", brief(since(scale.start, entry.at))),
            took,
            attempts(entry, ended),
            scale.bar(entry.at, if is_open { scale.end } else { end }, is_open),
            result(ended.unwrap_or(entry), is_open, now),
        ]);
    }
    table.to_string()
}

/// Which notification ends which step.
struct Results<'a> {
    entries: &'a [Entry],
    /// Positions, by what they complete.
    by_completion: BTreeMap<u64, usize>,
    awaited: Vec<u64>,
}

impl<'a> Results<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let of = |side| {
            let entries = entries.iter().enumerate();
            entries.filter(move |(_, entry)| entry.side == side).filter_map(|(position, entry)| {
                entry.completion.map(|completion| (completion, position))
            })
        };
        let awaited = of(Side::Command).map(|(completion, _)| completion).collect();
        Self { entries, by_completion: of(Side::Notification).collect(), awaited }
    }

    fn of_step(&self, step: &Entry) -> Option<&'a Entry> {
        let completion = step.completion.filter(|_| step.side == Side::Command)?;
        self.by_completion.get(&completion).and_then(|position| self.entries.get(*position))
    }

    fn ends_a_step(&self, position: usize) -> bool {
        let Some(entry) = self.entries.get(position) else { return false };
        let names_callee = entry.result_kind.as_deref() == Some("invocation-id");
        let is_awaited = |completion| self.awaited.contains(&completion);
        entry.side == Side::Notification
            && (names_callee || entry.completion.is_some_and(is_awaited))
    }
}

/// Times as places on a line.
struct Scale {
    start: Timestamp,
    end: Timestamp,
}

impl Scale {
    /// The column of a time: the first for the start, the last for the end.
    fn column(&self, at: Timestamp) -> usize {
        let whole = since(self.start, self.end).max(Duration::from_millis(1)).as_millis();
        let part = since(self.start, at).as_millis().min(whole);
        let column = part * (WIDTH as u128 - 1) / whole;
        usize::try_from(column).unwrap_or(0)
    }

    fn bar(&self, from: Timestamp, to: Timestamp, is_open: bool) -> String {
        let (from, to) = (self.column(from), self.column(to));
        let filled = (0..WIDTH).map(|column| match column {
            column if column < from || column > to => '·',
            column if column == to && is_open => '▶',
            _ => '█',
        });
        format!("▕{}▏", filled.collect::<String>())
    }
}

/// What a step is.
fn step(entry: &Entry) -> String {
    let mut step = entry.kind.clone();
    if let Some(name) = entry.name.as_ref().filter(|name| !name.is_empty()) {
        step = format!("{step} {name}");
    }
    if let Some(signal) = &entry.signal {
        step = format!("{step} {}", plain(signal));
    }
    if let Some(callee) = &entry.callee {
        step = format!("{step} → {callee}");
    }
    step
}

/// In which attempt a step began, and in which it ended if that is another.
fn attempts(entry: &Entry, ended: Option<&Entry>) -> String {
    match ended {
        Some(result) if result.attempts > entry.attempts => {
            format!("{}–{}", entry.attempts, result.attempts)
        }
        Some(_) | None => entry.attempts.to_string(),
    }
}

/// How a step ended, or for how long it goes on.
fn result(entry: &Entry, is_open: bool, now: Timestamp) -> String {
    if is_open {
        let until = entry.wake_at.map(|at| format!(", wakes {}", relative(at, now)));
        return format!("waiting{}", until.unwrap_or_default());
    }
    match (&entry.failure, &entry.result_kind) {
        (Some(failure), _) => {
            let field = |name: &str| failure.get(name).map(plain);
            let whole = || plain(failure);
            let message = field("message").unwrap_or_else(whole);
            let code = field("code").map_or_else(String::new, |code| format!(" {code}"));
            format!("failed{code}: {message}")
        }
        (None, Some(kind)) if kind == "value" => format!("{} B", entry.bytes),
        (None, Some(kind)) => kind.clone(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::model::samples::{entry, invocation, now};
    use super::*;

    #[test]
    fn a_journal_is_drawn_step_by_step() {
        let entries = [
            entry(0, 0, "command", "Input", json!({})),
            entry(1, 20, "command", "Run", json!({ "name": "reserve", "completion": 1 })),
            entry(
                2,
                1_020,
                "notification",
                "Run",
                json!({ "completion": 1, "resultKind": "value", "bytes": 77 }),
            ),
            entry(3, 1_100, "command", "Run", json!({ "name": "charge", "completion": 2 })),
            entry(
                4,
                4_100,
                "notification",
                "Run",
                json!({ "completion": 2, "attempts": 3, "failure": { "code": 402, "message": "no money" } }),
            ),
            entry(
                5,
                4_200,
                "command",
                "Call",
                json!({ "completion": 4, "callee": "inv_9", "attempts": 3 }),
            ),
            entry(
                6,
                4_200,
                "notification",
                "CallInvocationId",
                json!({ "completion": 3, "attempts": 3, "resultKind": "invocation-id", "callee": "inv_9" }),
            ),
            entry(
                7,
                5_000,
                "notification",
                "Signal",
                json!({ "signal": "paid", "resultKind": "void", "attempts": 3 }),
            ),
            entry(
                8,
                5_000,
                "command",
                "Sleep",
                json!({ "completion": 5, "wakeAt": "2026-11-18T11:00:15Z", "attempts": 3 }),
            ),
        ];
        expect![[r#"
            #  STEP          AT     TOOK   ATTEMPT  0                              10s  RESULT
            0  Input         +0ms          1        ▕█·······························▏
            1  Run reserve   +20ms  1s     1        ▕████····························▏  77 B
            3  Run charge    +1.1s  3s     1–3      ▕···██████████···················▏  failed 402: no money
            5  Call → inv_9  +4.2s  5.8s‥  3        ▕·············██████████████████▶▏  waiting
            7  Signal paid   +5s           3        ▕···············█················▏  void
            8  Sleep         +5s    5s‥    3        ▕···············████████████████▶▏  waiting, wakes in 5s
        "#]].assert_eq(&draw(&invocation(json!({})), &entries, now()));
    }

    #[test]
    fn what_has_ended_does_not_grow() {
        let ended = invocation(json!({ "status": "completed", "outcome": "success",
            "completedAt": "2026-11-18T11:00:02.000Z" }));
        let entries = [
            entry(0, 0, "command", "Input", json!({})),
            entry(1, 1_000, "command", "Sleep", json!({ "completion": 1 })),
            entry(2, 2_000, "command", "Output", json!({ "resultKind": "value" })),
        ];
        expect![[r"
            #  STEP    AT    TOOK  ATTEMPT  0                               2s  RESULT
            0  Input   +0ms        1        ▕█·······························▏
            1  Sleep   +1s         1        ▕···············█················▏
            2  Output  +2s         1        ▕·······························█▏  10 B
        "]]
        .assert_eq(&draw(&ended, &entries, now()));
        expect![[r"
            The journal is empty.
        "]]
        .assert_eq(&draw(&ended, &[], now()));
    }

    #[test]
    fn a_moment_has_a_bar_too() {
        let instant = invocation(json!({ "completedAt": "2026-11-18T11:00:00.000Z" }));
        let entries = [entry(0, 0, "command", "Input", json!({}))];
        assert!(draw(&instant, &entries, now()).contains('█'));
    }
}
