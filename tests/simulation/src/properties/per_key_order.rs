//! Per-key order: of one object key, exclusive invocations run one at a time, first come, first
//! served, and only the one that holds the key acts on the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use everlog_log_schema::{
    Epoch, HandlerKind, InvocationId, InvocationRow, Row, RowKey, Status, Target, Term,
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
        let foreign = self.exclusive.contains(&effect.life) && !self.holders.contains(&effect.life);
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
            if matches!(row.status, Status::Completed { .. }) && old != &Some(&row.status) {
                self.release(*id, row)?;
            }
        }
        for (id, old, row) in &exclusive {
            if matches!(row.status, Status::Pending) && old != &Some(&Status::Pending) {
                coverage.hit(Case::Queued);
                let life = Life { id: *id, incarnation: row.incarnation };
                self.key(&row.target).waiting.push_back(life);
                self.exclusive.insert(life);
            }
            let waited = matches!(old, None | Some(Status::Scheduled | Status::Pending));
            if waited && row.status == Status::Running {
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
