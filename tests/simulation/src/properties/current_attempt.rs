//! Current attempt: only the current attempt of the current life of an id has a say.
//!
//! The rule is the design's: an attempt of an epoch below the reigning one is over, and within an
//! epoch each retry, wake-up or resume has the next number.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    AttemptId, Command, Epoch, Incarnation, Intake, InvocationId, Message, Row, RowKey,
};

use super::{Judged, demand};
use crate::history::{Event, Recorded};

const NAME: &str = "current attempt";

/// The fold: of each id the life, and the last attempt that its row names.
#[derive(Debug, Default)]
pub(super) struct CurrentAttempt {
    last: BTreeMap<InvocationId, (Incarnation, Epoch, u32)>,
}

impl CurrentAttempt {
    pub(super) fn observe(&mut self, event: &Event<'_>) -> Judged {
        let Event::Recorded(recorded) = event else { return Ok(()) };
        if recorded.accepted {
            self.judge(recorded)?;
        }
        for change in recorded.changes {
            let RowKey::Invocation(id) = &change.key else { continue };
            if let Some(Row::Invocation(row)) = &change.new {
                let last = (row.incarnation, row.attempt_epoch, row.attempt_counter);
                self.last.insert(*id, last);
            } else {
                self.last.remove(id);
            }
        }
        Ok(())
    }

    /// An invocation of which a record holds nothing but what stale attempts say does not change.
    fn judge(&self, recorded: &Recorded<'_>) -> Judged {
        let mut stale = BTreeMap::new();
        let mut moved = BTreeSet::new();
        for command in &recorded.record.commands {
            match speaker(command) {
                Speaker::Attempt(id, attempt) if !self.is_current(id, attempt, recorded) => {
                    stale.insert(id, attempt);
                }
                Speaker::Attempt(id, _) | Speaker::Other(id) => {
                    moved.insert(id);
                }
                // It may pass an object key on, to whatever invocation.
                Speaker::Nobody => {}
            }
        }
        for (id, attempt) in stale.iter().filter(|(id, _)| !moved.contains(id)) {
            let entry = recorded.changes.iter().find(|change| {
                matches!(&change.key, RowKey::Journal(changed, _) | RowKey::Open(changed, _)
                    if changed == id)
            });
            let key = entry.map(|change| &change.key);
            demand!(NAME, entry.is_none(), "{attempt:?} is not current, but changes {key:?}");
        }
        Ok(())
    }

    fn is_current(&self, id: InvocationId, attempt: AttemptId, recorded: &Recorded<'_>) -> bool {
        let reigning = recorded.record.epoch;
        self.last.get(&id).is_some_and(|&(incarnation, epoch, counter)| {
            let (epoch, counter) = if epoch < reigning { (reigning, 0) } else { (epoch, counter) };
            attempt == AttemptId { incarnation, epoch, counter }
        })
    }
}

/// Who moves an invocation.
enum Speaker {
    Attempt(InvocationId, AttemptId),
    Other(InvocationId),
    Nobody,
}

fn speaker(command: &Command) -> Speaker {
    match command {
        Command::Append(append) => Speaker::Attempt(append.invocation, append.attempt),
        Command::Suspend(suspend) => Speaker::Attempt(suspend.invocation, suspend.attempt),
        Command::AttemptFailed(failed) => Speaker::Attempt(failed.invocation, failed.attempt),
        Command::End(end) => Speaker::Attempt(end.invocation, end.attempt),
        Command::TimerFired(fired) => Speaker::Other(fired.timer.invocation),
        Command::Ingest(ingest) => match &ingest.intake {
            Intake::Message(envelope) => Speaker::Other(match &envelope.message {
                Message::Invoke(invoke) => invoke.id,
                Message::Attach(attach) => attach.target,
                Message::Complete(complete) => complete.to.invocation,
                Message::Signal(signal) => signal.target,
                Message::Order(order) => order.target,
                Message::Restart(restart) => restart.id,
                Message::ResumeOn(resume) => resume.target,
            }),
            Intake::Rejected { .. } => Speaker::Nobody,
        },
        Command::AnnounceOwner(_)
        | Command::Resign
        | Command::OutboxDelivered(_)
        | Command::CheckpointOpened
        | Command::Checkpointed(_) => Speaker::Nobody,
    }
}
