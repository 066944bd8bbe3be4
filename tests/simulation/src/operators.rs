//! Who is neither a caller nor a function: operators that cancel, kill, pause, resume and purge,
//! and whoever completes an awakeable.
//!
//! They know what everybody may know: the journal topic. A message of theirs may be sent twice.

use std::rc::Rc;

use everlog_log_schema::{
    DeploymentId, Envelope, Failure, HandlerKind, InvocationId, InvocationRow, Level, Message,
    MetadataOffset, Millis, NotificationResult, OnMaxAttempts, Order, OrderAction, Pin, RequestId,
    Restart, ResumeOn, Row, RowKey, Signal, SignalId, Source, Status, identity,
};
use everlog_partition::reads;

use crate::env::Env;
use crate::inbox::Item;
use crate::observer::describe_message;
use crate::properties::kept_for;

/// How often who has completed an awakeable does so once more, in thousandths.
const COMPLETED_AGAIN: u64 = 850;
/// How often an awakeable is rejected, in thousandths.
const REJECTED: u64 = 300;

/// Sends a function what it waits for.
pub fn signal(env: &mut Env) {
    let at = env.rng.index(env.awaited.len());
    let Some((life, signal)) = env.awaited.get(at).cloned() else { return };
    let value = env.rng.draw();
    let result = if env.rng.chance(REJECTED) {
        let message = format!("rejected with {value:x}");
        NotificationResult::Failure(Failure { code: 409, message, metadata: Vec::new() })
    } else {
        NotificationResult::Value(value.to_be_bytes().to_vec().into())
    };
    let signal = Signal {
        target: life.invocation,
        incarnation: Some(life.incarnation),
        sender: None,
        signal,
        result,
    };
    // Whoever does not know whether it arrived sends it again, however much later.
    if !env.rng.chance(COMPLETED_AGAIN) {
        env.awaited.swap_remove(at);
    }
    send(env, Message::Signal(Box::new(signal)));
}

/// Resumes what an order has paused. What its policy has paused waits for ever.
pub fn resume(env: &mut Env) {
    if let Some(target) = paused_by_order(env) {
        order_about(env, target, OrderAction::Resume);
    }
}

/// Whether something is left to be resumed.
pub fn any_to_resume(env: &Env) -> bool {
    paused_by_order(env).is_some()
}

fn paused_by_order(env: &Env) -> Option<InvocationId> {
    let paused = |row: &InvocationRow| {
        row.status == Status::Paused && row.retry.on_max_attempts != OnMaxAttempts::Pause
    };
    invocations(env).find(|(_, row)| paused(row)).map(|(id, _)| id)
}

/// Cancels who may wait for ever: a handler of a workflow, for a promise that went with the run.
pub fn release(env: &mut Env) {
    let run_of = |row: &InvocationRow| {
        let run = identity::of_workflow(&row.target.service, row.target.key.as_deref()?);
        reads::invocation(env.observer.tables(), run).ok()?
    };
    let waits = |row: &InvocationRow| {
        row.kind == HandlerKind::WorkflowShared
            && matches!(row.status, Status::Suspended(_))
            && run_of(row).is_none_or(|run| run.has_expired())
    };
    let target = invocations(env).find(|(_, row)| waits(row)).map(|(id, _)| id);
    if let Some(target) = target {
        send(env, Message::Signal(Box::new(cancel(target))));
    }
}

/// Later restarts would not be forgotten before the world ends.
const RESTARTS_UNTIL: Millis = Millis(1_800_000);

/// Intervenes at random.
pub fn order(env: &mut Env) {
    let ended = |row: &InvocationRow| matches!(row.status, Status::Completed { .. });
    // Most are in the middle of something: what has ended would seldom be met by chance.
    let only_ended = env.rng.chance(600) && invocations(env).any(|(_, row)| ended(row));
    let met: Vec<_> =
        invocations(env).filter(|(_, row)| !only_ended || ended(row)).map(|(id, _)| id).collect();
    let Some(target) = met.get(env.rng.index(met.len())).copied() else { return };
    let row = reads::invocation(env.observer.tables(), target).ok().flatten();
    let completed = row.is_some_and(|row| ended(&row));
    let in_time = env.restarts_left > 0 && env.now < RESTARTS_UNTIL;
    let may_restart = in_time && (completed || env.rng.chance(100));
    if may_restart && env.rng.chance(env.faults.restart) {
        env.restarts_left -= 1;
        return restart(env, target);
    }
    if completed && env.rng.chance(200) {
        return order_about(env, target, OrderAction::PurgeJournal);
    }
    if env.rng.chance(100) {
        let pin = Pin { deployment: DeploymentId("dp_2".into()), protocol_version: 6 };
        return send(env, Message::ResumeOn(Box::new(ResumeOn { target, pin })));
    }
    let action = match env.rng.below(7) {
        0..6 if completed && is_purged_safely(env, target) => OrderAction::Purge,
        0..3 => return send(env, Message::Signal(Box::new(cancel(target)))),
        3 => OrderAction::Kill,
        4 | 5 => OrderAction::Pause,
        _ => OrderAction::Resume,
    };
    order_about(env, target, action);
}

/// Has an invocation begin like a completed one, from some entry on.
fn restart(env: &mut Env, target: InvocationId) {
    let id = InvocationId { uuid: u128::from(env.rng.draw()), ..target };
    let (request_id, from) = (RequestId(u128::from(env.rng.draw())), env.rng.below(8));
    let from = if env.rng.chance(300) { 0 } else { u32::try_from(from).unwrap_or_default() };
    let restart = Restart { target, id, request_id, from, pin: None };
    send(env, Message::Restart(Box::new(restart)));
}

/// Purges what owes answers, which is seldom met otherwise: it does not last.
pub fn purge_owing(env: &mut Env) {
    let owing: Vec<_> =
        env.observer.tables().rows().filter_map(|(key, row)| kept_for(key, row)).collect();
    if let Some(target) = owing.into_iter().find(|id| is_purged_safely(env, *id)) {
        order_about(env, target, OrderAction::Purge);
    }
}

/// A request that is still under way would create what its sender knows as ended, so operators
/// purge only what has ended and has no more than one request.
fn is_purged_safely(env: &Env, target: InvocationId) -> bool {
    let row = reads::invocation(env.observer.tables(), target).ok().flatten();
    row.is_some_and(|row| {
        let completed = matches!(row.status, Status::Completed { .. });
        completed && row.caller.is_some() && row.idempotency_key.is_none()
    })
}

fn cancel(target: InvocationId) -> Signal {
    Signal {
        target,
        incarnation: None,
        sender: None,
        signal: SignalId::CANCEL,
        result: NotificationResult::Void,
    }
}

fn order_about(env: &mut Env, target: InvocationId, action: OrderAction) {
    send(env, Message::Order(Order { target, sender: None, action }));
}

fn send(env: &mut Env, message: Message) {
    let text = describe_message(&message);
    let envelope =
        Envelope { level: Level(1), metadata: MetadataOffset(0), source: Source::Gateway, message };
    let item = Rc::new(Item::Message(envelope));
    let copies = if env.rng.chance(env.faults.duplicate) { 2 } else { 1 };
    for _ in 0..copies {
        let offset = env.inbox.append(Rc::clone(&item));
        env.note(|| format!("inbox {offset} <- operator: {text}"));
    }
}

fn invocations(env: &Env) -> impl Iterator<Item = (InvocationId, &InvocationRow)> {
    env.observer.tables().rows().filter_map(|(key, row)| match (key, row) {
        (RowKey::Invocation(id), Row::Invocation(row)) => Some((*id, row.as_ref())),
        _ => None,
    })
}
