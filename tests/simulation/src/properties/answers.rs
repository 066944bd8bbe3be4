//! Answers: each function that waits for an outcome is answered once, however many wait for it.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{CompletionId, InvocationId, Life, Message, Row, RowKey, StatusKind};
use everlog_partition::Action;

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::Recorded;

const NAME: &str = "answers";

/// Who waits, and for which answer.
type Waiting = (Life, CompletionId);

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Answers {
    sent: BTreeSet<Waiting>,
    /// Who waits for an invocation.
    waiting: BTreeMap<InvocationId, BTreeSet<Waiting>>,
    /// All invocations there ever were; what else is waited for is a promise.
    invocations: BTreeSet<InvocationId>,
}

impl Answers {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for action in recorded.actions {
            if let Action::Send { row, .. } = action
                && let Message::Complete(answer) = &row.message
            {
                let first = self.sent.insert((answer.to, answer.completion));
                demand!(NAME, first, "{:?} is answered twice for {}", answer.to, answer.completion);
            }
        }
        self.invocations.extend(recorded.changes.iter().filter_map(|change| {
            if let RowKey::Invocation(id) = change.key { Some(id) } else { None }
        }));
        for change in recorded.changes {
            if let RowKey::Owing(_) = &change.key
                && change.new.is_some()
            {
                coverage.hit(Case::Owed);
            }
            let RowKey::Waiting(id, life, completion) = &change.key else { continue };
            let waiting = self.waiting.entry(*id).or_default();
            if change.new.is_some() {
                waiting.insert((*life, *completion));
            } else {
                waiting.remove(&(*life, *completion));
                let gave_up = !self.invocations.contains(id) && ends(recorded, life.invocation);
                let answered = gave_up || self.sent.contains(&(*life, *completion));
                demand!(NAME, answered, "{life:?} waits no more for {id:?}, unanswered");
            }
        }
        for change in recorded.changes {
            if let RowKey::Invocation(id) = &change.key
                && change.new.is_none()
            {
                let left = self.waiting.remove(id).unwrap_or_default();
                demand!(NAME, left.is_empty(), "{id:?} is forgotten, but {left:?} wait for it");
            }
        }
        Ok(())
    }
}

/// Whether a record ends an invocation: it waits for no promise any more.
fn ends(recorded: &Recorded<'_>, id: InvocationId) -> bool {
    recorded.changes.iter().any(|change| {
        change.key == RowKey::Invocation(id)
            && !matches!(&change.new, Some(Row::Invocation(row))
                if row.status.kind() != StatusKind::Completed)
    })
}
