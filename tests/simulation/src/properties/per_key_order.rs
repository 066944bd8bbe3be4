//! Per-key order: of one object key, exclusive invocations run one at a time, first come, first
//! served, and only the one that holds the key acts on the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use everlog_log_schema::{
    Entry, Epoch, HandlerKind, InvocationId, InvocationRow, Outcome, Row, RowKey, Status,
    StatusKind, Target, Term,
};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Effect, Event, Life, Recorded};

const NAME: &str = "per-key order";

/// One object key.
#[derive(Debug, Default)]
struct Key {
    holder: Option<Life>,
    waiting: VecDeque<Life>,
}

/// The fold.
#[derive(Debug, Default)]
pub(super) struct PerKeyOrder {
    keys: BTreeMap<(String, String), Key>,
    /// The exclusive lives that hold their key now, and all exclusive ones there ever were.
    holders: BTreeSet<Life>,
    exclusive: BTreeSet<Life>,
    /// Lives that an order has ended: their attempts learn it once their owner has applied it.
    killed: BTreeSet<Life>,
    reigning: (Epoch, Term),
}

impl PerKeyOrder {
    pub(super) fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        match event {
            Event::Recorded(recorded) => self.recorded(recorded, coverage),
            Event::Effect(effect) => self.effect(effect),
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::Applied { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn effect(&self, effect: &Effect) -> Judged {
        let foreign = self.exclusive.contains(&effect.life)
            && !self.holders.contains(&effect.life)
            && !self.killed.contains(&effect.life);
        demand!(
            NAME,
            !foreign || effect.term != self.reigning,
            "{:?} acts without holding its key",
            effect.life
        );
        Ok(())
    }

    fn recorded(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for change in recorded.changes {
            if let (RowKey::Partition, Some(Row::Partition(row))) = (&change.key, &change.new) {
                self.reigning = (row.epoch, row.term);
            }
        }
        for added in recorded.added {
            if let Entry::Output { outcome: Outcome::Failure(failure), .. } = &added.entry
                && failure.message == "killed"
            {
                self.killed.insert(added.life);
            }
        }
        let exclusive: Vec<_> = recorded
            .changes
            .iter()
            .filter_map(|change| match (&change.key, &change.new) {
                (RowKey::Invocation(id), Some(Row::Invocation(row)))
                    if row.kind == HandlerKind::Exclusive =>
                {
                    let old = match &change.old {
                        Some(Row::Invocation(old)) if old.incarnation == row.incarnation => {
                            Some(&old.status)
                        }
                        _ => None,
                    };
                    Some((*id, old, row.as_ref()))
                }
                _ => None,
            })
            .collect();
        // Who ends makes room for who begins in the same record.
        for (id, old, row) in &exclusive {
            let goes_on = old.is_none_or(|old| old.kind() != StatusKind::Completed);
            if row.status.kind() == StatusKind::Completed && goes_on {
                // Of what began and ended within the record nothing can be told.
                if matches!(old, None | Some(Status::Scheduled { .. } | Status::Pending { .. })) {
                    self.leave_queue(*id, row);
                } else {
                    self.release(*id, row)?;
                }
            }
        }
        for (id, old, row) in &exclusive {
            if matches!(row.status, Status::Pending { .. }) && old != &Some(&row.status) {
                coverage.hit(Case::Queued);
                let life = Life { id: *id, incarnation: row.incarnation };
                self.key(&row.target).waiting.push_back(life);
                self.exclusive.insert(life);
            }
            let waited =
                matches!(old, None | Some(Status::Scheduled { .. } | Status::Pending { .. }));
            // What began may have been paused in the same record.
            if waited && matches!(row.status, Status::Running | Status::Paused) {
                self.take(*id, row)?;
            }
        }
        Ok(())
    }

    fn key(&mut self, target: &Target) -> &mut Key {
        let key = target.key.clone().unwrap_or_default();
        self.keys.entry((target.service.clone(), key)).or_default()
    }

    fn take(&mut self, id: InvocationId, row: &InvocationRow) -> Judged {
        let life = Life { id, incarnation: row.incarnation };
        let key = self.key(&row.target);
        demand!(
            NAME,
            key.holder.is_none(),
            "{life:?} takes {:?}, which {:?} holds",
            row.target.key,
            key.holder
        );
        let first = key.waiting.pop_front();
        demand!(
            NAME,
            first.is_none_or(|first| first == life),
            "{life:?} takes {:?} before {first:?}",
            row.target.key
        );
        key.holder = Some(life);
        self.holders.insert(life);
        self.exclusive.insert(life);
        Ok(())
    }

    /// What ends before it began gives up its place.
    fn leave_queue(&mut self, id: InvocationId, row: &InvocationRow) {
        let life = Life { id, incarnation: row.incarnation };
        self.key(&row.target).waiting.retain(|waiting| *waiting != life);
    }

    fn release(&mut self, id: InvocationId, row: &InvocationRow) -> Judged {
        let life = Life { id, incarnation: row.incarnation };
        let key = self.key(&row.target);
        demand!(
            NAME,
            key.holder == Some(life),
            "{life:?} ends, but {:?} holds its key",
            key.holder
        );
        key.holder = None;
        self.holders.remove(&life);
        Ok(())
    }
}
