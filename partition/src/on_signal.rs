//! `Signal`: somebody tells an invocation something.
//!
//! **Invariant:** a signal reaches the life it is meant for, and no other. A cancellation ends at
//! once what has not begun; what has begun is told, and decides itself: a paused one goes on for it,
//! one that backs off is told by its next attempt.

use everlog_log_schema::limits::JOURNAL_SIGNALS_MAX;
use everlog_log_schema::{InvocationRow, Life, NotificationId, Signal, SignalId, Status};

use crate::journal::{deliver, fitting};
use crate::life::{complete, end_with_failure};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// The status code of what was cancelled, or killed.
pub(crate) const ABORTED: u32 = 409;

/// Stores the signal, and wakes the function if it waits for it.
pub(crate) fn on_signal(
    at: &mut Transition<'_, impl Tables>,
    signal: &Signal,
) -> Result<(), TablesError> {
    let id = signal.target;
    let Some(mut row) = reads::invocation(at.tables, id)? else { return Ok(()) };
    let meant = signal.incarnation.is_none_or(|incarnation| incarnation == row.incarnation)
        && signal.sender.is_none_or(|sender| may_mean(&row, sender));
    if !meant && !planted::is(Bug::IgnoreIncarnation) {
        return Ok(());
    }
    let cancels = signal.signal == SignalId::CANCEL;
    match row.status {
        Status::Completed { .. } => return Ok(()),
        Status::Scheduled { .. } | Status::Pending { .. } if cancels => {
            return end_with_failure(at, id, row, ABORTED, "canceled");
        }
        Status::Scheduled { .. }
        | Status::Pending { .. }
        | Status::Running
        | Status::Suspended(_)
        | Status::BackingOff { .. }
        | Status::Paused => {}
    }
    if row.has_output && cancels && row.status == Status::Paused {
        // It has nothing left to do but to end, and would never, if nobody resumed it.
        return complete(at, id, row);
    }
    if row.has_output || row.signals >= JOURNAL_SIGNALS_MAX {
        return Ok(());
    }
    row.signals += 1;
    let result = fitting(&row, signal.result.clone());
    let notification = NotificationId::Signal(signal.signal.clone());
    deliver(at, id, row, notification, result);
    Ok(())
}

/// Whether `sender` may mean this life: not where an earlier life of the sender's own id called it.
fn may_mean(row: &InvocationRow, sender: Life) -> bool {
    row.caller
        .is_none_or(|caller| caller.life.invocation != sender.invocation || caller.life == sender)
}
