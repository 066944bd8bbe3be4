//! `Restart`: somebody wants a new invocation that begins like a completed one.
//!
//! **Invariants:** the new one has a beginning of the old journal and the results of all commands in
//! it, so that it waits for nothing of the old one's and repeats nothing of what that did. It is
//! created once, however often the order comes. The old one is as it was.

use std::collections::BTreeSet;

use everlog_log_schema::{
    CompletionId, Entry, HandlerKind, InboxOffset, Incarnation, InvocationRow, JournalRow,
    NotificationId, Restart, Row, RowKey, Status,
};

use crate::life::admit;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Creates the new invocation, unless something stands in the way.
pub(crate) fn on_restart(
    at: &mut Transition<'_, impl Tables>,
    offset: InboxOffset,
    restart: &Restart,
) -> Result<(), TablesError> {
    let id = restart.id;
    if reads::invocation(at.tables, id)?.is_some() {
        return Ok(());
    }
    let Some(old) = reads::invocation(at.tables, restart.target)? else { return Ok(()) };
    let completed = matches!(old.status, Status::Completed { .. });
    if old.kind == HandlerKind::Workflow || !(completed || planted::is(Bug::RestartUnfinished)) {
        return Ok(());
    }
    let journal = reads::journal_from(at.tables, restart.target, &old, 0, u64::MAX)?;
    let Some(journal) = beginning(journal, restart.from) else { return Ok(()) };
    let row = created(at, offset, restart, &old, &journal);
    for (index, entry) in (0..).zip(journal) {
        let entry = JournalRow { at: at.now(), attempts: 0, entry };
        at.tables.put(RowKey::Journal(id, index), Row::Journal(entry));
    }
    admit(at, id, row)
}

/// The entries of a journal up to one, with the results of the commands among them. None where there
/// is no such entry, where a command lacks a result, or where all is said.
fn beginning(journal: Vec<JournalRow>, from: u32) -> Option<Vec<Entry>> {
    let from = usize::try_from(from).ok()?;
    let mut rest = journal.into_iter().map(|row| row.entry);
    let mut kept: Vec<Entry> = rest.by_ref().take(from.saturating_add(1)).collect();
    let whole = kept.len() == from + 1 && matches!(kept.first(), Some(Entry::Input { .. }));
    let ends = kept.iter().any(|entry| matches!(entry, Entry::Output { .. }));
    if !whole || ends {
        return None;
    }
    let mut open = BTreeSet::new();
    for entry in &kept {
        match entry {
            Entry::Command { effect, .. } => {
                open.extend(effect.completions().into_iter().flatten().map(|(id, _)| id));
            }
            Entry::Notification { .. } => {
                if let Some(id) = completed_by(entry) {
                    open.remove(&id);
                }
            }
            Entry::Input { .. } | Entry::Output { .. } => {}
        }
    }
    if planted::is(Bug::RestartWithoutResults) {
        return Some(kept);
    }
    kept.extend(rest.filter(|entry| completed_by(entry).is_some_and(|id| open.remove(&id))));
    (open.is_empty() || planted::is(Bug::RestartOpen)).then_some(kept)
}

fn completed_by(entry: &Entry) -> Option<CompletionId> {
    match entry {
        Entry::Notification { id: NotificationId::Completion { id, .. }, .. } => Some(*id),
        Entry::Notification { id: NotificationId::Signal(_), .. }
        | Entry::Input { .. }
        | Entry::Command { .. }
        | Entry::Output { .. } => None,
    }
}

fn created(
    at: &Transition<'_, impl Tables>,
    offset: InboxOffset,
    restart: &Restart,
    old: &InvocationRow,
    journal: &[Entry],
) -> InvocationRow {
    let count = |is: fn(&&Entry) -> bool| {
        u32::try_from(journal.iter().filter(is).count()).expect("a journal has few entries")
    };
    let is_signal =
        |entry: &&Entry| matches!(entry, Entry::Notification { id: NotificationId::Signal(_), .. });
    InvocationRow {
        incarnation: Incarnation(offset.0),
        request_id: restart.request_id,
        target: old.target.clone(),
        kind: old.kind,
        idempotency_key: None,
        scope: old.scope.clone(),
        limit_key: old.limit_key.clone(),
        retention: old.retention,
        journal_retention: old.journal_retention,
        state_ttl: old.state_ttl,
        retry: old.retry.clone(),
        traceparent: old.traceparent.clone(),
        caller: old.caller.filter(|_| planted::is(Bug::RestartForCaller)),
        restarted_from: Some(restart.target),
        created_at: at.now(),
        modified_at: at.now(),
        status: Status::Scheduled { at: at.now() },
        attempt_epoch: at.partition.epoch,
        attempt_counter: 0,
        attempts: 0,
        pin: restart.pin.clone(),
        entries: count(|_| true),
        commands: count(|entry| !matches!(entry, Entry::Notification { .. })),
        signals: count(is_signal),
        journal_bytes: journal.iter().map(Entry::payload_bytes).sum(),
        has_output: false,
        policy_attempts: 0,
        failures_since_progress: 0,
        progress_at: at.now(),
        last_error: None,
    }
}
