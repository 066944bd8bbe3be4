//! `Order`: whoever runs the functions intervenes.
//!
//! **Invariant:** an order about what is not there, or does not stand where the order applies, has
//! no effect. A kill reaches every call that the killed one waits for, and no other.

use everlog_log_schema::{InvocationId, InvocationRow, Order, OrderAction, ResumeOn, Status};

use crate::life::{end_with_failure, leave, purge, purge_journal, rest, wake};
use crate::on_signal::ABORTED;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// Does what the order says.
pub(crate) fn on_order(
    at: &mut Transition<'_, impl Tables>,
    order: &Order,
) -> Result<(), TablesError> {
    let id = order.target;
    let Some(row) = reads::invocation(at.tables, id)? else { return Ok(()) };
    let is_child = |parent| row.caller.is_some_and(|caller| caller.life == parent);
    if !order.sender.is_none_or(is_child) {
        return Ok(());
    }
    match order.action {
        OrderAction::Kill => kill(at, id, row)?,
        OrderAction::Pause => pause(at, id, row),
        OrderAction::Resume => resume(at, id, row),
        OrderAction::Purge => {
            if matches!(row.status, Status::Completed { .. }) {
                leave(at, id, &row);
                purge(at, id, &row)?;
            }
        }
        OrderAction::PurgeJournal => {
            if matches!(row.status, Status::Completed { .. }) {
                purge_journal(at, id, row)?;
            }
        }
    }
    Ok(())
}

fn kill(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: InvocationRow,
) -> Result<(), TablesError> {
    if matches!(row.status, Status::Completed { .. }) {
        return Ok(());
    }
    at.actions.push(Action::Stop(id));
    end_with_failure(at, id, row, ABORTED, "killed")
}

fn pause(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    match row.status {
        Status::Running => {
            at.actions.push(Action::Stop(id));
            rest(at, id, row, Status::Paused);
        }
        Status::BackingOff { .. } if planted::is(Bug::PausedRetries) => {}
        Status::Suspended(_) | Status::BackingOff { .. } => {
            leave(at, id, &row);
            at.turn(&mut row, Status::Paused);
            at.put_invocation(id, row);
        }
        Status::Scheduled { .. }
        | Status::Pending { .. }
        | Status::Paused
        | Status::Completed { .. } => {}
    }
}

/// Resumes an invocation on other code. One that has recorded nothing has none to leave.
pub(crate) fn on_resume(
    at: &mut Transition<'_, impl Tables>,
    order: &ResumeOn,
) -> Result<(), TablesError> {
    let id = order.target;
    let Some(mut row) = reads::invocation(at.tables, id)? else { return Ok(()) };
    let waits = match row.status {
        Status::Suspended(_) | Status::BackingOff { .. } | Status::Paused => true,
        Status::Running => planted::is(Bug::RepinRunning),
        Status::Scheduled { .. } | Status::Pending { .. } | Status::Completed { .. } => false,
    };
    if waits && row.pin.is_some() {
        row.pin = Some(order.pin.clone());
        at.put_invocation(id, row.clone());
        resume(at, id, row);
    }
    Ok(())
}

fn resume(at: &mut Transition<'_, impl Tables>, id: InvocationId, row: InvocationRow) {
    match row.status {
        Status::Suspended(_) | Status::BackingOff { .. } | Status::Paused => {
            leave(at, id, &row);
            wake(at, id, row);
        }
        Status::Scheduled { .. }
        | Status::Pending { .. }
        | Status::Running
        | Status::Completed { .. } => {}
    }
}
