//! `Append`: an attempt's next journal entries.
//!
//! **Invariant:** entries are stored in order, up to the first that has no place; behind an output
//! nothing is. Results of runs that are not open are passed over. A command is stored if and only if
//! what it asks for is done. An entry that has no place pauses the invocation: no later attempt would
//! do better.

use everlog_log_schema::{Append, Entry, InvocationId, InvocationRow, NotificationId};

use crate::declare::{answer_to, declare};
use crate::journal::{has_place, notify, store_command, store_run_result};
use crate::life::pause;
use crate::state::Stored;
use crate::transition::Transition;
use crate::{Tables, TablesError};

const JOURNAL_FULL: &str = "journal is full";
const OBJECT_FULL: &str = "state of the object is full";

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
    if row.pin.is_none() {
        row.pin.clone_from(&append.pin);
    }
    for entry in entries {
        if let Some(full) = store_entry(at, id, &mut row, entry)? {
            pause(at, id, row, full);
            return Ok(());
        }
    }
    at.put_invocation(id, row);
    Ok(())
}

fn up_to_output(entries: &[Entry]) -> &[Entry] {
    let output = entries.iter().position(|entry| matches!(entry, Entry::Output { .. }));
    output.and_then(|at| entries.get(..=at)).unwrap_or(entries)
}

/// Stores an entry, or tells what is too full for it.
fn store_entry(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &mut InvocationRow,
    entry: &Entry,
) -> Result<Option<&'static str>, TablesError> {
    match entry {
        Entry::Command { effect, bytes, .. } => {
            let answer = answer_to(at.tables, row, effect)?;
            if !has_place(row, entry, answer.as_ref()) {
                return Ok(Some(JOURNAL_FULL));
            }
            if declare(at, id, row, effect, bytes, answer.is_some())? == Stored::Full {
                return Ok(Some(OBJECT_FULL));
            }
            store_command(at, id, row, entry.clone());
            if let Some(answer) = answer {
                notify(at, id, row, answer);
            }
        }
        Entry::Output { .. } if has_place(row, entry, None) => {
            store_command(at, id, row, entry.clone());
        }
        Entry::Notification { id: NotificationId::Completion { id: completion, .. }, .. }
            if has_place(row, entry, None) =>
        {
            store_run_result(at, id, row, entry, *completion)?;
        }
        Entry::Output { .. }
        | Entry::Notification { id: NotificationId::Completion { .. }, .. } => {
            return Ok(Some(JOURNAL_FULL));
        }
        // The input was stored when the message was taken in, and no function signals itself so.
        Entry::Input { .. } | Entry::Notification { id: NotificationId::Signal(_), .. } => {}
    }
    Ok(None)
}
