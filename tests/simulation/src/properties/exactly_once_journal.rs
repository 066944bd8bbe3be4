//! Exactly-once journal: one value per entry, one result per command, in one order.
//!
//! Commands number themselves in their bytes, results are values that the outside world gave out
//! once, and an output tells what the function had been shown: so a lost, repeated or overwritten
//! step, and a result that was shown but not kept, all show in the journal itself.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    CompletionId, Effect as Asks, Entry, Incarnation, InvocationId, NotificationId,
    NotificationResult, Outcome, Row, RowKey,
};

use super::{Judged, demand};
use crate::history::{Event, Life, Recorded, Seen, hash_of};

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
    current: BTreeMap<InvocationId, Incarnation>,
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
            Event::Recorded(recorded) => self.recorded(recorded),
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::Applied { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn recorded(&mut self, recorded: &Recorded<'_>) -> Judged {
        for change in recorded.changes {
            if let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            {
                self.current.insert(*id, row.incarnation);
                // A life that follows upon another in one record may have the very same input.
                let input = RowKey::Journal(*id, 0);
                let reborn = life_of(change.old.as_ref()).is_some_and(|old| old != row.incarnation);
                if reborn && recorded.changes.iter().all(|other| other.key != input) {
                    let life = Life { id: *id, incarnation: row.incarnation };
                    self.journals.entry(life).or_default().entries = 1;
                }
            }
        }
        let mut added: Vec<(InvocationId, u32, &Entry)> = Vec::new();
        for change in recorded.changes {
            let RowKey::Journal(id, index) = &change.key else { continue };
            match (&change.old, &change.new) {
                (None, Some(Row::Journal(entry))) => added.push((*id, *index, entry)),
                (_, new) => {
                    let ended = recorded.changes.iter().any(|other| {
                        other.key == RowKey::Invocation(*id)
                            && life_of(other.old.as_ref()) != life_of(other.new.as_ref())
                    });
                    demand!(NAME, ended, "entry {index} of {id:?} was changed in its life");
                    if let Some(Row::Journal(entry)) = new {
                        added.push((*id, *index, entry));
                    }
                }
            }
        }
        added.sort_by_key(|(id, index, _)| (*id, *index));
        added.into_iter().try_for_each(|(id, index, entry)| self.entry(id, index, entry))
    }

    fn entry(&mut self, id: InvocationId, index: u32, entry: &Entry) -> Judged {
        let incarnation = self.current.get(&id).copied().unwrap_or_default();
        let life = Life { id, incarnation };
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
                    bytes[..] == number,
                    "command {} of {life:?} is another one: {effect:?}",
                    journal.commands
                );
                if let Asks::Run { completion } | Asks::Sleep { completion, .. } = effect {
                    journal.declared.insert(*completion);
                }
            }
            Entry::Notification {
                id: NotificationId::Completion { id: completion, .. },
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
                if let NotificationResult::Value(value) = result {
                    let real = values.contains(&(life, *completion, hash_of(value)));
                    demand!(NAME, real, "result {completion} of {life:?} is no effect's");
                }
                let mut seen = journal.shown.last().copied().unwrap_or_default();
                seen.add(*completion, result);
                journal.shown.push(seen);
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
    /// An output names what the function had been shown: a beginning of what its journal holds.
    fn check_output(&self, life: Life, outcome: &Outcome) -> Judged {
        let Outcome::Success(output) = outcome else { return Ok(()) };
        let held = std::iter::once(Seen::default()).chain(self.shown.iter().copied());
        let shown = held.into_iter().any(|seen| seen.to_bytes() == output[..]);
        demand!(NAME, shown, "the output of {life:?} follows from results that its journal lacks");
        Ok(())
    }
}

fn life_of(row: Option<&Row>) -> Option<Incarnation> {
    match row {
        Some(Row::Invocation(row)) => Some(row.incarnation),
        _ => None,
    }
}
