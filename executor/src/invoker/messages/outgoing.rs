//! What a function is told: the start of an attempt, and journal entries.

use bytes::{Bytes, BytesMut};
use everlog_log_schema::{
    CompletionId, Entry, Failure, NotificationId, NotificationResult, Outcome, SignalId,
};
use prost::Message;

use super::{TREES_VERSION, pb};
use crate::invoker::frame::{kind, put_header};
use crate::invoker::{AttemptStart, CallNames};

/// From this version of the protocol on a function is told a random seed and the metadata of
/// failures.
const RICH_VERSION: u32 = 6;

/// Messages on their way to a function, in order.
#[derive(Debug)]
pub(crate) struct Outgoing {
    protocol_version: u32,
    buffer: BytesMut,
}

impl Outgoing {
    /// No messages yet, of some version of the protocol.
    pub(crate) fn new(protocol_version: u32) -> Self {
        Self { protocol_version, buffer: BytesMut::new() }
    }

    /// Puts a message of already encoded bytes at the end.
    fn push_bytes(&mut self, kind: u16, payload: &[u8]) {
        put_header(&mut self.buffer, kind, payload.len());
        self.buffer.extend_from_slice(payload);
    }

    fn push(&mut self, kind: u16, message: &impl Message) {
        put_header(&mut self.buffer, kind, message.encoded_len());
        message.encode(&mut self.buffer).expect("the buffer grows as needed");
    }

    /// Puts the first message of an attempt at the end.
    pub(crate) fn push_start(&mut self, start: &AttemptStart) {
        let id = start.invocation.start_id(start.attempt.incarnation);
        let state = start.state.as_ref();
        let entries = state.map_or(&[][..], |state| &state.entries).iter();
        let entries = entries.cloned();
        let knows_names = self.protocol_version >= TREES_VERSION;
        let named = if knows_names { start.named.clone() } else { CallNames::default() };
        let message = pb::StartMessage {
            id: Bytes::copy_from_slice(&id),
            debug_id: start.invocation.to_string(),
            known_entries: u32::try_from(start.journal.len()).expect("journals are bounded"),
            state_map: entries
                .map(|(key, value)| pb::start_message::StateEntry { key, value })
                .collect(),
            partial_state: state.is_none_or(|state| state.partial),
            key: start.target.key.clone().unwrap_or_default(),
            retry_count_since_last_stored_entry: start.failures_since_progress,
            duration_since_last_stored_entry: start.since_progress.0,
            random_seed: if self.is_rich() { random_seed(&id) } else { 0 },
            scope: named.scope,
            limit_key: named.limit_key,
            idempotency_key: named.idempotency_key,
        };
        self.push(kind::START, &message);
    }

    /// Puts an entry of the journal at the end.
    pub(crate) fn push_entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Input { headers, body } => {
                let headers = headers.iter().cloned().map(Into::into).collect();
                let value = Some(body.clone().into());
                let message = pb::InputCommandMessage { headers, name: String::new(), value };
                self.push(kind::INPUT, &message);
            }
            Entry::Command { kind, bytes, effect: _ } => self.push_bytes(*kind, bytes),
            Entry::Output { name, outcome } => {
                use pb::output_command_message::Result;
                let result = Some(match outcome {
                    Outcome::Success(value) => Result::Value(value.clone().into()),
                    Outcome::Failure(failure) => Result::Failure(self.failure(failure)),
                });
                self.push(kind::OUTPUT, &pb::OutputCommandMessage { name: name.clone(), result });
            }
            Entry::Notification { id, result } => self.push_notification(id, result),
        }
    }

    /// Puts at the end that the result of a run is durable which the function has proposed itself.
    pub(crate) fn push_ack(&mut self, completion: CompletionId) {
        let message = pb::ProposeRunCompletionAckMessage { completion_id: completion.0 };
        self.push(kind::PROPOSE_RUN_COMPLETION_ACK, &message);
    }

    /// Puts at the end what the state has under a key that the function has asked for.
    pub(crate) fn push_state(&mut self, id: u32, value: Option<Bytes>) {
        use pb::get_state_ephemeral_notification_message::Result;
        let result = value.map_or(Result::Void(pb::Void {}), |value| Result::Value(value.into()));
        let message = pb::GetStateEphemeralNotificationMessage {
            ephemeral_completion_id: id,
            result: Some(result),
        };
        self.push(kind::GET_STATE_EPHEMERAL_NOTIFICATION, &message);
    }

    fn push_notification(&mut self, id: &NotificationId, result: &NotificationResult) {
        use pb::notification_message::{Id, Result};
        let (kind, id) = match id {
            NotificationId::Completion { id, kind } => (*kind, Id::CompletionId(id.0)),
            NotificationId::Signal(SignalId::Index(index)) => (kind::SIGNAL, Id::Idx(*index)),
            NotificationId::Signal(SignalId::Name(name)) => (kind::SIGNAL, Id::Name(name.clone())),
        };
        let result = match result {
            NotificationResult::Void => Result::Void(pb::Void {}),
            NotificationResult::Value(value) => Result::Value(value.clone().into()),
            NotificationResult::Failure(failure) => Result::Failure(self.failure(failure)),
            NotificationResult::InvocationId(id) => Result::InvocationId(id.to_string()),
            NotificationResult::StateKeys(keys) => {
                Result::StateKeys(pb::StateKeys { keys: keys.clone() })
            }
        };
        self.push(kind, &pb::NotificationMessage { id: Some(id), result: Some(result) });
    }

    fn failure(&self, failure: &Failure) -> pb::Failure {
        let mut failure = pb::Failure::from(failure.clone());
        if !self.is_rich() {
            failure.metadata.clear();
        }
        failure
    }

    fn is_rich(&self) -> bool {
        self.protocol_version >= RICH_VERSION
    }

    /// Takes out what is ready.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    /// Drops what is ready.
    pub(crate) fn clear(&mut self) {
        self.buffer = BytesMut::new();
    }

    /// How many bytes are ready.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }
}

/// Derives the seed of the function's random numbers: the same for every attempt of one life.
fn random_seed(start_id: &[u8]) -> u64 {
    let (words, _) = start_id.as_chunks::<8>();
    words.iter().fold(0, |seed, word| seed.rotate_left(17) ^ u64::from_be_bytes(*word))
}
