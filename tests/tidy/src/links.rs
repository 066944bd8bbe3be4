//! Rules: what a Markdown file refers to is there.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::TextFile;

/// Finds links from one Markdown file to a file, folder or heading that does not exist.
///
/// `files` are all files of the project: a link to something that git does not know is broken.
pub fn broken_links(files: &[TextFile]) -> Vec<String> {
    let by_path: BTreeMap<&str, &TextFile> =
        files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension_is("md")) {
        for (line, target) in links(&file.text) {
            if let Some(why) = broken(file, &target, &by_path) {
                found.push(format!("{}:{line}: link `{target}` {why}", file.path));
            }
        }
    }
    found
}

fn broken(
    file: &TextFile,
    target: &str,
    by_path: &BTreeMap<&str, &TextFile>,
) -> Option<&'static str> {
    let is_outside = ["http://", "https://", "mailto:"].iter().any(|p| target.starts_with(p));
    if is_outside {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path)? };
    if let Some(linked) = by_path.get(path.as_str()) {
        let heading_is_there = anchor.is_empty()
            || !linked.extension_is("md")
            || headings(&linked.text).any(|heading| heading == anchor);
        return (!heading_is_there).then_some("names a heading that is not there");
    }
    let folder = format!("{}/", path.trim_end_matches('/'));
    let is_folder = path.is_empty() || by_path.keys().any(|known| known.starts_with(&folder));
    (!is_folder).then_some("leads nowhere")
}

/// Finds tests that a Markdown file names, as `path/file.rs::test`, and that do not exist.
pub fn unknown_tests(files: &[TextFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension_is("md")) {
        for named in file.text.split('`').skip(1).step_by(2) {
            let Some((path, test)) = named.split_once(".rs::") else { continue };
            let path = format!("{path}.rs");
            let exists = files
                .iter()
                .any(|file| file.path == path && file.text.contains(&format!("fn {test}(")));
            if !exists {
                found.push(format!("{}: there is no test `{named}`", file.path));
            }
        }
    }
    found
}

/// Gives the path from the root that `link`, found in `from`, means; none when it leaves the root.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut resolved = PathBuf::new();
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    for part in folder.join(link).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => {
                if !resolved.pop() {
                    return Some("..".to_owned());
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Some("/".to_owned()),
        }
    }
    resolved.into_os_string().into_string().ok()
}

/// Lists the inline links of a Markdown text with their line, leaving out fenced code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// Lists the anchors of a Markdown text's headings, formed as on GitHub.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        line.trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<String> {
        let file =
            |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        broken_links(&[
            file("docs/a.md", text),
            file("docs/b.md", "# One heading\n## Exactly-once, `here`\n"),
            file("README.md", ""),
            file("partition/src/apply.rs", "//! Apply.\n"),
        ])
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "[b](b.md) [h](b.md#exactly-once-here) [r](../README.md) [d](../partition/src) \
                    [f](../partition/src/apply.rs) [w](https://example.com/x) [s](#me)\n# Me\n";
        assert_eq!(check(text), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for link in ["c.md", "b.md#no-such", "../docs/c.md", "../../out.md", "/docs/b.md", "#no"] {
            assert_eq!(check(&format!("see\n[x]({link})")).len(), 1, "{link}");
        }
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let file =
            |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let code = file("a/b.rs", "#[test]\nfn a_thing_holds() {}\n");
        let docs = file("g.md", "| x | `a/b.rs::a_thing_holds`, `a/b.rs::a_thing`, `c.rs::it` |");
        let found = unknown_tests(&[code, docs]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn fenced_code_is_not_searched() {
        assert_eq!(check("```\n[x](c.md)\n```\n"), Vec::<String>::new());
    }
}
