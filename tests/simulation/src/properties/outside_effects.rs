//! Outside effects: durable before visible, and not again once the result is stored.
//!
//! An effect may be caused more than once until its result is stored; afterwards only by a deposed
//! owner that has not learnt it yet, which is counted. A closure of an attempt that its owner has
//! given up is outside of anybody's reach and of this promise.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{CompletionId, Entry, Epoch, NotificationId, Row, RowKey, Term};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Effect, Event, Life, Recorded, Seen};

const NAME: &str = "outside effects";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct OutsideEffects {
    reigning: (Epoch, Term),
    stored: BTreeMap<Life, Stored>,
    caused: BTreeSet<(Life, CompletionId)>,
}

/// What is stored of one life's results.
#[derive(Debug, Default)]
struct Stored {
    completions: BTreeSet<CompletionId>,
    shown: Vec<Seen>,
}

impl OutsideEffects {
    pub(super) fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        match event {
            Event::Recorded(recorded) => {
                self.recorded(recorded);
                Ok(())
            }
            Event::Effect(effect) => self.effect(effect, coverage),
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::Applied { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn recorded(&mut self, recorded: &Recorded<'_>) {
        for change in recorded.changes {
            if let (RowKey::Partition, Some(Row::Partition(row))) = (&change.key, &change.new) {
                self.reigning = (row.epoch, row.term);
            }
        }
        for added in recorded.added {
            let Entry::Notification { id, result } = &added.entry else { continue };
            let stored = self.stored.entry(added.life).or_default();
            if let NotificationId::Completion { id: completion, .. } = id {
                stored.completions.insert(*completion);
            }
            let mut seen = stored.shown.last().copied().unwrap_or_default();
            seen.add(id, result);
            stored.shown.push(seen);
        }
    }

    fn effect(&mut self, effect: &Effect, coverage: &mut Coverage) -> Judged {
        let stored = self.stored.entry(effect.life).or_default();
        let durable = match effect.seen.count.checked_sub(1) {
            None => true,
            Some(last) => {
                let last = usize::try_from(last).unwrap_or(usize::MAX);
                stored.shown.get(last) == Some(&effect.seen)
            }
        };
        demand!(NAME, durable, "{:?} was shown results that are not stored", effect.life);
        if stored.completions.contains(&effect.step) {
            demand!(
                NAME,
                effect.term != self.reigning,
                "step {} of {:?} runs again though its result is stored",
                effect.step,
                effect.life
            );
            coverage.hit(Case::ZombieEffect);
        } else if !self.caused.insert((effect.life, effect.step)) {
            coverage.hit(Case::RepeatedEffect);
        }
        Ok(())
    }
}
