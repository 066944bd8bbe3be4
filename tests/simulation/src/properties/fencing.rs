//! Fencing: nothing of a lower epoch, or of another term, takes effect after the reigning
//! announcement; and nobody acts in a term that has not reigned.
//!
//! The rule of acceptance is written down here a second time, as the design states it, so that a
//! partition that errs for all replicas alike is seen.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{Command, Epoch, LogOffset, Record, Row, RowKey, Seq, Term};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Change, Event, Recorded};

const NAME: &str = "fencing";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    reigning: (Epoch, Term),
    next_seq: Seq,
    closed: bool,
    reigned: BTreeSet<(Epoch, Term)>,
    accepted: BTreeMap<LogOffset, bool>,
}

impl Fencing {
    pub(super) fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        match event {
            Event::Recorded(recorded) => self.recorded(recorded, coverage),
            Event::Applied { executor, offset, accepted } => {
                let known = self.accepted.get(offset);
                demand!(
                    NAME,
                    known == Some(accepted),
                    "x{executor} says {accepted} of the record at {offset}, but it is {known:?}"
                );
                Ok(())
            }
            Event::Effect(effect) => {
                demand!(
                    NAME,
                    self.reigned.contains(&effect.term),
                    "effect {:?} in a term that has never reigned",
                    effect
                );
                Ok(())
            }
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn recorded(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        let (offset, record) = (recorded.offset, recorded.record);
        let expected = self.accepts(record, coverage);
        demand!(
            NAME,
            recorded.accepted == expected,
            "record at {offset} of epoch {} must {}be accepted",
            record.epoch,
            if expected { "" } else { "not " }
        );
        self.accepted.insert(offset, expected);
        let effective = recorded.changes.iter().find(|change| !is_mere_progress(change));
        demand!(
            NAME,
            expected || effective.is_none(),
            "ignored record at {offset} changes {:?}",
            effective.map(|change| &change.key)
        );
        Ok(())
    }

    fn accepts(&mut self, record: &Record, coverage: &mut Coverage) -> bool {
        let announces = record.commands.iter().any(|c| matches!(c, Command::AnnounceOwner(_)));
        if announces {
            let follows = record.epoch.0 == self.reigning.0.0 + 1;
            if follows && record.seq == Seq(0) && record.commands.len() == 1 {
                self.reigning = (record.epoch, record.term);
                self.next_seq = Seq(1);
                self.closed = false;
                self.reigned.insert(self.reigning);
                return true;
            }
            if record.epoch == self.reigning.0 && record.term != self.reigning.1 {
                coverage.hit(Case::SameEpoch);
            }
            return false;
        }
        if (record.epoch, record.term) != self.reigning {
            coverage.hit(Case::ZombieRecord);
            if record.epoch < self.reigning.0 {
                coverage.hit(Case::LandedLate);
            }
            return false;
        }
        if !self.closed && record.seq < self.next_seq {
            coverage.hit(Case::Echo);
        }
        if self.closed || record.seq < self.next_seq {
            return false;
        }
        if record.seq > self.next_seq {
            coverage.hit(Case::ClosedTerm);
            self.closed = true;
            return false;
        }
        self.next_seq = Seq(record.seq.0 + 1);
        self.closed = record.commands.contains(&Command::Resign);
        true
    }
}

/// Whether a change tells only how far the log was read, and whether the term was closed.
fn is_mere_progress(change: &Change) -> bool {
    let (RowKey::Partition, Some(Row::Partition(new))) = (&change.key, &change.new) else {
        return false;
    };
    let mut old = match &change.old {
        Some(Row::Partition(old)) => old.clone(),
        _ => everlog_log_schema::PartitionRow::default(),
    };
    old.next_log = new.next_log;
    old.last_hash = new.last_hash;
    old.closed = new.closed;
    old == *new
}
