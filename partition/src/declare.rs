//! What a stored command asks of the partition.
//!
//! **Invariant:** it is done in the same record in which the command is stored, so that a command
//! is never without its consequences, and neither happens twice.

use bytes::Bytes;
use everlog_log_schema::{
    Attach, Call, Caller, CompletionId, Effect, Entry, InvocationId, InvocationRow, Invoke, Life,
    Message, MetadataOffset, NotificationId, NotificationResult, OpenKind, OpenRow, Outcome,
    PromiseResult, Row, RowKey, Signal, SignalResult, Span, Timer, TimerKind, kinds,
};

use crate::outbox::send;
use crate::planted::{self, Bug};
use crate::promises;
use crate::state::{self, Stored};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// The notification that stands right behind a command: it is answered at once.
pub(crate) fn answer_to(
    tables: &impl Tables,
    row: &InvocationRow,
    effect: &Effect,
) -> Result<Option<Entry>, TablesError> {
    let (id, kind, result) = match effect {
        Effect::GetState { completion, key } => {
            let value = state::get(tables, &row.target, key)?;
            let result = value.map_or(NotificationResult::Void, NotificationResult::Value);
            (*completion, kinds::GET_STATE_COMPLETION, result)
        }
        Effect::GetStateKeys { completion } => {
            let keys = NotificationResult::StateKeys(state::keys(tables, &row.target)?);
            (*completion, kinds::GET_STATE_KEYS_COMPLETION, keys)
        }
        Effect::Call(call) => {
            let callee = NotificationResult::InvocationId(call.callee);
            (call.id_completion, kinds::CALL_ID_COMPLETION, callee)
        }
        Effect::GetPromise { completion, name } => {
            let Some(result) = promises::get(tables, &row.target, name)? else { return Ok(None) };
            (*completion, kinds::GET_PROMISE_COMPLETION, result)
        }
        Effect::PeekPromise { completion, name } => {
            let result = promises::get(tables, &row.target, name)?;
            let result = result.unwrap_or(NotificationResult::Void);
            (*completion, kinds::PEEK_PROMISE_COMPLETION, result)
        }
        Effect::CompletePromise { completion, name, .. } => {
            let done = promises::verdict(tables, &row.target, name)?;
            (*completion, kinds::COMPLETE_PROMISE_COMPLETION, done)
        }
        Effect::None
        | Effect::Run { .. }
        | Effect::Sleep { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. }
        | Effect::Attach { .. }
        | Effect::GetOutput { .. } => return Ok(None),
    };
    Ok(Some(Entry::Notification { id: NotificationId::Completion { id, kind }, result }))
}

/// Does what the command asks. Tells whether it could be done: a full object takes no more state.
///
/// The invoker refuses a function that declares a completion twice; a second declaration while the
/// first is open changes nothing here. What is `answered` from the tables opens nothing.
pub(crate) fn declare(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
    effect: &Effect,
    command: &Bytes,
    answered: bool,
) -> Result<Stored, TablesError> {
    let life = Life { invocation: id, incarnation: row.incarnation };
    match effect {
        Effect::None
        | Effect::GetState { .. }
        | Effect::GetStateKeys { .. }
        | Effect::PeekPromise { .. } => {}
        Effect::Run { completion } => {
            open(at, id, *completion, OpenKind::Run)?;
        }
        Effect::Sleep { completion, wake_at } => {
            if open(at, id, *completion, OpenKind::Sleep { wake_at: *wake_at })? {
                let (kind, incarnation) = (TimerKind::Sleep(*completion), row.incarnation);
                at.arm(Timer { due: *wake_at, invocation: id, incarnation, kind });
            }
        }
        Effect::SetState { key, value } => {
            return state::set(at, row, key, part_of(command, *value));
        }
        Effect::ClearState { key } => state::clear(at, row, key)?,
        Effect::ClearAllState => state::clear_all(at, row)?,
        Effect::Call(call) => on_call(at, id, row, call, command)?,
        Effect::SendSignal { target, incarnation, signal, result } => {
            let signal = Signal {
                target: *target,
                incarnation: *incarnation,
                sender: Some(life),
                signal: signal.clone(),
                result: match result {
                    SignalResult::Void => NotificationResult::Void,
                    SignalResult::Value(value) => {
                        NotificationResult::Value(part_of(command, *value))
                    }
                    SignalResult::Failure(failure) => NotificationResult::Failure(failure.clone()),
                },
            };
            let message = Message::Signal(Box::new(signal));
            send(at, target.partition_key, MetadataOffset(0), message)?;
        }
        Effect::Attach { completion, target } => {
            if open(at, id, *completion, OpenKind::Attach { target: *target })? {
                ask(at, life, *completion, *target, true)?;
            }
        }
        Effect::GetOutput { completion, target } => {
            if open(at, id, *completion, OpenKind::Output { target: *target })? {
                ask(at, life, *completion, *target, false)?;
            }
        }
        Effect::GetPromise { completion, name } => {
            if !answered && open(at, id, *completion, OpenKind::Promise { name: name.clone() })? {
                promises::await_one(at, &row.target, name, life, *completion);
            }
        }
        Effect::CompletePromise { name, settled, .. } => {
            let outcome = match settled {
                PromiseResult::Value(value) => Outcome::Success(part_of(command, *value)),
                PromiseResult::Failure(failure) => Outcome::Failure(failure.clone()),
            };
            return promises::complete(at, &row.target, name, &outcome);
        }
    }
    Ok(Stored::Yes)
}

/// Opens a completion; tells whether it was not open before.
fn open(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    completion: CompletionId,
    kind: OpenKind,
) -> Result<bool, TablesError> {
    if reads::open(at.tables, id, completion)?.is_some() {
        return Ok(false);
    }
    at.tables.put(RowKey::Open(id, completion), Row::Open(OpenRow { kind }));
    Ok(true)
}

fn on_call(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
    call: &Call,
    command: &Bytes,
) -> Result<(), TablesError> {
    let callee = call.callee;
    if let Some(completion) = call.completion
        && !open(at, id, completion, OpenKind::Call { callee })?
    {
        return Ok(());
    }
    let life = Life { invocation: id, incarnation: row.incarnation };
    let invoke = Invoke {
        id: callee,
        request_id: call.request_id,
        resent: false,
        target: call.target.clone(),
        kind: call.kind,
        headers: call.headers.clone(),
        body: part_of(command, call.parameter),
        idempotency_key: call.idempotency_key.clone(),
        scope: call.scope.clone(),
        limit_key: call.limit_key.clone(),
        reply_to: None,
        caller: Some(Caller { life, completion: call.completion }),
        start_at: call.start_at,
        retention: call.retention,
        journal_retention: call.journal_retention,
        state_ttl: call.state_ttl,
        retry: call.retry.clone(),
        traceparent: call.traceparent.clone(),
    };
    let message = Message::Invoke(Box::new(invoke));
    if planted::is(Bug::SendTwice) {
        send(at, callee.partition_key, call.metadata, message.clone())?;
    }
    send(at, callee.partition_key, call.metadata, message)
}

fn ask(
    at: &mut Transition<'_, impl Tables>,
    caller: Life,
    completion: CompletionId,
    target: InvocationId,
    waits: bool,
) -> Result<(), TablesError> {
    let question = Message::Attach(Attach { target, caller, completion, waits });
    send(at, target.partition_key, MetadataOffset(0), question)
}

/// Takes a value out of the command that carries it. One that leads beyond the command, which no
/// invoker writes, is empty.
fn part_of(command: &Bytes, span: Span) -> Bytes {
    span.slice(command).unwrap_or_default()
}
