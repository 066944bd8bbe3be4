//! `End`: an attempt ended, and the invocation with it.

use everlog_log_schema::End;

use crate::life::{complete, pause};
use crate::transition::Transition;
use crate::{Tables, TablesError};

/// Completes the invocation with the output in its journal.
///
/// The invoker refuses an end without an output. If one came nevertheless, doing nothing would
/// leave the invocation running without an attempt, unseen; so it is paused, with the reason.
pub(crate) fn on_end(at: &mut Transition<'_, impl Tables>, end: &End) -> Result<(), TablesError> {
    let id = end.invocation;
    let Some(row) = at.attempted(id, end.attempt)? else { return Ok(()) };
    if row.has_output {
        complete(at, id, row)
    } else {
        pause(at, id, row, "attempt ended without an output");
        Ok(())
    }
}
