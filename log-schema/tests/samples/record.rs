//! Records: every command.

use everlog_log_schema::*;

use super::entry::entries;
use super::message::envelopes;
use super::{Sample, attempt, full_error, future_tree, id, pin, timers, wait_set};

/// The record that holds these commands.
pub(super) fn record(commands: Vec<Command>) -> Sample {
    Sample::Record(Record {
        epoch: Epoch(5),
        term: Term(0x7FFF_FFFF_FFFF_FFFF),
        seq: Seq(9),
        now: Millis(1_767_225_600_000),
        commands,
    })
}

/// Commands of every kind, by kind.
pub(super) fn records() -> Vec<(&'static str, Vec<Command>)> {
    let announce =
        AnnounceOwner { address: "10.0.0.4:9072".into(), level: Level(1), partitions: 24 };
    let (invocation, attempt) = (id(), attempt());
    let journal = entries().into_iter().map(|(_, entry)| entry).collect();
    let append = |first_command, entries, pin| {
        Command::Append(Append { invocation, attempt, first_command, entries, pin })
    };
    let suspend = |waiting, signals_told| {
        Command::Suspend(Suspend { invocation, attempt, waiting, signals_told })
    };
    let failed =
        |error, then| Command::AttemptFailed(AttemptFailed { invocation, attempt, error, then });
    let delivered = OutboxDelivered { to: PartitionId(23), up_to: Seq(1_000_000) };
    let checkpointed =
        Checkpointed { log: LogOffset(4_000), inbox: InboxOffset(70), journal: true };
    vec![
        ("empty", vec![]),
        ("announce-owner", vec![Command::AnnounceOwner(announce)]),
        ("resign", vec![Command::Resign]),
        ("ingest", intakes()),
        ("append", vec![append(1, journal, Some(pin())), append(17, vec![], None)]),
        (
            "suspend",
            vec![
                suspend(future_tree(), 300),
                suspend(wait_set().into(), 1),
                suspend(FutureTree::default(), 0),
            ],
        ),
        (
            "attempt-failed",
            vec![
                failed(full_error(), Then::RetryAt(Millis(1_767_225_600_500))),
                failed(spare_error(), Then::Pause),
                failed(spare_error(), Then::Kill),
            ],
        ),
        ("end", vec![Command::End(End { invocation, attempt })]),
        ("timer-fired", timers().map(|timer| Command::TimerFired(TimerFired { timer })).to_vec()),
        ("outbox-delivered", vec![Command::OutboxDelivered(delivered)]),
        ("checkpoint", vec![Command::CheckpointOpened, Command::Checkpointed(checkpointed)]),
    ]
}

fn intakes() -> Vec<Command> {
    let envelopes: Vec<_> = envelopes().into_iter().map(|(_, envelope)| envelope).collect();
    let senders = [None, Some(envelopes[0].source), Some(envelopes[1].source)];
    let rejected = |source| Intake::Rejected { source, reason: "no message".into() };
    let intakes =
        envelopes.into_iter().map(Intake::Message).chain(senders.into_iter().map(rejected));
    let ingest = |(offset, intake)| Command::Ingest(Ingest { offset: InboxOffset(offset), intake });
    (70..).zip(intakes).map(ingest).collect()
}

fn spare_error() -> AttemptError {
    AttemptError {
        code: 500,
        message: String::new(),
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    }
}
