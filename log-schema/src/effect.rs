//! What the commands of a journal carry and are answered with.

use serde::{Deserialize, Serialize};

use crate::{CompletionId, Effect, Failure, Span, kinds};

/// What the command that completes a promise carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromiseResult {
    /// A value: where it stands in the command.
    Value(Span),
    /// A terminal failure.
    Failure(Failure),
}

impl Effect {
    /// The completions that a command declares, with the types of the messages that bring them.
    #[must_use]
    pub fn completions(&self) -> [Option<(CompletionId, u16)>; 2] {
        let one = |id: &CompletionId, kind| [Some((*id, kind)), None];
        match self {
            Self::None
            | Self::SetState { .. }
            | Self::ClearState { .. }
            | Self::ClearAllState
            | Self::SendSignal { .. } => [None; 2],
            Self::Run { completion } => one(completion, kinds::RUN_COMPLETION),
            Self::Sleep { completion, .. } => one(completion, kinds::SLEEP_COMPLETION),
            Self::GetState { completion, .. } => one(completion, kinds::GET_STATE_COMPLETION),
            Self::GetStateKeys { completion } => one(completion, kinds::GET_STATE_KEYS_COMPLETION),
            Self::Attach { completion, .. } => one(completion, kinds::ATTACH_COMPLETION),
            Self::GetOutput { completion, .. } => one(completion, kinds::OUTPUT_COMPLETION),
            Self::GetPromise { completion, .. } => one(completion, kinds::GET_PROMISE_COMPLETION),
            Self::PeekPromise { completion, .. } => one(completion, kinds::PEEK_PROMISE_COMPLETION),
            Self::CompletePromise { completion, .. } => {
                one(completion, kinds::COMPLETE_PROMISE_COMPLETION)
            }
            Self::Call(call) => [
                Some((call.id_completion, kinds::CALL_ID_COMPLETION)),
                call.completion.map(|id| (id, kinds::CALL_COMPLETION)),
            ],
        }
    }
}
