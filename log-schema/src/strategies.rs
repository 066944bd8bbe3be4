//! Proptest strategies: any value that can be written, for the laws of this crate and of others.
//!
//! Compiled for tests and with the cargo feature `proptest` only. Values are small, so that a
//! failing case can be read; the limits have tests of their own.

#![allow(clippy::wildcard_imports, reason = "it makes a value of nearly every type of the crate")]

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::metadata::{
    Change, Deployment, Handler, InputRule, MetadataChange, OutputRule, ProtocolMode, Service,
    ServiceKind,
};
use crate::*;

/// Any number that an Avro `long` holds: small ones, and those at the limit, more often.
pub fn long() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..200, 1 => 0..=i64::MAX as u64, 1 => Just(i64::MAX as u64)]
}

/// Any text, with zero bytes more often, as row keys escape them.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z]{0,6}", 1 => "[\\x00\\x01a]{0,4}", 1 => "\\PC{0,8}"]
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
    prop_oneof![Just(HandlerKind::Plain), Just(HandlerKind::Exclusive), Just(HandlerKind::Shared)]
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

prop_compose! {
    /// Any call.
    pub fn invoke()(
        (id, request_id, target, kind) in
            (invocation_id(), any::<u128>().prop_map(RequestId), target(), handler_kind()),
        (headers, body, idempotency_key) in (headers(), bytes(), option::of(text())),
        (reply_to, start_at) in (option::of(text()), option::of(millis())),
        (retention, retry, traceparent) in (millis(), retry_policy(), option::of(text())),
    ) -> Invoke {
        Invoke {
            id, request_id, target, kind, headers, body, idempotency_key, reply_to, start_at,
            retention, retry, traceparent,
        }
    }
}

/// Any sender.
pub fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Gateway),
        (any::<u32>(), long())
            .prop_map(|(p, s)| Source::Partition { partition: PartitionId(p), seq: Seq(s) }),
    ]
}

prop_compose! {
    /// Any message of a known level.
    pub fn envelope()(
        (metadata, source, invoke) in (long(), source(), invoke())
    ) -> Envelope {
        Envelope {
            level: codec::LEVEL_MAX,
            metadata: MetadataOffset(metadata),
            source,
            message: Message::Invoke(Box::new(invoke)),
        }
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    (any::<u32>(), text(), headers()).prop_map(|(code, message, metadata)| Failure {
        code,
        message,
        metadata,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![bytes().prop_map(Outcome::Success), failure().prop_map(Outcome::Failure)]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::None),
        completion_id().prop_map(|completion| Effect::Run { completion }),
        (completion_id(), millis())
            .prop_map(|(completion, wake_at)| Effect::Sleep { completion, wake_at }),
    ]
}

/// Any journal entry.
pub fn entry() -> impl Strategy<Value = Entry> {
    let result = prop_oneof![
        Just(NotificationResult::Void),
        bytes().prop_map(NotificationResult::Value),
        failure().prop_map(NotificationResult::Failure),
    ];
    prop_oneof![
        (headers(), bytes()).prop_map(|(headers, body)| Entry::Input { headers, body }),
        (any::<u16>(), bytes(), effect()).prop_map(|(kind, bytes, effect)| Entry::Command {
            kind,
            bytes,
            effect
        }),
        (text(), outcome()).prop_map(|(name, outcome)| Entry::Output { name, outcome }),
        (completion_id(), any::<u16>(), result).prop_map(|(id, kind, result)| {
            Entry::Notification { id: NotificationId::Completion { id, kind }, result }
        }),
    ]
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

fn attempt_error() -> impl Strategy<Value = AttemptError> {
    (any::<u32>(), text(), option::of(any::<u32>()), option::of(text()), any::<bool>()).prop_map(
        |(code, message, command_index, command_name, delay_by_function)| AttemptError {
            code,
            message,
            command_index,
            command_name,
            delay_by_function,
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
        (text(), any::<u32>()).prop_map(|(address, level)| {
            Command::AnnounceOwner(AnnounceOwner { address, level: Level(level) })
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
        (who(), wait_set()).prop_map(|((invocation, attempt), waiting)| {
            Command::Suspend(Suspend { invocation, attempt, waiting })
        }),
        (who(), attempt_error(), then).prop_map(|((invocation, attempt), error, then)| {
            Command::AttemptFailed(AttemptFailed { invocation, attempt, error, then })
        }),
        who().prop_map(|(invocation, attempt)| Command::End(End { invocation, attempt })),
        timer().prop_map(|timer| Command::TimerFired(TimerFired { timer })),
        Just(Command::CheckpointOpened),
        (long(), long()).prop_map(|(log, inbox)| {
            Command::Checkpointed(Checkpointed { log: LogOffset(log), inbox: InboxOffset(inbox) })
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

/// Any row key.
pub fn row_key() -> impl Strategy<Value = RowKey> {
    prop_oneof![
        Just(RowKey::Partition),
        invocation_id().prop_map(RowKey::Invocation),
        (invocation_id(), any::<u32>()).prop_map(|(id, index)| RowKey::Journal(id, index)),
        (invocation_id(), completion_id()).prop_map(|(id, open)| RowKey::Open(id, open)),
        invocation_id().prop_map(RowKey::Running),
        timer().prop_map(RowKey::Timer),
        (text(), text()).prop_map(|(service, key)| RowKey::Lock { service, key }),
        (text(), text(), any::<u64>()).prop_map(|(service, key, place)| RowKey::Queue {
            service,
            key,
            place
        }),
        any::<u32>().prop_map(|id| RowKey::Sender(PartitionId(id))),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Scheduled),
        Just(Status::Pending),
        Just(Status::Running),
        wait_set().prop_map(Status::Suspended),
        millis().prop_map(|until| Status::BackingOff { until }),
        Just(Status::Paused),
        millis().prop_map(|at| Status::Completed { at }),
    ]
}

prop_compose! {
    fn partition_row()(
        (epoch, term, next_seq, closed) in (long(), long(), long(), any::<bool>()),
        (level, address, next_inbox) in (any::<u32>(), text(), long()),
        (now, next_log, last_hash) in (millis(), long(), any::<u64>()),
    ) -> PartitionRow {
        PartitionRow {
            epoch: Epoch(epoch), term: Term(term), next_seq: Seq(next_seq), closed,
            level: Level(level), address, next_inbox: InboxOffset(next_inbox), now,
            next_log: LogOffset(next_log), last_hash,
        }
    }
}

prop_compose! {
    fn invocation_row()(
        call in invoke(),
        (incarnation, created_at, status, pin) in
            (long(), millis(), status(), option::of(pin())),
        (attempt_epoch, attempt_counter) in (long(), any::<u32>()),
        (entries, commands, policy_attempts, failures_since_progress) in
            any::<(u32, u32, u32, u32)>(),
        (journal_bytes, has_output) in (long(), any::<bool>()),
        (progress_at, last_error) in (millis(), option::of(attempt_error())),
    ) -> InvocationRow {
        InvocationRow {
            incarnation: Incarnation(incarnation), request_id: call.request_id,
            target: call.target, kind: call.kind, idempotency_key: call.idempotency_key,
            retention: call.retention, retry: call.retry, traceparent: call.traceparent,
            created_at, status, attempt_epoch: Epoch(attempt_epoch), attempt_counter, pin,
            entries, commands, journal_bytes, has_output, policy_attempts, failures_since_progress, progress_at, last_error,
        }
    }
}

/// Any row, with its key.
pub fn row() -> impl Strategy<Value = (RowKey, Row)> {
    let lock = || (invocation_id(), long(), long());
    row_key().prop_flat_map(move |key| {
        let row = match &key {
            RowKey::Partition => partition_row().prop_map(Row::Partition).boxed(),
            RowKey::Invocation(_) => {
                invocation_row().prop_map(|row| Row::Invocation(Box::new(row))).boxed()
            }
            RowKey::Journal(..) => entry().prop_map(Row::Journal).boxed(),
            RowKey::Open(..) => prop_oneof![
                Just(OpenKind::Run),
                millis().prop_map(|wake_at| OpenKind::Sleep { wake_at })
            ]
            .prop_map(|kind| Row::Open(OpenRow { kind }))
            .boxed(),
            RowKey::Running(_) => Just(Row::Running).boxed(),
            RowKey::Timer(_) => Just(Row::Timer).boxed(),
            RowKey::Lock { .. } => lock()
                .prop_map(|(holder, first_place, next_place)| {
                    Row::Lock(LockRow { holder, first_place, next_place })
                })
                .boxed(),
            RowKey::Queue { .. } => invocation_id().prop_map(Row::Queue).boxed(),
            RowKey::Sender(_) => long().prop_map(|seq| Row::Sender(Seq(seq))).boxed(),
        };
        (Just(key), row)
    })
}

prop_compose! {
    fn handler()(
        (name, kind, ingress_private) in (text(), handler_kind(), any::<bool>()),
        (required, input_type, input_schema) in
            (any::<bool>(), option::of(text()), option::of(text())),
        (output_type, set_content_type_if_empty, output_schema) in
            (option::of(text()), any::<bool>(), option::of(text())),
        (idempotency_retention, journal_retention) in (millis(), option::of(millis())),
        (inactivity_timeout, abort_timeout) in (option::of(millis()), option::of(millis())),
        (retry, documentation) in (retry_policy(), option::of(text())),
    ) -> Handler {
        Handler {
            name, kind, ingress_private,
            input: InputRule { required, content_type: input_type, json_schema: input_schema },
            output: OutputRule {
                content_type: output_type, set_content_type_if_empty, json_schema: output_schema,
            },
            idempotency_retention, journal_retention, inactivity_timeout, abort_timeout, retry,
            documentation,
        }
    }
}

prop_compose! {
    fn service()(
        name in text(),
        kind in prop_oneof![Just(ServiceKind::Service), Just(ServiceKind::VirtualObject)],
        (ingress_private, documentation) in (any::<bool>(), option::of(text())),
        (metadata, handlers) in (headers(), vec(handler(), 0..3)),
    ) -> Service {
        Service { name, kind, ingress_private, documentation, metadata, handlers }
    }
}

prop_compose! {
    /// Any change of metadata.
    pub fn metadata_change()(
        (replaces, id, uri, headers) in (long(), text(), text(), headers()),
        mode in prop_oneof![Just(ProtocolMode::BidiStream), Just(ProtocolMode::RequestResponse)],
        (use_http_11, min_protocol_version, max_protocol_version) in any::<(bool, u32, u32)>(),
        (sdk, created_at, services) in (option::of(text()), millis(), vec(service(), 0..3)),
    ) -> MetadataChange {
        MetadataChange {
            replaces: MetadataOffset(replaces),
            change: Change::RegisterDeployment(Deployment {
                id: DeploymentId(id), uri, headers, mode, use_http_11, min_protocol_version,
                max_protocol_version, sdk, created_at, services,
            }),
        }
    }
}
