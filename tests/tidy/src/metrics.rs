//! The metrics: the code counts what the manual lists.

use std::collections::BTreeSet;

use crate::TextFile;

const MANUAL: &str = "docs/observability.md";
/// The files that name metrics.
const SOURCE: &str = "/src/metrics.rs";

/// Gives the metrics that the manual does not list, and those that it lists for nothing.
pub fn metrics_astray(files: &[TextFile]) -> Vec<String> {
    let used: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.path.ends_with(SOURCE) && !file.path.starts_with("tests/"))
        .flat_map(|file| names_after(&file.text, "\"everlog_", '"'))
        .collect();
    let manual = files.iter().find(|file| file.path == MANUAL);
    let listed: BTreeSet<&str> = manual
        .map(|file| names_after(&file.text, "\n| `everlog_", '`').collect())
        .unwrap_or_default();
    let missing = used.difference(&listed).map(|name| format!("{MANUAL}: lacks everlog_{name}"));
    let idle = listed.difference(&used).map(|name| format!("{MANUAL}: everlog_{name} is not used"));
    missing.chain(idle).collect()
}

/// What stands between each `prefix` and the next `end`.
fn names_after<'a>(text: &'a str, prefix: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(prefix).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_without_a_line_and_a_line_without_a_metric_are_found() {
        let astray = |manual: &str| {
            let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
            let source = "counter(\"everlog_a_total\", \"As.\"), gauge(\n\"everlog_b\", \"Bs.\")";
            metrics_astray(&[file("gateway/src/metrics.rs", source), file(MANUAL, manual)])
        };
        assert!(astray("\n| `everlog_a_total` | As. |\n| `everlog_b` | Bs. |").is_empty());
        let found = astray("\n| `everlog_a_total` | As. |\n| `everlog_c` | Cs. |");
        let expected = ["lacks everlog_b", "everlog_c is not used"];
        assert_eq!(found, expected.map(|what| format!("{MANUAL}: {what}")));
    }
}
