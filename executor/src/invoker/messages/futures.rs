//! What a function says that it waits for.
//!
//! A tree is read node by node, its children as bytes at first: however deep it is, nothing here
//! nests. **Invariant:** no node of a tree that leaves is empty, and none is deeper than
//! [`FUTURE_DEPTH_MAX`].

use bytes::Bytes;
use everlog_log_schema::{Combinator, CompletionId, FutureNode, FutureTree, WaitSet};

use super::{decode, pb};
use crate::invoker::error::Failure;

/// How deep futures may nest; the outermost has depth 1.
pub(crate) const FUTURE_DEPTH_MAX: usize = 1_000;
/// A tree of futures, in bytes: it is kept in the invocation's row until it is settled.
pub(crate) const FUTURE_BYTES_MAX: usize = 1 << 20;
/// A tree that is only shown, in bytes: it stays in memory while the attempt lasts.
const HINT_BYTES_MAX: usize = 16 << 10;

/// Reads what a suspension waits for.
pub(crate) fn suspension(version: u32, payload: Bytes) -> Result<FutureTree, Failure> {
    if version >= super::TREES_VERSION {
        let message: pb::SuspensionMessage = decode("Suspension", payload)?;
        return match message.awaiting_on {
            Some(future) => future_tree(future),
            None => Err(nothing()),
        };
    }
    let message: pb::FlatSuspensionMessage = decode("Suspension", payload)?;
    let waiting = WaitSet {
        completions: message.waiting_completions.into_iter().map(CompletionId).collect(),
        signals: message.waiting_signals,
        named_signals: message.waiting_named_signals,
    };
    if waiting.is_empty() { Err(nothing()) } else { Ok(waiting.into()) }
}

/// Reads what a function says that its code waits for. None where it says nothing that can be shown:
/// it is a hint, of which nothing depends.
pub(crate) fn awaiting_on(payload: Bytes) -> Result<Option<FutureTree>, Failure> {
    let message: pb::AwaitingOnMessage = decode("AwaitingOn", payload)?;
    let shown = message.awaiting_on.filter(|future| future.len() <= HINT_BYTES_MAX);
    Ok(shown.and_then(|future| future_tree(future).ok()))
}

fn nothing() -> Failure {
    Failure::Violation("it suspended without waiting for anything".to_owned())
}

/// Reads a tree.
fn future_tree(root: Bytes) -> Result<FutureTree, Failure> {
    if root.len() > FUTURE_BYTES_MAX {
        return Err(Failure::FutureTooLarge(root.len()));
    }
    let mut nodes = Vec::new();
    let mut unread = vec![(root, 1)];
    while let Some((bytes, depth)) = unread.pop() {
        if depth > FUTURE_DEPTH_MAX {
            return Err(Failure::FutureTooDeep);
        }
        let future: pb::FutureMessage = decode("Future", bytes)?;
        let leaves = WaitSet {
            completions: future.waiting_completions.into_iter().map(CompletionId).collect(),
            signals: future.waiting_signals,
            named_signals: future.waiting_named_signals,
        };
        if leaves.is_empty() && future.nested_futures.is_empty() {
            return Err(if depth == 1 {
                nothing()
            } else {
                let text = "it suspended on a future of no futures, which never ends";
                Failure::Violation(text.to_owned())
            });
        }
        nodes.push(FutureNode {
            combinator: combinator(future.combinator_type)?,
            leaves,
            nested: u32::try_from(future.nested_futures.len()).expect("each has a byte or more"),
        });
        unread.extend(future.nested_futures.into_iter().rev().map(|child| (child, depth + 1)));
    }
    Ok(FutureTree { nodes })
}

fn combinator(number: u32) -> Result<Combinator, Failure> {
    Ok(match number {
        0 => Combinator::Unknown,
        1 => Combinator::FirstCompleted,
        2 => Combinator::AllCompleted,
        3 => Combinator::FirstSucceededOrAllFailed,
        4 => Combinator::AllSucceededOrFirstFailed,
        _ => {
            return Err(Failure::Violation(format!(
                "it suspended on futures that end together in an unknown way ({number})"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use prost::Message;

    use super::*;

    /// So many futures around each other, the innermost of which waits for a completion.
    fn nested(depth: usize) -> Bytes {
        let innermost =
            pb::FutureMessage { waiting_completions: vec![1], ..pb::FutureMessage::default() };
        let mut bytes = innermost.encode_to_vec();
        for _ in 1..depth {
            let nested_futures = vec![bytes.into()];
            bytes = pb::FutureMessage { nested_futures, ..pb::FutureMessage::default() }
                .encode_to_vec();
        }
        bytes.into()
    }

    #[test]
    fn futures_nest_up_to_the_limit_and_not_one_deeper() {
        let tree = future_tree(nested(FUTURE_DEPTH_MAX)).unwrap();
        assert_eq!(tree.nodes.len(), FUTURE_DEPTH_MAX);
        let refused = future_tree(nested(FUTURE_DEPTH_MAX + 1));
        assert!(matches!(refused, Err(Failure::FutureTooDeep)));
    }

    /// A future that waits for a signal with a name of so many bytes.
    fn named(bytes: usize) -> Bytes {
        let waiting_named_signals = vec!["n".repeat(bytes)];
        let message = pb::FutureMessage { waiting_named_signals, ..pb::FutureMessage::default() };
        message.encode_to_vec().into()
    }

    #[test]
    fn a_tree_has_its_limit_of_bytes_and_not_one_more() {
        let overhead = named(FUTURE_BYTES_MAX).len() - FUTURE_BYTES_MAX;
        assert!(future_tree(named(FUTURE_BYTES_MAX - overhead)).is_ok());
        let refused = future_tree(named(FUTURE_BYTES_MAX - overhead + 1));
        assert!(
            matches!(refused, Err(Failure::FutureTooLarge(bytes)) if bytes == FUTURE_BYTES_MAX + 1)
        );
    }

    #[test]
    fn what_is_too_large_to_be_shown_is_no_hint() {
        let hint = |bytes: usize| {
            let message = pb::AwaitingOnMessage { awaiting_on: Some(named(bytes)) };
            super::awaiting_on(message.encode_to_vec().into()).unwrap()
        };
        assert!(hint(HINT_BYTES_MAX / 2).is_some());
        assert!(hint(HINT_BYTES_MAX).is_none());
    }

    #[test]
    fn the_nodes_of_a_tree_come_each_before_its_children() {
        let leaf = |signal, combinator_type| {
            let message = pb::FutureMessage {
                waiting_signals: vec![signal],
                combinator_type,
                ..pb::FutureMessage::default()
            };
            Bytes::from(message.encode_to_vec())
        };
        let inner = pb::FutureMessage {
            nested_futures: vec![leaf(18, 0), leaf(19, 1)],
            combinator_type: 2,
            ..pb::FutureMessage::default()
        };
        let root = pb::FutureMessage {
            waiting_completions: vec![7],
            nested_futures: vec![inner.encode_to_vec().into(), leaf(20, 3)],
            combinator_type: 4,
            ..pb::FutureMessage::default()
        };
        let tree = future_tree(root.encode_to_vec().into()).unwrap();
        let shape = tree.nodes.iter().map(|node| (node.combinator, node.nested));
        let expected = [
            (Combinator::AllSucceededOrFirstFailed, 2),
            (Combinator::AllCompleted, 2),
            (Combinator::Unknown, 0),
            (Combinator::FirstCompleted, 0),
            (Combinator::FirstSucceededOrAllFailed, 0),
        ];
        assert!(shape.eq(expected), "{tree:?}");
        let signals: Vec<u32> =
            tree.nodes.iter().flat_map(|node| node.leaves.signals.clone()).collect();
        assert_eq!(signals, [18, 19, 20]);
    }

    #[test]
    fn a_tree_that_makes_no_sense_is_refused() {
        let empty = pb::FutureMessage::default().encode_to_vec();
        let around = pb::FutureMessage {
            waiting_signals: vec![17],
            nested_futures: vec![empty.clone().into()],
            ..pb::FutureMessage::default()
        };
        let unknown = pb::FutureMessage {
            waiting_signals: vec![17],
            combinator_type: 5,
            ..pb::FutureMessage::default()
        };
        for bytes in [empty, around.encode_to_vec(), unknown.encode_to_vec(), vec![0xFF]] {
            let refused = future_tree(bytes.into());
            assert!(matches!(refused, Err(Failure::Violation(_))), "{refused:?}");
        }
    }
}
