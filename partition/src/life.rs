//! The life of an invocation: scheduled → pending → running ⇄ suspended, backing off or paused →
//! completed → expired → purged, or purged at once where its retention is long.
//!
//! **Invariants:** a row in `Running` stands for exactly the invocations of that status. What a
//! status has beside the invocation's own row — a timer, a place in a queue — goes with it. A
//! completed invocation has no row but its own, its packed journal's and its purge timers; and what
//! marks the answers that it owes, until which are sent it neither expires nor is forgotten. An expired one
//! has its outcome alone, and owes nothing. With the run of a
//! workflow its state and its completed promises are forgotten, and nothing else of its key: whoever
//! waits for a promise goes on waiting.

use everlog_log_schema::limits::REMEMBERED_MS_MIN;
use everlog_log_schema::{
    AttemptError, Entry, Failure, HandlerKind, InvocationId, InvocationRow, Life, Message,
    MetadataOffset, Millis, OpenKind, Order, OrderAction, Outcome, Row, RowKey, Status, Target,
    Timer, TimerKind,
};

use crate::answers::{answer_callers, owes};
use crate::journal::store_command;
use crate::outbox::send;
use crate::pack::pack;
use crate::planted::{self, Bug};
use crate::promises;
use crate::queue;
use crate::retry::later;
use crate::state;
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// The code of an attempt that the partition itself stopped: the protocol's "protocol violation".
const BROKEN_RULE: u32 = 571;

/// Runs a new invocation, or queues it where its object key is busy.
pub(crate) fn admit(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    match queue::take(at, id, &row)? {
        None => begin(at, id, row),
        Some(place) => {
            at.turn(&mut row, Status::Pending { place });
            at.put_invocation(id, row);
        }
    }
    Ok(())
}

/// Starts an invocation's first attempt, which is number 0 of the reigning epoch.
pub(crate) fn begin(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) {
    row.attempt_epoch = at.partition.epoch;
    row.attempt_counter = 0;
    row.progress_at = at.now();
    run(at, id, row);
}

/// Starts an invocation's next attempt.
pub(crate) fn retry(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) {
    if row.attempt_epoch < at.partition.epoch {
        row.attempt_epoch = at.partition.epoch;
        row.attempt_counter = 0;
    } else {
        row.attempt_counter += 1;
    }
    run(at, id, row);
}

/// Starts the next attempt of an invocation that waited. Its retry policy begins anew.
pub(crate) fn wake(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    row.policy_attempts = 0;
    retry(at, id, row);
}

fn run(at: &mut Transition<'_, impl Tables>, id: InvocationId, mut row: InvocationRow) {
    at.turn(&mut row, Status::Running);
    row.attempts = row.attempts.saturating_add(1);
    let attempt = reads::current_attempt(&row, at.partition.epoch);
    at.tables.put(RowKey::Running(id), Row::Running);
    at.put_invocation(id, row);
    at.actions.push(Action::Start(id, attempt));
}

/// Takes a running invocation out of the running ones. Notes its attempt, which may be the implicit
/// first one of an epoch: the next must have another number, as this one may still be heard.
pub(crate) fn rest(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    status: Status,
) {
    let attempt = reads::current_attempt(&row, at.partition.epoch);
    row.attempt_epoch = attempt.epoch;
    row.attempt_counter = attempt.counter;
    at.turn(&mut row, status);
    at.tables.delete(&RowKey::Running(id));
    at.put_invocation(id, row);
}

/// Drops what an invocation's status has beside its own row.
pub(crate) fn leave(at: &mut Transition<'_, impl Tables>, id: InvocationId, row: &InvocationRow) {
    match row.status {
        Status::Scheduled { at: due } => disarm(at, id, row, due, TimerKind::Start),
        Status::Pending { place } => queue::leave(at, row, place),
        Status::Running => at.tables.delete(&RowKey::Running(id)),
        Status::BackingOff { until } => disarm(at, id, row, until, TimerKind::Retry),
        Status::Suspended(_) | Status::Paused => {}
        Status::Completed { .. } => {
            if let Some(due) = kept_until(row) {
                disarm(at, id, row, due, TimerKind::Purge);
            }
        }
    }
}

fn disarm(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
    due: Millis,
    kind: TimerKind,
) {
    at.tables.delete(&RowKey::Timer(timer(id, row, due, kind)));
}

fn timer(id: InvocationId, row: &InvocationRow, due: Millis, kind: TimerKind) -> Timer {
    Timer { due, invocation: id, incarnation: row.incarnation, kind }
}

/// Pauses a running invocation whose attempt broke a rule that every next one would break again.
pub(crate) fn pause(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    message: &str,
) {
    row.last_error = Some(AttemptError {
        code: BROKEN_RULE,
        message: message.to_owned(),
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    });
    rest(at, id, row, Status::Paused);
    at.actions.push(Action::Stop(id));
}

/// Ends an invocation with a failure, or with the output that it has stored already, and with it
/// the calls that it waits for.
pub(crate) fn end_with_failure(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    code: u32,
    message: &str,
) -> Result<(), TablesError> {
    if !row.has_output {
        let failure = Failure { code, message: message.to_owned(), metadata: Vec::new() };
        let outcome = Outcome::Failure(failure);
        store_command(at, id, &mut row, Entry::Output { name: String::new(), outcome });
        kill_callees(at, id, &row)?;
    }
    complete(at, id, row)
}

/// Completes an invocation whose journal ends in its output.
pub(crate) fn complete(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    leave(at, id, &row);
    drop_open(at, id, &row)?;
    let packed = pack(at, id, &row)?;
    let caller = row.caller;
    let keeps_lock = planted::is(Bug::KeepLockOnKill) && row.last_error.is_some();
    let held = queue::held_key(&row).filter(|_| !keeps_lock);
    row.last_error = None;
    at.turn(&mut row, Status::Completed { at: at.now(), parts: packed.parts, expired: false });
    if let Some(due) = kept_until(&row) {
        at.arm(timer(id, &row, due, TimerKind::Purge));
    }
    if let Some(due) = journal_kept_until(&row) {
        at.arm(timer(id, &row, due, TimerKind::PurgeJournal));
    }
    at.put_invocation(id, row);
    if !planted::is(Bug::LostAnswer) {
        at.actions.push(Action::Answer(id));
        answer_callers(at, id, caller, &packed.outcome)?;
    }
    match held {
        Some((service, key)) => queue::pass_on(at, id, service, key),
        None => Ok(()),
    }
}

/// Kills the calls that a killed invocation waits for. One-way calls live on.
fn kill_callees(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    if planted::is(Bug::SpareChildren) {
        return Ok(());
    }
    let sender = Some(Life { invocation: id, incarnation: row.incarnation });
    let mut last = None;
    while let Some((completion, open)) = reads::next_open(at.tables, id, last)? {
        last = Some(completion);
        if let OpenKind::Call { callee } = open.kind {
            let order = Order { target: callee, sender, action: OrderAction::Kill };
            send(at, callee.partition_key, MetadataOffset(0), Message::Order(order))?;
        }
    }
    Ok(())
}

/// Drops the completions that have not come, and the timers that would bring them.
fn drop_open(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    let mut last = None;
    while let Some((completion, open)) = reads::next_open(at.tables, id, last)? {
        last = Some(completion);
        at.tables.delete(&RowKey::Open(id, completion));
        match open.kind {
            OpenKind::Sleep { wake_at } if !planted::is(Bug::KeepSleepTimers) => {
                disarm(at, id, row, wake_at, TimerKind::Sleep(completion));
            }
            OpenKind::Promise { name } if !planted::is(Bug::KeepPromiseWaiter) => {
                let life = Life { invocation: id, incarnation: row.incarnation };
                promises::give_up(at, &row.target, &name, life, completion);
            }
            OpenKind::Sleep { .. }
            | OpenKind::Promise { .. }
            | OpenKind::Run
            | OpenKind::Call { .. }
            | OpenKind::Attach { .. }
            | OpenKind::Output { .. } => {}
        }
    }
    Ok(())
}

/// Does what is to be done when a completed invocation is kept no longer: forgets it, or, where its
/// retention passes sooner than a late resend of its call can come, all but its outcome. Where it owes
/// answers, that waits for the last of them.
pub(crate) fn expire(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    let Status::Completed { at: ended, expired, .. } = row.status else {
        unreachable!("{id:?} is to expire before it has completed");
    };
    let until = later(ended, REMEMBERED_MS_MIN);
    if expired || at.now() >= until || planted::is(Bug::ForgetAtOnce) {
        return purge(at, id, &row);
    }
    if !may_forget(at, id, &row)? {
        return Ok(());
    }
    forget_beside(at, id, &row)?;
    keep_outcome(at, id, &mut row)?;
    row.status = Status::Completed { at: ended, parts: 1, expired: true };
    at.arm(timer(id, &row, until, TimerKind::Purge));
    at.put_invocation(id, row);
    Ok(())
}

/// Forgets a completed invocation; where it owes answers, with the last of them.
pub(crate) fn purge(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    let Status::Completed { parts, .. } = row.status else {
        unreachable!("{id:?} is to be forgotten before it has completed");
    };
    if !row.has_expired() {
        if !may_forget(at, id, row)? {
            return Ok(());
        }
        forget_beside(at, id, row)?;
    }
    for part in 0..parts {
        at.tables.delete(&RowKey::Packed(id, part));
    }
    at.tables.delete(&RowKey::Invocation(id));
    Ok(())
}

fn may_forget(
    at: &Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<bool, TablesError> {
    let owes = owes(at, id, row)? && !planted::is(Bug::ForgetOwing);
    Ok(!owes && !planted::is(Bug::ForgetNothing))
}

/// Forgets what a completed invocation has beside its own row and its outcome.
fn forget_beside(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    disarm_journal(at, id, row);
    if row.kind == HandlerKind::Workflow { forget_workflow(at, &row.target) } else { Ok(()) }
}

/// Forgets the journal of a completed invocation, all but its output: what is kept is its outcome.
pub(crate) fn purge_journal(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
) -> Result<(), TablesError> {
    disarm_journal(at, id, &row);
    keep_outcome(at, id, &mut row)?;
    at.put_invocation(id, row);
    Ok(())
}

fn keep_outcome(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
) -> Result<(), TablesError> {
    let Status::Completed { parts, .. } = &mut row.status else {
        unreachable!("the journal of {id:?} is to be forgotten before it has completed");
    };
    let parts = std::mem::replace(parts, 1);
    let Some(output) = reads::packed(at.tables, id, parts.saturating_sub(1))?.pop() else {
        return Err(TablesError(format!("completed invocation {id:?} has no output")));
    };
    for part in 0..parts {
        at.tables.delete(&RowKey::Packed(id, part));
    }
    row.journal_bytes = output.entry.payload_bytes();
    (row.entries, row.commands, row.signals) = (1, 1, 0);
    at.tables.put(RowKey::Packed(id, 0), Row::Packed(vec![output]));
    Ok(())
}

fn disarm_journal(at: &mut Transition<'_, impl Tables>, id: InvocationId, row: &InvocationRow) {
    if let Some(due) = journal_kept_until(row) {
        disarm(at, id, row, due, TimerKind::PurgeJournal);
    }
}

/// Forgets what a workflow's run leaves behind: its key is free again, as if it had never run.
fn forget_workflow(
    at: &mut Transition<'_, impl Tables>,
    target: &Target,
) -> Result<(), TablesError> {
    if !planted::is(Bug::KeepWorkflowState) {
        state::reset(at, &target.service, target.key.as_deref().unwrap_or_default())?;
    }
    if !planted::is(Bug::KeepPromises) {
        promises::forget_all(at, target)?;
    }
    Ok(())
}

/// Lets an invocation go that owes no answers any more, if that was due or ordered before: it has no timer.
pub(crate) fn go_if_put_off(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: InvocationRow,
) -> Result<(), TablesError> {
    let Some(due) = kept_until(&row) else { return Ok(()) };
    if reads::is_set(at.tables, timer(id, &row, due, TimerKind::Purge))? {
        return Ok(());
    }
    // Before its time nobody but an operator has disarmed it.
    if due > at.now() { purge(at, id, &row) } else { expire(at, id, row) }
}

/// When the retention of a completed invocation passes, or has passed. None for one that has not completed.
#[must_use]
pub fn retained_until(row: &InvocationRow) -> Option<Millis> {
    let Status::Completed { at, .. } = row.status else { return None };
    Some(later(at, if planted::is(Bug::ForgetAtOnce) { 0 } else { row.retention.0 }))
}

/// What the timer of a completed invocation is set to: when its retention passes, or, once that has, when
/// a late resend of its call can come no more. None for one that has not completed.
#[must_use]
pub fn kept_until(row: &InvocationRow) -> Option<Millis> {
    if let Status::Completed { at, expired: true, .. } = row.status {
        return Some(later(at, REMEMBERED_MS_MIN));
    }
    retained_until(row)
}

/// When the journal of a completed invocation is to be forgotten; none where it goes with the rest,
/// or is gone.
#[must_use]
pub fn journal_kept_until(row: &InvocationRow) -> Option<Millis> {
    let Status::Completed { at, .. } = row.status else { return None };
    let kept = row.journal_retention.filter(|_| row.entries > 1)?;
    let kept = if planted::is(Bug::ForgetJournalAtOnce) { 0 } else { kept.0 };
    Some(later(at, kept)).filter(|until| Some(*until) < kept_until(row))
}
