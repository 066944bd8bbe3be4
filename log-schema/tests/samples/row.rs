//! Rows: every kind of key and value.

use bytes::Bytes;
use everlog_log_schema::*;

use super::entry::entries;
use super::message::{full_invoke, messages, spare_invoke};
use super::{failure, full_error, future_tree, id, life, pin, retry, timers};

/// Every row, with its key and a name of its own.
pub(super) fn rows() -> Vec<(String, RowKey, Row)> {
    let mut rows = Vec::new();
    for (name, key, row) in single_rows().into_iter().chain(promise_rows()) {
        rows.push((name.to_owned(), key, row));
    }
    for (name, row) in invocation_rows() {
        let row = Row::Invocation(Box::new(row));
        rows.push((format!("invocation-{name}"), RowKey::Invocation(id()), row));
    }
    for (index, (name, row)) in (0..).zip(journal()) {
        rows.push((format!("journal-{name}"), RowKey::Journal(id(), index), Row::Journal(row)));
    }
    for (number, (name, kind)) in (1..).zip(open_kinds()) {
        let key = RowKey::Open(id(), CompletionId(number));
        rows.push((format!("open-{name}"), key, Row::Open(OpenRow { kind })));
    }
    for (name, timer) in
        ["start", "retry", "sleep", "purge", "purge-journal", "expire"].into_iter().zip(timers())
    {
        rows.push((format!("timer-{name}"), RowKey::Timer(timer), Row::Timer));
    }
    for (seq, (name, message)) in (1_000_000..).zip(messages()) {
        let row = OutboxRow { metadata: MetadataOffset(12), message };
        let key = RowKey::Outbox(PartitionId(23), Seq(seq));
        rows.push((format!("outbox-{name}"), key, Row::Outbox(Box::new(row))));
    }
    rows
}

fn single_rows() -> Vec<(&'static str, RowKey, Row)> {
    let (service, key) = (|| String::from("Cart"), || String::from("zero\0within"));
    let name = Bytes::from_static(b"a\0\xFF");
    let state = RowKey::State { service: service(), key: key(), name };
    let value = Bytes::from_static(b"{\"items\":3}");
    let packed = Row::Packed(journal().into_iter().map(|(_, row)| row).collect());
    let posted = OutboxPlace { to: PartitionId(23), seq: Seq(1_000_001) };
    vec![
        ("partition", RowKey::Partition, Row::Partition(partition())),
        (
            "partition-owing",
            RowKey::Partition,
            Row::Partition(PartitionRow { room_behind: Some(posted), ..partition() }),
        ),
        ("running", RowKey::Running(id()), Row::Running),
        (
            "lock",
            RowKey::Lock { service: service(), key: key() },
            Row::Lock(LockRow { holder: id(), first_place: 3, next_place: 8 }),
        ),
        ("queue", RowKey::Queue { service: service(), key: key(), place: 7 }, Row::Queue(id())),
        ("sender", RowKey::Sender(PartitionId(23)), Row::Sender(Seq(1_000_000))),
        ("packed", RowKey::Packed(id(), 0), packed),
        ("packed-empty", RowKey::Packed(id(), 300), Row::Packed(vec![])),
        (
            "object",
            RowKey::Object { service: service(), key: key() },
            Row::Object(ObjectRow { keys: 3, promises: 1, bytes: 268_435_456, expiry: None }),
        ),
        (
            "object-expiring",
            RowKey::Object { service: service(), key: key() },
            Row::Object(ObjectRow { keys: 3, promises: 0, bytes: 20, expiry: Some(expiry()) }),
        ),
        (
            "expiring",
            RowKey::Expiring(id()),
            Row::Expiring(ExpiringRow { service: service(), key: key() }),
        ),
        ("state", state.clone(), Row::State(value)),
        ("state-empty", state, Row::State(Bytes::new())),
        (
            "sent",
            RowKey::Sent(PartitionId(23)),
            Row::Sent(SentRow { last: Seq(1_000_001), delivered: Seq(999_999) }),
        ),
        ("waiting", RowKey::Waiting(id(), life(), CompletionId(4)), Row::Waiting),
        ("owing", RowKey::Owing(id()), Row::Owing(Owed::Invocation)),
    ]
}

fn expiry() -> Expiry {
    Expiry {
        ttl: Millis(2_592_000_000),
        written_at: Millis(1_767_225_600_123),
        timer: Millis(1_769_817_600_000),
    }
}

fn promise_rows() -> Vec<(&'static str, RowKey, Row)> {
    let (service, key, name) = (|| "Order".into(), || "o\0 7".into(), || "paid".into());
    let promise = || RowKey::Promise { service: service(), key: key(), name: name() };
    let value = Outcome::Success(Bytes::from_static(b"true"));
    let owed = Owed::Promise { service: service(), key: key(), name: name() };
    vec![
        ("promise", promise(), Row::Promise(value)),
        ("promise-failure", promise(), Row::Promise(Outcome::Failure(failure()))),
        ("owing-promise", RowKey::Owing(id()), Row::Owing(owed)),
    ]
}

fn partition() -> PartitionRow {
    PartitionRow {
        epoch: Epoch(5),
        term: Term(99),
        next_seq: Seq(10),
        closed: true,
        level: Level(1),
        partitions: 24,
        address: "10.0.0.4:9072".into(),
        next_inbox: InboxOffset(75),
        now: Millis(1_767_225_600_000),
        next_log: LogOffset(4_001),
        last_hash: 0xFEDC_BA98_7654_3210,
        room_behind: None,
    }
}

pub(super) fn journal() -> Vec<(String, JournalRow)> {
    let row = |entry| JournalRow { at: Millis(1_767_225_600_123), attempts: 300, entry };
    entries().into_iter().map(|(name, entry)| (name, row(entry))).collect()
}

fn open_kinds() -> [(&'static str, OpenKind); 6] {
    let target = life().invocation;
    [
        ("run", OpenKind::Run),
        ("sleep", OpenKind::Sleep { wake_at: Millis(1_767_225_600_123) }),
        ("call", OpenKind::Call { callee: target }),
        ("attach", OpenKind::Attach { target }),
        ("output", OpenKind::Output { target }),
        ("promise", OpenKind::Promise { name: "paid".into() }),
    ]
}

pub(super) fn invocation_rows() -> Vec<(&'static str, InvocationRow)> {
    let spare = || InvocationRow {
        incarnation: Incarnation(77),
        request_id: spare_invoke().request_id,
        target: spare_invoke().target,
        kind: HandlerKind::Plain,
        idempotency_key: None,
        scope: None,
        limit_key: None,
        retention: Millis(600_000),
        journal_retention: None,
        state_ttl: None,
        retry: retry(None, OnMaxAttempts::Kill),
        traceparent: None,
        caller: None,
        restarted_from: None,
        created_at: Millis(1_767_225_600_000),
        modified_at: Millis(1_767_225_600_250),
        status: Status::Running,
        attempt_epoch: Epoch(5),
        attempt_counter: 0,
        attempts: 1,
        pin: None,
        entries: 1,
        commands: 1,
        signals: 0,
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
        scope: full_invoke().scope,
        limit_key: full_invoke().limit_key,
        journal_retention: full_invoke().journal_retention,
        state_ttl: full_invoke().state_ttl,
        retry: full_invoke().retry,
        traceparent: full_invoke().traceparent,
        caller: full_invoke().caller,
        restarted_from: Some(spare_invoke().id),
        status: Status::BackingOff { until: Millis(1_767_225_600_500) },
        attempt_counter: 2,
        attempts: 4,
        pin: Some(pin()),
        entries: 9,
        commands: 5,
        signals: 2,
        journal_bytes: 134_217_728,
        has_output: true,
        policy_attempts: 3,
        failures_since_progress: 2,
        last_error: Some(full_error()),
        ..spare()
    };
    let with = |status| InvocationRow { status, ..spare() };
    vec![
        ("backing-off", full),
        ("scheduled", with(Status::Scheduled { at: Millis(1_767_225_601_000) })),
        ("pending", with(Status::Pending { place: 7 })),
        ("running", with(Status::Running)),
        ("suspended", with(Status::Suspended(future_tree()))),
        ("paused", with(Status::Paused)),
        (
            "completed",
            with(Status::Completed { at: Millis(1_767_225_601_000), parts: 2, expired: false }),
        ),
    ]
}

pub(super) fn checkpoint() -> CheckpointRow {
    CheckpointRow {
        log: LogOffset(1_000_001),
        inbox: InboxOffset(70),
        epoch: Epoch(3),
        at: Millis(1_700_000_000_000),
    }
}
