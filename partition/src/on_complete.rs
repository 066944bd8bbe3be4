//! `Complete`: what a function waits for has come from another partition.
//!
//! **Invariant:** a completion is stored at most once, and only in the life that asked for it.

use everlog_log_schema::{Complete, NotificationId, OpenKind, RowKey, kinds};

use crate::journal::{deliver, fitting};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Stores the answer, and wakes the function if it waits for it.
pub(crate) fn on_complete(
    at: &mut Transition<'_, impl Tables>,
    answer: &Complete,
) -> Result<(), TablesError> {
    let Complete { to, completion, ref result } = *answer;
    let id = to.invocation;
    let Some(row) = at.living(id, to.incarnation)? else { return Ok(()) };
    let Some(open) = reads::open(at.tables, id, completion)? else { return Ok(()) };
    let kind = match open.kind {
        OpenKind::Call { .. } => kinds::CALL_COMPLETION,
        OpenKind::Attach { .. } => kinds::ATTACH_COMPLETION,
        OpenKind::Output { .. } => kinds::OUTPUT_COMPLETION,
        OpenKind::Promise { .. } => kinds::GET_PROMISE_COMPLETION,
        // No correct partition answers for the function itself, or for a timer.
        OpenKind::Run | OpenKind::Sleep { .. } => return Ok(()),
    };
    at.tables.delete(&RowKey::Open(id, completion));
    if row.has_output {
        return Ok(());
    }
    let notification = NotificationId::Completion { id: completion, kind };
    let result = fitting(&row, result.clone());
    deliver(at, id, row, notification, result);
    Ok(())
}
