//! What an attempt did, as commands.
//!
//! **Invariant:** an attempt that is not open any more is not heard.

use std::sync::Arc;

use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    Append, AttemptError, AttemptFailed, AttemptId, Command, End, InvocationId, Millis, Suspend,
    Then,
};
use everlog_partition::{Tables, TablesError, after_failure, reads};
use tokio::sync::watch;

use super::{Attempts, Live, Sized};
use crate::invoker::{AttemptEvent, AttemptEventKind, Reaction};
use crate::metrics;
use crate::shell::code::attempt_error;
use crate::shell::sizes::{
    error_bytes, future_bytes, refusal_of_entry, refusal_of_future, split_entries,
};
use crate::shell::warnings::warn_of_failure;

/// The code of an attempt that took a step beyond the limits.
const TOO_LARGE: u32 = 413;

impl Attempts {
    /// Turns what an attempt did into commands. One that is not open any more is not heard.
    pub(crate) fn on_event(
        &mut self,
        tables: &impl Tables,
        event: AttemptEvent,
        now: Millis,
    ) -> Result<Vec<Sized>, TablesError> {
        let AttemptEvent { invocation, attempt, kind } = event;
        let Some(Live::Open(open)) = self.live.get_mut(&invocation) else { return Ok(Vec::new()) };
        if open.attempt != attempt {
            return Ok(Vec::new());
        }
        let metadata = &self.metadata;
        let failed = |failure| failed(tables, invocation, attempt, failure, metadata, now);
        let last = match kind {
            AttemptEventKind::Entries { first_command, entries } => {
                let Some(refusal) = entries.iter().find_map(refusal_of_entry) else {
                    let pin = open.pin.take();
                    let append = Append { invocation, attempt, first_command, entries, pin };
                    return Ok(split_entries(append));
                };
                failed((attempt_error(TOO_LARGE, refusal), None, Reaction::ByPolicy))?
            }
            AttemptEventKind::Suspended { waiting, signals_told } => {
                match refusal_of_future(&waiting) {
                    None => {
                        let bytes = future_bytes(&waiting);
                        let suspend = Suspend { invocation, attempt, waiting, signals_told };
                        Some((Command::Suspend(suspend), bytes))
                    }
                    Some(refusal) => {
                        failed((attempt_error(TOO_LARGE, refusal), None, Reaction::ByPolicy))?
                    }
                }
            }
            AttemptEventKind::Ended => Some((Command::End(End { invocation, attempt }), 0)),
            AttemptEventKind::Failed { error, retry_after, reaction } => {
                failed((error, retry_after, reaction))?
            }
            AttemptEventKind::ReadState(read) => {
                open.read = Some(read);
                self.answer(tables, invocation)?;
                return Ok(Vec::new());
            }
            AttemptEventKind::AwaitingOn(tree) => {
                open.hint.set(tree);
                return Ok(Vec::new());
            }
        };
        if last.is_some() {
            self.live.insert(invocation, Live::Ended(attempt));
        } else {
            self.live.remove(&invocation);
        }
        Ok(last.into_iter().collect())
    }
}

/// The command that ends a failed attempt, with what the function or its retry policy says.
fn failed(
    tables: &impl Tables,
    invocation: InvocationId,
    attempt: AttemptId,
    (mut error, retry_after, reaction): (AttemptError, Option<Millis>, Reaction),
    metadata: &watch::Receiver<Arc<Metadata>>,
    now: Millis,
) -> Result<Option<Sized>, TablesError> {
    metrics::ATTEMPTS_FAILED.inc();
    let Some(row) = reads::invocation(tables, invocation)? else { return Ok(None) };
    error.delay_by_function = retry_after.is_some();
    let then = match reaction {
        Reaction::ByPolicy => after_failure(&row, now, retry_after),
        Reaction::Pause => Then::Pause,
        Reaction::Fail => Then::Kill,
    };
    warn_of_failure(invocation, &row, &error, &then, now, &metadata.borrow());
    let bytes = error_bytes(&error);
    let failed = AttemptFailed { invocation, attempt, error, then };
    Ok(Some((Command::AttemptFailed(failed), bytes)))
}
