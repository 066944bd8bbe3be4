//! The codes of failed attempts, such as `[RT0010]`: the code and the manual name the same ones.

use std::collections::BTreeSet;

use crate::TextFile;

const MANUAL: &str = "docs/errors/attempts.md";
const SOURCES: [&str; 2] = ["executor/src/", "partition/src/"];

/// Gives the codes that an attempt can fail with and the manual does not explain, and those that it
/// explains for nothing.
pub fn attempt_codes_astray(files: &[TextFile]) -> Vec<String> {
    let used: BTreeSet<&str> = files
        .iter()
        .filter(|file| SOURCES.iter().any(|folder| file.path.starts_with(folder)))
        .flat_map(|file| codes_after(&file.text, "[RT"))
        .collect();
    let manual = files.iter().find(|file| file.path == MANUAL);
    let explained: BTreeSet<&str> =
        manual.map(|file| codes_after(&file.text, "\n| `RT").collect()).unwrap_or_default();
    let missing = used.difference(&explained).map(|code| format!("{MANUAL}: lacks RT{code}"));
    let idle = explained.difference(&used).map(|code| format!("{MANUAL}: RT{code} is not used"));
    missing.chain(idle).collect()
}

/// The four digits after each `prefix`.
fn codes_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let digits = |code: &&str| code.bytes().all(|byte| byte.is_ascii_digit());
    text.split(prefix).skip(1).filter_map(|rest| rest.get(..4)).filter(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn astray(source: &str, manual: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        attempt_codes_astray(&[file("executor/src/lib.rs", source), file(MANUAL, manual)])
    }

    #[test]
    fn a_code_without_a_line_and_a_line_without_a_code_are_found() {
        let source = "\"[RT0001] one\", \"[RT0002] two\"";
        assert!(astray(source, "\n| `RT0001` | one |\n| `RT0002` | two |").is_empty());
        let found = astray(source, "\n| `RT0001` | one |\n| `RT0003` | three |");
        assert_eq!(
            found,
            [format!("{MANUAL}: lacks RT0002"), format!("{MANUAL}: RT0003 is not used")]
        );
    }
}
