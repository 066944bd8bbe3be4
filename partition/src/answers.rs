//! Answers: functions that wait for an invocation, or for a promise, are told what came of it.
//!
//! Each answer holds the whole outcome, and any number of functions may wait for one. A record
//! therefore has room for so many answers only. The others stay rows of those who wait until the
//! answers before them have arrived: then the next slice goes.
//!
//! **Invariants:** every function that waits is answered once. A completed invocation is marked as owing
//! exactly while functions wait for it, and a promise at least so long, until the next slice at most; neither is
//! forgotten before. While one is so marked, a message is on its way whose arrival makes room: whoever
//! owns the partition reports it.

use everlog_log_schema::limits::{ANSWER_BYTES_MIN, ANSWERS_BYTES_MAX};
use everlog_log_schema::{
    Caller, Complete, CompletionId, HandlerKind, InvocationId, InvocationRow, Life, Message,
    MetadataOffset, NotificationResult, Outcome, Owed, Row, RowKey, Status, identity,
};

use crate::life::go_if_put_off;
use crate::outbox::send;
use crate::planted::{self, Bug};
use crate::promises::{self, Promise};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// What the answers of one record hold, in bytes; the last may exceed it. The simulation's records
/// hold few, so that it meets often what takes a thousand functions otherwise.
pub(crate) const ROOM_BYTES: u64 =
    if cfg!(planted_bugs) { 2 * ANSWER_BYTES_MIN } else { ANSWERS_BYTES_MAX };

/// Answers with the outcome of an invocation whose row is `row`, now or later.
pub(crate) fn attach(
    at: &mut Transition<'_, impl Tables>,
    target: InvocationId,
    row: &InvocationRow,
    caller: Life,
    completion: CompletionId,
) -> Result<(), TablesError> {
    let has_completed = matches!(row.status, Status::Completed { .. });
    if has_completed
        && has_room(at)
        && let Some(outcome) = reads::outcome(at.tables, target, row)?
    {
        return answer(at, caller, completion, &outcome);
    }
    at.tables.put(RowKey::Waiting(target, caller, completion), Row::Waiting);
    if has_completed {
        owe(at, target, Owed::Invocation);
    }
    Ok(())
}

/// Answers those who wait for what has just completed. The function that called is answered at
/// once whatever the room: it is one, and must not stand behind a crowd that waits for another.
pub(crate) fn answer_callers(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    caller: Option<Caller>,
    outcome: &Outcome,
) -> Result<(), TablesError> {
    if let Some(Caller { life, completion: Some(completion) }) = caller {
        answer(at, life, completion, outcome)?;
    }
    if planted::is(Bug::ForgetWaiting) {
        return Ok(());
    }
    if !answer_waiting(at, id, outcome)? {
        owe(at, id, Owed::Invocation);
    }
    Ok(())
}

/// Answers those who wait for the promise that has just been completed.
pub(crate) fn answer_promised(
    at: &mut Transition<'_, impl Tables>,
    promise: Promise<'_>,
    outcome: &Outcome,
) -> Result<(), TablesError> {
    let id = promise.id();
    if !planted::is(Bug::ForgetPromised) && !answer_waiting(at, id, outcome)? {
        owe(at, id, promise.owed());
    }
    Ok(())
}

/// Sends the next slice of the answers that found no room.
pub(crate) fn go_on(at: &mut Transition<'_, impl Tables>) -> Result<(), TablesError> {
    at.answer_bytes_left = ROOM_BYTES;
    let mut last = None;
    while let Some((id, owed)) = reads::next_owing(at.tables, last)? {
        last = Some(id);
        if !has_room(at) {
            at.partition.room_behind = at.last_sent;
            return Ok(());
        }
        let outcome = owed_outcome(at.tables, id, &owed)?;
        if !answer_waiting(at, id, &outcome)? {
            at.partition.room_behind = at.last_sent;
            return Ok(());
        }
        at.tables.delete(&RowKey::Owing(id));
        let kept_for_it = match owed {
            Owed::Invocation => id,
            Owed::Promise { service, key, .. } => identity::of_workflow(&service, &key),
        };
        if let Some(row) = reads::invocation(at.tables, kept_for_it)? {
            go_if_put_off(at, kept_for_it, row)?;
        }
    }
    // Not before: until then others may owe answers that keep the same run.
    at.partition.room_behind = None;
    Ok(())
}

fn owed_outcome(
    tables: &impl Tables,
    id: InvocationId,
    owed: &Owed,
) -> Result<Outcome, TablesError> {
    let outcome = match owed {
        Owed::Invocation => reads::outcome_of(tables, id)?.map(|(_, outcome)| outcome),
        Owed::Promise { service, key, name } => reads::promise(tables, service, key, name)?,
    };
    Ok(outcome.expect("what owes answers has completed"))
}

/// Whether functions still wait for a completed invocation, or for a promise that goes with it.
pub(crate) fn owes(
    at: &Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<bool, TablesError> {
    if at.partition.room_behind.is_none() {
        return Ok(false);
    }
    Ok(reads::is_owing(at.tables, id)?
        || (row.kind == HandlerKind::Workflow && promises::owe(at.tables, &row.target)?))
}

/// Tells a function what came of what it waits for.
pub(crate) fn tell(
    at: &mut Transition<'_, impl Tables>,
    to: Life,
    completion: CompletionId,
    result: NotificationResult,
) -> Result<(), TablesError> {
    let message = Message::Complete(Box::new(Complete { to, completion, result }));
    send(at, to.invocation.partition_key, MetadataOffset(0), message)
}

fn has_room(at: &Transition<'_, impl Tables>) -> bool {
    at.answer_bytes_left > 0
}

fn answer(
    at: &mut Transition<'_, impl Tables>,
    to: Life,
    completion: CompletionId,
    outcome: &Outcome,
) -> Result<(), TablesError> {
    let result = NotificationResult::from(outcome.clone());
    let bytes = ANSWER_BYTES_MIN.max(result.payload_bytes() as u64);
    at.answer_bytes_left = at.answer_bytes_left.saturating_sub(bytes);
    tell(at, to, completion, result)
}

/// Answers those that wait for an invocation, as far as there is room; tells whether that was all.
fn answer_waiting(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    outcome: &Outcome,
) -> Result<bool, TablesError> {
    let mut last = None;
    while let Some((life, completion)) = reads::next_waiting(at.tables, id, last)? {
        if !has_room(at) {
            return Ok(planted::is(Bug::OneSlice));
        }
        at.tables.delete(&RowKey::Waiting(id, life, completion));
        answer(at, life, completion, outcome)?;
        last = Some((life, completion));
    }
    Ok(true)
}

fn owe(at: &mut Transition<'_, impl Tables>, id: InvocationId, owed: Owed) {
    at.tables.put(RowKey::Owing(id), Row::Owing(owed));
    if at.partition.room_behind.is_none() {
        assert!(at.last_sent.is_some(), "a record that has sent nothing has no room");
        at.partition.room_behind = at.last_sent;
    }
}
