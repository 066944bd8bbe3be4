//! What holds of the rows after every record.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::*;

use crate::{MemoryTables, Tables, reads};

/// Asserts all of it: every row is wanted by another, or by itself, and all that are wanted are
/// there.
pub(super) fn hold(tables: &MemoryTables) {
    let mut wanted = BTreeSet::new();
    let mut holders = BTreeSet::new();
    let mut objects = BTreeMap::new();
    let mut owing = false;
    let told = told_of_promises(tables);
    for (key, row) in tables.rows() {
        match (key, row) {
            (RowKey::Partition, Row::Partition(_)) | (RowKey::Sender(_), Row::Sender(_)) => {
                wanted.insert(key.clone());
            }
            (RowKey::Invocation(id), Row::Invocation(row)) => {
                wanted.insert(key.clone());
                wanted.extend(rows_of(tables, *id, row));
                wanted.extend(awaited_promises(tables, *id, row, &told));
                if is_active(row) && row.kind == HandlerKind::Exclusive {
                    wanted.extend(lock_of(row));
                    let new = holders.insert((row.target.service.clone(), row.target.key.clone()));
                    assert!(new || row.target.key.is_none(), "two hold the key of {id:?}");
                }
            }
            (RowKey::Lock { .. }, Row::Lock(lock)) => {
                let holder = reads::invocation(tables, lock.holder).unwrap().unwrap();
                assert!(is_active(&holder), "{:?} holds a key and does not run", lock.holder);
                assert_eq!(lock_of(&holder).as_ref(), Some(key));
            }
            (RowKey::State { .. }, Row::State(_)) | (RowKey::Promise { .. }, Row::Promise(_)) => {
                wanted.extend(counted(tables, key, row, &mut objects));
            }
            (RowKey::Sent(to), Row::Sent(sent)) => {
                wanted.insert(key.clone());
                let on_their_way = sent.delivered.0 + 1..=sent.last.0;
                wanted.extend(on_their_way.map(|seq| RowKey::Outbox(*to, Seq(seq))));
            }
            (RowKey::Waiting(target, ..), Row::Waiting) => {
                // Who waits for a promise is wanted by the open completion.
                if let Some(row) = reads::invocation(tables, *target).unwrap() {
                    wanted.insert(key.clone());
                    if row.status.kind() == StatusKind::Completed {
                        wanted.insert(RowKey::Owing(*target));
                    }
                }
            }
            (RowKey::Owing(id), Row::Owing(owed)) => {
                owing = true;
                match owed {
                    Owed::Invocation => {
                        let waiting = reads::next_waiting(tables, *id, None).unwrap();
                        assert!(waiting.is_some(), "{key:?}");
                    }
                    // Who waited may have ended since.
                    Owed::Promise { service, key, name } => {
                        assert_eq!(identity::of_promise(service, key, name), *id);
                    }
                }
            }
            (RowKey::Journal(..), Row::Journal(_))
            | (RowKey::Open(..), Row::Open(_))
            | (RowKey::Running(_), Row::Running)
            | (RowKey::Timer(_), Row::Timer)
            | (RowKey::Expiring(_), Row::Expiring(_))
            | (RowKey::Queue { .. }, Row::Queue(_))
            | (RowKey::Packed(..), Row::Packed(_))
            | (RowKey::Object { .. }, Row::Object(_))
            | (RowKey::Outbox(..), Row::Outbox(_)) => {}
            (key, row) => panic!("{key:?} holds {row:?}"),
        }
    }
    for (object, counted) in objects {
        wanted.extend(expiry_of(tables, &object, counted));
    }
    let room_behind = reads::partition(tables).unwrap().room_behind;
    assert_eq!(room_behind.is_some(), owing);
    wanted.extend(room_behind.map(|OutboxPlace { to, seq }| RowKey::Outbox(to, seq)));
    let found: BTreeSet<_> = tables.rows().map(|(key, _)| key.clone()).collect();
    let leaked: Vec<_> = found.difference(&wanted).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(leaked.is_empty() && missing.is_empty(), "leaked {leaked:?}, missing {missing:?}");
}

fn bytes_of(outcome: &Outcome) -> u64 {
    let entry = Entry::Output { name: String::new(), outcome: outcome.clone() };
    entry.payload_bytes()
}

/// The answers on their way to functions, by which those who wait for promises are not noted as
/// waiting any more, though they are not told yet.
fn told_of_promises(tables: &MemoryTables) -> BTreeSet<(Life, CompletionId)> {
    let told = tables.rows().filter_map(|(_, row)| {
        let Row::Outbox(row) = row else { return None };
        let Message::Complete(complete) = &row.message else { return None };
        Some((complete.to, complete.completion))
    });
    told.collect()
}

/// The rows by which an invocation waits for promises.
fn awaited_promises(
    tables: &MemoryTables,
    id: InvocationId,
    row: &InvocationRow,
    told: &BTreeSet<(Life, CompletionId)>,
) -> Vec<RowKey> {
    let life = Life { invocation: id, incarnation: row.incarnation };
    let mut wanted = Vec::new();
    let mut last = None;
    while let Some((completion, open)) = reads::next_open(tables, id, last).unwrap() {
        last = Some(completion);
        let OpenKind::Promise { name } = open.kind else { continue };
        if !told.contains(&(life, completion)) {
            let key = row.target.key.as_deref().unwrap_or_default();
            let promise = identity::of_promise(&row.target.service, key, &name);
            wanted.push(RowKey::Waiting(promise, life, completion));
        }
    }
    wanted
}

/// Counts a row of an object's state, or of its promises; returns it, with what else it wants.
fn counted(
    tables: &MemoryTables,
    row_key: &RowKey,
    row: &Row,
    objects: &mut BTreeMap<(String, String), ObjectRow>,
) -> Vec<RowKey> {
    let mut wanted = vec![row_key.clone()];
    let (RowKey::State { service, key, .. } | RowKey::Promise { service, key, .. }) = row_key
    else {
        return wanted;
    };
    wanted.push(RowKey::Object { service: service.clone(), key: key.clone() });
    let object = objects.entry((service.clone(), key.clone())).or_default();
    if let (RowKey::State { name, .. }, Row::State(value)) = (row_key, row) {
        object.keys += 1;
        object.bytes += (name.len() + value.len()) as u64;
    }
    if let (RowKey::Promise { name, .. }, Row::Promise(outcome)) = (row_key, row) {
        object.promises += 1;
        object.bytes += name.len() as u64 + bytes_of(outcome);
        let promise = identity::of_promise(service, key, name);
        if reads::next_waiting(tables, promise, None).unwrap().is_some() {
            wanted.push(RowKey::Owing(promise));
        }
    }
    wanted
}

/// Asserts what is counted of an object. Returns the rows by which its state is reset.
fn expiry_of(
    tables: &MemoryTables,
    (service, key): &(String, String),
    counted: ObjectRow,
) -> Vec<RowKey> {
    let object = reads::object(tables, service, key).unwrap();
    assert_eq!(ObjectRow { expiry: None, ..object }, counted, "{service}/{key}");
    let Some(expiry) = object.expiry else { return Vec::new() };
    let (due, invocation) = (expiry.timer, identity::of_object(service, key));
    let timer = Timer { due, invocation, incarnation: Incarnation(0), kind: TimerKind::Expire };
    vec![RowKey::Expiring(invocation), RowKey::Timer(timer)]
}

/// Whether an invocation has begun and not ended.
fn is_active(row: &InvocationRow) -> bool {
    match row.status {
        Status::Scheduled { .. } | Status::Pending { .. } | Status::Completed { .. } => false,
        Status::Running | Status::Suspended(_) | Status::BackingOff { .. } | Status::Paused => true,
    }
}

fn lock_of(row: &InvocationRow) -> Option<RowKey> {
    let key = row.target.key.clone()?;
    Some(RowKey::Lock { service: row.target.service.clone(), key })
}

/// The rows that an invocation must have beside its own; none other may name it.
fn rows_of(tables: &MemoryTables, id: InvocationId, row: &InvocationRow) -> BTreeSet<RowKey> {
    let timer = |kind, due| {
        RowKey::Timer(Timer { due, invocation: id, incarnation: row.incarnation, kind })
    };
    let journal = reads::journal_from(tables, id, row, 0, u64::MAX).unwrap();
    let journal: Vec<_> = journal.into_iter().map(|row| row.entry).collect();
    judge_counts(&journal, row);
    let mut wanted = BTreeSet::new();
    let open = open_in(&journal);
    if let Status::Completed { parts, .. } = row.status {
        wanted.extend((0..parts).map(|part| RowKey::Packed(id, part)));
        if let Some(due) = crate::journal_kept_until(row) {
            wanted.insert(timer(TimerKind::PurgeJournal, due));
        }
        let purge = timer(TimerKind::Purge, crate::kept_until(row).unwrap());
        // What owes answers is forgotten with the last of them, where that was due before.
        let owes = reads::is_owing(tables, id).unwrap()
            || row.kind == HandlerKind::Workflow
                && !row.has_expired()
                && crate::promises::owe(tables, &row.target).unwrap();
        if !owes || tables.get(&purge).unwrap().is_some() {
            wanted.insert(purge);
        }
        return wanted;
    }
    wanted.extend((0..row.entries).map(|at| RowKey::Journal(id, at)));
    for (completion, kind) in open {
        let found = reads::open(tables, id, completion).unwrap();
        // What comes behind the output is dropped, and is open no more.
        if row.has_output && kind != OpenKind::Run && found.is_none() {
            continue;
        }
        wanted.insert(RowKey::Open(id, completion));
        let wake_at = if let OpenKind::Sleep { wake_at } = kind { Some(wake_at) } else { None };
        assert_eq!(found, Some(OpenRow { kind }), "{id:?} {completion}");
        if let Some(wake_at) = wake_at {
            wanted.insert(timer(TimerKind::Sleep(completion), wake_at));
        }
    }
    match row.status {
        Status::Running => {
            wanted.insert(RowKey::Running(id));
        }
        Status::BackingOff { until } => {
            wanted.insert(timer(TimerKind::Retry, until));
        }
        Status::Scheduled { at } => {
            wanted.insert(timer(TimerKind::Start, at));
        }
        Status::Pending { place } => {
            let (service, key) = (row.target.service.clone(), row.target.key.clone().unwrap());
            let queue = RowKey::Queue { service, key, place };
            assert_eq!(tables.get(&queue), Ok(Some(Row::Queue(id))));
            wanted.insert(queue);
            wanted.extend(lock_of(row));
        }
        Status::Suspended(_) | Status::Paused | Status::Completed { .. } => {}
    }
    wanted
}

/// Asserts that the row counts what the journal holds.
fn judge_counts(journal: &[Entry], row: &InvocationRow) {
    let count = |is: fn(&Entry) -> bool| {
        u32::try_from(journal.iter().filter(|entry| is(entry)).count()).unwrap()
    };
    assert_eq!(row.entries, count(|_| true));
    assert_eq!(row.commands, count(|entry| !matches!(entry, Entry::Notification { .. })));
    let signals =
        count(|entry| matches!(entry, Entry::Notification { id: NotificationId::Signal(_), .. }));
    assert_eq!(row.signals, signals);
    assert_eq!(row.journal_bytes, journal.iter().map(Entry::payload_bytes).sum::<u64>());
    let is_output = |entry: &&Entry| matches!(entry, Entry::Output { .. });
    assert_eq!(row.has_output, journal.last().as_ref().is_some_and(is_output));
    let first_output = journal.iter().position(|entry| is_output(&entry));
    assert_eq!(first_output.is_some(), row.has_output, "an output comes last");
    if row.status.kind() == StatusKind::Completed && row.entries == 1 {
        return; // Its journal is forgotten, all but the output.
    }
    let is_input = |entry: &Entry| matches!(entry, Entry::Input { .. });
    assert_eq!(journal.iter().position(is_input), Some(0));
    assert_eq!(count(|entry| matches!(entry, Entry::Input { .. })), 1);
}

/// Walks a journal: what it declares and has not got. Asserts that each completion came once at
/// most, and after it was declared.
fn open_in(journal: &[Entry]) -> BTreeMap<CompletionId, OpenKind> {
    let mut open = BTreeMap::new();
    // What is answered at once, by the very next entry.
    let mut asked = None;
    for entry in journal {
        match entry {
            Entry::Input { .. }
            | Entry::Output { .. }
            | Entry::Notification { id: NotificationId::Signal(_), .. } => assert_eq!(asked, None),
            Entry::Command { effect, .. } => {
                assert_eq!(asked, None);
                asked = asked_in(effect);
                open.extend(declared_in(effect));
            }
            Entry::Notification { id: NotificationId::Completion { id, .. }, .. } => {
                let answers = asked.take().is_some_and(|asked| asked == *id);
                assert!(answers || open.remove(id).is_some(), "{id} came twice, or undeclared");
            }
        }
    }
    assert_eq!(asked, None);
    open
}

fn asked_in(effect: &Effect) -> Option<CompletionId> {
    match effect {
        Effect::GetState { completion, .. }
        | Effect::GetStateKeys { completion }
        | Effect::PeekPromise { completion, .. }
        | Effect::CompletePromise { completion, .. } => Some(*completion),
        Effect::Call(call) => Some(call.id_completion),
        Effect::None
        | Effect::Run { .. }
        | Effect::Sleep { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. }
        | Effect::Attach { .. }
        | Effect::GetOutput { .. }
        | Effect::GetPromise { .. } => None,
    }
}

fn declared_in(effect: &Effect) -> Option<(CompletionId, OpenKind)> {
    match effect {
        Effect::Run { completion } => Some((*completion, OpenKind::Run)),
        Effect::Sleep { completion, wake_at } => {
            Some((*completion, OpenKind::Sleep { wake_at: *wake_at }))
        }
        Effect::Call(call) => {
            call.completion.map(|id| (id, OpenKind::Call { callee: call.callee }))
        }
        Effect::Attach { completion, target } => {
            Some((*completion, OpenKind::Attach { target: *target }))
        }
        Effect::GetOutput { completion, target } => {
            Some((*completion, OpenKind::Output { target: *target }))
        }
        Effect::GetPromise { completion, name } => {
            Some((*completion, OpenKind::Promise { name: name.clone() }))
        }
        Effect::None
        | Effect::GetState { .. }
        | Effect::GetStateKeys { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. }
        | Effect::PeekPromise { .. }
        | Effect::CompletePromise { .. } => None,
    }
}
