//! Object keys: one exclusive handler at a time.
//!
//! **Invariant:** the lock of an object key has one holder; the others of the key wait in order of
//! arrival. There is a lock row while there is a holder, and only then.

use everlog_log_schema::{HandlerKind, InvocationId, InvocationRow, LockRow, Row, RowKey, Status};

use crate::life::begin;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Takes the object key for an invocation, or a place in the queue for it. Tells the place.
pub(crate) fn take(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<Option<u64>, TablesError> {
    let Some((service, key)) = exclusive_key(row) else { return Ok(None) };
    let lock_key = RowKey::Lock { service: service.clone(), key: key.clone() };
    let Some(mut lock) = reads::lock(at.tables, &service, &key)? else {
        let lock = LockRow { holder: id, first_place: 0, next_place: 0 };
        at.tables.put(lock_key, Row::Lock(lock));
        return Ok(None);
    };
    let place = lock.next_place;
    lock.next_place += 1;
    at.tables.put(RowKey::Queue { service, key, place }, Row::Queue(id));
    at.tables.put(lock_key, Row::Lock(lock));
    Ok(Some(place))
}

/// Gives up a place in the queue.
pub(crate) fn leave(at: &mut Transition<'_, impl Tables>, row: &InvocationRow, place: u64) {
    if planted::is(Bug::KeepQueuePlace) {
        return;
    }
    if let Some((service, key)) = exclusive_key(row) {
        at.tables.delete(&RowKey::Queue { service, key, place });
    }
}

/// The object key that an invocation holds: one that was never begun holds nothing.
pub(crate) fn held_key(row: &InvocationRow) -> Option<(String, String)> {
    match row.status {
        Status::Scheduled { .. } | Status::Pending { .. } => None,
        Status::Running
        | Status::Suspended(_)
        | Status::BackingOff { .. }
        | Status::Paused
        | Status::Completed { .. } => exclusive_key(row),
    }
}

/// Passes an object key on from `holder`, which has ended, to the first in the queue.
pub(crate) fn pass_on(
    at: &mut Transition<'_, impl Tables>,
    holder: InvocationId,
    service: String,
    key: String,
) -> Result<(), TablesError> {
    let Some(mut lock) = reads::lock(at.tables, &service, &key)? else {
        unreachable!("{holder:?} ran without the lock of {service}/{key}");
    };
    assert_eq!(lock.holder, holder, "{service}/{key} has another holder");
    let next = reads::queued(at.tables, &service, &key, &lock)?;
    let lock_key = RowKey::Lock { service: service.clone(), key: key.clone() };
    let Some((place, next)) = next else {
        at.tables.delete(&lock_key);
        return Ok(());
    };
    at.tables.delete(&RowKey::Queue { service, key, place });
    lock.holder = next;
    if planted::is(Bug::QueueLifo) {
        lock.next_place = place;
    } else {
        lock.first_place = place + 1;
    }
    at.tables.put(lock_key, Row::Lock(lock));
    let Some(row) = reads::invocation(at.tables, next)? else {
        unreachable!("{next:?} waits in a queue but has no row");
    };
    begin(at, next, row);
    Ok(())
}

/// The object key that an exclusive handler holds while it runs. A call of one without a key,
/// which no correct sender makes, excludes nobody.
fn exclusive_key(row: &InvocationRow) -> Option<(String, String)> {
    match row.kind {
        HandlerKind::Exclusive => Some((row.target.service.clone(), row.target.key.clone()?)),
        // Of a workflow one run alone has the key: the others have its id, and are no runs.
        HandlerKind::Plain
        | HandlerKind::Shared
        | HandlerKind::Workflow
        | HandlerKind::WorkflowShared => None,
    }
}
