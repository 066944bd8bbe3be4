//! What holds of the rows after every record.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::*;

use super::trace;
use crate::{MemoryTables, reads};

/// Asserts all of it.
pub(super) fn hold(tables: &MemoryTables) {
    let mut wanted = BTreeSet::from([RowKey::Partition]);
    let mut active = BTreeMap::new();
    for (key, row) in tables.rows() {
        match (key, row) {
            (RowKey::Invocation(id), Row::Invocation(row)) => {
                wanted.insert(key.clone());
                wanted.extend(rows_of(tables, *id, row));
                if is_active(row) && row.kind == HandlerKind::Exclusive {
                    let other = active.insert(row.target.key.clone(), *id);
                    assert_eq!(other, None, "two hold the key of {id:?}");
                }
            }
            (RowKey::Lock { key: object, .. }, Row::Lock(lock)) => {
                wanted.insert(key.clone());
                let holder = reads::invocation(tables, lock.holder).unwrap().unwrap();
                assert!(is_active(&holder), "{:?} holds a key but is over", lock.holder);
                assert_eq!(holder.target.key.as_ref(), Some(object));
            }
            (RowKey::Queue { key: object, .. }, Row::Queue(id)) => {
                wanted.insert(key.clone());
                let waiting = reads::invocation(tables, *id).unwrap().unwrap();
                assert_eq!(waiting.status, Status::Pending);
                assert_eq!(waiting.target.key.as_ref(), Some(object));
            }
            (RowKey::Sender(_), Row::Sender(_)) => {
                wanted.insert(key.clone());
            }
            (key, row) => drop(trace::row(key, row)),
        }
    }
    let found: BTreeSet<_> = tables.rows().map(|(key, _)| key.clone()).collect();
    let leaked: Vec<_> = found.difference(&wanted).collect();
    let missing: Vec<_> =
        wanted.difference(&found).filter(|key| **key != RowKey::Partition).collect();
    assert!(leaked.is_empty() && missing.is_empty(), "leaked {leaked:?}, missing {missing:?}");
}

/// Whether an invocation has begun and not ended.
fn is_active(row: &InvocationRow) -> bool {
    !matches!(row.status, Status::Scheduled | Status::Pending | Status::Completed { .. })
}

/// The rows that an invocation must have beside its own; none other may name it.
fn rows_of(tables: &MemoryTables, id: InvocationId, row: &InvocationRow) -> BTreeSet<RowKey> {
    let timer = |kind, due| {
        RowKey::Timer(Timer { due, invocation: id, incarnation: row.incarnation, kind })
    };
    let mut wanted: BTreeSet<_> = (0..row.entries).map(|at| RowKey::Journal(id, at)).collect();
    let journal = reads::journal(tables, id, row.entries).unwrap();
    assert_eq!(row.has_output, matches!(journal.last(), Some(Entry::Output { .. })));
    assert_eq!(row.journal_bytes, journal.iter().map(Entry::payload_bytes).sum::<u64>());
    for (completion, kind) in open_in(&journal, row) {
        // A sleep that ends behind the output is dropped, with its timer.
        let is_open = reads::open(tables, id, completion).unwrap().is_some();
        let dropped = row.has_output && kind != OpenKind::Run && !is_open;
        if !matches!(row.status, Status::Completed { .. }) && !dropped {
            wanted.insert(RowKey::Open(id, completion));
            if let OpenKind::Sleep { wake_at } = kind {
                wanted.insert(timer(TimerKind::Sleep(completion), wake_at));
            }
        }
    }
    match row.status {
        Status::Running => {
            wanted.insert(RowKey::Running(id));
        }
        Status::BackingOff { until } => {
            wanted.insert(timer(TimerKind::Retry, until));
        }
        Status::Completed { .. } | Status::Scheduled => {
            // The due time of these is not in the row: whichever there is of the kind will do.
            let purge = matches!(row.status, Status::Completed { .. });
            let kind = if purge { TimerKind::Purge } else { TimerKind::Start };
            let due = timers_of(tables, id).into_iter().find(|timer| timer.kind == kind);
            wanted.insert(RowKey::Timer(due.expect("a timer that ends this status")));
        }
        Status::Pending => {
            let (service, key) = (row.target.service.clone(), row.target.key.clone().unwrap());
            assert!(tables.rows().any(|(key, row)| {
                matches!(key, RowKey::Queue { .. }) && *row == Row::Queue(id)
            }));
            wanted.insert(RowKey::Lock { service, key });
        }
        Status::Suspended(_) | Status::Paused => {}
    }
    wanted
}

/// Walks a journal: what it declares and has not got. Asserts that each completion came once at
/// most, after it was declared, that the commands are counted, and that an output comes last.
fn open_in(journal: &[Entry], row: &InvocationRow) -> BTreeMap<CompletionId, OpenKind> {
    let mut open = BTreeMap::new();
    let mut commands = 0;
    for (at, entry) in journal.iter().enumerate() {
        match entry {
            Entry::Input { .. } => {
                assert_eq!(at, 0);
                commands += 1;
            }
            Entry::Output { .. } => {
                assert_eq!(at + 1, journal.len());
                commands += 1;
            }
            Entry::Command { effect, .. } => {
                commands += 1;
                match *effect {
                    Effect::None => {}
                    Effect::Run { completion } => {
                        open.insert(completion, OpenKind::Run);
                    }
                    Effect::Sleep { completion, wake_at } => {
                        open.insert(completion, OpenKind::Sleep { wake_at });
                    }
                }
            }
            Entry::Notification { id: NotificationId::Completion { id, .. }, .. } => {
                assert!(open.remove(id).is_some(), "completion {id} came twice or undeclared");
            }
        }
    }
    assert_eq!(commands, row.commands);
    open
}

fn timers_of(tables: &MemoryTables, id: InvocationId) -> Vec<Timer> {
    let timers = tables
        .rows()
        .filter_map(|(key, _)| if let RowKey::Timer(timer) = key { Some(*timer) } else { None });
    timers.filter(|timer| timer.invocation == id).collect()
}
