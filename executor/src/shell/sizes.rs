//! How large commands are, before they are encoded, and what is refused.
//!
//! **Invariant:** no command is put before the log that a record cannot hold.

use everlog_log_schema::limits::{BODY_BYTES_MAX, HEADERS_MAX, JOURNAL_ENTRIES_MAX};
use everlog_log_schema::{
    Append, AttemptError, Command, Entry, Failure, Header, NotificationResult, Outcome, WaitSet,
};

use super::attempts::Sized;
use super::proposals::RECORD_BYTES_AIM;

/// A journal entry with all that surrounds its value, in bytes.
const ENTRY_BYTES_MAX: usize = BODY_BYTES_MAX + (512 << 10);
/// What an entry takes beside its variable parts, in bytes; an upper bound.
const FIXED_BYTES: usize = 64;

/// Why an entry cannot be recorded, if it cannot.
pub(super) fn refusal_of_entry(entry: &Entry) -> Option<String> {
    let bytes = entry_bytes(entry);
    if bytes > ENTRY_BYTES_MAX {
        let max = ENTRY_BYTES_MAX;
        return Some(format!("[RT0003] a step of {bytes} bytes exceeds the limit of {max} bytes"));
    }
    let failure = match entry {
        Entry::Output { outcome: Outcome::Failure(failure), .. }
        | Entry::Notification { result: NotificationResult::Failure(failure), .. } => failure,
        Entry::Input { .. }
        | Entry::Command { .. }
        | Entry::Output { .. }
        | Entry::Notification { .. } => return None,
    };
    let count = failure.metadata.len();
    (count > HEADERS_MAX).then(|| {
        format!(
            "[RT0003] a failure with {count} metadata values exceeds the limit of {HEADERS_MAX}"
        )
    })
}

/// Why a wait set cannot be recorded, if it cannot.
pub(super) fn refusal_of_wait_set(waiting: &WaitSet) -> Option<String> {
    let counts = [waiting.completions.len(), waiting.signals.len(), waiting.named_signals.len()];
    let count = counts.into_iter().max().unwrap_or_default();
    let (bytes, bytes_max) = (wait_set_bytes(waiting), ENTRY_BYTES_MAX);
    (count > JOURNAL_ENTRIES_MAX as usize || bytes > bytes_max).then(|| {
        format!(
            "[RT0003] waiting for {count} things at once, in {bytes} bytes, exceeds the limits of \
             {JOURNAL_ENTRIES_MAX}, and {bytes_max} bytes"
        )
    })
}

/// The bytes that an entry takes in a record, at most.
fn entry_bytes(entry: &Entry) -> usize {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everlog_log_schema::codec::encode_record;
    use everlog_log_schema::{
        AttemptId, CompletionId, DeploymentId, Effect, Epoch, Incarnation, InvocationId, Millis,
        NotificationId, PartitionKey, Pin, Record, Seq, Term,
    };

    use super::*;

    fn output(bytes: usize) -> Entry {
        let outcome = Outcome::Success(Bytes::from(vec![0; bytes]));
        Entry::Output { name: String::new(), outcome }
    }

    fn append(entries: Vec<Entry>) -> Append {
        Append {
            invocation: InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX },
            attempt: AttemptId {
                incarnation: Incarnation(1 << 62),
                epoch: Epoch(1 << 62),
                counter: u32::MAX,
            },
            first_command: 7,
            entries,
            pin: Some(Pin { deployment: DeploymentId("dp_1".into()), protocol_version: 6 }),
        }
    }

    fn encoded(command: Command) -> usize {
        let (epoch, term, seq) = (Epoch(1 << 62), Term(1 << 62), Seq(1 << 62));
        let record = Record { epoch, term, seq, now: Millis(1 << 62), commands: vec![command] };
        encode_record(&record).unwrap().len()
    }

    #[test]
    fn the_largest_step_can_be_recorded_and_one_above_is_refused() {
        let largest = output(ENTRY_BYTES_MAX - FIXED_BYTES);
        assert_eq!(refusal_of_entry(&largest), None);
        encoded(Command::Append(append(vec![largest])));
        let refusal = refusal_of_entry(&output(ENTRY_BYTES_MAX - FIXED_BYTES + 1)).unwrap();
        assert!(refusal.contains("exceeds the limit"), "{refusal}");
    }

    #[test]
    fn a_failure_has_a_limited_number_of_metadata_values() {
        let failing = |count| {
            let header = Header { key: "k".into(), value: "v".into() };
            let metadata = vec![header; count];
            let failure = Failure { code: 500, message: "no".into(), metadata };
            Entry::Output { name: String::new(), outcome: Outcome::Failure(failure) }
        };
        assert_eq!(refusal_of_entry(&failing(HEADERS_MAX)), None);
        encoded(Command::Append(append(vec![failing(HEADERS_MAX)])));
        assert!(refusal_of_entry(&failing(HEADERS_MAX + 1)).is_some());
    }

    #[test]
    fn a_wait_set_has_a_limited_number_of_members() {
        let max = JOURNAL_ENTRIES_MAX;
        let waiting = |count| WaitSet { signals: (0..count).collect(), ..WaitSet::default() };
        assert_eq!(refusal_of_wait_set(&waiting(max)), None);
        assert!(refusal_of_wait_set(&waiting(max + 1)).is_some());
    }

    #[test]
    fn sizes_are_never_below_what_is_written() {
        let id = NotificationId::Completion { id: CompletionId(u32::MAX), kind: u16::MAX };
        let completion = CompletionId(u32::MAX);
        let command = Entry::Command {
            kind: u16::MAX,
            bytes: Bytes::from(vec![0; 1 << 21]),
            effect: Effect::Sleep { completion, wake_at: Millis(1 << 62) },
        };
        let void = Entry::Notification { id, result: NotificationResult::Void };
        for entries in [vec![output(100)], vec![command], vec![void; 100]] {
            let estimate: usize = entries.iter().map(entry_bytes).sum();
            assert!(encoded(Command::Append(append(entries))) <= estimate + 256);
        }
    }

    #[test]
    fn entries_that_came_together_are_split_by_size_and_follow_each_other() {
        let half = RECORD_BYTES_AIM / 2 - FIXED_BYTES;
        let parts = split_entries(append(vec![output(half), output(half), output(1), output(1)]));
        let seen: Vec<(u32, usize, bool)> = parts
            .iter()
            .map(|(command, _)| {
                let Command::Append(part) = command else { panic!("split into {command:?}") };
                (part.first_command, part.entries.len(), part.pin.is_some())
            })
            .collect();
        assert_eq!(seen, [(7, 2, true), (9, 2, false)]);
    }
}
