//! `TimerFired`: a timer is due.
//!
//! **Invariant:** a timer has its effect once, never before it is due, and only on the life of the
//! invocation that set it.

use everlog_log_schema::{
    CompletionId, Entry, InvocationId, InvocationRow, NotificationId, NotificationResult, RowKey,
    Status, TimerFired, TimerKind,
};

use crate::journal::notify;
use crate::life::{admit, purge, retry, wake};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// The type of the protocol's message that ends a sleep.
const SLEEP_COMPLETION: u16 = 0x800C;

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
    let id = timer.invocation;
    let Some(row) = at.living(id, timer.incarnation)? else {
        unreachable!("{timer:?} outlived its invocation");
    };
    match timer.kind {
        TimerKind::Start => admit(at, id, row)?,
        TimerKind::Retry => retry(at, id, row),
        TimerKind::Sleep(completion) => end_sleep(at, id, row, completion),
        TimerKind::Purge => purge(at, id, &row),
    }
    Ok(())
}

/// Stores the end of a sleep, and wakes the invocation if it waits for it.
fn end_sleep(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    completion: CompletionId,
) {
    if row.has_output {
        at.tables.delete(&RowKey::Open(id, completion));
        return;
    }
    let entry = Entry::Notification {
        id: NotificationId::Completion { id: completion, kind: SLEEP_COMPLETION },
        result: NotificationResult::Void,
    };
    notify(at, id, &mut row, entry, completion);
    match &row.status {
        Status::Suspended(waiting) if waiting.completions.contains(&completion) => {
            wake(at, id, row);
        }
        Status::Scheduled
        | Status::Pending
        | Status::Running
        | Status::Suspended(_)
        | Status::BackingOff { .. }
        | Status::Paused
        | Status::Completed { .. } => at.put_invocation(id, row),
    }
}
