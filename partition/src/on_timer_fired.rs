//! `TimerFired`: a timer is due.
//!
//! **Invariant:** a timer has its effect once, never before it is due, and only on the life of the
//! invocation that set it, or on the object that it is about.

use everlog_log_schema::{
    CompletionId, InvocationId, InvocationRow, NotificationId, NotificationResult, RowKey,
    TimerFired, TimerKind, kinds,
};

use crate::expiry::on_expire;
use crate::journal::deliver;
use crate::life::{admit, expire, purge_journal, retry};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// Does what the timer was set for, if it is still set.
pub(crate) fn on_timer_fired(
    at: &mut Transition<'_, impl Tables>,
    fired: &TimerFired,
) -> Result<(), TablesError> {
    let timer = fired.timer;
    if !reads::is_set(at.tables, timer)? {
        return Ok(());
    }
    if timer.due > at.now() {
        at.actions.push(Action::ArmTimer(timer));
        return Ok(());
    }
    if !planted::is(Bug::KeepFiredTimer) {
        at.tables.delete(&RowKey::Timer(timer));
    }
    if timer.kind == TimerKind::Expire {
        return on_expire(at, timer);
    }
    let id = timer.invocation;
    let Some(row) = at.living(id, timer.incarnation)? else {
        unreachable!("{timer:?} outlived its invocation");
    };
    match timer.kind {
        TimerKind::Start => admit(at, id, row)?,
        TimerKind::Retry => retry(at, id, row),
        TimerKind::Sleep(completion) => end_sleep(at, id, row, completion),
        TimerKind::Purge => expire(at, id, row)?,
        TimerKind::PurgeJournal => purge_journal(at, id, row)?,
        TimerKind::Expire => unreachable!("{timer:?} belongs to no invocation"),
    }
    Ok(())
}

/// Stores the end of a sleep, and wakes the invocation if it waits for it.
fn end_sleep(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: InvocationRow,
    completion: CompletionId,
) {
    at.tables.delete(&RowKey::Open(id, completion));
    if row.has_output {
        return;
    }
    let notification = NotificationId::Completion { id: completion, kind: kinds::SLEEP_COMPLETION };
    let result = NotificationResult::Void;
    deliver(at, id, row, notification, result);
}
