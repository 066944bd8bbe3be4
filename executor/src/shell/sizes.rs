//! How large commands are, before they are encoded.
//!
//! **Invariant:** no command is put before the log that a record cannot hold.

use everlog_log_schema::limits::BODY_BYTES_MAX;
use everlog_log_schema::{
    Append, AttemptError, Command, Entry, Failure, Header, NotificationResult, Outcome, WaitSet,
};

use super::attempts::Sized;
use super::proposals::RECORD_BYTES_AIM;

/// A journal entry with all that surrounds its value, in bytes.
pub(super) const ENTRY_BYTES_MAX: usize = BODY_BYTES_MAX + (512 << 10);
/// What an entry takes beside its variable parts, in bytes; an upper bound.
const FIXED_BYTES: usize = 64;

/// The bytes that an entry takes in a record, at most.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    FIXED_BYTES
        + match entry {
            Entry::Input { headers, body } => header_bytes(headers) + body.len(),
            Entry::Command { bytes, .. } => bytes.len(),
            Entry::Output { name, outcome } => {
                name.len()
                    + match outcome {
                        Outcome::Success(body) => body.len(),
                        Outcome::Failure(failure) => failure_bytes(failure),
                    }
            }
            Entry::Notification { result, .. } => match result {
                NotificationResult::Void => 0,
                NotificationResult::Value(value) => value.len(),
                NotificationResult::Failure(failure) => failure_bytes(failure),
            },
        }
}

/// The bytes that the variable parts of an error take in a record, at most.
pub(super) fn error_bytes(error: &AttemptError) -> usize {
    error.message.len() + error.command_name.as_ref().map_or(0, String::len)
}

/// The bytes that a wait set takes in a record, at most.
pub(super) fn wait_set_bytes(waiting: &WaitSet) -> usize {
    let named: usize = waiting.named_signals.iter().map(|name| name.len() + 4).sum();
    named + 5 * (waiting.completions.len() + waiting.signals.len())
}

/// Splits entries that came together so that none of the commands outgrows a record.
pub(super) fn split_entries(mut append: Append) -> Vec<Sized> {
    let mut commands = Vec::new();
    let mut bytes = 0;
    let mut part = Vec::new();
    for entry in std::mem::take(&mut append.entries) {
        let size = entry_bytes(&entry);
        if !part.is_empty() && bytes + size > RECORD_BYTES_AIM {
            commands.push(take_part(&mut append, &mut part, &mut bytes));
        }
        bytes += size;
        part.push(entry);
    }
    commands.push(take_part(&mut append, &mut part, &mut bytes));
    commands
}

/// Makes a command of the entries so far; the next one goes on behind its commands, without pin.
fn take_part(append: &mut Append, part: &mut Vec<Entry>, bytes: &mut usize) -> Sized {
    let entries = std::mem::take(part);
    let is_command = |entry: &&Entry| matches!(entry, Entry::Command { .. } | Entry::Output { .. });
    let count = u32::try_from(entries.iter().filter(is_command).count());
    let first_command = append.first_command;
    append.first_command += count.expect("an event holds fewer than 2^32 entries");
    let pin = append.pin.take();
    let command = Append { entries, first_command, pin, ..append.clone() };
    (Command::Append(command), std::mem::take(bytes))
}

fn failure_bytes(failure: &Failure) -> usize {
    failure.message.len() + header_bytes(&failure.metadata)
}

fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|header| header.key.len() + header.value.len() + 8).sum()
}
