//! One value of every kind that is written, with every variant and every optional part at least
//! once present and once absent. The golden files hold their bytes.

use bytes::Bytes;
use everlog_log_schema::metadata::{
    Change, Deployment, Handler, InputRule, MetadataChange, OutputRule, ProtocolMode, Service,
    ServiceKind,
};
use everlog_log_schema::*;

/// A value of one of the kinds.
#[derive(Debug, PartialEq)]
pub(crate) enum Sample {
    Message(Envelope),
    Record(Record),
    MetadataChange(MetadataChange),
    Row(RowKey, Row),
}

/// What level 1 wrote, each with the name of its golden file.
pub(crate) fn level_1() -> Vec<(&'static str, Sample)> {
    let mut all = vec![
        ("message-from-gateway", Sample::Message(envelope(Source::Gateway, full_invoke()))),
        ("message-from-partition", Sample::Message(envelope(partition(), spare_invoke()))),
        ("metadata-register", Sample::MetadataChange(registration())),
    ];
    all.extend(records());
    all.extend(rows());
    all.extend(invocation_rows());
    all
}

fn id() -> InvocationId {
    InvocationId {
        partition_key: PartitionKey(0x0102_0304_0506_0708),
        uuid: 0x1112_1314_1516_1718_191A_1B1C_1D1E_1F20,
    }
}

fn partition() -> Source {
    Source::Partition { partition: PartitionId(23), seq: Seq(1_000_000) }
}

fn envelope(source: Source, invoke: Invoke) -> Envelope {
    Envelope {
        level: Level(1),
        metadata: MetadataOffset(12),
        source,
        message: Message::Invoke(Box::new(invoke)),
    }
}

fn header(key: &str, value: &str) -> Header {
    Header { key: key.into(), value: value.into() }
}

fn retry(max_attempts: Option<u32>, on_max_attempts: OnMaxAttempts) -> RetryPolicy {
    RetryPolicy {
        initial_interval: Millis(500),
        factor_permille: 2_000,
        max_interval: Millis(60_000),
        max_attempts,
        on_max_attempts,
    }
}

fn full_invoke() -> Invoke {
    Invoke {
        id: id(),
        request_id: RequestId(0x2122_2324_2526_2728_292A_2B2C_2D2E_2F30),
        target: Target {
            service: "Cart".into(),
            key: Some("ünïcode-key".into()),
            handler: "checkout".into(),
        },
        kind: HandlerKind::Exclusive,
        headers: vec![header("content-type", "application/json"), header("x-empty", "")],
        body: Bytes::from_static(b"{\"items\":3}"),
        idempotency_key: Some("order-7".into()),
        reply_to: Some("10.0.0.7:9071".into()),
        start_at: Some(Millis(1_767_225_600_123)),
        retention: Millis(86_400_000),
        retry: retry(Some(70), OnMaxAttempts::Pause),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

fn spare_invoke() -> Invoke {
    Invoke {
        id: InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX },
        request_id: RequestId(u128::MAX),
        target: Target { service: "Greeter".into(), key: None, handler: "greet".into() },
        kind: HandlerKind::Plain,
        headers: vec![],
        body: Bytes::new(),
        idempotency_key: None,
        reply_to: None,
        start_at: None,
        retention: Millis(0),
        retry: retry(None, OnMaxAttempts::Kill),
        traceparent: None,
    }
}

fn shared_invoke() -> Invoke {
    Invoke { kind: HandlerKind::Shared, ..spare_invoke() }
}

fn attempt() -> AttemptId {
    AttemptId { incarnation: Incarnation(77), epoch: Epoch(5), counter: 2 }
}

fn failure() -> Failure {
    Failure {
        code: 409,
        message: "card refused".into(),
        metadata: vec![header("bank", "insufficient funds")],
    }
}

fn wait_set() -> WaitSet {
    WaitSet {
        completions: vec![CompletionId(1), CompletionId(300)],
        signals: vec![1, 17],
        named_signals: vec!["approved".into()],
    }
}

fn timers() -> [Timer; 4] {
    let kinds =
        [TimerKind::Start, TimerKind::Retry, TimerKind::Sleep(CompletionId(3)), TimerKind::Purge];
    kinds.map(|kind| Timer {
        due: Millis(1_767_225_600_123),
        invocation: id(),
        incarnation: Incarnation(77),
        kind,
    })
}

fn command(kind: u16, effect: Effect) -> Entry {
    Entry::Command { kind, bytes: Bytes::from_static(&[0x5A, 0x00, 0xFF]), effect }
}

fn notification(id: u32, kind: u16, result: NotificationResult) -> Entry {
    Entry::Notification { id: NotificationId::Completion { id: CompletionId(id), kind }, result }
}

/// Every entry there is, in the form of a journal.
fn entries() -> Vec<Entry> {
    let wake_at = Millis(1_767_225_600_123);
    vec![
        Entry::Input {
            headers: vec![header("content-type", "text/plain")],
            body: Bytes::from_static(b"hello"),
        },
        command(0x0404, Effect::None),
        command(0x0411, Effect::Run { completion: CompletionId(1) }),
        notification(1, 0x8011, NotificationResult::Value(Bytes::from_static(b"42"))),
        command(0x040C, Effect::Sleep { completion: CompletionId(2), wake_at }),
        notification(2, 0x800C, NotificationResult::Void),
        notification(3, 0x8011, NotificationResult::Failure(failure())),
        Entry::Output {
            name: "out".into(),
            outcome: Outcome::Success(Bytes::from_static(b"done")),
        },
        Entry::Output { name: String::new(), outcome: Outcome::Failure(failure()) },
    ]
}

fn pin() -> Pin {
    Pin { deployment: DeploymentId("dp_1a2B3c".into()), protocol_version: 6 }
}

fn full_error() -> AttemptError {
    AttemptError {
        code: 570,
        message: "journal mismatch".into(),
        command_index: Some(4),
        command_name: Some("charge".into()),
        delay_by_function: true,
    }
}

fn spare_error() -> AttemptError {
    AttemptError {
        code: 500,
        message: String::new(),
        command_index: None,
        command_name: None,
        delay_by_function: false,
    }
}

fn record(commands: Vec<Command>) -> Sample {
    Sample::Record(Record {
        epoch: Epoch(5),
        term: Term(0x7FFF_FFFF_FFFF_FFFF),
        seq: Seq(9),
        now: Millis(1_767_225_600_000),
        commands,
    })
}

fn records() -> Vec<(&'static str, Sample)> {
    let announce = AnnounceOwner { address: "10.0.0.4:9072".into(), level: Level(1) };
    let ingest = |offset, intake| Command::Ingest(Ingest { offset: InboxOffset(offset), intake });
    let rejected = |source| Intake::Rejected { source, reason: "no message".into() };
    let append = |first_command, entries, pin| {
        Command::Append(Append {
            invocation: id(),
            attempt: attempt(),
            first_command,
            entries,
            pin,
        })
    };
    let failed = |error, then| {
        let failed = AttemptFailed { invocation: id(), attempt: attempt(), error, then };
        Command::AttemptFailed(failed)
    };
    let suspend =
        |waiting| Command::Suspend(Suspend { invocation: id(), attempt: attempt(), waiting });
    let checkpointed = Checkpointed { log: LogOffset(4_000), inbox: InboxOffset(70) };
    vec![
        ("record-empty", record(vec![])),
        ("record-announce-owner", record(vec![Command::AnnounceOwner(announce)])),
        ("record-resign", record(vec![Command::Resign])),
        (
            "record-ingest",
            record(vec![
                ingest(70, Intake::Message(envelope(Source::Gateway, full_invoke()))),
                ingest(71, Intake::Message(envelope(partition(), shared_invoke()))),
                ingest(72, rejected(None)),
                ingest(73, rejected(Some(Source::Gateway))),
                ingest(74, rejected(Some(partition()))),
            ]),
        ),
        ("record-append", record(vec![append(1, entries(), Some(pin())), append(8, vec![], None)])),
        ("record-suspend", record(vec![suspend(wait_set()), suspend(WaitSet::default())])),
        (
            "record-attempt-failed",
            record(vec![
                failed(full_error(), Then::RetryAt(Millis(1_767_225_600_500))),
                failed(spare_error(), Then::Pause),
                failed(spare_error(), Then::Kill),
            ]),
        ),
        ("record-end", record(vec![Command::End(End { invocation: id(), attempt: attempt() })])),
        (
            "record-timer-fired",
            record(timers().map(|timer| Command::TimerFired(TimerFired { timer })).to_vec()),
        ),
        (
            "record-checkpoint",
            record(vec![Command::CheckpointOpened, Command::Checkpointed(checkpointed)]),
        ),
    ]
}

fn rows() -> Vec<(&'static str, Sample)> {
    let partition = PartitionRow {
        epoch: Epoch(5),
        term: Term(99),
        next_seq: Seq(10),
        closed: true,
        level: Level(1),
        address: "10.0.0.4:9072".into(),
        next_inbox: InboxOffset(75),
        now: Millis(1_767_225_600_000),
        next_log: LogOffset(4_001),
        last_hash: 0xFEDC_BA98_7654_3210,
    };
    let lock = LockRow { holder: id(), first_place: 3, next_place: 8 };
    let (service, key) = (String::from("Cart"), String::from("zero\0within"));
    let sleep = OpenKind::Sleep { wake_at: Millis(1_767_225_600_123) };
    let open = |number, kind| {
        Sample::Row(RowKey::Open(id(), CompletionId(number)), Row::Open(OpenRow { kind }))
    };
    let journal = [
        "row-journal-input",
        "row-journal-command",
        "row-journal-run",
        "row-journal-value",
        "row-journal-sleep",
        "row-journal-void",
        "row-journal-failure",
        "row-journal-output",
        "row-journal-output-failure",
    ];
    let timer = ["row-timer-start", "row-timer-retry", "row-timer-sleep", "row-timer-purge"];
    let mut rows = vec![
        ("row-partition", Sample::Row(RowKey::Partition, Row::Partition(partition))),
        ("row-open-run", open(1, OpenKind::Run)),
        ("row-open-sleep", open(2, sleep)),
        ("row-running", Sample::Row(RowKey::Running(id()), Row::Running)),
        (
            "row-lock",
            Sample::Row(
                RowKey::Lock { service: service.clone(), key: key.clone() },
                Row::Lock(lock),
            ),
        ),
        ("row-queue", Sample::Row(RowKey::Queue { service, key, place: 7 }, Row::Queue(id()))),
        ("row-sender", Sample::Row(RowKey::Sender(PartitionId(23)), Row::Sender(Seq(1_000_000)))),
    ];
    for (index, (name, entry)) in (0..).zip(journal.into_iter().zip(entries())) {
        rows.push((name, Sample::Row(RowKey::Journal(id(), index), Row::Journal(entry))));
    }
    for (name, key) in timer.into_iter().zip(timers()) {
        rows.push((name, Sample::Row(RowKey::Timer(key), Row::Timer)));
    }
    rows
}

fn invocation_rows() -> Vec<(&'static str, Sample)> {
    let spare = || InvocationRow {
        incarnation: Incarnation(77),
        request_id: spare_invoke().request_id,
        target: spare_invoke().target,
        kind: HandlerKind::Plain,
        idempotency_key: None,
        retention: Millis(600_000),
        retry: retry(None, OnMaxAttempts::Kill),
        traceparent: None,
        created_at: Millis(1_767_225_600_000),
        status: Status::Running,
        attempt_epoch: Epoch(5),
        attempt_counter: 0,
        pin: None,
        entries: 1,
        commands: 1,
        journal_bytes: 13,
        has_output: false,
        policy_attempts: 0,
        failures_since_progress: 0,
        progress_at: Millis(1_767_225_600_000),
        last_error: None,
    };
    let full = InvocationRow {
        target: full_invoke().target,
        kind: HandlerKind::Exclusive,
        idempotency_key: full_invoke().idempotency_key,
        retry: full_invoke().retry,
        traceparent: full_invoke().traceparent,
        status: Status::BackingOff { until: Millis(1_767_225_600_500) },
        attempt_counter: 2,
        pin: Some(pin()),
        entries: 9,
        commands: 5,
        journal_bytes: 134_217_728,
        has_output: true,
        policy_attempts: 3,
        failures_since_progress: 2,
        last_error: Some(full_error()),
        ..spare()
    };
    let with = |status| InvocationRow { status, ..spare() };
    let rows = [
        ("row-invocation-backing-off", full),
        ("row-invocation-scheduled", with(Status::Scheduled)),
        ("row-invocation-pending", with(Status::Pending)),
        ("row-invocation-running", with(Status::Running)),
        ("row-invocation-suspended", with(Status::Suspended(wait_set()))),
        ("row-invocation-paused", with(Status::Paused)),
        ("row-invocation-completed", with(Status::Completed { at: Millis(1_767_225_601_000) })),
    ];
    rows.map(|(name, row)| {
        (name, Sample::Row(RowKey::Invocation(id()), Row::Invocation(Box::new(row))))
    })
    .into()
}

fn registration() -> MetadataChange {
    let handler = |name: &str, kind| Handler {
        name: name.into(),
        kind,
        ingress_private: true,
        input: InputRule {
            required: true,
            content_type: Some("application/json".into()),
            json_schema: Some("{\"type\":\"object\"}".into()),
        },
        output: OutputRule {
            content_type: Some("application/json".into()),
            set_content_type_if_empty: true,
            json_schema: Some("{}".into()),
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: Some(Millis(600_000)),
        inactivity_timeout: Some(Millis(60_000)),
        abort_timeout: Some(Millis(600_000)),
        retry: retry(Some(70), OnMaxAttempts::Pause),
        documentation: Some("Pays.".into()),
    };
    let spare = Handler {
        ingress_private: false,
        input: InputRule { required: false, content_type: None, json_schema: None },
        output: OutputRule {
            content_type: None,
            set_content_type_if_empty: false,
            json_schema: None,
        },
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        documentation: None,
        ..handler("greet", HandlerKind::Plain)
    };
    let object = Service {
        name: "Cart".into(),
        kind: ServiceKind::VirtualObject,
        ingress_private: true,
        documentation: Some("A cart.".into()),
        metadata: vec![header("team", "shop")],
        handlers: vec![
            handler("checkout", HandlerKind::Exclusive),
            handler("peek", HandlerKind::Shared),
        ],
    };
    let plain = Service {
        name: "Greeter".into(),
        kind: ServiceKind::Service,
        ingress_private: false,
        documentation: None,
        metadata: vec![],
        handlers: vec![spare],
    };
    MetadataChange {
        replaces: MetadataOffset(11),
        change: Change::RegisterDeployment(Deployment {
            id: DeploymentId("dp_1a2B3c".into()),
            uri: "http://127.0.0.1:9080".into(),
            headers: vec![header("authorization", "Bearer token")],
            mode: ProtocolMode::BidiStream,
            use_http_11: false,
            min_protocol_version: 5,
            max_protocol_version: 6,
            sdk: Some("restate-sdk-rust/0.13.0".into()),
            created_at: Millis(1_767_225_600_000),
            services: vec![object, plain],
        }),
    }
}
