//! `AttemptFailed`: an attempt ended without an outcome.
//!
//! **Invariant:** the owner decided by the retry policy what follows; here it is done, not judged.

use everlog_log_schema::{AttemptFailed, Status, Then, Timer, TimerKind};

use crate::life::{end_with_failure, rest};
use crate::transition::Transition;
use crate::{Tables, TablesError};

/// The status code of an invocation that its retry policy killed.
const INTERNAL_ERROR: u32 = 500;

/// Counts the failure and waits, pauses or gives up.
pub(crate) fn on_attempt_failed(
    at: &mut Transition<'_, impl Tables>,
    failed: &AttemptFailed,
) -> Result<(), TablesError> {
    let id = failed.invocation;
    let Some(mut row) = at.attempted(id, failed.attempt)? else { return Ok(()) };
    row.failures_since_progress = row.failures_since_progress.saturating_add(1);
    if !failed.error.delay_by_function {
        row.policy_attempts = row.policy_attempts.saturating_add(1);
    }
    row.last_error = Some(failed.error.clone());
    match failed.then {
        Then::RetryAt(until) => {
            let incarnation = row.incarnation;
            rest(at, id, row, Status::BackingOff { until });
            at.arm(Timer { due: until, invocation: id, incarnation, kind: TimerKind::Retry });
        }
        Then::Pause => rest(at, id, row, Status::Paused),
        Then::Kill => end_with_failure(at, id, row, INTERNAL_ERROR, &failed.error.message)?,
    }
    Ok(())
}
