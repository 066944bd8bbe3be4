//! Trees of futures, as scripts write them: `all(1,race(2,#17),go)`, of completions, numbered and named
//! signals, and the combinators `all`, `any`, `settled`, `race` and `some`.

use everlog_log_schema::*;

const COMBINATORS: [(&str, Combinator); 5] = [
    ("all", Combinator::AllSucceededOrFirstFailed),
    ("any", Combinator::FirstSucceededOrAllFailed),
    ("settled", Combinator::AllCompleted),
    ("race", Combinator::FirstCompleted),
    ("some", Combinator::Unknown),
];

/// Reads a tree.
pub(super) fn tree(text: &str) -> FutureTree {
    let mut nodes = Vec::new();
    let rest = node(text, &mut nodes);
    assert_eq!(rest, "", "left over in {text:?}");
    FutureTree { nodes }
}

/// Reads a node, and returns what stands behind it.
fn node<'t>(text: &'t str, nodes: &mut Vec<FutureNode>) -> &'t str {
    let (name, mut rest) = text.split_once('(').expect("a combinator");
    let (_, combinator) = COMBINATORS.iter().find(|(known, _)| *known == name).unwrap();
    let place = nodes.len();
    nodes.push(FutureNode { combinator: *combinator, leaves: WaitSet::default(), nested: 0 });
    loop {
        rest = match rest.split_at_checked(1) {
            Some((")", behind)) => return behind,
            Some((",", behind)) => behind,
            _ => rest,
        };
        let end = rest.find([',', ')', '(']).expect("a closed node");
        if rest[end..].starts_with('(') {
            nodes[place].nested += 1;
            rest = node(rest, nodes);
            continue;
        }
        let (leaf, behind) = rest.split_at(end);
        rest = behind;
        let leaves = &mut nodes[place].leaves;
        if let Some(index) = leaf.strip_prefix('#') {
            leaves.signals.push(index.parse().unwrap());
        } else if let Ok(id) = leaf.parse() {
            leaves.completions.push(CompletionId(id));
        } else if !leaf.is_empty() {
            leaves.named_signals.push(leaf.to_owned());
        }
    }
}

/// Writes a tree as scripts read it.
pub(super) fn text_of(tree: &FutureTree) -> String {
    let mut text = String::new();
    let rest = write(&tree.nodes, &mut text);
    assert!(rest.is_empty(), "{tree:?}");
    text
}

fn write<'n>(nodes: &'n [FutureNode], text: &mut String) -> &'n [FutureNode] {
    let Some((node, mut rest)) = nodes.split_first() else { return nodes };
    let (name, _) = COMBINATORS.iter().find(|(_, known)| *known == node.combinator).unwrap();
    text.push_str(name);
    text.push('(');
    let leaves = node.leaves.iter().map(|leaf| match leaf {
        Awaited::Completion(id) => id.to_string(),
        Awaited::Signal(SignalId::Index(index)) => format!("#{index}"),
        Awaited::Signal(SignalId::Name(name)) => name,
    });
    let mut parts: Vec<String> = leaves.collect();
    for _ in 0..node.nested {
        let mut part = String::new();
        rest = write(rest, &mut part);
        parts.push(part);
    }
    text.push_str(&parts.join(","));
    text.push(')');
    rest
}
