//! What a function says: its commands, its output, and the results of its runs.
//!
//! A command is judged when it comes, by how the function is run and by what is registered then.
//! **Invariants:** what becomes an entry can be stored, and asks for nothing that the partition
//! cannot do; a command that is taken in again at the same place asks for the same.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use everlog_log_schema::limits::STATE_KEY_BYTES_MAX;
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    CompletionId, Effect, Entry, HandlerKind, Life, Millis, NotificationId, NotificationResult,
    Outcome, Span, command_kind_name, command_name,
};
use prost::Message;
use tokio::sync::watch;

use super::pb;
use crate::invoker::error::Failure;
use crate::invoker::frame::{kind, refuse};
use crate::invoker::{AttemptStart, StateRead};

/// The latest time that a timer can hold, in milliseconds since the Unix epoch.
const TIME_MAX: u64 = i64::MAX.unsigned_abs();

/// The function that speaks, as far as its commands are judged and resolved by it.
#[derive(Debug)]
pub(crate) struct Function {
    pub(super) life: Life,
    kind: HandlerKind,
    pub(super) traceparent: Option<String>,
    pub(super) unkeyed_retention: Millis,
    metadata: watch::Receiver<Arc<Metadata>>,
}

impl Function {
    /// The function that an attempt runs.
    pub(crate) fn of(start: &AttemptStart) -> Self {
        Self {
            life: Life { invocation: start.invocation, incarnation: start.attempt.incarnation },
            kind: start.kind,
            traceparent: start.traceparent.clone(),
            unkeyed_retention: start.unkeyed_retention,
            metadata: start.metadata.clone(),
        }
    }

    /// Reads the command that takes the place `index` among the commands of the journal.
    pub(crate) fn command(&self, index: u32, kind: u16, bytes: Bytes) -> Result<Entry, Failure> {
        let command = Command { function: self, index, kind, bytes };
        let effect = command.effect()?;
        Ok(Entry::Command { kind, bytes: command.bytes, effect })
    }

    /// Reads a question about the state that the journal does not keep, asked behind `index` commands.
    pub(crate) fn state_read(&self, index: u32, bytes: Bytes) -> Result<StateRead, Failure> {
        let command = Command { function: self, index, kind: kind::GET_STATE_EPHEMERAL, bytes };
        let message: pb::GetStateEphemeralCommandMessage = command.message()?;
        command.check_reads()?;
        command.check_state_key(&message.key)?;
        // By itself: a part of a large message would hold all of it while the question waits.
        let key = Bytes::copy_from_slice(&message.key);
        Ok(StateRead { id: message.ephemeral_completion_id, key, commands: index })
    }

    /// All that is registered now.
    pub(super) fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata.borrow())
    }
}

/// Names a command in sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandPlace {
    /// Its place among the commands of the journal; the input has 0.
    pub(crate) index: u32,
    /// Its message type.
    pub(crate) kind: u16,
    /// The name that the function gave it.
    pub(crate) name: Option<String>,
}

impl fmt::Display for CommandPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#06x}) at command {}", command_kind_name(self.kind), self.kind, self.index)
    }
}

/// A command as it came, with whoever sent it.
pub(super) struct Command<'f> {
    pub(super) function: &'f Function,
    pub(super) index: u32,
    kind: u16,
    bytes: Bytes,
}

impl Command<'_> {
    fn effect(&self) -> Result<Effect, Failure> {
        match self.kind {
            kind::GET_LAZY_STATE => self.get_lazy_state(),
            kind::SET_STATE => self.set_state(),
            kind::CLEAR_STATE => self.clear_state(),
            kind::CLEAR_ALL_STATE => {
                let pb::ClearAllStateCommandMessage { name: _ } = self.message()?;
                self.check_writes()?;
                Ok(Effect::ClearAllState)
            }
            kind::GET_LAZY_STATE_KEYS => {
                let message: pb::GetLazyStateKeysCommandMessage = self.message()?;
                self.check_reads()?;
                let completion = CompletionId(message.result_completion_id);
                Ok(Effect::GetStateKeys { completion })
            }
            kind::GET_EAGER_STATE => {
                let message: pb::GetEagerStateCommandMessage = self.message()?;
                self.check_reads()?;
                self.check_state_key(&message.key)?;
                Ok(Effect::None)
            }
            kind::GET_EAGER_STATE_KEYS => {
                let pb::GetEagerStateKeysCommandMessage { name: _ } = self.message()?;
                self.check_reads()?;
                Ok(Effect::None)
            }
            kind::GET_PROMISE | kind::PEEK_PROMISE => self.ask_promise(self.kind),
            kind::COMPLETE_PROMISE => self.complete_promise(),
            kind::SLEEP => {
                let message: pb::SleepCommandMessage = self.message()?;
                let completion = CompletionId(message.result_completion_id);
                Ok(Effect::Sleep { completion, wake_at: time(message.wake_up_time) })
            }
            kind::CALL => self.call(),
            kind::ONE_WAY_CALL => self.one_way_call(),
            kind::SEND_SIGNAL => self.send_signal(),
            kind::RUN => {
                let message: pb::RunCommandMessage = self.message()?;
                Ok(Effect::Run { completion: CompletionId(message.result_completion_id) })
            }
            kind::ATTACH_INVOCATION | kind::GET_INVOCATION_OUTPUT => self.attach(self.kind),
            kind::COMPLETE_AWAKEABLE => self.complete_awakeable(),
            _ => Err(refuse(self.kind)),
        }
    }

    fn get_lazy_state(&self) -> Result<Effect, Failure> {
        let message: pb::GetLazyStateCommandMessage = self.message()?;
        self.check_reads()?;
        self.check_state_key(&message.key)?;
        let completion = CompletionId(message.result_completion_id);
        Ok(Effect::GetState { completion, key: message.key })
    }

    fn set_state(&self) -> Result<Effect, Failure> {
        let message: pb::SetStateCommandMessage = self.message()?;
        self.check_writes()?;
        self.check_state_key(&message.key)?;
        let Some(value) = message.value else { return Err(self.lacks("value")) };
        Ok(Effect::SetState { key: message.key, value: self.span(&value.content) })
    }

    fn clear_state(&self) -> Result<Effect, Failure> {
        let message: pb::ClearStateCommandMessage = self.message()?;
        self.check_writes()?;
        self.check_state_key(&message.key)?;
        Ok(Effect::ClearState { key: message.key })
    }

    fn check_reads(&self) -> Result<(), Failure> {
        match self.function.kind {
            HandlerKind::Plain => Err(self.refuse("a service without keys has no state")),
            HandlerKind::Exclusive
            | HandlerKind::Shared
            | HandlerKind::Workflow
            | HandlerKind::WorkflowShared => Ok(()),
        }
    }

    fn check_writes(&self) -> Result<(), Failure> {
        self.check_reads()?;
        match self.function.kind {
            HandlerKind::Shared | HandlerKind::WorkflowShared => {
                Err(self.refuse("a shared handler may only read state"))
            }
            HandlerKind::Plain | HandlerKind::Exclusive | HandlerKind::Workflow => Ok(()),
        }
    }

    /// Refuses promises outside of workflows.
    pub(super) fn check_promises(&self) -> Result<(), Failure> {
        if self.function.kind.is_of_workflow() {
            return Ok(());
        }
        Err(self.refuse("only the handlers of a workflow have promises"))
    }

    fn check_state_key(&self, key: &Bytes) -> Result<(), Failure> {
        self.check_bytes("a state key", key.len(), STATE_KEY_BYTES_MAX)
    }

    pub(super) fn check_bytes(
        &self,
        what: &'static str,
        bytes: usize,
        max: usize,
    ) -> Result<(), Failure> {
        if bytes <= max {
            return Ok(());
        }
        Err(self.refuse(format!("{what} of {bytes} bytes exceeds the limit of {max} bytes")))
    }

    pub(super) fn check_count(
        &self,
        what: &'static str,
        count: usize,
        max: usize,
    ) -> Result<(), Failure> {
        if count <= max {
            return Ok(());
        }
        Err(self.refuse(format!("{count} {what} exceed the limit of {max}")))
    }

    pub(super) fn message<M: Message + Default>(&self) -> Result<M, Failure> {
        decode(command_kind_name(self.kind), self.bytes.clone())
    }

    /// Tells where a part of the message stands in its bytes.
    pub(super) fn span(&self, part: &Bytes) -> Span {
        Span::of(part, &self.bytes).expect("a message is decoded without a copy of its values")
    }

    /// What the function asks for may not be done.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Failure {
        Failure::Precondition { command: self.place(), reason: reason.into() }
    }

    /// Whom the function calls is not known.
    pub(super) fn unknown(&self, reason: impl Into<String>) -> Failure {
        Failure::UnknownTarget { command: self.place(), reason: reason.into() }
    }

    /// A part that every such command has is not there.
    pub(super) fn lacks(&self, part: &str) -> Failure {
        Failure::Violation(format!("its {} has no {part}", self.place()))
    }

    fn place(&self) -> CommandPlace {
        CommandPlace { index: self.index, kind: self.kind, name: command_name(&self.bytes) }
    }
}

/// Cuts a time to the latest that a timer can hold.
pub(super) fn time(millis: u64) -> Millis {
    Millis(millis.min(TIME_MAX))
}

/// Decodes the payload of a message that a function sent.
pub(crate) fn decode<M: Message + Default>(what: &str, payload: Bytes) -> Result<M, Failure> {
    M::decode(payload)
        .map_err(|cause| Failure::Violation(format!("it sent a malformed {what} message: {cause}")))
}

/// Reads an `Output` command.
pub(crate) fn output_command(bytes: Bytes) -> Result<Entry, Failure> {
    use pb::output_command_message::Result;
    let message: pb::OutputCommandMessage = decode("Output", bytes)?;
    let outcome = match message.result {
        Some(Result::Value(value)) => Outcome::Success(value.content),
        Some(Result::Failure(failure)) => Outcome::Failure(failure.into()),
        None => return Err(Failure::Violation("its output has no result".to_owned())),
    };
    Ok(Entry::Output { name: message.name, outcome })
}

/// Reads the proposed result of a run.
pub(crate) fn run_proposal(bytes: Bytes) -> Result<(CompletionId, Entry), Failure> {
    use pb::propose_run_completion_message::Result;
    let message: pb::ProposeRunCompletionMessage = decode("ProposeRunCompletion", bytes)?;
    let result = match message.result {
        Some(Result::Value(value)) => NotificationResult::Value(value),
        Some(Result::Failure(failure)) => NotificationResult::Failure(failure.into()),
        None => return Err(Failure::Violation("its run has no result".to_owned())),
    };
    let completion = CompletionId(message.result_completion_id);
    let id = NotificationId::Completion { id: completion, kind: kind::RUN_COMPLETION };
    Ok((completion, Entry::Notification { id, result }))
}
