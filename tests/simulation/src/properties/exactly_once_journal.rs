//! Exactly-once journal: one value per entry, one result per command, in one order.
//!
//! Commands number themselves in their bytes, results are values that the outside world gave out
//! once, and an output tells what the function had been shown: so a lost, repeated or overwritten
//! step, and a result that was shown but not kept, all show in the journal itself.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    CompletionId, Effect as Asks, Entry, NotificationId, NotificationResult, Outcome, kinds,
};

use super::{Judged, demand};
use crate::history::{Added, Event, Life, Seen, hash_of};

const NAME: &str = "exactly-once journal";

/// What is known of one life's journal.
#[derive(Debug, Default)]
struct Journal {
    entries: u32,
    commands: u32,
    declared: BTreeSet<CompletionId>,
    completed: BTreeSet<CompletionId>,
    shown: Vec<Seen>,
    has_output: bool,
}

/// The fold.
#[derive(Debug, Default)]
pub(super) struct ExactlyOnceJournal {
    journals: BTreeMap<Life, Journal>,
    /// The hashes of all values that effects have returned.
    values: BTreeSet<(Life, CompletionId, u64)>,
}

impl ExactlyOnceJournal {
    pub(super) fn observe(&mut self, event: &Event<'_>) -> Judged {
        match event {
            Event::Effect(effect) => {
                let value = hash_of(&effect.value.to_be_bytes());
                self.values.insert((effect.life, effect.step, value));
                Ok(())
            }
            Event::Recorded(recorded) => recorded
                .added
                .iter()
                .try_for_each(|added| self.entry(added, recorded.is_copy(added.life))),
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::Applied { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn entry(&mut self, added: &Added, copied: bool) -> Judged {
        let Added { life, index, entry } = added;
        let (life, index) = (*life, *index);
        let values = &self.values;
        let journal = self.journals.entry(life).or_default();
        demand!(
            NAME,
            index == journal.entries,
            "entry {index} of {life:?} follows {} entries",
            journal.entries
        );
        demand!(NAME, !journal.has_output, "{life:?} has an entry behind its output");
        journal.entries += 1;
        match entry {
            Entry::Input { .. } => {
                demand!(NAME, index == 0, "the input of {life:?} is entry {index}");
            }
            Entry::Command { bytes, effect, .. } => {
                journal.commands += 1;
                let number = journal.commands.to_be_bytes();
                demand!(
                    NAME,
                    bytes.starts_with(&number),
                    "command {} of {life:?} is another one: {effect:?}",
                    journal.commands
                );
                journal.declare(effect);
            }
            Entry::Notification { id: id @ NotificationId::Signal(_), result } => {
                journal.show(id, result);
            }
            Entry::Notification {
                id: id @ NotificationId::Completion { id: completion, kind },
                result,
            } => {
                let declared = journal.declared.contains(completion);
                demand!(
                    NAME,
                    declared,
                    "{life:?} has a result {completion} that it never asked for"
                );
                let first = journal.completed.insert(*completion);
                demand!(NAME, first, "{life:?} has a second result {completion}");
                // A copy is judged by what it is a copy of.
                if *kind == kinds::RUN_COMPLETION
                    && !copied
                    && let NotificationResult::Value(value) = result
                {
                    let real = values.contains(&(life, *completion, hash_of(value)));
                    demand!(NAME, real, "result {completion} of {life:?} is no effect's");
                }
                journal.show(id, result);
            }
            Entry::Output { outcome, .. } => {
                journal.has_output = true;
                journal.check_output(life, outcome)?;
            }
        }
        Ok(())
    }
}

impl Journal {
    /// Notes the completions that a command names.
    fn declare(&mut self, effect: &Asks) {
        match effect {
            Asks::Run { completion }
            | Asks::Sleep { completion, .. }
            | Asks::GetState { completion, .. }
            | Asks::GetStateKeys { completion }
            | Asks::Attach { completion, .. }
            | Asks::GetOutput { completion, .. }
            | Asks::GetPromise { completion, .. }
            | Asks::PeekPromise { completion, .. }
            | Asks::CompletePromise { completion, .. } => {
                self.declared.insert(*completion);
            }
            Asks::Call(call) => {
                self.declared.insert(call.id_completion);
                self.declared.extend(call.completion);
            }
            Asks::None
            | Asks::SetState { .. }
            | Asks::ClearState { .. }
            | Asks::ClearAllState
            | Asks::SendSignal { .. } => {}
        }
    }

    fn show(&mut self, id: &NotificationId, result: &NotificationResult) {
        let mut seen = self.shown.last().copied().unwrap_or_default();
        seen.add(id, result);
        self.shown.push(seen);
    }

    /// An output names what the function had been shown: a beginning of what its journal holds.
    fn check_output(&self, life: Life, outcome: &Outcome) -> Judged {
        let Outcome::Success(output) = outcome else { return Ok(()) };
        let held = std::iter::once(Seen::default()).chain(self.shown.iter().copied());
        let shown = held.into_iter().any(|seen| seen.to_bytes() == output[..]);
        demand!(NAME, shown, "the output of {life:?} follows from results that its journal lacks");
        Ok(())
    }
}
