//! Entries in, notifications out.
//!
//! **Invariants:** a journal has no holes and at most one notification per completion. An output
//! is its last entry: what comes behind one is dropped. No journal outgrows
//! [`JOURNAL_ENTRIES_MAX`]: its commands fill half of it at most, and each brings one notification
//! at most, so that what a stored command asks for always has a place. No attempt makes a journal
//! outgrow [`JOURNAL_BYTES_MAX`], results of runs included. What the partition itself stores always
//! has a place: the end of a sleep holds no bytes, and only the message of a kill may exceed it.

use everlog_log_schema::limits::{JOURNAL_BYTES_MAX, JOURNAL_ENTRIES_MAX};
use everlog_log_schema::{
    CompletionId, Effect, Entry, InvocationId, InvocationRow, OpenKind, OpenRow, Row, RowKey,
    Status, Timer, TimerKind,
};

use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// How many commands a journal may hold, the input included. One more has a place: the output that
/// a kill writes.
pub(crate) const COMMANDS_MAX: u32 = JOURNAL_ENTRIES_MAX / 2 - 1;

/// Tells whether the journal has place for all of `entries`.
pub(crate) fn has_place(row: &InvocationRow, entries: &[Entry]) -> bool {
    let is_command = |entry: &&Entry| matches!(entry, Entry::Command { .. } | Entry::Output { .. });
    let commands = entries.iter().filter(is_command).count() as u64;
    let bytes: u64 = entries.iter().map(Entry::payload_bytes).sum();
    u64::from(row.commands) + commands <= u64::from(COMMANDS_MAX)
        && row.journal_bytes + bytes <= JOURNAL_BYTES_MAX
}

/// Stores an entry at the end of the journal and returns its index.
fn store(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: Entry,
) -> u32 {
    let index = row.entries;
    assert!(index < JOURNAL_ENTRIES_MAX, "the journal of {id:?} is full");
    row.entries += 1;
    row.journal_bytes += entry.payload_bytes();
    row.has_output = matches!(entry, Entry::Output { .. });
    at.tables.put(RowKey::Journal(id, index), Row::Journal(entry));
    index
}

/// Stores a command or the output: the invocation has made progress.
pub(crate) fn store_command(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: Entry,
) {
    row.commands += 1;
    row.failures_since_progress = 0;
    row.progress_at = at.now();
    store(at, id, row, entry);
}

/// Declares the completion that a command asks for.
///
/// The invoker refuses a function that declares an id twice; a second declaration while the first
/// is open changes nothing here.
pub(crate) fn declare(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
    effect: &Effect,
) -> Result<(), TablesError> {
    let (completion, kind) = match *effect {
        Effect::None => return Ok(()),
        Effect::Run { completion } => (completion, OpenKind::Run),
        Effect::Sleep { completion, wake_at } => (completion, OpenKind::Sleep { wake_at }),
    };
    if reads::open(at.tables, id, completion)?.is_some() {
        return Ok(());
    }
    at.tables.put(RowKey::Open(id, completion), Row::Open(OpenRow { kind }));
    if let OpenKind::Sleep { wake_at } = kind {
        at.arm(Timer {
            due: wake_at,
            invocation: id,
            incarnation: row.incarnation,
            kind: TimerKind::Sleep(completion),
        });
    }
    Ok(())
}

/// Stores the result of a run, if the run is open: only the first result of each counts.
pub(crate) fn store_run_result(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: &Entry,
    completion: CompletionId,
) -> Result<(), TablesError> {
    let open = reads::open(at.tables, id, completion)?;
    if open.is_some_and(|open| open.kind == OpenKind::Run) || planted::is(Bug::StoreSecondRunResult)
    {
        notify(at, id, row, entry.clone(), completion);
    }
    Ok(())
}

/// Stores a notification, closes its completion, and tells the attempt if one runs.
pub(crate) fn notify(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: Entry,
    completion: CompletionId,
) {
    at.tables.delete(&RowKey::Open(id, completion));
    let index = store(at, id, row, entry.clone());
    if row.status == Status::Running {
        let attempt = reads::current_attempt(row, at.partition.epoch);
        at.actions.push(Action::Notify { invocation: id, attempt, index, entry });
    }
}
