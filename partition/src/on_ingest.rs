//! `Ingest`: a message of the inbox is taken in, once.
//!
//! **Invariant:** an inbox offset, and a number of a sending partition, take effect at most once,
//! and an invocation is created at most once per life of its id.

use everlog_log_schema::{
    Entry, InboxOffset, Incarnation, Ingest, Intake, InvocationId, InvocationRow, Invoke, Message,
    Millis, Row, RowKey, Seq, Source, Status, Timer, TimerKind,
};

use crate::life::admit;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// Takes in one message, unless it was taken in before.
pub(crate) fn on_ingest(
    at: &mut Transition<'_, impl Tables>,
    ingest: &Ingest,
) -> Result<(), TablesError> {
    if ingest.offset < at.partition.next_inbox && !planted::is(Bug::NoInboxDedup) {
        return Ok(());
    }
    at.partition.next_inbox = InboxOffset(ingest.offset.0 + 1);
    match &ingest.intake {
        Intake::Rejected { source, .. } => {
            if let Some(source) = source {
                advance(at, *source)?;
            }
        }
        Intake::Message(envelope) => {
            if advance(at, envelope.source)? {
                match &envelope.message {
                    Message::Invoke(invoke) => on_invoke(at, ingest.offset, invoke)?,
                }
            }
        }
    }
    Ok(())
}

/// Advances a sending partition's mark; tells whether the message is the next one.
///
/// A lower number is a repeat. A higher one means that the sender left a hole, which it resends
/// from: taking it in now would lose the order, and the missing one.
fn advance(at: &mut Transition<'_, impl Tables>, source: Source) -> Result<bool, TablesError> {
    let Source::Partition { partition, seq } = source else { return Ok(true) };
    let taken = reads::taken_from(at.tables, partition)?;
    if seq.0.checked_sub(1) != Some(taken.0) && !planted::is(Bug::NoInboxDedup) {
        return Ok(false);
    }
    at.tables.put(RowKey::Sender(partition), Row::Sender(Seq(seq.0)));
    Ok(true)
}

/// Creates the invocation; of a known id it only answers the caller if the outcome is there.
fn on_invoke(
    at: &mut Transition<'_, impl Tables>,
    offset: InboxOffset,
    invoke: &Invoke,
) -> Result<(), TablesError> {
    let id = invoke.id;
    if let Some(row) = reads::invocation(at.tables, id)?
        && !planted::is(Bug::NoInboxDedup)
    {
        if matches!(row.status, Status::Completed { .. }) {
            at.actions.push(Action::Answer(id));
        }
        return Ok(());
    }

    let input = Entry::Input { headers: invoke.headers.clone(), body: invoke.body.clone() };
    let row = InvocationRow { journal_bytes: input.payload_bytes(), ..created(at, offset, invoke) };
    at.tables.put(RowKey::Journal(id, 0), Row::Journal(input));
    match invoke.start_at.filter(|start_at| *start_at > at.now()) {
        Some(start_at) => schedule(at, id, row, start_at),
        None => admit(at, id, row)?,
    }
    Ok(())
}

fn schedule(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: InvocationRow,
    start_at: Millis,
) {
    let incarnation = row.incarnation;
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
        retention: invoke.retention,
        retry: invoke.retry.clone(),
        traceparent: invoke.traceparent.clone(),
        created_at: at.now(),
        status: Status::Scheduled,
        attempt_epoch: at.partition.epoch,
        attempt_counter: 0,
        pin: None,
        entries: 1,
        commands: 1,
        journal_bytes: 0,
        has_output: false,
        policy_attempts: 0,
        failures_since_progress: 0,
        progress_at: at.now(),
        last_error: None,
    }
}
