//! How it is shown what an invocation waits for.

use everlog_log_schema::{Awaited, Combinator, FutureNode, FutureTree, SignalId};
use serde::Serialize;

/// A text of how futures end together, in bytes; the rest of a longer one is left out.
const TOGETHER_BYTES_MAX: usize = 4 << 10;

/// What an invocation waits for.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaitingFor {
    completions: Vec<u32>,
    signals: Vec<u32>,
    named_signals: Vec<String>,
    /// How they end together, in the words of JavaScript: `all(3, race(#17, "paid"))`. Left out where
    /// any one of them is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<String>,
}

/// Shows what an invocation waits for.
pub(super) fn waiting_for(tree: &FutureTree) -> WaitingFor {
    let mut shown = WaitingFor::default();
    for awaited in tree.leaves() {
        match awaited {
            Awaited::Completion(id) => shown.completions.push(id.0),
            Awaited::Signal(SignalId::Index(index)) => shown.signals.push(index),
            Awaited::Signal(SignalId::Name(name)) => shown.named_signals.push(name),
        }
    }
    if !is_race(tree) {
        shown.together = Some(together(tree));
    }
    shown
}

/// Whether any one of the notifications is enough.
fn is_race(tree: &FutureTree) -> bool {
    match &tree.nodes[..] {
        [only] => matches!(only.combinator, Combinator::FirstCompleted | Combinator::Unknown),
        _ => tree.nodes.is_empty(),
    }
}

/// Writes a tree node by node: its depth is no depth here.
fn together(tree: &FutureTree) -> String {
    let mut text = String::new();
    // How many children each node around the next one still has.
    let mut open: Vec<u32> = Vec::new();
    for node in &tree.nodes {
        if let Some(left) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        begin(&mut text, node);
        open.push(node.nested);
        while open.pop_if(|left| *left == 0).is_some() {
            text.push(')');
        }
        if text.len() > TOGETHER_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TOGETHER_BYTES_MAX));
            text.push('…');
            break;
        }
    }
    text
}

/// Writes a node up to its children.
fn begin(text: &mut String, node: &FutureNode) {
    if !text.is_empty() && !text.ends_with('(') {
        text.push_str(", ");
    }
    text.push_str(match node.combinator {
        Combinator::Unknown => "some(",
        Combinator::FirstCompleted => "race(",
        Combinator::AllCompleted => "allSettled(",
        Combinator::FirstSucceededOrAllFailed => "any(",
        Combinator::AllSucceededOrFirstFailed => "all(",
    });
    let leaves = node.leaves.iter().map(|leaf| match leaf {
        Awaited::Completion(id) => id.to_string(),
        Awaited::Signal(SignalId::Index(index)) => format!("#{index}"),
        Awaited::Signal(SignalId::Name(name)) => format!("{name:?}"),
    });
    text.push_str(&leaves.collect::<Vec<_>>().join(", "));
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{CompletionId, WaitSet};
    use serde_json::json;

    use super::*;

    fn node(combinator: Combinator, completions: &[u32], nested: u32) -> FutureNode {
        let completions = completions.iter().copied().map(CompletionId).collect();
        let leaves = WaitSet { completions, ..WaitSet::default() };
        FutureNode { combinator, leaves, nested }
    }

    fn shown(nodes: Vec<FutureNode>) -> serde_json::Value {
        serde_json::to_value(waiting_for(&FutureTree { nodes })).unwrap()
    }

    #[test]
    fn a_race_is_shown_by_what_is_in_it() {
        let json = shown(vec![node(Combinator::FirstCompleted, &[3, 4], 0)]);
        assert_eq!(json, json!({ "completions": [3, 4], "signals": [], "namedSignals": [] }));
    }

    #[test]
    fn futures_that_end_together_otherwise_are_shown_in_words_too() {
        let mut race = node(Combinator::FirstCompleted, &[5], 0);
        race.leaves.signals.push(17);
        race.leaves.named_signals.push("paid".into());
        let json = shown(vec![
            node(Combinator::AllSucceededOrFirstFailed, &[3], 3),
            node(Combinator::FirstSucceededOrAllFailed, &[], 1),
            race,
            node(Combinator::AllCompleted, &[6], 0),
            node(Combinator::Unknown, &[7, 8], 0),
        ]);
        let words = r#"all(3, any(race(5, #17, "paid")), allSettled(6), some(7, 8))"#;
        assert_eq!(json["together"], words);
        assert_eq!(json["completions"], json!([3, 5, 6, 7, 8]));
    }

    #[test]
    fn what_is_long_or_deep_is_shown_by_its_beginning() {
        let json = shown(vec![node(Combinator::AllCompleted, &[1], 1); 10_000]);
        let words = json["together"].as_str().unwrap();
        assert!(words.starts_with("allSettled(1, allSettled(1") && words.ends_with('…'));
        assert!(words.len() <= TOGETHER_BYTES_MAX + '…'.len_utf8());
    }
}
