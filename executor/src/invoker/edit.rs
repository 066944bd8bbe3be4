//! Changes of an object's state by whoever looks after it ([`EDIT_STATE`]): what a handler would say
//! that sets the whole state, said without one.
//!
//! **Invariant:** a change says the same whenever it is asked: of what an attempt before has recorded
//! nothing is said again, and the version is looked at before the first of it.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use everlog_log_schema::identity::version_of_state;
use everlog_log_schema::{
    EDIT_STATE, Entry, Failure, NotificationId, OTHER_STATE_VERSION, Outcome, SignalId, StateEdit,
};
use prost::Message;
use tokio::sync::mpsc;

use super::frame::kind;
use super::messages::{Function, pb};
use super::{
    AttemptEvent, AttemptEventKind, AttemptHandle, AttemptStart, EagerStateMap, EventSender,
    Invoker,
};

/// The code of a change whose argument cannot be read.
const MALFORMED: u32 = 400;
/// The code of a change that was cancelled before it began.
const CANCELLED: u32 = 409;

/// Runs attempts of [`EDIT_STATE`].
pub(crate) struct StateEdits;

impl Invoker for StateEdits {
    fn start(&self, attempt: AttemptStart, events: EventSender) -> AttemptHandle {
        // There is nothing that it waits for, and so could be told of.
        let (told, _) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            for kind in said(&attempt) {
                let bytes = match &kind {
                    AttemptEventKind::Entries { entries, .. } => payload_bytes(entries),
                    AttemptEventKind::Suspended { .. }
                    | AttemptEventKind::Ended
                    | AttemptEventKind::Failed { .. }
                    | AttemptEventKind::ReadState(_)
                    | AttemptEventKind::AwaitingOn(_) => 0,
                };
                let (invocation, attempt) = (attempt.invocation, attempt.attempt);
                let event = AttemptEvent { invocation, attempt, kind };
                if events.send(event, bytes).await.is_err() {
                    break;
                }
            }
        });
        AttemptHandle::new(told, task.abort_handle())
    }
}

fn payload_bytes(entries: &[Entry]) -> usize {
    usize::try_from(entries.iter().map(Entry::payload_bytes).sum::<u64>()).unwrap_or(usize::MAX)
}

/// What a function would say.
fn said(attempt: &AttemptStart) -> Vec<AttemptEventKind> {
    if attempt.journal.iter().any(|entry| matches!(entry, Entry::Output { .. })) {
        return vec![AttemptEventKind::Ended];
    }
    let is_step = |entry: &&Entry| matches!(entry, Entry::Command { .. });
    let recorded = attempt.journal.iter().filter(is_step).count();
    let entries: Vec<Entry> = match steps(attempt, recorded > 0) {
        Ok(steps) => steps.into_iter().skip(recorded).collect(),
        Err(failure) => return vec![failure.into_event()],
    };
    // The input is the command before all of them.
    let first_command = u32::try_from(1 + recorded).expect("journals are bounded");
    vec![AttemptEventKind::Entries { first_command, entries }, AttemptEventKind::Ended]
}

/// All that is to be done, the output included.
fn steps(attempt: &AttemptStart, has_begun: bool) -> Result<Vec<Entry>, super::error::Failure> {
    let edit = match asked(attempt, has_begun) {
        Ok(edit) => edit,
        Err(failure) => return Ok(vec![output(Outcome::Failure(failure))]),
    };
    let function = Function::of(attempt);
    let mut entries = Vec::with_capacity(edit.len() + 2);
    let clear = pb::ClearAllStateCommandMessage::default().encode_to_vec();
    entries.push(function.command(1, kind::CLEAR_ALL_STATE, clear.into())?);
    for (index, (key, value)) in (2..).zip(edit) {
        let value = Some(value.into());
        let set =
            pb::SetStateCommandMessage { key, value, ..pb::SetStateCommandMessage::default() };
        entries.push(function.command(index, kind::SET_STATE, set.encode_to_vec().into())?);
    }
    entries.push(output(Outcome::Success(Bytes::new())));
    Ok(entries)
}

fn output(outcome: Outcome) -> Entry {
    Entry::Output { name: String::new(), outcome }
}

/// Reads what the state is to be, where it may be changed.
fn asked(attempt: &AttemptStart, has_begun: bool) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    let Some(Entry::Input { body, .. }) = attempt.journal.first() else {
        return Err(failure(MALFORMED, "there is no argument"));
    };
    if !has_begun && attempt.journal.iter().any(is_cancel) {
        return Err(failure(CANCELLED, "canceled"));
    }
    let edit: StateEdit =
        serde_json::from_slice(body).map_err(|error| failure(MALFORMED, error))?;
    if let Some(wanted) = edit.version.filter(|_| !has_begun) {
        let found = attempt.state.as_ref().and_then(version);
        if found != Some(wanted) {
            // Not which: a hash tells much of what is to be hidden.
            return Err(failure(OTHER_STATE_VERSION, "the state has another version"));
        }
    }
    let entries = edit.new_state.into_iter().map(|(key, value)| {
        let value = STANDARD.decode(value).map_err(|error| failure(MALFORMED, error))?;
        Ok((key.into(), value.into()))
    });
    entries.collect()
}

fn is_cancel(entry: &Entry) -> bool {
    let signal = NotificationId::Signal(SignalId::CANCEL);
    matches!(entry, Entry::Notification { id, .. } if *id == signal)
}

/// The version of a state that was read in whole.
fn version(state: &EagerStateMap) -> Option<String> {
    let entries = state.entries.iter().map(|(key, value)| (&key[..], &value[..]));
    (!state.partial).then(|| version_of_state(entries))
}

fn failure(code: u32, reason: impl Display) -> Failure {
    let message = format!("{EDIT_STATE}: {reason}");
    Failure { code, message, metadata: Vec::new() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

    use everlog_log_schema::NotificationResult;

    use super::*;
    use crate::invoker::machine::tests::script::{input, start};

    const TWO_KEYS: &str = r#"{"newState":{"a":"MQ==","b":"Mg=="},"version":"VERSION"}"#;

    /// An attempt with this journal behind its input, on a state that has `n` = 1.
    fn attempt(argument: &'static str, recorded: &[Entry]) -> AttemptStart {
        let journal = [&[input(argument)], recorded].concat();
        let entries = vec![(Bytes::from_static(b"n"), Bytes::from_static(b"1"))];
        let state = Some(EagerStateMap { entries, partial: false });
        AttemptStart { state, ..start(7, journal) }
    }

    fn new_entries(events: &[AttemptEventKind]) -> (u32, &[Entry]) {
        let [AttemptEventKind::Entries { first_command, entries }, AttemptEventKind::Ended] =
            events
        else {
            panic!("{events:?}")
        };
        (*first_command, entries)
    }

    fn failure_of(argument: &'static str, recorded: &[Entry]) -> u32 {
        let events = said(&attempt(argument, recorded));
        let (1, [Entry::Output { outcome: Outcome::Failure(failure), .. }]) = new_entries(&events)
        else {
            panic!("{events:?}")
        };
        failure.code
    }

    #[test]
    fn wherever_an_attempt_ended_the_next_says_the_rest() {
        let version = version_of_state([(&b"n"[..], &b"1"[..])]);
        let argument = TWO_KEYS.replace("VERSION", &version).leak();
        let all = said(&attempt(argument, &[]));
        let (first, all) = new_entries(&all);
        assert_eq!((first, all.len()), (1, 4), "clear, two keys, output");
        for recorded in 1..all.len() {
            // The state is another one by now.
            let mut next = attempt(argument, &all[..recorded]);
            next.state = Some(EagerStateMap::default());
            let events = said(&next);
            let (first, rest) = new_entries(&events);
            assert_eq!((first as usize, rest), (1 + recorded, &all[recorded..]));
        }
        assert_eq!(said(&attempt(argument, all)), [AttemptEventKind::Ended]);
    }

    #[test]
    fn what_must_not_change_the_state_changes_nothing() {
        assert_eq!(failure_of(TWO_KEYS, &[]), OTHER_STATE_VERSION);
        assert_eq!(failure_of("no json", &[]), MALFORMED);
        assert_eq!(failure_of(r#"{"newState":{"a":"no base64"}}"#, &[]), MALFORMED);
        let cancel = Entry::Notification {
            id: NotificationId::Signal(SignalId::CANCEL),
            result: NotificationResult::Void,
        };
        assert_eq!(failure_of(r#"{"newState":{}}"#, &[cancel]), CANCELLED);
        // Of a state that is not all there nobody knows the version.
        let version = version_of_state([(&b"n"[..], &b"1"[..])]);
        let mut large = attempt(TWO_KEYS.replace("VERSION", &version).leak(), &[]);
        large.state.as_mut().unwrap().partial = true;
        let events = said(&large);
        assert!(matches!(
            new_entries(&events).1,
            [Entry::Output { outcome: Outcome::Failure(_), .. }]
        ));
    }
}
