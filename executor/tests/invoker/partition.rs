//! What a partition makes of commands, as far as the functions of these tests go: the state of one
//! object, and signals to the invocation itself. What other invocations would say is made up.

use std::collections::BTreeMap;

use bytes::Bytes;
use everlog_log_schema::{
    Effect, Entry, InvocationId, NotificationId, NotificationResult, SignalResult, kinds,
};

/// The state of the one object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    pub(crate) state: BTreeMap<Bytes, Bytes>,
}

/// What follows from an entry.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Is stored right behind it.
    pub(crate) at_once: Option<Entry>,
    /// Comes some time later.
    pub(crate) later: Vec<Entry>,
}

impl Partition {
    /// Takes in a command of an invocation.
    pub(crate) fn take(&mut self, invocation: InvocationId, entry: &Entry) -> Answers {
        let Entry::Command { effect, bytes, .. } = entry else { return Answers::default() };
        let completion = |id, kind, result| {
            let id = NotificationId::Completion { id, kind };
            Entry::Notification { id, result }
        };
        let at_once = |entry| Answers { at_once: Some(entry), later: Vec::new() };
        let later = |entry| Answers { at_once: None, later: vec![entry] };
        match effect {
            Effect::GetState { completion: id, key } => {
                let value = self.state.get(key).cloned();
                let value = value.map_or(NotificationResult::Void, NotificationResult::Value);
                at_once(completion(*id, kinds::GET_STATE_COMPLETION, value))
            }
            Effect::GetStateKeys { completion: id } => {
                let keys = NotificationResult::StateKeys(self.state.keys().cloned().collect());
                at_once(completion(*id, kinds::GET_STATE_KEYS_COMPLETION, keys))
            }
            Effect::SetState { key, value } => {
                self.state.insert(key.clone(), value.slice(bytes).unwrap());
                Answers::default()
            }
            Effect::ClearState { key } => {
                self.state.remove(key);
                Answers::default()
            }
            Effect::ClearAllState => {
                self.state.clear();
                Answers::default()
            }
            Effect::Call(call) => {
                let callee = NotificationResult::InvocationId(call.callee);
                let outcome = NotificationResult::Value(call.parameter.slice(bytes).unwrap());
                let outcome = |id| completion(id, kinds::CALL_COMPLETION, outcome);
                Answers {
                    at_once: Some(completion(
                        call.id_completion,
                        kinds::CALL_ID_COMPLETION,
                        callee,
                    )),
                    later: call.completion.map(outcome).into_iter().collect(),
                }
            }
            Effect::SendSignal { target, signal, result, .. } if *target == invocation => {
                let result = match result {
                    SignalResult::Void => NotificationResult::Void,
                    SignalResult::Value(value) => {
                        NotificationResult::Value(value.slice(bytes).unwrap())
                    }
                    SignalResult::Failure(failure) => NotificationResult::Failure(failure.clone()),
                };
                later(Entry::Notification { id: NotificationId::Signal(signal.clone()), result })
            }
            Effect::Attach { completion: id, .. } => {
                let outcome = NotificationResult::Value("\"attached\"".into());
                later(completion(*id, kinds::ATTACH_COMPLETION, outcome))
            }
            Effect::GetOutput { completion: id, .. } => {
                later(completion(*id, kinds::OUTPUT_COMPLETION, NotificationResult::Void))
            }
            Effect::GetPromise { completion: id, .. } => {
                let value = NotificationResult::Value("\"promised\"".into());
                later(completion(*id, kinds::GET_PROMISE_COMPLETION, value))
            }
            Effect::PeekPromise { completion: id, .. } => {
                at_once(completion(*id, kinds::PEEK_PROMISE_COMPLETION, NotificationResult::Void))
            }
            Effect::CompletePromise { completion: id, .. } => {
                let done = NotificationResult::Void;
                at_once(completion(*id, kinds::COMPLETE_PROMISE_COMPLETION, done))
            }
            Effect::None
            | Effect::Run { .. }
            | Effect::Sleep { .. }
            | Effect::SendSignal { .. } => Answers::default(),
        }
    }

    /// Takes in all that is stored already. Returns what has not come yet.
    pub(crate) fn recall(&mut self, invocation: InvocationId, journal: &[Entry]) -> Vec<Entry> {
        let mut missing: Vec<Entry> =
            journal.iter().flat_map(|entry| self.take(invocation, entry).later).collect();
        for entry in journal {
            if let Some(at) = missing.iter().position(|answer| answer == entry) {
                missing.remove(at);
            }
        }
        missing
    }
}
