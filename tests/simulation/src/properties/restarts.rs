//! Restarts: what begins like another has a beginning of its journal and the results of all commands
//! in it, once, and only if the other has ended; and code changes only while nothing runs.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    CompletionId, Entry, HandlerKind, Incarnation, InvocationId, InvocationRow, Message,
    NotificationId, Restart, Row, RowKey, StatusKind,
};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Life, Recorded};

const NAME: &str = "restarts";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    journals: BTreeMap<Life, Vec<Entry>>,
    rows: BTreeMap<InvocationId, InvocationRow>,
}

impl Restarts {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        let expected = self.expected(recorded);
        for added in recorded.added {
            self.journals.entry(added.life).or_default().push(added.entry.clone());
        }
        // All changes are judged by the rows before the record.
        let alone = recorded.record.commands.len() == 1;
        for change in recorded.changes {
            if let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            {
                if row.status.kind() == StatusKind::Completed && row.entries == 1 {
                    // Its journal is forgotten.
                    let life = Life { id: *id, incarnation: row.incarnation };
                    let output = self.journals.get_mut(&life).and_then(Vec::pop);
                    self.journals.insert(life, output.into_iter().collect());
                }
                self.began(*id, row, expected.as_ref(), alone, coverage)?;
            }
        }
        for change in recorded.changes {
            let RowKey::Invocation(id) = &change.key else { continue };
            if let Some(Row::Invocation(row)) = &change.new {
                self.rows.insert(*id, row.as_ref().clone());
            } else {
                self.rows.remove(id);
            }
        }
        // What one command does can be told where it is alone.
        if alone && let Some((restart, Some(_))) = &expected {
            let there = self.rows.contains_key(&restart.id);
            demand!(NAME, there, "{restart:?} has no effect");
        }
        Ok(())
    }

    /// The restart that a record orders, with the journal that the new life begins with, if it may
    /// begin. What ends in the same record may be restarted by it.
    fn expected<'a>(&self, recorded: &Recorded<'a>) -> Option<(&'a Restart, Option<Vec<Entry>>)> {
        let restart = recorded.messages().find_map(|message| {
            if let Message::Restart(restart) = message { Some(restart.as_ref()) } else { None }
        })?;
        let row = self.rows.get(&restart.target);
        let may = row.filter(|row| {
            row.status.kind() == StatusKind::Completed && row.kind != HandlerKind::Workflow
        });
        let journal = may.and_then(|row| {
            let life = Life { id: restart.target, incarnation: row.incarnation };
            beginning(self.journals.get(&life)?, restart.from)
        });
        Some((restart, journal))
    }

    fn began(
        &self,
        id: InvocationId,
        row: &InvocationRow,
        expected: Option<&(&Restart, Option<Vec<Entry>>)>,
        alone: bool,
        coverage: &mut Coverage,
    ) -> Judged {
        let old = self.rows.get(&id).filter(|old| old.incarnation == row.incarnation);
        if let Some(old) = old {
            let changed = old.pin.is_some() && old.pin != row.pin;
            let ran = old.status.kind() == StatusKind::Running;
            let swapped = changed && ran && alone;
            demand!(NAME, !swapped, "{id:?} gets other code while it runs");
            if changed {
                coverage.hit(Case::OtherCode);
            }
            return Ok(());
        }
        let Some(from) = row.restarted_from else { return Ok(()) };
        coverage.hit(Case::Restarted);
        let unasked = (row.caller, &row.idempotency_key) == (None, &None);
        demand!(NAME, unasked, "{id:?} begins like {from:?}, and answers its caller");
        let life = Life { id, incarnation: row.incarnation };
        let got = self.journals.get(&life).map(Vec::as_slice).unwrap_or_default();
        if let Some((restart, wanted)) = expected
            && restart.id == id
        {
            let right = wanted.as_deref() == Some(got);
            let ends_now =
                self.rows.get(&from).is_none_or(|old| old.status.kind() != StatusKind::Completed)
                    && self.ended(from);
            demand!(NAME, right || ends_now, "{id:?} begins with {got:?}, not {wanted:?}");
        }
        Ok(())
    }

    /// Whether an invocation has its output: it may end in the record that restarts it.
    fn ended(&self, id: InvocationId) -> bool {
        let lives = Life { id, incarnation: Incarnation(0) }..=Life {
            id,
            incarnation: Incarnation(u64::MAX),
        };
        let mut journals = self.journals.range(lives).map(|(_, journal)| journal);
        journals.any(|journal| matches!(journal.last(), Some(Entry::Output { .. })))
    }
}

/// The entries up to one, and the results of their commands that came later.
fn beginning(journal: &[Entry], from: u32) -> Option<Vec<Entry>> {
    if !matches!(journal.first(), Some(Entry::Input { .. })) {
        return None;
    }
    let (kept, later) = journal.split_at_checked(usize::try_from(from).ok()? + 1)?;
    if kept.iter().any(|entry| matches!(entry, Entry::Output { .. })) {
        return None;
    }
    let asked: BTreeSet<CompletionId> = kept
        .iter()
        .filter_map(|entry| {
            if let Entry::Command { effect, .. } = entry {
                Some(effect.completions())
            } else {
                None
            }
        })
        .flatten()
        .flatten()
        .map(|(id, _)| id)
        .collect();
    let id_of = |entry: &Entry| {
        if let Entry::Notification { id: NotificationId::Completion { id, .. }, .. } = entry {
            Some(*id)
        } else {
            None
        }
    };
    let wanted = later.iter().filter(|entry| id_of(entry).is_some_and(|id| asked.contains(&id)));
    let all: Vec<Entry> = kept.iter().chain(wanted).cloned().collect();
    let answered: BTreeSet<CompletionId> = all.iter().filter_map(id_of).collect();
    asked.is_subset(&answered).then_some(all)
}
