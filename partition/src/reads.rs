//! Typed reads of the tables, for `apply` and for whoever serves from them.
//!
//! None of them reads without bound, save [`journal`], which one limit bounds.

use everlog_log_schema::{
    AttemptId, CompletionId, Entry, Epoch, Incarnation, InvocationId, InvocationRow, LockRow,
    Millis, OpenRow, Outcome, PartitionId, PartitionKey, PartitionRow, Row, RowKey, Seq, Status,
    Timer, TimerKind,
};

use crate::planted::{self, Bug};
use crate::{Action, Tables, TablesError};

const LOWEST_ID: InvocationId = InvocationId { partition_key: PartitionKey(0), uuid: 0 };
const LOWEST_TIMER: Timer = Timer {
    due: Millis(0),
    invocation: LOWEST_ID,
    incarnation: Incarnation(0),
    kind: TimerKind::Start,
};

/// Reads the partition row; that of an empty partition if there is none.
pub fn partition(tables: &impl Tables) -> Result<PartitionRow, TablesError> {
    match tables.get(&RowKey::Partition)? {
        None => Ok(PartitionRow::default()),
        Some(Row::Partition(row)) => Ok(row),
        Some(other) => Err(misplaced(&RowKey::Partition, &other)),
    }
}

/// Reads an invocation.
pub fn invocation(
    tables: &impl Tables,
    id: InvocationId,
) -> Result<Option<InvocationRow>, TablesError> {
    let key = RowKey::Invocation(id);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Invocation(row)) => Ok(Some(*row)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the entry at `index` of an invocation's journal.
pub fn journal_entry(
    tables: &impl Tables,
    id: InvocationId,
    index: u32,
) -> Result<Option<Entry>, TablesError> {
    let key = RowKey::Journal(id, index);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Journal(entry)) => Ok(Some(entry)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the first `entries` of an invocation's journal, in order.
///
/// A missing entry is an error: journals have no holes.
pub fn journal(
    tables: &impl Tables,
    id: InvocationId,
    entries: u32,
) -> Result<Vec<Entry>, TablesError> {
    (0..entries)
        .map(|index| {
            journal_entry(tables, id, index)?
                .ok_or_else(|| TablesError(format!("journal of {id:?} lacks entry {index}")))
        })
        .collect()
}

/// Reads a completed invocation and how it ended; none if it is unknown or has not completed.
pub fn outcome_of(
    tables: &impl Tables,
    id: InvocationId,
) -> Result<Option<(InvocationRow, Outcome)>, TablesError> {
    let Some(row) = invocation(tables, id)? else { return Ok(None) };
    if !matches!(row.status, Status::Completed { .. }) {
        return Ok(None);
    }
    let outcome = output(tables, id, &row)?
        .ok_or_else(|| TablesError(format!("completed invocation {id:?} has no output")))?;
    Ok(Some((row, outcome)))
}

/// Reads the output in an invocation's journal. Nothing is stored behind it, so only the last
/// entry can be one.
pub(crate) fn output(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<Option<Outcome>, TablesError> {
    let Some(last) = row.entries.checked_sub(1) else { return Ok(None) };
    match journal_entry(tables, id, last)? {
        Some(Entry::Output { outcome, .. }) => Ok(Some(outcome)),
        Some(Entry::Input { .. } | Entry::Command { .. } | Entry::Notification { .. }) | None => {
            Ok(None)
        }
    }
}

/// Names the only attempt of an invocation that may speak while `reigning` is the epoch.
///
/// A new epoch starts every attempt anew, though an announcement rewrites no rows.
pub fn current_attempt(row: &InvocationRow, reigning: Epoch) -> AttemptId {
    let incarnation = row.incarnation;
    if row.attempt_epoch < reigning && !planted::is(Bug::AttemptIgnoresEpoch) {
        return AttemptId { incarnation, epoch: reigning, counter: 0 };
    }
    AttemptId { incarnation, epoch: row.attempt_epoch, counter: row.attempt_counter }
}

/// Reads the next invocation that should have an attempt running.
pub fn next_running(
    tables: &impl Tables,
    after: Option<InvocationId>,
) -> Result<Option<InvocationId>, TablesError> {
    let Some(from) = after.map_or(Some(LOWEST_ID), id_after) else { return Ok(None) };
    let found = tables.first(&RowKey::Running(from), &RowKey::Timer(LOWEST_TIMER))?;
    Ok(found.and_then(|(key, _)| if let RowKey::Running(id) = key { Some(id) } else { None }))
}

/// Lists the starts that a new owner owes, at most `limit` of them, for ids above `after`.
///
/// The last id of a full list is where the next call goes on.
pub fn resume_actions(
    tables: &impl Tables,
    after: Option<InvocationId>,
    limit: usize,
) -> Result<Vec<Action>, TablesError> {
    let epoch = partition(tables)?.epoch;
    let mut actions = Vec::new();
    let mut at = after;
    while actions.len() < limit {
        at = next_running(tables, at)?;
        let Some(id) = at else { break };
        let row = invocation(tables, id)?
            .ok_or_else(|| TablesError(format!("running invocation {id:?} has no row")))?;
        actions.push(Action::Start(id, current_attempt(&row, epoch)));
    }
    Ok(actions)
}

/// Reads the next timer above `after` that is due at `until` or before, in order of due times.
pub fn next_timer(
    tables: &impl Tables,
    after: Option<Timer>,
    until: Millis,
) -> Result<Option<Timer>, TablesError> {
    let from = after.map_or(LOWEST_TIMER, timer_after);
    let below = Timer { due: Millis(until.0.saturating_add(1)), ..LOWEST_TIMER };
    let found = tables.first(&RowKey::Timer(from), &RowKey::Timer(below))?;
    Ok(found.and_then(|(key, _)| if let RowKey::Timer(timer) = key { Some(timer) } else { None }))
}

/// Tells whether a timer is still set.
pub(crate) fn is_set(tables: &impl Tables, timer: Timer) -> Result<bool, TablesError> {
    Ok(tables.get(&RowKey::Timer(timer))?.is_some())
}

/// Reads a completion that has not come.
pub(crate) fn open(
    tables: &impl Tables,
    id: InvocationId,
    completion: CompletionId,
) -> Result<Option<OpenRow>, TablesError> {
    let key = RowKey::Open(id, completion);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Open(row)) => Ok(Some(row)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the first completion of an invocation that has not come.
pub(crate) fn first_open(
    tables: &impl Tables,
    id: InvocationId,
) -> Result<Option<(CompletionId, OpenRow)>, TablesError> {
    let from = RowKey::Open(id, CompletionId(0));
    match tables.first(&from, &RowKey::Running(LOWEST_ID))? {
        Some((RowKey::Open(found, completion), Row::Open(row))) if found == id => {
            Ok(Some((completion, row)))
        }
        Some(_) | None => Ok(None),
    }
}

/// Reads the lock of an object key.
pub(crate) fn lock(
    tables: &impl Tables,
    service: &str,
    key: &str,
) -> Result<Option<LockRow>, TablesError> {
    let key = RowKey::Lock { service: service.to_owned(), key: key.to_owned() };
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Lock(row)) => Ok(Some(row)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the first place in the queue for an object key, and who has it.
pub(crate) fn queued(
    tables: &impl Tables,
    service: &str,
    key: &str,
    lock: &LockRow,
) -> Result<Option<(u64, InvocationId)>, TablesError> {
    let at = |place| RowKey::Queue { service: service.to_owned(), key: key.to_owned(), place };
    let lifo = planted::is(Bug::QueueLifo);
    let first = if lifo { lock.next_place.max(1) - 1 } else { lock.first_place };
    match tables.first(&at(first), &at(lock.next_place))? {
        None => Ok(None),
        Some((RowKey::Queue { place, .. }, Row::Queue(id))) => Ok(Some((place, id))),
        Some((key, other)) => Err(misplaced(&key, &other)),
    }
}

/// Reads the number of the last message taken in from a partition; they count from 1.
pub(crate) fn taken_from(tables: &impl Tables, sender: PartitionId) -> Result<Seq, TablesError> {
    let key = RowKey::Sender(sender);
    match tables.get(&key)? {
        None => Ok(Seq(0)),
        Some(Row::Sender(seq)) => Ok(seq),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

fn misplaced(key: &RowKey, row: &Row) -> TablesError {
    TablesError(format!("{key:?} holds a row of another kind: {row:?}"))
}

fn id_after(id: InvocationId) -> Option<InvocationId> {
    if let Some(uuid) = id.uuid.checked_add(1) {
        return Some(InvocationId { uuid, ..id });
    }
    let partition_key = PartitionKey(id.partition_key.0.checked_add(1)?);
    Some(InvocationId { partition_key, uuid: 0 })
}

/// The lowest timer above `timer`, in the order of row keys.
fn timer_after(timer: Timer) -> Timer {
    let kind = match timer.kind {
        TimerKind::Start => TimerKind::Retry,
        TimerKind::Retry => TimerKind::Sleep(CompletionId(0)),
        TimerKind::Sleep(CompletionId(u32::MAX)) => TimerKind::Purge,
        TimerKind::Sleep(CompletionId(id)) => TimerKind::Sleep(CompletionId(id + 1)),
        TimerKind::Purge => {
            let incarnation = Incarnation(timer.incarnation.0 + 1);
            return Timer { incarnation, kind: TimerKind::Start, ..timer };
        }
    };
    Timer { kind, ..timer }
}
