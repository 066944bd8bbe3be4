//! The language of the scripts.
//!
//! A line is `<writer>: <command>; <command>…`. The writer is an epoch, such as `e2`, with
//! `t7` for a term other than the epoch's number, `#3` for a `seq` other than the next, and `@500`
//! for the time from there on. Attempt, life and first command index are the current ones unless
//! a command names others (`by 1.0`, `life 4`, `first 2`). An entry `set bytes 9` is one of 9 bytes;
//! else commands are empty. Lines without a writer: `rows` shows
//! all rows, `offset 9` moves the log's next offset.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::str::FromStr;

use bytes::Bytes;
use everlog_log_schema::*;

use super::trace;
use crate::{Action, Logged, MemoryTables, apply, reads};

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
        if line == "rows" {
            return self.tables.rows().map(|(key, row)| trace::row(key, row)).collect();
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
        let term = term.unwrap_or(epoch);
        let next = self.next_seqs.entry((epoch, term)).or_default();
        let seq = seq.unwrap_or(*next);
        *next = seq + 1;
        let commands = commands.split("; ").map(|command| self.command(command)).collect();
        Record {
            epoch: Epoch(epoch),
            term: Term(term),
            seq: Seq(seq),
            now: Millis(self.now),
            commands,
        }
    }

    fn command(&mut self, text: &str) -> Command {
        let mut words = Words(text.split(' ').collect());
        let command = match words.next() {
            "announce" => Command::AnnounceOwner(AnnounceOwner {
                address: "here".into(),
                level: Level(words.option("level").unwrap_or(1)),
            }),
            "resign" => Command::Resign,
            "ingest" => Command::Ingest(self.ingest(&mut words)),
            "append" => {
                let (invocation, attempt, commands) = self.speaker(&mut words);
                Command::Append(Append {
                    invocation,
                    attempt,
                    first_command: words.option("first").unwrap_or(commands),
                    pin: words.option("pin").map(|version| Pin {
                        deployment: DeploymentId(format!("dp_{version}")),
                        protocol_version: version,
                    }),
                    entries: words.rest().split(", ").map(entry).collect(),
                })
            }
            "suspend" => {
                let (invocation, attempt, _) = self.speaker(&mut words);
                Command::Suspend(Suspend {
                    invocation,
                    attempt,
                    waiting: WaitSet {
                        completions: words.list("on").into_iter().map(CompletionId).collect(),
                        signals: words.list("signals"),
                        named_signals: words.list("named"),
                    },
                })
            }
            "fail" => Command::AttemptFailed(self.failure(&mut words)),
            "end" => {
                let (invocation, attempt, _) = self.speaker(&mut words);
                Command::End(End { invocation, attempt })
            }
            "fire" => Command::TimerFired(TimerFired { timer: self.timer(&mut words) }),
            "opened" => Command::CheckpointOpened,
            "checkpointed" => Command::Checkpointed(Checkpointed {
                log: LogOffset(words.number()),
                inbox: InboxOffset(words.number()),
            }),
            other => panic!("unknown command {other:?}"),
        };
        assert_eq!(words.rest(), "", "left over in {text:?}");
        command
    }

    fn ingest(&mut self, words: &mut Words<'_>) -> Ingest {
        let offset = words.option("at").unwrap_or(self.next_inbox);
        self.next_inbox = offset + 1;
        let level = Level(words.option("level").unwrap_or(1));
        let source = words.option("from").map(|partition| Source::Partition {
            partition: PartitionId(partition),
            seq: Seq(words.number()),
        });
        let intake = match words.next() {
            "rejected" => Intake::Rejected { source, reason: "unreadable".into() },
            "invoke" => Intake::Message(Envelope {
                level,
                metadata: MetadataOffset(0),
                source: source.unwrap_or(Source::Gateway),
                message: Message::Invoke(Box::new(invoke(words))),
            }),
            other => panic!("unknown message {other:?}"),
        };
        Ingest { offset: InboxOffset(offset), intake }
    }

    /// Reads whose attempt speaks: by default the current one; and how many commands it has.
    fn speaker(&self, words: &mut Words<'_>) -> (InvocationId, AttemptId, u32) {
        let id = id(words.number());
        let row = reads::invocation(&self.tables, id).unwrap();
        let reigning = reads::partition(&self.tables).unwrap().epoch;
        let mut attempt = AttemptId { incarnation: Incarnation(0), epoch: reigning, counter: 0 };
        if let Some(row) = &row {
            attempt = reads::current_attempt(row, reigning);
        }
        if let Some(life) = words.option("life") {
            attempt.incarnation = Incarnation(life);
        }
        if let Some(by) = words.option::<String>("by") {
            let (epoch, counter) = by.split_once('.').unwrap();
            attempt.epoch = Epoch(epoch.parse().unwrap());
            attempt.counter = counter.parse().unwrap();
        }
        (id, attempt, row.map_or(1, |row| row.commands))
    }

    fn failure(&self, words: &mut Words<'_>) -> AttemptFailed {
        let (invocation, attempt, _) = self.speaker(words);
        let then = match words.next() {
            "retry" => Then::RetryAt(Millis(words.number())),
            "pause" => Then::Pause,
            "kill" => Then::Kill,
            other => panic!("unknown consequence {other:?}"),
        };
        let error = AttemptError {
            code: 500,
            message: "it broke".into(),
            command_index: None,
            command_name: None,
            delay_by_function: words.flag("chosen"),
        };
        AttemptFailed { invocation, attempt, error, then }
    }

    fn timer(&self, words: &mut Words<'_>) -> Timer {
        let (invocation, attempt, _) = self.speaker(words);
        let kind = match words.next() {
            "start" => TimerKind::Start,
            "retry" => TimerKind::Retry,
            "sleep" => TimerKind::Sleep(CompletionId(words.number())),
            "purge" => TimerKind::Purge,
            other => panic!("unknown timer {other:?}"),
        };
        let due = Millis(words.option("at").expect("a timer has a time"));
        Timer { due, invocation, incarnation: attempt.incarnation, kind }
    }
}

/// The id that scripts call by a number.
pub(super) fn id(number: u64) -> InvocationId {
    InvocationId { partition_key: PartitionKey(0), uuid: u128::from(number) }
}

fn invoke(words: &mut Words<'_>) -> Invoke {
    let id = id(words.number());
    let (kind, key) = match words.next().split_once('/').unwrap_or_default() {
        ("", _) => (HandlerKind::Plain, None),
        ("exclusive", "") => (HandlerKind::Exclusive, None),
        ("exclusive", key) => (HandlerKind::Exclusive, Some(key.to_owned())),
        ("shared", key) => (HandlerKind::Shared, Some(key.to_owned())),
        (other, _) => panic!("unknown kind of handler {other:?}"),
    };
    Invoke {
        id,
        request_id: RequestId(words.option("request").unwrap_or(0)),
        target: Target { service: "cart".into(), key, handler: "add".into() },
        kind,
        headers: Vec::new(),
        body: Bytes::from_static(b"in"),
        idempotency_key: None,
        reply_to: None,
        start_at: words.option("start").map(Millis),
        retention: Millis(words.option("keep").unwrap_or(0)),
        retry: RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: Some(70),
            on_max_attempts: OnMaxAttempts::Pause,
        },
        traceparent: None,
    }
}

fn entry(text: &str) -> Entry {
    let mut words = Words(text.split(' ').collect());
    let name = words.next();
    let bytes = Bytes::from(vec![0; words.option("bytes").unwrap_or(0)]);
    let command = |kind, effect| Entry::Command { kind, bytes, effect };
    match name {
        "input" => Entry::Input { headers: Vec::new(), body: Bytes::new() },
        "set" => command(0x0403, Effect::None),
        "run" => command(0x0411, Effect::Run { completion: CompletionId(words.number()) }),
        "sleep" => {
            let completion = CompletionId(words.number());
            let wake_at = Millis(words.option("until").expect("a sleep has an end"));
            command(0x040C, Effect::Sleep { completion, wake_at })
        }
        "result" => Entry::Notification {
            id: NotificationId::Completion { id: CompletionId(words.number()), kind: 0x8011 },
            result: NotificationResult::Value(Bytes::from(words.rest())),
        },
        "output" => Entry::Output {
            name: String::new(),
            outcome: Outcome::Success(Bytes::from(words.rest())),
        },
        other => panic!("unknown entry {other:?}"),
    }
}

/// The words of a command that are still to be read.
#[derive(Debug)]
struct Words<'a>(VecDeque<&'a str>);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        self.0.pop_front().expect("another word")
    }

    fn number<N: FromStr<Err: std::fmt::Debug>>(&mut self) -> N {
        self.next().parse().unwrap()
    }

    fn flag(&mut self, name: &str) -> bool {
        let there = self.0.front() == Some(&name);
        if there {
            self.0.pop_front();
        }
        there
    }

    fn option<N: FromStr<Err: std::fmt::Debug>>(&mut self, name: &str) -> Option<N> {
        self.flag(name).then(|| self.number())
    }

    fn list<N: FromStr<Err: std::fmt::Debug>>(&mut self, name: &str) -> Vec<N> {
        let list = self.option::<String>(name).unwrap_or_default();
        list.split(',').filter(|item| !item.is_empty()).map(|item| item.parse().unwrap()).collect()
    }

    fn rest(&mut self) -> String {
        self.0.drain(..).collect::<Vec<_>>().join(" ")
    }
}
