//! Proptest strategies: any value that can be written, for the laws of this crate and of others.
//!
//! Compiled for tests and with the cargo feature `proptest` only. Values are small, so that a
//! failing case can be read; the limits have tests of their own.

#![allow(clippy::wildcard_imports, reason = "it makes a value of nearly every type of the crate")]

mod entry;
mod message;
mod metadata;
mod row;
mod wire;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub use entry::entry;
use entry::{notification_result, outcome, signal_id};
pub use message::{envelope, invoke, message, source};
pub use metadata::metadata_change;
pub use row::{row, row_key};
pub use wire::{member, question, reply};

use crate::*;

/// Any number that an Avro `long` holds: small ones, and those at the limit, more often.
pub fn long() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..200, 1 => 0..=i64::MAX as u64, 1 => Just(i64::MAX as u64)]
}

/// Any text, with zero bytes more often, as row keys escape them.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z]{0,6}", 1 => "[\\x00\\x01a]{0,4}", 1 => "\\PC{0,8}"]
}

/// Any key of an object's state, with zero bytes more often, as row keys escape them.
pub fn state_key() -> impl Strategy<Value = Bytes> {
    let zeros = vec(prop_oneof![Just(0_u8), Just(1), Just(0xFF)], 0..5).prop_map(Bytes::from);
    prop_oneof![bytes(), zeros]
}

/// Any bytes.
pub fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

/// Any invocation id.
pub fn invocation_id() -> impl Strategy<Value = InvocationId> {
    let numbers = prop_oneof![
        (0_u64..4, 0_u128..4),
        (any::<u64>(), any::<u128>()),
        Just((u64::MAX, u128::MAX))
    ];
    numbers.prop_map(|(key, uuid)| InvocationId { partition_key: PartitionKey(key), uuid })
}

fn partition_id() -> impl Strategy<Value = PartitionId> {
    any::<u32>().prop_map(PartitionId)
}

fn request_id() -> impl Strategy<Value = RequestId> {
    any::<u128>().prop_map(RequestId)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    long().prop_map(Incarnation)
}

fn life() -> impl Strategy<Value = Life> {
    (invocation_id(), incarnation())
        .prop_map(|(invocation, incarnation)| Life { invocation, incarnation })
}

fn millis() -> impl Strategy<Value = Millis> {
    long().prop_map(Millis)
}

fn completion_id() -> impl Strategy<Value = CompletionId> {
    any::<u32>().prop_map(CompletionId)
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    vec((text(), text()).prop_map(|(key, value)| Header { key, value }), 0..3)
}

/// Any target.
pub fn target() -> impl Strategy<Value = Target> {
    (text(), option::of(text()), text()).prop_map(|(service, key, handler)| Target {
        service,
        key,
        handler,
    })
}

fn handler_kind() -> impl Strategy<Value = HandlerKind> {
    prop_oneof![
        Just(HandlerKind::Plain),
        Just(HandlerKind::Exclusive),
        Just(HandlerKind::Shared),
        Just(HandlerKind::Workflow),
        Just(HandlerKind::WorkflowShared),
    ]
}

fn retry_policy() -> impl Strategy<Value = RetryPolicy> {
    let then = prop_oneof![Just(OnMaxAttempts::Pause), Just(OnMaxAttempts::Kill)];
    (millis(), any::<u32>(), millis(), option::of(any::<u32>()), then).prop_map(
        |(initial_interval, factor_permille, max_interval, max_attempts, on_max_attempts)| {
            RetryPolicy {
                initial_interval,
                factor_permille,
                max_interval,
                max_attempts,
                on_max_attempts,
            }
        },
    )
}

fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (long(), long(), any::<u32>()).prop_map(|(incarnation, epoch, counter)| AttemptId {
        incarnation: Incarnation(incarnation),
        epoch: Epoch(epoch),
        counter,
    })
}

fn pin() -> impl Strategy<Value = Pin> {
    (text(), any::<u32>()).prop_map(|(deployment, protocol_version)| Pin {
        deployment: DeploymentId(deployment),
        protocol_version,
    })
}

fn wait_set() -> impl Strategy<Value = WaitSet> {
    (vec(completion_id(), 0..4), vec(any::<u32>(), 0..3), vec(text(), 0..3)).prop_map(
        |(completions, signals, named_signals)| WaitSet { completions, signals, named_signals },
    )
}

fn future_tree() -> impl Strategy<Value = FutureTree> {
    let combinator = prop_oneof![
        Just(Combinator::Unknown),
        Just(Combinator::FirstCompleted),
        Just(Combinator::AllCompleted),
        Just(Combinator::FirstSucceededOrAllFailed),
        Just(Combinator::AllSucceededOrFirstFailed),
    ];
    let node = (combinator, wait_set(), 0..3_u32)
        .prop_map(|(combinator, leaves, nested)| FutureNode { combinator, leaves, nested });
    vec(node, 0..4).prop_map(|nodes| FutureTree { nodes })
}

fn attempt_error() -> impl Strategy<Value = AttemptError> {
    let command = (option::of(any::<u32>()), option::of(text()), option::of(any::<u16>()));
    (any::<u32>(), text(), command, any::<bool>()).prop_map(
        |(code, message, (command_index, command_name, command_kind), delay_by_function)| {
            AttemptError {
                code,
                message,
                command_index,
                command_name,
                command_kind,
                delay_by_function,
            }
        },
    )
}

/// Any timer.
pub fn timer() -> impl Strategy<Value = Timer> {
    let kind = prop_oneof![
        Just(TimerKind::Start),
        Just(TimerKind::Retry),
        completion_id().prop_map(TimerKind::Sleep),
        Just(TimerKind::Purge),
        Just(TimerKind::PurgeJournal),
        Just(TimerKind::Expire),
    ];
    (millis(), invocation_id(), long(), kind).prop_map(|(due, invocation, life, kind)| Timer {
        due,
        invocation,
        incarnation: Incarnation(life),
        kind,
    })
}

fn intake() -> impl Strategy<Value = Intake> {
    prop_oneof![
        envelope().prop_map(Intake::Message),
        (option::of(source()), text())
            .prop_map(|(source, reason)| Intake::Rejected { source, reason }),
    ]
}

/// Any command.
pub fn command() -> impl Strategy<Value = Command> {
    let then = prop_oneof![millis().prop_map(Then::RetryAt), Just(Then::Pause), Just(Then::Kill)];
    let who = || (invocation_id(), attempt_id());
    prop_oneof![
        (text(), any::<u32>(), any::<u32>()).prop_map(|(address, level, partitions)| {
            Command::AnnounceOwner(AnnounceOwner { address, level: Level(level), partitions })
        }),
        Just(Command::Resign),
        (long(), intake()).prop_map(|(offset, intake)| {
            Command::Ingest(Ingest { offset: InboxOffset(offset), intake })
        }),
        (who(), any::<u32>(), vec(entry(), 0..4), option::of(pin())).prop_map(
            |((invocation, attempt), first_command, entries, pin)| {
                Command::Append(Append { invocation, attempt, first_command, entries, pin })
            }
        ),
        (who(), future_tree(), any::<u32>()).prop_map(
            |((invocation, attempt), waiting, signals_told)| {
                Command::Suspend(Suspend { invocation, attempt, waiting, signals_told })
            }
        ),
        (who(), attempt_error(), then).prop_map(|((invocation, attempt), error, then)| {
            Command::AttemptFailed(AttemptFailed { invocation, attempt, error, then })
        }),
        who().prop_map(|(invocation, attempt)| Command::End(End { invocation, attempt })),
        timer().prop_map(|timer| Command::TimerFired(TimerFired { timer })),
        (partition_id(), long()).prop_map(|(to, up_to)| {
            Command::OutboxDelivered(OutboxDelivered { to, up_to: Seq(up_to) })
        }),
        Just(Command::CheckpointOpened),
        (long(), long(), any::<bool>()).prop_map(|(log, inbox, journal)| {
            let (log, inbox) = (LogOffset(log), InboxOffset(inbox));
            Command::Checkpointed(Checkpointed { log, inbox, journal })
        }),
    ]
}

prop_compose! {
    /// Any record.
    pub fn record()(
        (epoch, term, seq, now, commands) in (long(), long(), long(), millis(), vec(command(), 0..4))
    ) -> Record {
        Record { epoch: Epoch(epoch), term: Term(term), seq: Seq(seq), now, commands }
    }
}
