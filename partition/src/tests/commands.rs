//! Commands in scripts.

use everlog_log_schema::*;

use super::entries::entry;
use super::messages::message;
use super::script::Log;
use super::trees::tree;
use super::words::{Words, pin};
use crate::reads;

impl Log {
    /// Reads one command.
    pub(super) fn command(&mut self, text: &str) -> Command {
        let mut words = Words::of(text);
        let command = match words.next() {
            "announce" => Command::AnnounceOwner(AnnounceOwner {
                address: "here".into(),
                level: Level(words.option("level").unwrap_or(1)),
                partitions: words.option("of").unwrap_or(1),
            }),
            "resign" => Command::Resign,
            "ingest" => Command::Ingest(self.ingest(&mut words)),
            "append" => {
                let (invocation, attempt, row) = self.speaker(&mut words);
                Command::Append(Append {
                    invocation,
                    attempt,
                    first_command: words
                        .option("first")
                        .unwrap_or(row.map_or(1, |row| row.commands)),
                    pin: words.option("pin").map(pin),
                    entries: words.rest().split(", ").map(entry).collect(),
                })
            }
            "suspend" => {
                let (invocation, attempt, row) = self.speaker(&mut words);
                let waiting = match words.option::<String>("until") {
                    Some(text) => tree(&text),
                    None => FutureTree::from(WaitSet {
                        completions: words.list("on").into_iter().map(CompletionId).collect(),
                        signals: words.list("signals"),
                        named_signals: words.list("named"),
                    }),
                };
                Command::Suspend(Suspend {
                    invocation,
                    attempt,
                    waiting,
                    signals_told: words.option("told").unwrap_or(row.map_or(0, |row| row.signals)),
                })
            }
            "fail" => Command::AttemptFailed(self.failure(&mut words)),
            "end" => {
                let (invocation, attempt, _) = self.speaker(&mut words);
                Command::End(End { invocation, attempt })
            }
            "fire" => Command::TimerFired(TimerFired { timer: self.timer(&mut words) }),
            "delivered" => Command::OutboxDelivered(OutboxDelivered {
                to: PartitionId(words.number()),
                up_to: Seq(words.number()),
            }),
            "opened" => Command::CheckpointOpened,
            "checkpointed" => Command::Checkpointed(Checkpointed {
                log: LogOffset(words.number()),
                inbox: InboxOffset(words.number()),
                journal: true,
            }),
            other => panic!("unknown command {other:?}"),
        };
        assert_eq!(words.rest(), "", "left over in {text:?}");
        command
    }

    fn ingest(&mut self, words: &mut Words<'_>) -> Ingest {
        let offset = words.option("at");
        let level = Level(words.option("level").unwrap_or(1));
        let source = words.option("from").map(|partition| Source::Partition {
            partition: PartitionId(partition),
            seq: Seq(words.number()),
        });
        let intake = if words.flag("rejected") {
            Intake::Rejected { source, reason: "unreadable".into() }
        } else {
            Intake::Message(Envelope {
                level,
                metadata: MetadataOffset(0),
                source: source.unwrap_or(Source::Gateway),
                message: message(words),
            })
        };
        self.intake(offset, intake)
    }

    /// Reads whose attempt speaks: by default the current one; with the row.
    fn speaker(&self, words: &mut Words<'_>) -> (InvocationId, AttemptId, Option<InvocationRow>) {
        let id = words.id();
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
        (id, attempt, row)
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
            command_kind: None,
            delay_by_function: words.flag("chosen"),
        };
        AttemptFailed { invocation, attempt, error, then }
    }

    fn timer(&self, words: &mut Words<'_>) -> Timer {
        let (invocation, attempt, _) = self.speaker(words);
        let kind = match words.next() {
            "start" => TimerKind::Start,
            "retry" => TimerKind::Retry,
            "sleep" => TimerKind::Sleep(words.completion()),
            "purge" => TimerKind::Purge,
            "journal" => TimerKind::PurgeJournal,
            "expire" => TimerKind::Expire,
            other => panic!("unknown timer {other:?}"),
        };
        let due = Millis(words.option("at").expect("a timer has a time"));
        Timer { due, invocation, incarnation: attempt.incarnation, kind }
    }
}
