//! Typed reads of the tables, for `apply` and for whoever serves from them.
//!
//! None of them reads without bound, save [`journal`], which the limits of a journal bound. Where
//! rows are deleted at one end of a range, as timers are, a search that begins there passes over
//! what is left of them on the disk: whoever searches again and again goes on behind the last find.

use bytes::Bytes;
use everlog_log_schema::{
    AttemptId, CompletionId, Entry, Epoch, ExpiringRow, Incarnation, InvocationId, InvocationRow,
    JournalRow, Life, LockRow, Millis, ObjectRow, OpenRow, OutboxRow, Outcome, Owed, PartitionId,
    PartitionKey, PartitionRow, Row, RowKey, SentRow, Seq, Status, Timer, TimerKind,
};

use crate::pack::outcome_in;
use crate::planted::{self, Bug};
use crate::{Tables, TablesError};

const LOWEST_ID: InvocationId = InvocationId { partition_key: PartitionKey(0), uuid: 0 };
const LOWEST_LIFE: Life = Life { invocation: LOWEST_ID, incarnation: Incarnation(0) };
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

/// Reads the entry at `index` of a live invocation's journal, with when and how it came.
///
/// A missing entry is an error: journals have no holes.
pub(crate) fn journal_row(
    tables: &impl Tables,
    id: InvocationId,
    index: u32,
) -> Result<JournalRow, TablesError> {
    let key = RowKey::Journal(id, index);
    match tables.get(&key)? {
        None => Err(TablesError(format!("journal of {id:?} lacks entry {index}"))),
        Some(Row::Journal(row)) => Ok(row),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the first `entries` of a live invocation's journal, in order.
pub fn journal(
    tables: &impl Tables,
    id: InvocationId,
    entries: u32,
) -> Result<Vec<Entry>, TablesError> {
    (0..entries).map(|index| Ok(journal_row(tables, id, index)?.entry)).collect()
}

/// Reads an invocation's journal from entry `from` on, live or packed: the first entry whatever its
/// size, and further ones up to `bytes_max` in all.
pub fn journal_from(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
    from: u32,
    bytes_max: u64,
) -> Result<Vec<JournalRow>, TablesError> {
    let mut read: Vec<JournalRow> = Vec::new();
    let mut bytes = 0;
    let mut take = |entry: JournalRow| {
        bytes += entry.entry.payload_bytes();
        let fits = read.is_empty() || bytes <= bytes_max;
        if fits {
            read.push(entry);
        }
        fits
    };
    if let Status::Completed { parts, .. } = row.status {
        let mut index = 0;
        for part in 0..parts {
            for entry in packed(tables, id, part)? {
                index += 1;
                if index > from && !take(entry) {
                    return Ok(read);
                }
            }
        }
    } else {
        for index in from..row.entries {
            if !take(journal_row(tables, id, index)?) {
                break;
            }
        }
    }
    Ok(read)
}

/// Reads a part of a completed invocation's journal.
pub(crate) fn packed(
    tables: &impl Tables,
    id: InvocationId,
    part: u32,
) -> Result<Vec<JournalRow>, TablesError> {
    let key = RowKey::Packed(id, part);
    match tables.get(&key)? {
        None => Err(TablesError(format!("packed journal of {id:?} lacks part {part}"))),
        Some(Row::Packed(entries)) => Ok(entries),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads a completed invocation and how it ended; none if it is unknown or has not completed.
pub fn outcome_of(
    tables: &impl Tables,
    id: InvocationId,
) -> Result<Option<(InvocationRow, Outcome)>, TablesError> {
    let Some(row) = invocation(tables, id)? else { return Ok(None) };
    let outcome = outcome(tables, id, &row)?;
    Ok(outcome.map(|outcome| (row, outcome)))
}

/// Reads how the invocation whose row is `row` ended; none if it has not completed.
pub fn outcome(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<Option<Outcome>, TablesError> {
    let Status::Completed { parts, .. } = row.status else { return Ok(None) };
    let last = packed(tables, id, parts.saturating_sub(1))?;
    outcome_in(id, &last).map(Some)
}

/// Reads the next invocation above `after`, in order of ids.
pub fn next_invocation(
    tables: &impl Tables,
    after: Option<InvocationId>,
) -> Result<Option<(InvocationId, InvocationRow)>, TablesError> {
    let Some(from) = after.map_or(Some(LOWEST_ID), id_after) else { return Ok(None) };
    let below = RowKey::Journal(LOWEST_ID, 0);
    match tables.first(&RowKey::Invocation(from), &below)? {
        None => Ok(None),
        Some((RowKey::Invocation(id), Row::Invocation(row))) => Ok(Some((id, *row))),
        Some((key, other)) => Err(misplaced(&key, &other)),
    }
}

/// Reads one key of an object's state.
pub fn state(
    tables: &impl Tables,
    service: &str,
    key: &str,
    name: &Bytes,
) -> Result<Option<Bytes>, TablesError> {
    let key = state_key(service, key, name.clone());
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::State(value)) => Ok(Some(value)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the next key of an object's state above `after`, in order of keys.
pub fn next_state(
    tables: &impl Tables,
    service: &str,
    key: &str,
    after: Option<&Bytes>,
) -> Result<Option<(Bytes, Bytes)>, TablesError> {
    let from = after.map_or_else(Bytes::new, |after| [after.as_ref(), &[0]].concat().into());
    // The lowest object key above this one.
    let below = state_key(service, &format!("{key}\0"), Bytes::new());
    match tables.first(&state_key(service, key, from), &below)? {
        None => Ok(None),
        Some((RowKey::State { name, .. }, Row::State(value))) => Ok(Some((name, value))),
        Some((key, other)) => Err(misplaced(&key, &other)),
    }
}

fn state_key(service: &str, key: &str, name: Bytes) -> RowKey {
    RowKey::State { service: service.to_owned(), key: key.to_owned(), name }
}

/// Reads what is counted of an object's state.
pub fn object(tables: &impl Tables, service: &str, key: &str) -> Result<ObjectRow, TablesError> {
    let key = RowKey::Object { service: service.to_owned(), key: key.to_owned() };
    match tables.get(&key)? {
        None => Ok(ObjectRow::default()),
        Some(Row::Object(row)) => Ok(row),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads which object a timer is about.
pub(crate) fn expiring(
    tables: &impl Tables,
    id: InvocationId,
) -> Result<Option<ExpiringRow>, TablesError> {
    let key = RowKey::Expiring(id);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Expiring(row)) => Ok(Some(row)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads how many messages there were for a partition, and how many have arrived.
pub fn sent(tables: &impl Tables, to: PartitionId) -> Result<SentRow, TablesError> {
    let key = RowKey::Sent(to);
    match tables.get(&key)? {
        None => Ok(SentRow::default()),
        Some(Row::Sent(row)) => Ok(row),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads a message that has not arrived yet; none where it has.
pub fn outbox(
    tables: &impl Tables,
    to: PartitionId,
    seq: Seq,
) -> Result<Option<OutboxRow>, TablesError> {
    let key = RowKey::Outbox(to, seq);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Outbox(row)) => Ok(Some(*row)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the next invocation above `after` that owes answers.
pub(crate) fn next_owing(
    tables: &impl Tables,
    after: Option<InvocationId>,
) -> Result<Option<(InvocationId, Owed)>, TablesError> {
    let Some(from) = after.map_or(Some(LOWEST_ID), id_after) else { return Ok(None) };
    let below = RowKey::Waiting(LOWEST_ID, LOWEST_LIFE, CompletionId(0));
    match tables.first(&RowKey::Owing(from), &below)? {
        None => Ok(None),
        Some((RowKey::Owing(id), Row::Owing(owed))) => Ok(Some((id, owed))),
        Some((key, other)) => Err(misplaced(&key, &other)),
    }
}

/// Reads what a promise was completed with; none while it is not.
pub fn promise(
    tables: &impl Tables,
    service: &str,
    key: &str,
    name: &str,
) -> Result<Option<Outcome>, TablesError> {
    let key = promise_key(service, key, name);
    match tables.get(&key)? {
        None => Ok(None),
        Some(Row::Promise(outcome)) => Ok(Some(outcome)),
        Some(other) => Err(misplaced(&key, &other)),
    }
}

/// Reads the next completed promise of a workflow key above `after`, in order of names.
pub fn next_promise(
    tables: &impl Tables,
    service: &str,
    key: &str,
    after: Option<&str>,
) -> Result<Option<(String, Outcome)>, TablesError> {
    let from = after.map_or_else(String::new, |after| format!("{after}\0"));
    // The lowest workflow key above this one.
    let below = promise_key(service, &format!("{key}\0"), "");
    match tables.first(&promise_key(service, key, &from), &below)? {
        None => Ok(None),
        Some((RowKey::Promise { name, .. }, Row::Promise(outcome))) => Ok(Some((name, outcome))),
        Some((key, other)) => Err(misplaced(&key, &other)),
    }
}

pub(crate) fn promise_key(service: &str, key: &str, name: &str) -> RowKey {
    RowKey::Promise { service: service.to_owned(), key: key.to_owned(), name: name.to_owned() }
}

/// Tells whether an invocation owes answers.
pub(crate) fn is_owing(tables: &impl Tables, id: InvocationId) -> Result<bool, TablesError> {
    Ok(tables.get(&RowKey::Owing(id))?.is_some())
}

/// Reads the next function above `after` that waits for an invocation.
pub(crate) fn next_waiting(
    tables: &impl Tables,
    id: InvocationId,
    after: Option<(Life, CompletionId)>,
) -> Result<Option<(Life, CompletionId)>, TablesError> {
    let from = match after {
        None => RowKey::Waiting(id, LOWEST_LIFE, CompletionId(0)),
        Some((life, CompletionId(u32::MAX))) => {
            let incarnation = Incarnation(life.incarnation.0 + 1);
            RowKey::Waiting(id, Life { incarnation, ..life }, CompletionId(0))
        }
        Some((life, completion)) => RowKey::Waiting(id, life, CompletionId(completion.0 + 1)),
    };
    let below = id_after(id).map_or_else(
        || promise_key("", "", ""),
        |next| RowKey::Waiting(next, LOWEST_LIFE, CompletionId(0)),
    );
    match tables.first(&from, &below)? {
        None => Ok(None),
        Some((RowKey::Waiting(_, life, completion), _)) => Ok(Some((life, completion))),
        Some((key, other)) => Err(misplaced(&key, &other)),
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

/// Reads the next invocation above `after` that should have an attempt running.
///
/// A search from none on passes over what is left on the disk of all that ran and ended: whoever
/// walks them goes on from the last find, and begins anew only after it has been all around.
pub fn next_running(
    tables: &impl Tables,
    after: Option<InvocationId>,
) -> Result<Option<InvocationId>, TablesError> {
    let Some(from) = after.map_or(Some(LOWEST_ID), id_after) else { return Ok(None) };
    let found = tables.first(&RowKey::Running(from), &RowKey::Timer(LOWEST_TIMER))?;
    Ok(found.and_then(|(key, _)| if let RowKey::Running(id) = key { Some(id) } else { None }))
}

/// Reads the next timer above `after` that is due at `until` or before, in order of due times.
///
/// A search from none on passes over what is left on the disk of all timers that have fired.
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

/// Reads an invocation's next completion above `after` that has not come.
///
/// Searches among its own rows only: beside them on the disk may lie what is left of many others'.
pub(crate) fn next_open(
    tables: &impl Tables,
    id: InvocationId,
    after: Option<CompletionId>,
) -> Result<Option<(CompletionId, OpenRow)>, TablesError> {
    let first = after.map_or(Some(0), |after| after.0.checked_add(1));
    let Some(first) = first else { return Ok(None) };
    let from = RowKey::Open(id, CompletionId(first));
    let below =
        id_after(id).map_or(RowKey::Running(LOWEST_ID), |next| RowKey::Open(next, CompletionId(0)));
    match tables.first(&from, &below)? {
        None => Ok(None),
        Some((RowKey::Open(_, completion), Row::Open(row))) => Ok(Some((completion, row))),
        Some((key, other)) => Err(misplaced(&key, &other)),
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
///
/// Searches from the first place that can be taken on: below lie deleted ones.
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
        TimerKind::Purge => TimerKind::PurgeJournal,
        TimerKind::PurgeJournal => TimerKind::Expire,
        TimerKind::Expire => {
            let incarnation = Incarnation(timer.incarnation.0 + 1);
            return Timer { incarnation, kind: TimerKind::Start, ..timer };
        }
    };
    Timer { kind, ..timer }
}
