//! Random logs: what a careful owner might write, for the laws.
//!
//! Steps are turned into lines of the script language against the tables as they stand, so that
//! most of them have an effect and a failing log can be read.

use everlog_log_schema::{
    Command, Envelope, Intake, InvocationId, Level, Millis, PartitionId, Record, Row, RowKey, Seq,
    Source, StatusKind, TimerKind,
};
use proptest::prelude::*;

use super::script::Log;
use super::words::{RUN, id, number};
use crate::{Action, reads};

/// The partition of the log, which is the only one: all that is sent comes back to it.
const HERE: PartitionId = PartitionId(0);
/// In how many steps all must come to its end.
const STEPS_TO_FINISH_MAX: usize = 10_000;

/// One step of a random log.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Another owner takes over.
    Announce,
    /// Time passes.
    Wait(u64),
    /// A call from a gateway, of one of a few ids; delayed by some milliseconds if given.
    Invoke { id: u64, kind: &'static str, delay: Option<u64> },
    /// A numbered message of another partition, as many numbers after the last as given.
    Send { id: u64, after: u64 },
    /// The next message of the outbox, which is for this partition itself, is taken in; or the last
    /// one again.
    Deliver { again: bool },
    /// The outbox is told what was taken in.
    Delivered,
    /// A signal, a cancellation or an order from a gateway.
    Intervene { id: u64, message: &'static str },
    /// A completed call begins anew, as another of a few ids, from some entry on.
    Restart { id: u64, new: u64, from: u32 },
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
    /// What has no completion.
    Simple(&'static str),
    /// What has one, before and behind which the text stands.
    Asking(&'static str, &'static str),
    Sleep(u64),
    /// A call, which has two.
    Call(u64, &'static str),
    /// The result of the command at this index.
    Result(u32),
}

/// Random steps.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80)
}

const KINDS: [&str; 5] = ["plain", "exclusive/a", "exclusive/a", "shared/a", "workflowshared/w"];

/// The id of one of the calls, the run of a workflow among them.
fn any_id() -> impl Strategy<Value = u64> {
    prop_oneof![10 => 1_u64..6, 2 => Just(RUN), 1 => 10_u64..13]
}

/// How a handler is run: of a run there is one way.
fn kind_of(id: u64, kind: &str) -> &str {
    if id == RUN { "workflow/w" } else { kind }
}

fn step() -> impl Strategy<Value = Step> {
    let id = any_id;
    let kind = prop::sample::select(KINDS.to_vec());
    let then = vec!["retry", "kill", "pause"];
    let messages = vec![
        "cancel",
        "signal 17",
        "signal paid",
        "kill",
        "pause",
        "resume",
        "purge",
        "purgejournal",
    ];
    let append = (id(), prop::collection::vec(say(), 1..5));
    prop_oneof![
        1 => Just(Step::Announce),
        2 => (1_u64..400_000).prop_map(Step::Wait),
        6 => (id(), kind, prop::option::weighted(0.2, 0_u64..50))
            .prop_map(|(id, kind, delay)| Step::Invoke { id, kind, delay }),
        1 => (id(), 0_u64..3).prop_map(|(id, after)| Step::Send { id, after }),
        5 => prop::bool::weighted(0.1).prop_map(|again| Step::Deliver { again }),
        2 => Just(Step::Delivered),
        3 => (id(), prop::sample::select(messages))
            .prop_map(|(id, message)| Step::Intervene { id, message }),
        2 => (any_id(), 10_u64..13, prop_oneof![Just(0), 0_u32..6])
            .prop_map(|(id, new, from)| Step::Restart { id, new, from }),
        8 => append.prop_map(|(id, entries)| Step::Append { id, entries }),
        4 => (id(), prop::collection::vec(1_u32..16, 1..4))
            .prop_map(|(id, on)| Step::Suspend { id, on }),
        2 => (id(), prop::sample::select(then)).prop_map(|(id, then)| Step::Fail { id, then }),
        4 => id().prop_map(|id| Step::End { id }),
        6 => prop::bool::weighted(0.9).prop_map(|on_time| Step::Fire { on_time }),
        1 => id().prop_map(|id| Step::Stale { id }),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    let simple = vec![
        "step",
        "set k1 one",
        "set k1 longer",
        "set k2 two",
        "clear k1",
        "clearall",
        "signal 2 17 value x",
        "signal 3 1 void",
        "output early",
        "output bytes 16777216",
    ];
    let asking = vec![
        ("run", ""),
        ("run", ""),
        ("get", " k1"),
        ("keys", ""),
        ("attach", " 4"),
        ("peek", " 4"),
        ("send", " 5 plain"),
        ("await", " paid"),
        ("await", " paid"),
        ("look", " paid"),
        ("fulfil", " paid value x"),
        ("fulfil", " paid bytes 9999999"),
    ];
    prop_oneof![
        3 => prop::sample::select(simple).prop_map(Say::Simple),
        4 => prop::sample::select(asking).prop_map(|(what, of)| Say::Asking(what, of)),
        3 => (0_u64..1_000).prop_map(Say::Sleep),
        3 => (any_id(), prop::sample::select(KINDS.to_vec()))
            .prop_map(|(callee, kind)| Say::Call(callee, kind)),
        4 => (1_u32..8).prop_map(Say::Result),
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
        } else if let Step::Deliver { again } = step {
            self.deliver(*again);
        } else if let Some(line) = self.line(step) {
            self.write(&line);
        }
    }

    /// Lets all messages arrive and all sleeps, delays and retries come to their end, ends all that
    /// runs, kills what waits for nothing that could come, and purges.
    pub(super) fn finish(&mut self) {
        for _ in 0..STEPS_TO_FINISH_MAX {
            let Some(step) = self.next_to_finish() else { return };
            self.step(&step);
        }
        panic!("it does not finish, but goes on with {:?}", self.next_to_finish());
    }

    fn next_to_finish(&self) -> Option<Step> {
        let tables = &self.log.tables;
        let sent = reads::sent(tables, HERE).unwrap();
        let taken = reads::taken_from(tables, HERE).unwrap();
        let numbered = |id: InvocationId| number(id).parse().unwrap();
        if taken < sent.last {
            return Some(Step::Deliver { again: false });
        }
        if sent.delivered < taken {
            return Some(Step::Delivered);
        }
        if let Some(running) = reads::next_running(tables, None).unwrap() {
            return Some(Step::End { id: numbered(running) });
        }
        // One that is to reset an object goes on for as long as a handler holds the key.
        let goes_on =
            |key: &RowKey| matches!(key, RowKey::Timer(timer) if timer.kind == TimerKind::Expire);
        let is_timer = |key: &RowKey| matches!(key, RowKey::Timer(_));
        if tables.rows().any(|(key, _)| is_timer(key) && !goes_on(key)) {
            return Some(Step::Fire { on_time: true });
        }
        let living = tables.rows().find_map(|(key, row)| match (key, row) {
            (RowKey::Invocation(id), Row::Invocation(row))
                if row.status.kind() != StatusKind::Completed =>
            {
                Some(*id)
            }
            _ => None,
        });
        let killed = living.map(|id| Step::Intervene { id: numbered(id), message: "kill" });
        let is_left = tables.rows().any(|(key, _)| is_timer(key));
        killed.or_else(|| is_left.then_some(Step::Fire { on_time: true }))
    }

    /// Takes in the next message of the outbox.
    fn deliver(&mut self, again: bool) {
        let taken = reads::taken_from(&self.log.tables, HERE).unwrap();
        let seq = Seq(if again { taken.0 } else { taken.0 + 1 });
        let Some(row) = reads::outbox(&self.log.tables, HERE, seq).unwrap() else { return };
        let intake = Intake::Message(Envelope {
            level: Level(1),
            metadata: row.metadata,
            source: Source::Partition { partition: HERE, seq },
            message: row.message,
        });
        let ingest = Command::Ingest(self.log.intake(None, intake));
        let epoch = reads::partition(&self.log.tables).unwrap().epoch.0;
        let record = self.log.stamped(epoch, None, None, vec![ingest]);
        self.append(record);
    }

    fn write(&mut self, line: &str) {
        let record = self.log.record(line);
        self.append(record);
    }

    fn append(&mut self, record: Record) {
        let (outcome, actions) = self.log.append(&record);
        outcome.expect("a careful owner's record applies");
        self.records.push(record);
        self.actions.push(actions);
    }

    fn line(&mut self, step: &Step) -> Option<String> {
        let epoch = reads::partition(&self.log.tables).unwrap().epoch.0;
        let command = match step {
            Step::Wait(_) | Step::Deliver { .. } => return None,
            Step::Announce => return Some(format!("e{}: announce", epoch + 1)),
            Step::Invoke { id, kind, delay: None } => {
                let journal = if id % 2 == 0 {
                    " keep 700000 journal 300000"
                } else if id % 3 == 0 {
                    " ttl 200000"
                } else {
                    ""
                };
                format!("ingest invoke {id} {}{journal}", kind_of(*id, kind))
            }
            Step::Invoke { id, kind, delay: Some(delay) } => {
                let kind = kind_of(*id, kind);
                format!("ingest invoke {id} {kind} start {}", self.log.now + delay)
            }
            Step::Send { id, after } => {
                let seq = self.senders_seq + after;
                self.senders_seq += u64::from(*after == 1);
                format!("ingest from 3 {seq} invoke {id} plain caller 3:9.0 1")
            }
            Step::Delivered => {
                format!("delivered 0 {}", reads::taken_from(&self.log.tables, HERE).unwrap())
            }
            Step::Intervene { id, message } => match message.split_once(' ') {
                Some((signal, which)) => format!("ingest {signal} {id} {which} value x"),
                None => format!("ingest {message} {id}"),
            },
            Step::Restart { id, new, from } => format!("ingest restart {id} {new} from {from}"),
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

    /// Completion ids are twice the index of the command; those of calls' outcomes one more.
    fn entries(&self, number: u64, entries: &[Say]) -> String {
        let row = reads::invocation(&self.log.tables, id(number)).unwrap();
        let mut command = row.map_or(1, |row| row.commands);
        let mut texts = Vec::new();
        for say in entries {
            let completion = 2 * command;
            texts.push(match say {
                Say::Simple(text) => (*text).to_owned(),
                Say::Asking(what, of) => format!("{what} {completion}{of}"),
                Say::Sleep(duration) => {
                    format!("sleep {completion} until {}", self.log.now + duration)
                }
                Say::Call(callee, kind) => {
                    let kind = kind_of(*callee, kind);
                    format!("call {completion} {} {callee} {kind}", completion + 1)
                }
                Say::Result(of) => format!("result {} ok", 2 * of),
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
            TimerKind::PurgeJournal => "journal".to_owned(),
            TimerKind::Expire => "expire".to_owned(),
        };
        Some(format!("fire {} {kind} at {}", number(timer.invocation), timer.due))
    }
}
