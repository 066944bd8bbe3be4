//! `Invoke`: somebody calls.
//!
//! **Invariant:** an invocation is created at most once per life of its id. A call of one that is
//! there already creates nothing, and its caller is answered with the outcome of that one; where that has
//! expired, so is a resend alone, and any other call begins the next life.

use everlog_log_schema::{
    Entry, Failure, HandlerKind, InboxOffset, Incarnation, InvocationId, InvocationRow, Invoke,
    JournalRow, Millis, NotificationResult, Row, RowKey, Status, Timer, TimerKind,
};

use crate::answers::{attach, tell};
use crate::life::{admit, leave, purge};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// Creates the invocation; to a known one the caller is attached.
pub(crate) fn on_invoke(
    at: &mut Transition<'_, impl Tables>,
    offset: InboxOffset,
    invoke: &Invoke,
) -> Result<(), TablesError> {
    let id = invoke.id;
    if let Some(row) = reads::invocation(at.tables, id)?
        && !planted::is(Bug::NoInboxDedup)
    {
        if !begins_anew(invoke, &row) {
            return join(at, invoke, &row);
        }
        leave(at, id, &row);
        purge(at, id, &row)?;
    }

    let input = Entry::Input { headers: invoke.headers.clone(), body: invoke.body.clone() };
    let row = InvocationRow { journal_bytes: input.payload_bytes(), ..created(at, offset, invoke) };
    let input = JournalRow { at: at.now(), attempts: 0, entry: input };
    at.tables.put(RowKey::Journal(id, 0), Row::Journal(input));
    match invoke.start_at.filter(|start_at| *start_at > at.now()) {
        Some(start_at) => {
            schedule(at, id, row, start_at);
            Ok(())
        }
        None => admit(at, id, row),
    }
}

/// Whether a call of a known invocation is none of those that this one is the answer to.
fn begins_anew(invoke: &Invoke, row: &InvocationRow) -> bool {
    let repeats = invoke.resent || invoke.request_id == row.request_id;
    row.has_expired()
        && (!repeats || planted::is(Bug::RepeatExpired))
        && !planted::is(Bug::JoinExpired)
}

/// Answers a call of a known invocation: now, or once that has completed. Another call of a
/// workflow's run is refused.
fn join(
    at: &mut Transition<'_, impl Tables>,
    invoke: &Invoke,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    if let Some(caller) = invoke.caller
        && let Some(completion) = caller.completion
    {
        let runs_again = row.kind == HandlerKind::Workflow && invoke.request_id != row.request_id;
        if runs_again && !planted::is(Bug::JoinWorkflow) {
            let refused = NotificationResult::Failure(Failure::already_invoked());
            return tell(at, caller.life, completion, refused);
        }
        return attach(at, invoke.id, row, caller.life, completion);
    }
    if matches!(row.status, Status::Completed { .. }) {
        at.actions.push(Action::Answer(invoke.id));
    }
    Ok(())
}

fn schedule(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    start_at: Millis,
) {
    let incarnation = row.incarnation;
    row.status = Status::Scheduled { at: start_at };
    at.put_invocation(id, row);
    at.arm(Timer { due: start_at, invocation: id, incarnation, kind: TimerKind::Start });
}

fn created(
    at: &Transition<'_, impl Tables>,
    offset: InboxOffset,
    invoke: &Invoke,
) -> InvocationRow {
    InvocationRow {
        incarnation: Incarnation(offset.0),
        request_id: invoke.request_id,
        target: invoke.target.clone(),
        kind: invoke.kind,
        idempotency_key: invoke.idempotency_key.clone(),
        scope: invoke.scope.clone(),
        limit_key: invoke.limit_key.clone(),
        retention: invoke.retention,
        journal_retention: invoke.journal_retention,
        state_ttl: invoke.state_ttl,
        retry: invoke.retry.clone(),
        traceparent: invoke.traceparent.clone(),
        caller: invoke.caller,
        restarted_from: None,
        created_at: at.now(),
        modified_at: at.now(),
        status: Status::Scheduled { at: at.now() },
        attempt_epoch: at.partition.epoch,
        attempt_counter: 0,
        attempts: 0,
        pin: None,
        entries: 1,
        commands: 1,
        signals: 0,
        journal_bytes: 0,
        has_output: false,
        policy_attempts: 0,
        failures_since_progress: 0,
        progress_at: at.now(),
        last_error: None,
    }
}
