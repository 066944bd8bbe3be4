//! Entries in, notifications out.
//!
//! **Invariants:** a journal has no holes and at most one notification per completion. An output
//! is its last entry: what comes behind one is dropped. No journal outgrows
//! [`JOURNAL_ENTRIES_MAX`]: commands and signals have limits of their own, and each command brings
//! two notifications at most, so that what a stored command asks for always has a place. No journal
//! outgrows [`JOURNAL_BYTES_MAX`] but by what the partition itself says of it: that something did
//! not fit, or the message of a kill.

use everlog_log_schema::limits::{JOURNAL_BYTES_MAX, JOURNAL_COMMANDS_MAX, JOURNAL_ENTRIES_MAX};
use everlog_log_schema::{
    Awaited, CompletionId, Entry, Failure, InvocationId, InvocationRow, JournalRow, NotificationId,
    NotificationResult, OpenKind, Row, RowKey, SignalId, Status,
};

use crate::future::{Settled, Standing, resolve};
use crate::life::wake;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// The status code of what does not fit into a journal.
const TOO_LARGE: u32 = 413;

/// Tells whether the journal has place for an entry, and for what the partition itself stores right
/// behind it.
pub(crate) fn has_place(row: &InvocationRow, entry: &Entry, answer: Option<&Entry>) -> bool {
    let is_command = matches!(entry, Entry::Command { .. } | Entry::Output { .. });
    let bytes = entry.payload_bytes() + answer.map_or(0, Entry::payload_bytes);
    row.commands + u32::from(is_command) <= JOURNAL_COMMANDS_MAX
        && row.journal_bytes + bytes <= JOURNAL_BYTES_MAX
}

/// What the function is told of a result that comes from elsewhere: itself if the journal has place
/// for it, else a failure that says that it has not.
pub(crate) fn fitting(row: &InvocationRow, result: NotificationResult) -> NotificationResult {
    let bytes = result.payload_bytes();
    if row.journal_bytes + bytes as u64 <= JOURNAL_BYTES_MAX {
        return result;
    }
    let message = format!("a result of {bytes} bytes does not fit into the journal");
    NotificationResult::Failure(Failure { code: TOO_LARGE, message, metadata: Vec::new() })
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
    let entry = JournalRow { at: at.now(), attempts: row.attempts, entry };
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
        at.tables.delete(&RowKey::Open(id, completion));
        notify(at, id, row, entry.clone());
    }
    Ok(())
}

/// Stores a notification and tells the attempt if one runs.
pub(crate) fn notify(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: Entry,
) {
    let index = store(at, id, row, entry.clone());
    if row.status == Status::Running {
        let attempt = reads::current_attempt(row, at.partition.epoch);
        at.actions.push(Action::Notify { invocation: id, attempt, index, entry });
    }
}

/// Stores a notification that comes from elsewhere, whatever the invocation does meanwhile, and
/// starts an attempt where all that it waited for is settled with this. A cancellation ends a pause,
/// too.
pub(crate) fn deliver(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    mut row: InvocationRow,
    notification: NotificationId,
    result: NotificationResult,
) {
    let wakes = match &row.status {
        Status::Suspended(waiting) => {
            let came = Awaited::from(&notification);
            let settled = settled_by(&result, row.entries);
            match resolve(waiting, |awaited| (*awaited == came).then_some(settled)) {
                Standing::Settled(_) => true,
                Standing::Open(_) if planted::is(Bug::KeepsSettled) => false,
                Standing::Open(left) => {
                    row.status = Status::Suspended(left);
                    false
                }
            }
        }
        Status::Paused => notification == NotificationId::Signal(SignalId::CANCEL),
        Status::Scheduled { .. }
        | Status::Pending { .. }
        | Status::Running
        | Status::BackingOff { .. }
        | Status::Completed { .. } => false,
    };
    notify(at, id, &mut row, Entry::Notification { id: notification, result });
    if wakes {
        wake(at, id, row);
    } else {
        at.put_invocation(id, row);
    }
}

/// How the future is settled whose notification stands at `index` of the journal.
pub(crate) fn settled_by(result: &NotificationResult, index: u32) -> Settled {
    let well = match result {
        NotificationResult::Failure(_) => planted::is(Bug::FailureIsSuccess),
        NotificationResult::Void
        | NotificationResult::Value(_)
        | NotificationResult::InvocationId(_)
        | NotificationResult::StateKeys(_) => true,
    };
    Settled { at: index, well }
}
