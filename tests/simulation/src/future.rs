//! Trees of futures as they are defined: by recursion, and event by event. The core does the same in
//! one pass; that both come to the same is what the simulation judges.

use everlog_log_schema::{
    Awaited, Combinator, FutureNode, FutureTree, NotificationId, NotificationResult, SignalId,
    WaitSet,
};

use crate::rng::Rng;

/// What has come, in the order of the journal, and whether it succeeded.
pub type Came = Vec<(Awaited, bool)>;

/// Some futures, and when they are settled together.
#[derive(Debug, Clone)]
pub struct Plain {
    combinator: Combinator,
    leaves: Vec<Awaited>,
    nested: Vec<Plain>,
}

/// Notes what a notification says of the futures that wait for it.
pub fn event(id: &NotificationId, result: &NotificationResult) -> (Awaited, bool) {
    (Awaited::from(id), !matches!(result, NotificationResult::Failure(_)))
}

impl Plain {
    /// Reads a tree. None where it has no root.
    pub fn of(tree: &FutureTree) -> Option<Self> {
        Self::read(&mut tree.nodes.iter())
    }

    fn read<'n>(nodes: &mut impl Iterator<Item = &'n FutureNode>) -> Option<Self> {
        let node = nodes.next()?;
        let (combinator, leaves) = (node.combinator, node.leaves.iter().collect());
        let nested = (0..node.nested).map_while(|_| Self::read(nodes)).collect();
        Some(Self { combinator, leaves, nested })
    }

    /// Draws what a step waits for: completions and signals, some of them in futures of their own.
    pub fn draw(rng: &mut Rng, mut leaves: Vec<Awaited>) -> Self {
        let combinator = match rng.below(9) {
            0 | 1 => Combinator::AllCompleted,
            2..=4 => Combinator::FirstSucceededOrAllFailed,
            5..=7 => Combinator::AllSucceededOrFirstFailed,
            _ => Combinator::FirstCompleted,
        };
        let mut nested = Vec::new();
        if leaves.len() > 1 && rng.chance(700) {
            let inner = leaves.split_off(leaves.len() / 2);
            nested.push(Self::draw(rng, inner));
        }
        Self { combinator, leaves, nested }
    }

    /// The tree that waits for it and for a cancellation.
    pub fn or_cancelled(self) -> FutureTree {
        let leaves = vec![Awaited::Signal(SignalId::CANCEL)];
        let race = Self { combinator: Combinator::FirstCompleted, leaves, nested: vec![self] };
        let mut nodes = Vec::new();
        race.write(&mut nodes);
        FutureTree { nodes }
    }

    fn write(self, nodes: &mut Vec<FutureNode>) {
        let mut leaves = WaitSet::default();
        for leaf in self.leaves {
            match leaf {
                Awaited::Completion(id) => leaves.completions.push(id),
                Awaited::Signal(SignalId::Index(index)) => leaves.signals.push(index),
                Awaited::Signal(SignalId::Name(name)) => leaves.named_signals.push(name),
            }
        }
        let nested = u32::try_from(self.nested.len()).unwrap_or(u32::MAX);
        nodes.push(FutureNode { combinator: self.combinator, leaves, nested });
        self.nested.into_iter().for_each(|child| child.write(nodes));
    }

    /// Whether it succeeded, if it is settled.
    pub fn state(&self, came: &[(Awaited, bool)]) -> Option<bool> {
        // What is settled stays so: the first events that settle it tell how.
        (0..=came.len()).find_map(|count| self.state_now(came.get(..count)?))
    }

    fn state_now(&self, came: &[(Awaited, bool)]) -> Option<bool> {
        let of_leaf =
            |leaf: &Awaited| came.iter().find(|(id, _)| id == leaf).map(|(_, well)| *well);
        let leaves = self.leaves.iter().map(of_leaf);
        let parts: Vec<_> = leaves.chain(self.nested.iter().map(|of| of.state(came))).collect();
        let all = parts.iter().all(Option::is_some) && !parts.is_empty();
        match self.combinator {
            Combinator::Unknown | Combinator::FirstCompleted => {
                parts.iter().copied().flatten().next()
            }
            Combinator::FirstSucceededOrAllFailed if parts.contains(&Some(true)) => Some(true),
            Combinator::FirstSucceededOrAllFailed => all.then_some(false),
            Combinator::AllSucceededOrFirstFailed if parts.contains(&Some(false)) => Some(false),
            Combinator::AllCompleted | Combinator::AllSucceededOrFirstFailed => all.then_some(true),
        }
    }

    /// Whether the function must look: all of it is settled, or a part of which the function alone
    /// knows how it ends, when that was still open.
    pub fn wakes(&self, came: &[(Awaited, bool)]) -> bool {
        (0..=came.len()).any(|count| came.get(..count).is_some_and(|came| self.wakes_at(came)))
    }

    /// Whether the last event asks the function to look.
    fn asks(&self, came: &[(Awaited, bool)]) -> bool {
        let before = came.split_last().map_or(came, |(_, before)| before);
        self.combinator == Combinator::Unknown && self.state(came).is_some()
            || self.state(before).is_none() && self.nested.iter().any(|of| of.asks(came))
    }

    fn wakes_at(&self, came: &[(Awaited, bool)]) -> bool {
        self.state(came).is_some() || self.asks(came)
    }

    /// What a function still waits for that has been told of some events, as its SDK says it: the
    /// futures that are not settled.
    #[must_use]
    pub fn left(&self, told: &[(Awaited, bool)]) -> Self {
        let is_open = |leaf: &&Awaited| !told.iter().any(|(id, _)| id == *leaf);
        Self {
            combinator: self.combinator,
            leaves: self.leaves.iter().filter(is_open).cloned().collect(),
            nested: (self.nested.iter())
                .filter(|of| of.state(told).is_none())
                .map(|of| of.left(told))
                .collect(),
        }
    }

    /// All notifications in it.
    pub fn leaves(&self) -> Vec<Awaited> {
        self.leaves.iter().cloned().chain(self.nested.iter().flat_map(Self::leaves)).collect()
    }

    /// Whether it is anything but a race of notifications.
    pub fn is_tree(&self) -> bool {
        !self.nested.is_empty()
            || !matches!(self.combinator, Combinator::FirstCompleted | Combinator::Unknown)
    }
}
