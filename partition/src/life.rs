//! The life of an invocation: scheduled → pending → running ⇄ suspended, backing off or paused →
//! completed → purged.
//!
//! **Invariants:** a row in `Running` stands for exactly the invocations of that status. The lock
//! of an object key has one holder; the others of the key wait in order of arrival. A completed
//! invocation has no row but its own, its journal's and its purge timer.

use everlog_log_schema::limits::REMEMBERED_MS_MIN;
use everlog_log_schema::{
    AttemptError, HandlerKind, Incarnation, InvocationId, InvocationRow, LockRow, Millis, OpenKind,
    Row, RowKey, Status, Timer, TimerKind,
};

use crate::planted::{self, Bug};
use crate::retry::later;
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// The code of an attempt that the partition itself stopped: the protocol's "protocol violation".
const BROKEN_RULE: u32 = 571;

/// Runs a new invocation, or queues it where its object key is busy.
pub(crate) fn admit(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    let Some((service, key)) = exclusive_key(&row) else {
        begin(at, id, row);
        return Ok(());
    };
    let lock_key = RowKey::Lock { service: service.clone(), key: key.clone() };
    if let Some(mut lock) = reads::lock(at.tables, &service, &key)? {
        let place = lock.next_place;
        lock.next_place += 1;
        at.tables.put(RowKey::Queue { service, key, place }, Row::Queue(id));
        at.tables.put(lock_key, Row::Lock(lock));
        row.status = Status::Pending;
        at.put_invocation(id, row);
    } else {
        let lock = LockRow { holder: id, first_place: 0, next_place: 0 };
        at.tables.put(lock_key, Row::Lock(lock));
        begin(at, id, row);
    }
    Ok(())
}

/// Starts an invocation's first attempt, which is number 0 of the reigning epoch.
fn begin(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    row.attempt_epoch = at.partition.epoch;
    row.attempt_counter = 0;
    row.progress_at = at.now();
    run(at, id, row);
}

/// Starts an invocation's next attempt.
pub(crate) fn retry(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) {
    if row.attempt_epoch < at.partition.epoch {
        row.attempt_epoch = at.partition.epoch;
        row.attempt_counter = 0;
    } else {
        row.attempt_counter += 1;
    }
    run(at, id, row);
}

/// Starts the next attempt of an invocation that waited. Its retry policy begins anew.
pub(crate) fn wake(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    row.policy_attempts = 0;
    retry(at, id, row);
}

fn run(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    row.status = Status::Running;
    let attempt = reads::current_attempt(&row, at.partition.epoch);
    at.tables.put(RowKey::Running(id), Row::Running);
    at.put_invocation(id, row);
    at.actions.push(Action::Start(id, attempt));
}

/// Takes a running invocation out of the running ones.
pub(crate) fn rest(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    status: Status,
) {
    row.status = status;
    at.tables.delete(&RowKey::Running(id));
    at.put_invocation(id, row);
}

/// Pauses a running invocation whose attempt broke a rule that every next one would break again.
pub(crate) fn pause(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    message: &str,
) {
    row.last_error = Some(AttemptError {
        code: BROKEN_RULE,
        message: message.to_owned(),
        command_index: None,
        command_name: None,
        delay_by_function: false,
    });
    rest(at, id, row, Status::Paused);
    at.actions.push(Action::Stop(id));
}

/// Completes a running invocation whose journal ends in its output.
pub(crate) fn complete(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    drop_open(at, id, row.incarnation)?;
    let key = exclusive_key(&row);
    let keeps_lock = planted::is(Bug::KeepLockOnKill) && row.last_error.is_some();
    row.last_error = None;
    at.arm(purge_timer(id, &row, at.now()));
    let completed_at = at.now();
    rest(at, id, row, Status::Completed { at: completed_at });
    if !planted::is(Bug::LostAnswer) {
        at.actions.push(Action::Answer(id));
    }
    match key {
        Some((service, key)) if !keeps_lock => pass_on(at, id, service, key),
        Some(_) | None => Ok(()),
    }
}

/// Drops the completions that have not come, and the timers that would bring them.
fn drop_open(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    incarnation: Incarnation,
) -> Result<(), TablesError> {
    let mut last = None;
    while let Some((completion, open)) = reads::next_open(at.tables, id, last)? {
        last = Some(completion);
        at.tables.delete(&RowKey::Open(id, completion));
        match open.kind {
            OpenKind::Sleep { wake_at } if !planted::is(Bug::KeepSleepTimers) => {
                let kind = TimerKind::Sleep(completion);
                let timer = Timer { due: wake_at, invocation: id, incarnation, kind };
                at.tables.delete(&RowKey::Timer(timer));
            }
            OpenKind::Sleep { .. } | OpenKind::Run => {}
        }
    }
    Ok(())
}

/// Passes an object key on from `holder` to the first in its queue.
fn pass_on(
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

/// Forgets a completed invocation.
pub(crate) fn purge(at: &mut Transition<'_, impl Tables>, id: InvocationId, row: &InvocationRow) {
    if planted::is(Bug::ForgetNothing) {
        return;
    }
    for index in 0..row.entries {
        at.tables.delete(&RowKey::Journal(id, index));
    }
    at.tables.delete(&RowKey::Invocation(id));
}

/// When a completed invocation is to be forgotten: never before a late resend of its call can come.
fn purge_timer(id: InvocationId, row: &InvocationRow, completed_at: Millis) -> Timer {
    let kept =
        if planted::is(Bug::ForgetAtOnce) { 0 } else { row.retention.0.max(REMEMBERED_MS_MIN) };
    Timer {
        due: later(completed_at, kept),
        invocation: id,
        incarnation: row.incarnation,
        kind: TimerKind::Purge,
    }
}

/// The object key that an exclusive handler holds while it runs. A call of one without a key,
/// which no correct sender makes, excludes nobody.
fn exclusive_key(row: &InvocationRow) -> Option<(String, String)> {
    match row.kind {
        HandlerKind::Exclusive => Some((row.target.service.clone(), row.target.key.clone()?)),
        HandlerKind::Plain | HandlerKind::Shared => None,
    }
}
