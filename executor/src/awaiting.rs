//! What the code of running functions waits for, as they say themselves: to be looked at.
//!
//! It is in memory alone, and nothing depends on it. **Invariant:** who has no attempt is not in it, nor
//! who was told anything of what it last said that it waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everlog_log_schema::{Awaited, FutureTree, InvocationId};

/// What the attempts of one partition wait for.
#[derive(Debug, Default)]
pub(crate) struct Awaiting(Mutex<HashMap<InvocationId, FutureTree>>);

impl Awaiting {
    /// What an invocation's code waits for, if it has said so.
    pub(crate) fn of(&self, id: InvocationId) -> Option<FutureTree> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InvocationId, FutureTree>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt's part of it, which goes with the attempt.
#[derive(Debug)]
pub(crate) struct Hint {
    awaiting: Arc<Awaiting>,
    id: InvocationId,
}

impl Hint {
    pub(crate) fn new(awaiting: &Arc<Awaiting>, id: InvocationId) -> Self {
        Self { awaiting: Arc::clone(awaiting), id }
    }

    /// Takes note of what the code waits for now.
    pub(crate) fn set(&self, tree: FutureTree) {
        self.awaiting.lock().insert(self.id, tree);
    }

    /// Takes note of what the function is told: if that is what it waited for, it may go on.
    pub(crate) fn told(&self, told: &Awaited) {
        let mut all = self.awaiting.lock();
        if all.get(&self.id).is_some_and(|tree| tree.leaves().any(|leaf| leaf == *told)) {
            all.remove(&self.id);
        }
    }
}

impl Drop for Hint {
    fn drop(&mut self) {
        self.awaiting.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{CompletionId, PartitionKey, SignalId, WaitSet};

    use super::*;

    #[test]
    fn what_is_said_is_shown_until_it_is_out_of_date() {
        let awaiting = Arc::new(Awaiting::default());
        let [one, other] = [1, 2].map(|uuid| InvocationId { partition_key: PartitionKey(0), uuid });
        let hint = Hint::new(&awaiting, one);
        let leaves = WaitSet {
            completions: vec![CompletionId(3)],
            named_signals: vec!["go".into()],
            ..WaitSet::default()
        };
        let tree = FutureTree::from(leaves);
        assert_eq!(awaiting.of(one), None);
        hint.set(tree.clone());
        assert_eq!((awaiting.of(one), awaiting.of(other)), (Some(tree.clone()), None));
        hint.told(&Awaited::Completion(CompletionId(4)));
        assert_eq!(awaiting.of(one), Some(tree.clone()), "it waits for something else");
        hint.told(&Awaited::Signal(SignalId::Name("go".into())));
        assert_eq!(awaiting.of(one), None);
        hint.set(tree);
        drop(hint);
        assert_eq!(awaiting.of(one), None);
    }
}
