//! `Suspend`: an attempt ended, waiting for something.
//!
//! **Invariant:** an invocation is parked only if something can still wake it.

use everlog_log_schema::{
    Entry, InvocationId, InvocationRow, NotificationId, OpenKind, Status, Suspend, WaitSet,
};

use crate::journal::waits_for;
use crate::life::{pause, rest, wake};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// The signal that SDKs add to every wait set, so that a cancellation wakes the function.
const CANCEL: u32 = 1;

/// Parks the invocation until something it waits for happens; starts the next attempt at once if
/// it already has.
///
/// An empty wait set, which the invoker refuses before, would wait for ever or spin: it pauses.
pub(crate) fn on_suspend(
    at: &mut Transition<'_, impl Tables>,
    suspend: &Suspend,
) -> Result<(), TablesError> {
    let id = suspend.invocation;
    let Some(mut row) = at.attempted(id, suspend.attempt)? else { return Ok(()) };
    let waiting = &suspend.waiting;
    if *waiting == WaitSet::default() {
        pause(at, id, row, "attempt suspended without waiting for anything");
    } else if must_wake(at.tables, id, &row, waiting)? && !planted::is(Bug::LostWakeUp)
        || has_untold_signal(at.tables, id, &row, suspend)? && !planted::is(Bug::LostSignal)
    {
        wake(at, id, row);
    } else {
        row.policy_attempts = 0;
        rest(at, id, row, Status::Suspended(waiting.clone()));
    }
    Ok(())
}

/// Tells whether something in the set is stored already, or nothing in it can come while no
/// attempt runs: only an attempt brings the result of a run, and nothing follows an output.
/// Signals are looked for by [`has_untold_signal`].
fn must_wake(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
    waiting: &WaitSet,
) -> Result<bool, TablesError> {
    if row.has_output {
        return Ok(true);
    }
    let mut only_runs = !waiting.completions.is_empty();
    for completion in &waiting.completions {
        match reads::open(tables, id, *completion)?.map(|open| open.kind) {
            None => return Ok(true),
            Some(OpenKind::Run) => {}
            Some(
                OpenKind::Sleep { .. }
                | OpenKind::Call { .. }
                | OpenKind::Attach { .. }
                | OpenKind::Output { .. },
            ) => only_runs = false,
        }
    }
    let only_cancel = waiting.signals.iter().all(|signal| *signal == CANCEL);
    Ok(only_runs && only_cancel && waiting.named_signals.is_empty())
}

/// Tells whether a signal in the set came while the function was not told any more.
fn has_untold_signal(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
    suspend: &Suspend,
) -> Result<bool, TablesError> {
    let mut untold = row.signals.saturating_sub(suspend.signals_told);
    let mut index = row.entries;
    while untold > 0 && index > 0 {
        index -= 1;
        let Entry::Notification { id: NotificationId::Signal(signal), .. } =
            reads::journal_row(tables, id, index)?.entry
        else {
            continue;
        };
        untold -= 1;
        if waits_for(&suspend.waiting, &NotificationId::Signal(signal)) {
            return Ok(true);
        }
    }
    Ok(false)
}
