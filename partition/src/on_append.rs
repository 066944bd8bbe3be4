//! `Append`: an attempt's next journal entries.
//!
//! **Invariant:** entries are stored all or none, save what follows an output and results of runs
//! that are not open. Commands that do not fit pause the invocation: no later attempt would do
//! better.

use everlog_log_schema::{Append, Entry, InvocationId, InvocationRow, NotificationId};

use crate::journal::{COMMANDS_MAX, declare, store_command, store_run_result};
use crate::life::pause;
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

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
    if u64::from(row.commands) + commands(&append.entries) > u64::from(COMMANDS_MAX) {
        pause(at, id, row, "journal is full");
        return Ok(());
    }
    if row.pin.is_none() {
        row.pin.clone_from(&append.pin);
    }
    let mut ended = reads::output(at.tables, id, &row)?.is_some();
    for entry in &append.entries {
        if ended {
            break;
        }
        ended = matches!(entry, Entry::Output { .. });
        store_entry(at, id, &mut row, entry)?;
    }
    at.put_invocation(id, row);
    Ok(())
}

fn commands(entries: &[Entry]) -> u64 {
    let is_command = |entry: &&Entry| matches!(entry, Entry::Command { .. } | Entry::Output { .. });
    entries.iter().filter(is_command).count() as u64
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
