//! `Attach`: a function asks for the outcome of an invocation.
//!
//! **Invariant:** every function that attached is answered once: now, or when the invocation ends.

use everlog_log_schema::{Attach, Failure, NotificationResult, Status};

use crate::answers::{attach, tell};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// The status code of an invocation that is not known.
const NOT_FOUND: u32 = 404;

/// Answers with the outcome; where there is none yet, later, or that there is none.
pub(crate) fn on_attach(
    at: &mut Transition<'_, impl Tables>,
    question: &Attach,
) -> Result<(), TablesError> {
    let Attach { target, caller, completion, waits } = *question;
    let known = reads::invocation(at.tables, target)?.filter(|row| !row.has_expired());
    let Some(row) = known else {
        let message = "not found".to_owned();
        let failure = Failure { code: NOT_FOUND, message, metadata: Vec::new() };
        return tell(at, caller, completion, NotificationResult::Failure(failure));
    };
    if waits || matches!(row.status, Status::Completed { .. }) {
        attach(at, target, &row, caller, completion)
    } else {
        tell(at, caller, completion, NotificationResult::Void)
    }
}
