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
    EDIT_STATE, Entry, Failure, NotificationId, Outcome, SignalId, StateEdit,
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
/// The code of a change of a state that is not of the version that it names.
const OTHER_VERSION: u32 = 412;
/// The code of a change that was cancelled before it began.
const CANCELLED: u32 = 409;

/// Runs attempts of [`EDIT_STATE`].
pub(crate) struct StateEdits;

impl Invoker for StateEdits {
    fn start(&self, attempt: AttemptStart, events: EventSender) -> AttemptHandle {
        // There is nothing that it waits for, and so could be told of.
        let (notices, _) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            for kind in said(&attempt) {
                let bytes = match &kind {
                    AttemptEventKind::Entries { entries, .. } => payload_bytes(entries),
                    AttemptEventKind::Suspended { .. }
                    | AttemptEventKind::Ended
                    | AttemptEventKind::Failed { .. }
                    | AttemptEventKind::AwaitingOn(_) => 0,
                };
                let (invocation, attempt) = (attempt.invocation, attempt.attempt);
                let event = AttemptEvent { invocation, attempt, kind };
                if events.send(event, bytes).await.is_err() {
                    break;
                }
            }
        });
        AttemptHandle::new(notices, task.abort_handle())
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
    let is_command = |entry: &&Entry| !matches!(entry, Entry::Notification { .. });
    let recorded = attempt.journal.iter().filter(is_command).count();
    let entries: Vec<Entry> = match steps(attempt, recorded > 1) {
        // The input is none of them.
        Ok(steps) => steps.into_iter().skip(recorded.saturating_sub(1)).collect(),
        Err(failure) => return vec![failure.into_event()],
    };
    let first_command = u32::try_from(recorded).expect("journals are bounded");
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
            return Err(failure(OTHER_VERSION, "the state has another version"));
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
