//! Random logs: what a careful owner might write, for the laws.
//!
//! Steps are turned into lines of the script language against the tables as they stand, so that
//! most of them have an effect and a failing log can be read.

use everlog_log_schema::{Millis, Record, TimerKind};
use proptest::prelude::*;

use super::script::{Log, id};
use crate::{Action, reads};

/// One step of a random log.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Another owner takes over.
    Announce,
    /// Time passes.
    Wait(u64),
    /// A call, of one of a few ids; delayed by some milliseconds if given.
    Invoke { id: u64, kind: &'static str, delay: Option<u64> },
    /// A numbered message of another partition, as many numbers after the last as given.
    Send { id: u64, after: u64 },
    /// Journal entries.
    Append { id: u64, entries: Vec<Say> },
    /// A wait for some completions.
    Suspend { id: u64, on: Vec<u32> },
    /// A failure.
    Fail { id: u64, then: &'static str },
    /// The output and the end.
    End { id: u64 },
    /// The next timer fires, on time or at once.
    Fire { on_time: bool },
    /// An attempt of an epoch before speaks.
    Stale { id: u64 },
}

/// What a function records.
#[derive(Debug, Clone)]
pub(super) enum Say {
    Set,
    Run,
    Sleep(u64),
    Result(u32),
    Output,
}

/// Random steps. Without `pauses` none of them leaves an invocation paused, which nothing in the
/// log could resume.
pub(super) fn steps(pauses: bool) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(pauses), 1..80)
}

fn step(pauses: bool) -> impl Strategy<Value = Step> {
    let id = || 1_u64..6;
    let kind = prop::sample::select(vec!["plain", "exclusive/a", "exclusive/a", "shared/a"]);
    let then = if pauses { vec!["retry", "kill", "pause"] } else { vec!["retry", "kill"] };
    let append = (id(), prop::collection::vec(say(), 1..5));
    prop_oneof![
        1 => Just(Step::Announce),
        2 => (1_u64..400_000).prop_map(Step::Wait),
        6 => (id(), kind, prop::option::weighted(0.2, 0_u64..50))
            .prop_map(|(id, kind, delay)| Step::Invoke { id, kind, delay }),
        1 => (id(), 0_u64..3).prop_map(|(id, after)| Step::Send { id, after }),
        8 => append.prop_map(|(id, entries)| Step::Append { id, entries }),
        4 => (id(), prop::collection::vec(1_u32..8, 1..4))
            .prop_map(|(id, on)| Step::Suspend { id, on }),
        2 => (id(), prop::sample::select(then)).prop_map(|(id, then)| Step::Fail { id, then }),
        4 => id().prop_map(|id| Step::End { id }),
        6 => prop::bool::weighted(0.9).prop_map(|on_time| Step::Fire { on_time }),
        1 => id().prop_map(|id| Step::Stale { id }),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        2 => Just(Say::Set),
        3 => Just(Say::Run),
        3 => (0_u64..1_000).prop_map(Say::Sleep),
        4 => (1_u32..8).prop_map(Say::Result),
        1 => Just(Say::Output),
    ]
}

/// A random log as it was written, with what came of each record.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) log: Log,
    pub(super) records: Vec<Record>,
    pub(super) actions: Vec<Vec<Action>>,
    senders_seq: u64,
}

impl Stream {
    /// Begins a log with its first announcement.
    pub(super) fn new() -> Self {
        let mut stream = Self::default();
        stream.write("e1: announce");
        stream
    }

    /// Writes a whole log.
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut stream = Self::new();
        for step in steps {
            stream.step(step);
        }
        stream
    }

    /// Takes one step.
    pub(super) fn step(&mut self, step: &Step) {
        if let Step::Wait(duration) = step {
            self.log.now += duration;
        } else if let Some(line) = self.line(step) {
            self.write(&line);
        }
    }

    /// Lets all sleeps, delays and retries come to their end, ends all that runs, and purges.
    pub(super) fn finish(&mut self) {
        loop {
            let running = reads::next_running(&self.log.tables, None).unwrap();
            let timer = reads::next_timer(&self.log.tables, None, Millis(u64::MAX)).unwrap();
            let step = match (running, timer) {
                (Some(running), _) => Step::End { id: u64::try_from(running.uuid).unwrap() },
                (None, Some(_)) => Step::Fire { on_time: true },
                (None, None) => break,
            };
            self.step(&step);
        }
    }

    fn write(&mut self, line: &str) {
        let record = self.log.record(line);
        let (outcome, actions) = self.log.append(&record);
        outcome.expect("a careful owner's record applies");
        self.records.push(record);
        self.actions.push(actions);
    }

    fn line(&mut self, step: &Step) -> Option<String> {
        let epoch = reads::partition(&self.log.tables).unwrap().epoch.0;
        let command = match step {
            Step::Wait(_) => return None,
            Step::Announce => return Some(format!("e{}: announce", epoch + 1)),
            Step::Invoke { id, kind, delay: None } => format!("ingest invoke {id} {kind}"),
            Step::Invoke { id, kind, delay: Some(delay) } => {
                format!("ingest invoke {id} {kind} start {}", self.log.now + delay)
            }
            Step::Send { id, after } => {
                let seq = self.senders_seq + after;
                self.senders_seq += u64::from(*after == 1);
                format!("ingest from 3 {seq} invoke {id} plain")
            }
            Step::Append { id, entries } => format!("append {id} {}", self.entries(*id, entries)),
            Step::Suspend { id, on } => {
                let on: Vec<_> = on.iter().map(u32::to_string).collect();
                format!("suspend {id} on {}", on.join(","))
            }
            Step::Fail { id, then: "retry" } => format!("fail {id} retry {}", self.log.now + 500),
            Step::Fail { id, then } => format!("fail {id} {then}"),
            Step::End { id } => format!("append {id} output done; end {id}"),
            Step::Fire { on_time } => self.fire(*on_time)?,
            Step::Stale { id } => format!("append {id} by {}.0 run 1; end {id} by 0.7", epoch - 1),
        };
        Some(format!("e{epoch}: {command}"))
    }

    /// Completion ids count with the commands, as those of an SDK do.
    fn entries(&self, number: u64, entries: &[Say]) -> String {
        let row = reads::invocation(&self.log.tables, id(number)).unwrap();
        let mut command = row.map_or(1, |row| row.commands);
        let mut texts = Vec::new();
        for say in entries {
            texts.push(match say {
                Say::Set => "set".to_owned(),
                Say::Run => format!("run {command}"),
                Say::Sleep(duration) => {
                    format!("sleep {command} until {}", self.log.now + duration)
                }
                Say::Result(completion) => format!("result {completion} ok"),
                Say::Output => "output early".to_owned(),
            });
            command += u32::from(!matches!(say, Say::Result(_)));
        }
        texts.join(", ")
    }

    fn fire(&mut self, on_time: bool) -> Option<String> {
        let timer = reads::next_timer(&self.log.tables, None, Millis(u64::MAX)).unwrap()?;
        if on_time {
            self.log.now = self.log.now.max(timer.due.0);
        }
        let kind = match timer.kind {
            TimerKind::Start => "start".to_owned(),
            TimerKind::Retry => "retry".to_owned(),
            TimerKind::Sleep(completion) => format!("sleep {completion}"),
            TimerKind::Purge => "purge".to_owned(),
        };
        Some(format!("fire {} {kind} at {}", timer.invocation.uuid, timer.due))
    }
}

/// Commands that no careful owner would write: repeated ids, other lives, timers never set.
pub(super) fn wild_commands() -> impl Strategy<Value = String> {
    prop::collection::vec(wild_command(), 1..4).prop_map(|commands| commands.join("; "))
}

fn wild_command() -> impl Strategy<Value = String> {
    let pick = |texts: &[&'static str]| prop::sample::select(texts.to_vec());
    let by = || {
        prop_oneof![
            4 => Just(String::new()),
            1 => (0_u64..4, 0_u32..3).prop_map(|(epoch, counter)| format!(" by {epoch}.{counter}")),
            1 => (0_u64..4).prop_map(|life| format!(" life {life}")),
        ]
    };
    let speaker = move || (1_u64..4, by()).prop_map(|(id, by)| format!("{id}{by}"));
    let entries = pick(&[
        "set",
        "run 1",
        "run 2",
        "sleep 1 until 5",
        "sleep 2 until 900",
        "result 1 ok",
        "input",
        "output done",
        "run 1, result 1 a, result 1 b",
        "run 3, output done, sleep 4 until 9",
    ]);
    let kinds = pick(&["plain", "exclusive/a", "exclusive/", "shared/a", "plain start 900"]);
    let sources = pick(&["", "from 3 1 ", "from 3 2 ", "from 3 18446744073709551614 ", "level 2 "]);
    let waits = pick(&["", " on 1", " on 1,2", " signals 17", " on 2 signals 1", " named paid"]);
    let thens = pick(&["retry 5", "retry 900", "retry 9223372036854775807", "pause", "kill"]);
    let timers = pick(&[
        "start at 900",
        "retry at 5",
        "retry at 900",
        "sleep 1 at 5",
        "sleep 2 at 900",
        "purge at 600000",
        "purge at 0",
    ]);
    let others = pick(&[
        "announce",
        "announce level 2",
        "resign",
        "opened",
        "checkpointed 9 9",
        "ingest rejected",
        "ingest from 3 1 rejected",
        "ingest at 0 invoke 1 plain",
    ]);
    prop_oneof![
        4 => (sources, 1_u64..4, kinds)
            .prop_map(|(source, id, kind)| format!("ingest {source}invoke {id} {kind}")),
        5 => (speaker(), entries).prop_map(|(speaker, entries)| format!("append {speaker} {entries}")),
        3 => (speaker(), waits).prop_map(|(speaker, waits)| format!("suspend {speaker}{waits}")),
        3 => (speaker(), thens).prop_map(|(speaker, then)| format!("fail {speaker} {then}")),
        3 => speaker().prop_map(|speaker| format!("end {speaker}")),
        4 => (speaker(), timers).prop_map(|(speaker, timer)| format!("fire {speaker} {timer}")),
        1 => others.prop_map(str::to_owned),
    ]
}
