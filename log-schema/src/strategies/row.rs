//! Any row, and any key of one.

use super::*;

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
        partition_id().prop_map(RowKey::Sender),
        (invocation_id(), any::<u32>()).prop_map(|(id, part)| RowKey::Packed(id, part)),
        (text(), text()).prop_map(|(service, key)| RowKey::Object { service, key }),
        (text(), text(), state_key()).prop_map(|(service, key, name)| RowKey::State {
            service,
            key,
            name
        }),
        (partition_id(), any::<u64>()).prop_map(|(to, seq)| RowKey::Outbox(to, Seq(seq))),
        partition_id().prop_map(RowKey::Sent),
        (invocation_id(), life(), completion_id())
            .prop_map(|(id, caller, completion)| RowKey::Waiting(id, caller, completion)),
        invocation_id().prop_map(RowKey::Owing),
        invocation_id().prop_map(RowKey::Expiring),
        (text(), text(), text()).prop_map(|(service, key, name)| RowKey::Promise {
            service,
            key,
            name
        }),
    ]
}

pub(super) fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        millis().prop_map(|at| Status::Scheduled { at }),
        long().prop_map(|place| Status::Pending { place }),
        Just(Status::Running),
        future_tree().prop_map(Status::Suspended),
        millis().prop_map(|until| Status::BackingOff { until }),
        Just(Status::Paused),
        (millis(), any::<u32>(), any::<bool>())
            .prop_map(|(at, parts, expired)| Status::Completed { at, parts, expired }),
    ]
}

prop_compose! {
    fn partition_row()(
        (epoch, term, next_seq, closed) in (long(), long(), long(), any::<bool>()),
        (level, partitions, address, next_inbox) in (any::<u32>(), any::<u32>(), text(), long()),
        (now, next_log, last_hash) in (millis(), long(), any::<u64>()),
        room_behind in option::of(outbox_place()),
    ) -> PartitionRow {
        PartitionRow {
            epoch: Epoch(epoch), term: Term(term), next_seq: Seq(next_seq), closed,
            level: Level(level), partitions, address, next_inbox: InboxOffset(next_inbox), now,
            next_log: LogOffset(next_log), last_hash, room_behind,
        }
    }
}

fn outbox_place() -> impl Strategy<Value = OutboxPlace> {
    (partition_id(), long()).prop_map(|(to, seq)| OutboxPlace { to, seq: Seq(seq) })
}

prop_compose! {
    pub(super) fn invocation_row()(
        call in invoke(),
        (incarnation, created_at, modified_at, status, pin) in
            (incarnation(), millis(), millis(), status(), option::of(pin())),
        (attempt_epoch, attempt_counter, attempts) in (long(), any::<u32>(), any::<u32>()),
        (entries, commands, signals, policy_attempts, failures_since_progress) in
            any::<(u32, u32, u32, u32, u32)>(),
        (journal_bytes, has_output) in (long(), any::<bool>()),
        (progress_at, last_error, restarted_from) in
            (millis(), option::of(attempt_error()), option::of(invocation_id())),
    ) -> InvocationRow {
        InvocationRow {
            incarnation, request_id: call.request_id,
            target: call.target, kind: call.kind, idempotency_key: call.idempotency_key,
            scope: call.scope, limit_key: call.limit_key, retention: call.retention,
            journal_retention: call.journal_retention, state_ttl: call.state_ttl,
            retry: call.retry, traceparent: call.traceparent,
            caller: call.caller, restarted_from, created_at, modified_at, status,
            attempt_epoch: Epoch(attempt_epoch), attempt_counter, attempts, pin, entries, commands,
            signals, journal_bytes, has_output, policy_attempts, failures_since_progress,
            progress_at, last_error,
        }
    }
}

pub(super) fn journal_row() -> impl Strategy<Value = JournalRow> {
    (millis(), any::<u32>(), entry()).prop_map(|(at, attempts, entry)| JournalRow {
        at,
        attempts,
        entry,
    })
}

fn open_row() -> impl Strategy<Value = OpenRow> {
    let kind = prop_oneof![
        Just(OpenKind::Run),
        millis().prop_map(|wake_at| OpenKind::Sleep { wake_at }),
        invocation_id().prop_map(|callee| OpenKind::Call { callee }),
        invocation_id().prop_map(|target| OpenKind::Attach { target }),
        invocation_id().prop_map(|target| OpenKind::Output { target }),
        text().prop_map(|name| OpenKind::Promise { name }),
    ];
    kind.prop_map(|kind| OpenRow { kind })
}

fn object_row() -> impl Strategy<Value = ObjectRow> {
    let expiry = (millis(), millis(), millis()).prop_map(|(ttl, written_at, timer)| Expiry {
        ttl,
        written_at,
        timer,
    });
    (any::<u32>(), any::<u32>(), long(), option::of(expiry))
        .prop_map(|(keys, promises, bytes, expiry)| ObjectRow { keys, promises, bytes, expiry })
}

fn owed() -> impl Strategy<Value = Owed> {
    prop_oneof![
        Just(Owed::Invocation),
        (text(), text(), text()).prop_map(|(service, key, name)| Owed::Promise {
            service,
            key,
            name
        }),
    ]
}

fn lock_row() -> impl Strategy<Value = LockRow> {
    (invocation_id(), long(), long()).prop_map(|(holder, first_place, next_place)| LockRow {
        holder,
        first_place,
        next_place,
    })
}

fn outbox_row() -> impl Strategy<Value = OutboxRow> {
    (long(), message())
        .prop_map(|(metadata, message)| OutboxRow { metadata: MetadataOffset(metadata), message })
}

/// Any row, with its key.
pub fn row() -> impl Strategy<Value = (RowKey, Row)> {
    row_key().prop_flat_map(move |key| {
        let row = match &key {
            RowKey::Partition => partition_row().prop_map(Row::Partition).boxed(),
            RowKey::Invocation(_) => {
                invocation_row().prop_map(|row| Row::Invocation(Box::new(row))).boxed()
            }
            RowKey::Journal(..) => journal_row().prop_map(Row::Journal).boxed(),
            RowKey::Open(..) => open_row().prop_map(Row::Open).boxed(),
            RowKey::Running(_) => Just(Row::Running).boxed(),
            RowKey::Timer(_) => Just(Row::Timer).boxed(),
            RowKey::Lock { .. } => lock_row().prop_map(Row::Lock).boxed(),
            RowKey::Queue { .. } => invocation_id().prop_map(Row::Queue).boxed(),
            RowKey::Sender(_) => long().prop_map(|seq| Row::Sender(Seq(seq))).boxed(),
            RowKey::Packed(..) => vec(journal_row(), 0..4).prop_map(Row::Packed).boxed(),
            RowKey::Object { .. } => object_row().prop_map(Row::Object).boxed(),
            RowKey::State { .. } => bytes().prop_map(Row::State).boxed(),
            RowKey::Outbox(..) => outbox_row().prop_map(|row| Row::Outbox(Box::new(row))).boxed(),
            RowKey::Sent(_) => (long(), long())
                .prop_map(|(last, delivered)| {
                    Row::Sent(SentRow { last: Seq(last), delivered: Seq(delivered) })
                })
                .boxed(),
            RowKey::Waiting(..) => Just(Row::Waiting).boxed(),
            RowKey::Owing(_) => owed().prop_map(Row::Owing).boxed(),
            RowKey::Expiring(_) => (text(), text())
                .prop_map(|(service, key)| Row::Expiring(ExpiringRow { service, key }))
                .boxed(),
            RowKey::Promise { .. } => outcome().prop_map(Row::Promise).boxed(),
        };
        (Just(key), row)
    })
}
