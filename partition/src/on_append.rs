//! `Append`: an attempt's next journal entries.
//!
//! **Invariant:** entries are stored all or none, save what follows an output and results of runs
//! that are not open. Entries that do not fit pause the invocation: no later attempt would do
//! better.

use everlog_log_schema::{Append, Entry, InvocationId, InvocationRow, NotificationId};

use crate::journal::{declare, has_place, store_command, store_run_result};
use crate::life::pause;
use crate::transition::Transition;
use crate::{Tables, TablesError};

/// Stores what the current attempt has recorded, if it follows what is stored.
pub(crate) fn on_append(
    at: &mut Transition<'_, impl Tables>,
    append: &Append,
) -> Result<(), TablesError> {
    let id = append.invocation;
    let Some(mut row) = at.attempted(id, append.attempt)? else { return Ok(()) };
    if append.first_command != row.commands {
        return Ok(());
    }
    let entries = if row.has_output { &[] } else { up_to_output(&append.entries) };
    if !has_place(&row, entries) {
        pause(at, id, row, "journal is full");
        return Ok(());
    }
    if row.pin.is_none() {
        row.pin.clone_from(&append.pin);
    }
    for entry in entries {
        store_entry(at, id, &mut row, entry)?;
    }
    at.put_invocation(id, row);
    Ok(())
}

fn up_to_output(entries: &[Entry]) -> &[Entry] {
    let output = entries.iter().position(|entry| matches!(entry, Entry::Output { .. }));
    output.and_then(|at| entries.get(..=at)).unwrap_or(entries)
}

fn store_entry(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: &Entry,
) -> Result<(), TablesError> {
    match entry {
        Entry::Command { effect, .. } => {
            store_command(at, id, row, entry.clone());
            declare(at, id, row, effect)
        }
        Entry::Output { .. } => {
            store_command(at, id, row, entry.clone());
            Ok(())
        }
        Entry::Notification { id: NotificationId::Completion { id: completion, .. }, .. } => {
            store_run_result(at, id, row, entry, *completion)
        }
        // The input was stored when the message was taken in.
        Entry::Input { .. } => Ok(()),
    }
}
