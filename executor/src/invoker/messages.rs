//! Turns journal entries into messages of the service protocol, and back.
//!
//! **Invariant:** a command leaves with the very bytes it came with.

use bytes::{Bytes, BytesMut};
use everlog_log_schema::{
    CompletionId, Effect, Entry, Failure, Header, Millis, NotificationId, NotificationResult,
    Outcome,
};
use prost::Message;

use super::frame::{kind, put_header};
use super::{AttemptStart, error};

/// The messages as `proto/protocol.proto` describes them.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated code")]
pub(crate) mod pb {
    include!(concat!(env!("OUT_DIR"), "/dev.restate.service.protocol.rs"));
}

/// Messages on their way to a function, in order.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffer: BytesMut,
}

impl Outgoing {
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
        let message = pb::StartMessage {
            id: Bytes::copy_from_slice(&id),
            debug_id: start.invocation.to_string(),
            known_entries: u32::try_from(start.journal.len()).expect("journals are bounded"),
            state_map: Vec::new(),
            partial_state: true,
            key: start.target.key.clone().unwrap_or_default(),
            retry_count_since_last_stored_entry: start.failures_since_progress,
            duration_since_last_stored_entry: start.since_progress.0,
            random_seed: if start.protocol_version >= 6 { random_seed(&id) } else { 0 },
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
                let result = Some(match outcome.clone() {
                    Outcome::Success(value) => {
                        pb::output_command_message::Result::Value(value.into())
                    }
                    Outcome::Failure(failure) => {
                        pb::output_command_message::Result::Failure(failure.into())
                    }
                });
                self.push(kind::OUTPUT, &pb::OutputCommandMessage { name: name.clone(), result });
            }
            Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
                let result = Some(match result.clone() {
                    NotificationResult::Void => {
                        pb::completion_notification::Result::Void(pb::Void {})
                    }
                    NotificationResult::Value(value) => {
                        pb::completion_notification::Result::Value(value.into())
                    }
                    NotificationResult::Failure(failure) => {
                        pb::completion_notification::Result::Failure(failure.into())
                    }
                });
                self.push(*kind, &pb::CompletionNotification { completion_id: id.0, result });
            }
        }
    }

    /// Takes out what is ready.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
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

/// Decodes the payload of a message that a function sent.
pub(crate) fn decode<M: Message + Default>(
    what: &str,
    payload: Bytes,
) -> Result<M, error::Failure> {
    M::decode(payload).map_err(|cause| {
        error::Failure::Violation(format!("it sent a malformed {what} message: {cause}"))
    })
}

/// Reads a `Run` command.
pub(crate) fn run_command(bytes: Bytes) -> Result<(CompletionId, Entry), error::Failure> {
    let message: pb::RunCommandMessage = decode("Run", bytes.clone())?;
    let completion = CompletionId(message.result_completion_id);
    let effect = Effect::Run { completion };
    Ok((completion, Entry::Command { kind: kind::RUN, bytes, effect }))
}

/// Reads a `Sleep` command. A time beyond what a timer can hold becomes the latest that it can.
pub(crate) fn sleep_command(bytes: Bytes) -> Result<(CompletionId, Entry), error::Failure> {
    let message: pb::SleepCommandMessage = decode("Sleep", bytes.clone())?;
    let completion = CompletionId(message.result_completion_id);
    let wake_at = Millis(message.wake_up_time.min(i64::MAX.unsigned_abs()));
    let effect = Effect::Sleep { completion, wake_at };
    Ok((completion, Entry::Command { kind: kind::SLEEP, bytes, effect }))
}

/// Reads an `Output` command.
pub(crate) fn output_command(bytes: Bytes) -> Result<Entry, error::Failure> {
    let message: pb::OutputCommandMessage = decode("Output", bytes)?;
    let outcome = match message.result {
        Some(pb::output_command_message::Result::Value(value)) => Outcome::Success(value.content),
        Some(pb::output_command_message::Result::Failure(failure)) => {
            Outcome::Failure(failure.into())
        }
        None => return Err(error::Failure::Violation("its output has no result".to_owned())),
    };
    Ok(Entry::Output { name: message.name, outcome })
}

/// Reads the proposed result of a run.
pub(crate) fn run_proposal(bytes: Bytes) -> Result<(CompletionId, Entry), error::Failure> {
    let message: pb::ProposeRunCompletionMessage = decode("ProposeRunCompletion", bytes)?;
    let result = match message.result {
        Some(pb::propose_run_completion_message::Result::Value(value)) => {
            NotificationResult::Value(value)
        }
        Some(pb::propose_run_completion_message::Result::Failure(failure)) => {
            NotificationResult::Failure(failure.into())
        }
        None => return Err(error::Failure::Violation("its run has no result".to_owned())),
    };
    let completion = CompletionId(message.result_completion_id);
    let id = NotificationId::Completion { id: completion, kind: kind::RUN_COMPLETION };
    Ok((completion, Entry::Notification { id, result }))
}

impl From<Bytes> for pb::Value {
    fn from(content: Bytes) -> Self {
        Self { content }
    }
}

impl From<Header> for pb::Header {
    fn from(Header { key, value }: Header) -> Self {
        Self { key, value }
    }
}

impl From<Failure> for pb::Failure {
    fn from(Failure { code, message, metadata }: Failure) -> Self {
        let metadata = metadata
            .into_iter()
            .map(|Header { key, value }| pb::FailureMetadata { key, value })
            .collect();
        Self { code, message, metadata }
    }
}

impl From<pb::Failure> for Failure {
    fn from(pb::Failure { code, message, metadata }: pb::Failure) -> Self {
        let metadata = metadata
            .into_iter()
            .map(|pb::FailureMetadata { key, value }| Header { key, value })
            .collect();
        Self { code, message, metadata }
    }
}
