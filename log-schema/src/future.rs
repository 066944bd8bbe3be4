//! What a suspended invocation waits for: a tree of futures, as the service protocol describes it
//! from version 7 on. What earlier versions wait for is a tree of one node.
//!
//! The tree is a list of nodes in pre-order, so that neither its bytes nor whoever walks through it
//! nests. **Invariant:** every reader takes any list: a node that names more children than follow it
//! has those that do, and what follows the first tree is no part of it.

use serde::{Deserialize, Serialize};

use crate::codec::list;
use crate::{CompletionId, NotificationId, SignalId};

/// What a suspended invocation waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureTree {
    /// The nodes, each before its children. The first is the root.
    #[serde(with = "list::entries")]
    pub nodes: Vec<FutureNode>,
}

/// Some futures, and when they are settled together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureNode {
    /// When that is.
    pub combinator: Combinator,
    /// The futures that are notifications.
    pub leaves: WaitSet,
    /// How many of the futures are nodes. They follow this one, each with its own behind it.
    pub nested: u32,
}

/// When futures are settled together, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combinator {
    /// As the function alone knows, once any of them has come: it must look.
    Unknown,
    /// With the first of them, as that is: a race.
    FirstCompleted,
    /// With the last of them, and well.
    AllCompleted,
    /// With the first that succeeds; with the last of them, and not well, if none does.
    FirstSucceededOrAllFailed,
    /// With the last of them, and well; with the first that fails, if one does.
    AllSucceededOrFirstFailed,
}

/// Notifications, by what they answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitSet {
    /// Completions of the invocation's own commands.
    #[serde(with = "list::entries")]
    pub completions: Vec<CompletionId>,
    /// Numbered signals.
    #[serde(with = "list::entries")]
    pub signals: Vec<u32>,
    /// Named signals.
    #[serde(with = "list::entries")]
    pub named_signals: Vec<String>,
}

/// One notification that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// What comes of a command.
    Completion(CompletionId),
    /// A signal.
    Signal(SignalId),
}

impl From<&NotificationId> for Awaited {
    fn from(id: &NotificationId) -> Self {
        match id {
            NotificationId::Completion { id, .. } => Self::Completion(*id),
            NotificationId::Signal(signal) => Self::Signal(signal.clone()),
        }
    }
}

/// Any one of them is enough.
impl From<WaitSet> for FutureTree {
    fn from(leaves: WaitSet) -> Self {
        let combinator = Combinator::FirstCompleted;
        Self { nodes: vec![FutureNode { combinator, leaves, nested: 0 }] }
    }
}

impl FutureTree {
    /// All notifications in the tree, in no order that means anything; what is there twice comes
    /// twice.
    pub fn leaves(&self) -> impl Iterator<Item = Awaited> + '_ {
        self.nodes.iter().flat_map(|node| node.leaves.iter())
    }

    /// The completions among them.
    pub fn completions(&self) -> impl Iterator<Item = CompletionId> + '_ {
        self.nodes.iter().flat_map(|node| node.leaves.completions.iter().copied())
    }

    /// Whether nothing in it could ever happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.iter().all(|node| node.leaves.is_empty())
    }
}

impl WaitSet {
    /// The notifications.
    pub fn iter(&self) -> impl Iterator<Item = Awaited> + '_ {
        let completions = self.completions.iter().copied().map(Awaited::Completion);
        let signals = self.signals.iter().copied().map(SignalId::Index);
        let named = self.named_signals.iter().cloned().map(SignalId::Name);
        completions.chain(signals.chain(named).map(Awaited::Signal))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.completions.len() + self.signals.len() + self.named_signals.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the notifications of which `keeps` says so.
    pub fn retain(&mut self, keeps: impl Fn(&Awaited) -> bool) {
        self.completions.retain(|id| keeps(&Awaited::Completion(*id)));
        self.signals.retain(|index| keeps(&Awaited::Signal(SignalId::Index(*index))));
        self.named_signals.retain(|name| keeps(&Awaited::Signal(SignalId::Name(name.clone()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(signals: &[u32]) -> WaitSet {
        WaitSet { signals: signals.to_vec(), ..WaitSet::default() }
    }

    #[test]
    fn a_set_keeps_what_is_wanted() {
        let mut set = WaitSet {
            completions: vec![CompletionId(1), CompletionId(2)],
            signals: vec![17],
            named_signals: vec!["go".into(), "stop".into()],
        };
        assert_eq!((set.len(), set.iter().count()), (5, 5));
        let gone = [
            Awaited::Completion(CompletionId(1)),
            Awaited::Signal(SignalId::Index(17)),
            Awaited::Signal(SignalId::Name("stop".into())),
        ];
        set.retain(|awaited| !gone.contains(awaited));
        let kept = WaitSet {
            completions: vec![CompletionId(2)],
            named_signals: vec!["go".into()],
            ..WaitSet::default()
        };
        assert_eq!(set, kept);
        assert!(!set.is_empty() && WaitSet::default().is_empty());
    }

    #[test]
    fn a_tree_is_empty_if_no_node_waits_for_anything() {
        let node =
            |leaves, nested| FutureNode { combinator: Combinator::AllCompleted, leaves, nested };
        let of = |leaves| FutureTree { nodes: vec![node(signals(&[]), 1), node(leaves, 0)] };
        assert!(FutureTree::default().is_empty());
        assert!(of(signals(&[])).is_empty());
        assert!(!of(signals(&[17])).is_empty());
        assert_eq!(of(signals(&[17, 18])).leaves().count(), 2);
    }
}
