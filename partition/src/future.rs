//! When what an invocation waits for is settled, and what is left of it until then.
//!
//! A future is settled once and stays so. Its notifications happen one after the other, in the order
//! of the journal: when several have come, the order decides how a race within the tree has ended.
//!
//! **Invariants:** what is left of a tree behind some notifications, and then behind others, is what
//! is left of it behind all of them. No tree, however it is put together, makes this panic, nest, or
//! take more than one pass.

use std::cmp::{max_by_key, min_by_key};

use everlog_log_schema::{Awaited, Combinator, FutureNode, FutureTree};

use crate::planted::{self, Bug};

/// How a future was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The index in the journal of the notification that did it.
    pub at: u32,
    /// Whether it succeeded.
    pub well: bool,
}

/// Where a tree stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All is decided.
    Settled(Settled),
    /// This part of it is not.
    Open(FutureTree),
}

/// Tells where a tree stands after some notifications. `came` says which, and when.
///
/// Where only the function knows how some of its futures end together, all of the tree counts as
/// settled as soon as any of those has come.
pub fn resolve(tree: &FutureTree, came: impl Fn(&Awaited) -> Option<Settled>) -> Standing {
    let nodes = states(tree, &came);
    let asked = asked(tree, &nodes);
    match nodes.first().and_then(|root| root.settled).or(asked) {
        Some(settled) => Standing::Settled(settled),
        None => Standing::Open(open_part(tree, &nodes, &came)),
    }
}

/// What is known of a node.
#[derive(Debug, Clone, Copy)]
struct State {
    settled: Option<Settled>,
    /// The place behind its last descendant.
    end: usize,
    /// How many of its children are open.
    open: u32,
}

/// What has come of a part of which the function alone knows how it ends. One that came when it was no
/// part of what was still open asks for nothing.
fn asked(tree: &FutureTree, states: &[State]) -> Option<Settled> {
    let end = states.first().map_or(0, |root| root.end);
    // The nodes around the next one: where each ends, and when it or one around it was settled.
    let mut around: Vec<(usize, u32)> = Vec::new();
    for (place, (node, state)) in tree.nodes.iter().zip(states).enumerate().take(end) {
        while around.pop_if(|(end, _)| *end <= place).is_some() {}
        let closed_at = around.last().map_or(u32::MAX, |(_, at)| *at);
        let came = state.settled.filter(|settled| settled.at <= closed_at);
        if node.combinator == Combinator::Unknown && came.is_some() {
            return came;
        }
        around.push((state.end, came.map_or(closed_at, |came| came.at)));
    }
    None
}

/// Finds out where each node stands. Children come behind their parents, so the last node is first.
fn states(tree: &FutureTree, came: impl Fn(&Awaited) -> Option<Settled>) -> Vec<State> {
    let mut states = Vec::with_capacity(tree.nodes.len());
    // The nodes that no parent has taken yet, the one furthest to the front last.
    let mut parentless: Vec<State> = Vec::new();
    for (place, node) in tree.nodes.iter().enumerate().rev() {
        let mut tally = Tally::default();
        node.leaves.iter().for_each(|leaf| tally.count(came(&leaf)));
        let mut state = State { settled: None, end: place + 1, open: 0 };
        for _ in 0..node.nested {
            let Some(child) = parentless.pop() else { break };
            state.end = child.end;
            state.open += u32::from(child.settled.is_none());
            if !planted::is(Bug::NestedIgnored) {
                tally.count(child.settled);
            }
        }
        state.settled = tally.together(node.combinator);
        parentless.push(state);
        states.push(state);
    }
    states.reverse();
    states
}

/// The nodes that are not settled, with those of their leaves that have not come.
fn open_part(
    tree: &FutureTree,
    states: &[State],
    came: impl Fn(&Awaited) -> Option<Settled>,
) -> FutureTree {
    let end = states.first().map_or(0, |root| root.end);
    let mut nodes = Vec::new();
    let mut place = 0;
    while let (Some(node), Some(state)) = (tree.nodes.get(place), states.get(place))
        && place < end
    {
        if state.settled.is_some() {
            place = state.end;
            continue;
        }
        let mut leaves = node.leaves.clone();
        leaves.retain(|leaf| came(leaf).is_none());
        nodes.push(FutureNode { combinator: node.combinator, leaves, nested: state.open });
        place += 1;
    }
    FutureTree { nodes }
}

/// What has come of the futures of one node.
#[derive(Debug, Default)]
struct Tally {
    open: bool,
    first: Option<Settled>,
    last: Option<Settled>,
    first_well: Option<Settled>,
    first_ill: Option<Settled>,
}

impl Tally {
    fn count(&mut self, future: Option<Settled>) {
        let Some(settled) = future else {
            self.open = true;
            return;
        };
        let earlier = |of: Option<Settled>| {
            Some(of.map_or(settled, |other| min_by_key(other, settled, |settled| settled.at)))
        };
        self.first = earlier(self.first);
        self.last = Some(self.last.map_or(settled, |other| max_by_key(settled, other, |of| of.at)));
        if settled.well {
            self.first_well = earlier(self.first_well);
        } else {
            self.first_ill = earlier(self.first_ill);
        }
    }

    fn together(&self, combinator: Combinator) -> Option<Settled> {
        let all = |well| self.last.filter(|_| !self.open).map(|last| Settled { well, ..last });
        match combinator {
            Combinator::Unknown | Combinator::FirstCompleted => self.first,
            Combinator::AllCompleted if planted::is(Bug::AllIsRace) => self.first,
            Combinator::AllCompleted => all(true),
            Combinator::FirstSucceededOrAllFailed if planted::is(Bug::AnyTakesFailure) => {
                self.first
            }
            Combinator::FirstSucceededOrAllFailed => self.first_well.or_else(|| all(false)),
            Combinator::AllSucceededOrFirstFailed if planted::is(Bug::AllWaitsForFailed) => {
                all(true)
            }
            Combinator::AllSucceededOrFirstFailed => self.first_ill.or_else(|| all(true)),
        }
    }
}

/// What may still come for an open notification while no attempt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prospect {
    /// It may succeed.
    pub well: bool,
    /// It may fail.
    pub ill: bool,
}

impl Prospect {
    /// Nothing comes.
    pub const NONE: Self = Self { well: false, ill: false };
    /// A success, if anything.
    pub const WELL: Self = Self { well: true, ill: false };
    /// Either.
    pub const ANY: Self = Self { well: true, ill: true };

    fn is_any(self) -> bool {
        self.well || self.ill
    }
}

/// Tells whether a tree could be settled, if each notification came as `prospect` says it may.
pub fn could_settle(tree: &FutureTree, prospect: impl Fn(&Awaited) -> Prospect) -> bool {
    let mut parentless: Vec<Prospect> = Vec::new();
    for node in tree.nodes.iter().rev() {
        let mut parts: Vec<Prospect> = node.leaves.iter().map(|leaf| prospect(&leaf)).collect();
        for _ in 0..node.nested {
            let Some(part) = parentless.pop() else { break };
            parts.push(part);
        }
        let any = |of: fn(&Prospect) -> bool| parts.iter().any(of);
        let all = |of: fn(&Prospect) -> bool| !parts.is_empty() && parts.iter().all(of);
        parentless.push(match node.combinator {
            Combinator::Unknown | Combinator::FirstCompleted => {
                Prospect { well: any(|of| of.well), ill: any(|of| of.ill) }
            }
            Combinator::AllCompleted => Prospect { well: all(|of| of.is_any()), ill: false },
            Combinator::FirstSucceededOrAllFailed => {
                Prospect { well: any(|of| of.well), ill: all(|of| of.ill) }
            }
            Combinator::AllSucceededOrFirstFailed => {
                Prospect { well: all(|of| of.well), ill: any(|of| of.ill) }
            }
        });
    }
    // Nodes that are not reached from the first one are no part of the tree.
    parentless.last().is_some_and(|root| root.is_any())
}
