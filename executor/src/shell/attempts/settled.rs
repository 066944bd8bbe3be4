//! What applied commands mean for attempts: the last one ends them, and others bring the answer to what
//! they ask of their state beside the journal.
//!
//! **Invariant:** an answer has what all commands came to that the attempt sent before its question,
//! and perhaps later ones, as they are applied together. Nothing of it is recorded: whoever needs the
//! same answer again asks within a run, and waits for it before the next step.

use everlog_log_schema::{Command, InvocationId};
use everlog_partition::{Tables, TablesError, reads};

use super::{Attempts, Live};
use crate::metrics;

impl Attempts {
    /// Learns that a command is applied: forgets an attempt of which it was the last, and answers one
    /// that has asked what it came to.
    pub(crate) fn settle(
        &mut self,
        tables: &impl Tables,
        command: &Command,
    ) -> Result<(), TablesError> {
        let (id, attempt) = match command {
            Command::Append(append) => return self.answer(tables, append.invocation),
            Command::Suspend(suspend) => (suspend.invocation, suspend.attempt),
            Command::AttemptFailed(failed) => (failed.invocation, failed.attempt),
            Command::End(end) => (end.invocation, end.attempt),
            Command::AnnounceOwner(_)
            | Command::Resign
            | Command::Ingest(_)
            | Command::TimerFired(_)
            | Command::OutboxDelivered(_)
            | Command::CheckpointOpened
            | Command::Checkpointed(_) => return Ok(()),
        };
        if self.live.get(&id).is_some_and(|live| live.attempt() == Some(attempt)) {
            self.live.remove(&id);
        }
        Ok(())
    }

    /// Answers what the attempt of an invocation has asked, once what it did before is applied.
    pub(super) fn answer(
        &mut self,
        tables: &impl Tables,
        invocation: InvocationId,
    ) -> Result<(), TablesError> {
        let Some(Live::Open(open)) = self.live.get_mut(&invocation) else { return Ok(()) };
        let Some(read) = &open.read else { return Ok(()) };
        let Some(row) = reads::invocation(tables, invocation)? else { return Ok(()) };
        // A service without keys was refused by the attempt.
        let Some(key) = row.target.key.as_ref().filter(|_| row.commands >= read.commands) else {
            return Ok(());
        };
        let value = reads::state(tables, &row.target.service, key, &read.key)?;
        let bytes = value.as_ref().map_or(0, |value| value.len() as u64);
        metrics::STATE_BYTES_READ.inc_by(bytes);
        open.handle.tell_state(read.id, value);
        open.read = None;
        Ok(())
    }
}
