//! `Attach`: a function asks for the outcome of an invocation.
//!
//! **Invariant:** every function that attached is answered once: now, or when the invocation ends.

use everlog_log_schema::{
    Attach, Complete, CompletionId, Failure, InvocationId, InvocationRow, Life, Message,
    MetadataOffset, NotificationResult, Outcome, Row, RowKey, Status,
};

use crate::outbox::send;
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
    let Some(row) = reads::invocation(at.tables, target)? else {
        let message = "not found".to_owned();
        let failure = Failure { code: NOT_FOUND, message, metadata: Vec::new() };
        return complete(at, caller, completion, NotificationResult::Failure(failure));
    };
    if waits || matches!(row.status, Status::Completed { .. }) {
        attach(at, target, &row, caller, completion)
    } else {
        complete(at, caller, completion, NotificationResult::Void)
    }
}

/// Answers with the outcome of an invocation whose row is `row`, now or later.
pub(crate) fn attach(
    at: &mut Transition<'_, impl Tables>,
    target: InvocationId,
    row: &InvocationRow,
    caller: Life,
    completion: CompletionId,
) -> Result<(), TablesError> {
    if let Some(outcome) = reads::outcome(at.tables, target, row)? {
        return complete(at, caller, completion, result_of(outcome));
    }
    at.tables.put(RowKey::Waiting(target, caller, completion), Row::Waiting);
    Ok(())
}

/// Tells a function what came of what it waits for.
pub(crate) fn complete(
    at: &mut Transition<'_, impl Tables>,
    to: Life,
    completion: CompletionId,
    result: NotificationResult,
) -> Result<(), TablesError> {
    let message = Message::Complete(Box::new(Complete { to, completion, result }));
    send(at, to.invocation.partition_key, MetadataOffset(0), message)
}

/// The outcome of an invocation as a function sees it that waits for it.
pub(crate) fn result_of(outcome: Outcome) -> NotificationResult {
    match outcome {
        Outcome::Success(value) => NotificationResult::Value(value),
        Outcome::Failure(failure) => NotificationResult::Failure(failure),
    }
}
