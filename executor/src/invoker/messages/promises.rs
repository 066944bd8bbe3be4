//! Commands on the promises of a workflow.
//!
//! **Invariant:** only the handlers of workflows have promises, and the name of each is within its
//! limit: the partition checks neither.

use everlog_log_schema::limits::PROMISE_NAME_BYTES_MAX;
use everlog_log_schema::{CompletionId, Effect, PromiseResult};

use super::incoming::Command;
use super::pb;
use crate::invoker::error::Failure;
use crate::invoker::frame::kind;

impl Command<'_> {
    /// Reads a question for a promise, which waits for it or not by its `kind`.
    pub(super) fn ask_promise(&self, kind: u16) -> Result<Effect, Failure> {
        let message: pb::GetPromiseCommandMessage = self.message()?;
        self.check_promises()?;
        let name = self.promise_name(message.key)?;
        let completion = CompletionId(message.result_completion_id);
        Ok(match kind {
            kind::GET_PROMISE => Effect::GetPromise { completion, name },
            _ => Effect::PeekPromise { completion, name },
        })
    }

    /// Reads the completion of a promise.
    pub(super) fn complete_promise(&self) -> Result<Effect, Failure> {
        use pb::complete_promise_command_message::Completion as Carried;
        let message: pb::CompletePromiseCommandMessage = self.message()?;
        self.check_promises()?;
        let settled = match message.completion {
            Some(Carried::CompletionValue(value)) => {
                PromiseResult::Value(self.span(&value.content))
            }
            Some(Carried::CompletionFailure(failure)) => {
                PromiseResult::Failure(self.carried_failure(failure)?)
            }
            None => return Err(self.lacks("completion")),
        };
        let name = self.promise_name(message.key)?;
        let completion = CompletionId(message.result_completion_id);
        Ok(Effect::CompletePromise { completion, name, settled })
    }

    fn promise_name(&self, name: String) -> Result<String, Failure> {
        self.check_bytes("the name of a promise", name.len(), PROMISE_NAME_BYTES_MAX)?;
        Ok(name)
    }
}
