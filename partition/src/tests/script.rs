//! The language of the scripts: its lines. Their parts are described in [`super::commands`],
//! [`super::messages`], [`super::entries`] and [`super::words`].
//!
//! A line is `<writer>: <command>; <command>…`. The writer is an epoch, such as `e2`, with
//! `t7` for a term other than the epoch's number, `#3` for a `seq` other than the next, and `@500`
//! for the time from there on. Attempt, life and first command index are the current ones unless
//! a command names others (`by 1.0`, `life 4`, `first 2`); a suspending one has been told all signals
//! (`told 1`). `announce of 4` makes the partition the first of four; by default it is the only one.
//! Lines without a writer: `rows` shows all rows, `rows <text>` those that begin so, `offset 9` moves
//! the log's next offset.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use everlog_log_schema::*;

use super::trace;
use crate::{Action, Logged, MemoryTables, apply};

/// Applies a script to an empty partition and returns the trace.
pub(super) fn run(script: &str) -> String {
    let mut log = Log::default();
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(text, "{line}").unwrap();
        for effect in log.play(line) {
            writeln!(text, "    {effect}").unwrap();
        }
    }
    text
}

/// A log as it is written, and the partition that follows it.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) tables: MemoryTables,
    offset: u64,
    pub(super) now: u64,
    next_seqs: BTreeMap<(u64, u64), u64>,
    next_inbox: u64,
}

impl Log {
    /// Plays one line and describes what came of it.
    pub(super) fn play(&mut self, line: &str) -> Vec<String> {
        if let Some(start) = line.strip_prefix("rows") {
            let rows = self.tables.rows().map(|(key, row)| trace::row(key, row));
            return rows.filter(|row| row.starts_with(start.trim_start())).collect();
        }
        if let Some(offset) = line.strip_prefix("offset ") {
            self.offset = offset.parse().unwrap();
            return Vec::new();
        }
        let record = self.record(line);
        let (outcome, actions) = self.append(&record);
        let mut effects: Vec<_> = actions.iter().map(trace::action).collect();
        match outcome {
            Ok(acceptance) => effects.extend(trace::ignored(acceptance)),
            Err(error) => effects.push(format!("stopped: {error}")),
        }
        effects
    }

    /// Applies a record at the next offset.
    pub(super) fn append(
        &mut self,
        record: &Record,
    ) -> (Result<crate::Acceptance, crate::ApplyError>, Vec<Action>) {
        let mut actions = Vec::new();
        let logged = Logged { offset: LogOffset(self.offset), hash: self.offset, record };
        let outcome = apply(&mut self.tables, logged, &mut actions);
        self.offset += 1;
        (outcome, actions)
    }

    /// Reads a line as the next record.
    pub(super) fn record(&mut self, line: &str) -> Record {
        let (writer, commands) = line.split_once(": ").expect("a line has a writer");
        let (mut epoch, mut term, mut seq) = (0, None, None);
        for word in writer.split(' ') {
            let number = word[1..].parse().unwrap();
            match &word[..1] {
                "e" => epoch = number,
                "t" => term = Some(number),
                "#" => seq = Some(number),
                "@" => self.now = number,
                other => panic!("unknown part {other:?} of a writer"),
            }
        }
        let commands = commands.split("; ").map(|command| self.command(command)).collect();
        self.stamped(epoch, term, seq, commands)
    }

    /// Makes the writer's next record.
    pub(super) fn stamped(
        &mut self,
        epoch: u64,
        term: Option<u64>,
        seq: Option<u64>,
        commands: Vec<Command>,
    ) -> Record {
        let term = term.unwrap_or(epoch);
        let next = self.next_seqs.entry((epoch, term)).or_default();
        let seq = seq.unwrap_or(*next);
        *next = seq + 1;
        Record {
            epoch: Epoch(epoch),
            term: Term(term),
            seq: Seq(seq),
            now: Millis(self.now),
            commands,
        }
    }

    /// Takes something in: by default at the next offset.
    pub(super) fn intake(&mut self, offset: Option<u64>, intake: Intake) -> Ingest {
        let offset = offset.unwrap_or(self.next_inbox);
        self.next_inbox = offset + 1;
        Ingest { offset: InboxOffset(offset), intake }
    }
}
