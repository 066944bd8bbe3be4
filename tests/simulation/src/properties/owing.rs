//! What is kept for answers that found no room: no property itself, but what several need to know.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{InvocationId, Owed, Row, RowKey, identity};

use crate::history::Change;

/// The invocation that is kept while what the row marks is owed: of a promise, its workflow's run.
pub(crate) fn kept_for(key: &RowKey, row: &Row) -> Option<InvocationId> {
    match (key, row) {
        (RowKey::Owing(id), Row::Owing(Owed::Invocation)) => Some(*id),
        (RowKey::Owing(_), Row::Owing(Owed::Promise { service, key, .. })) => {
            Some(identity::of_workflow(service, key))
        }
        _ => None,
    }
}

/// The invocations that are kept, each with what is owed.
#[derive(Debug, Default)]
pub(super) struct Owing(BTreeMap<InvocationId, BTreeSet<RowKey>>);

impl Owing {
    /// Takes note of a changed row.
    pub(super) fn note(&mut self, change: &Change) {
        let row = change.new.as_ref().or(change.old.as_ref());
        let Some(kept) = row.and_then(|row| kept_for(&change.key, row)) else { return };
        let owed = self.0.entry(kept).or_default();
        if change.new.is_some() {
            owed.insert(change.key.clone());
        } else {
            owed.remove(&change.key);
        }
    }

    /// Whether an invocation is kept.
    pub(super) fn contains(&self, id: InvocationId) -> bool {
        self.0.get(&id).is_some_and(|owed| !owed.is_empty())
    }
}
