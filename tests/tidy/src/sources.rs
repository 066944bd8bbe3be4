//! Rules about one file at a time.

use crate::TextFile;

/// Longest Rust file, in lines.
const LINES_MAX: usize = 500;

/// What must not be in Rust code. Written in halves, so that this file does not name them.
const BANNED: [&str; 4] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("#[ig", "nore"),
];

/// Places that exist on one machine alone.
const PLACES: [&str; 5] = [
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/ro", "ot/"),
    concat!("arti", "factory"),
    concat!("/tmp/t-", "light"),
];

/// Finds a Rust file longer than a reader takes in.
pub fn too_long(file: &TextFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.extension_is("rs") && lines > LINES_MAX {
        return vec![format!("{}: {lines} lines, at most {LINES_MAX} are allowed", file.path)];
    }
    Vec::new()
}

/// Finds a Rust file that does not begin by saying what it is for.
pub fn missing_module_doc(file: &TextFile) -> Vec<String> {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if file.extension_is("rs") && !first.starts_with("//!") {
        return vec![format!("{}: does not begin with a `//!` header", file.path)];
    }
    Vec::new()
}

/// Finds unfinished code and tests that do not run.
pub fn banned_words(file: &TextFile) -> Vec<String> {
    if file.extension_is("rs") { lines_with(file, &BANNED) } else { Vec::new() }
}

/// Finds paths and hosts of one machine.
pub fn named_places(file: &TextFile) -> Vec<String> {
    lines_with(file, &PLACES)
}

/// Finds a crate that does not take the workspace's lints.
pub fn crate_without_lints(file: &TextFile) -> Vec<String> {
    let is_crate = file.path.ends_with("Cargo.toml") && file.text.contains("[package]");
    if is_crate && !file.text.contains("[lints]\nworkspace = true") {
        return vec![format!("{}: has no `[lints] workspace = true`", file.path)];
    }
    Vec::new()
}

fn lines_with(file: &TextFile, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            found.push(format!("{}:{}: contains `{word}`", file.path, index + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_may_have_the_most_lines_and_not_one_more() {
        assert!(too_long(&file("a.rs", &"x\n".repeat(LINES_MAX))).is_empty());
        assert_eq!(too_long(&file("a.rs", &"x\n".repeat(LINES_MAX + 1))).len(), 1);
        assert!(too_long(&file("a.md", &"x\n".repeat(LINES_MAX + 1))).is_empty());
    }

    #[test]
    fn a_module_without_header_is_found() {
        assert!(missing_module_doc(&file("a.rs", "\n//! What.\nuse b;\n")).is_empty());
        assert_eq!(missing_module_doc(&file("a.rs", "use b;\n//! What.\n")).len(), 1);
        assert_eq!(missing_module_doc(&file("a.rs", "")).len(), 1);
    }

    #[test]
    fn each_banned_word_is_found_with_its_line() {
        for word in BANNED {
            let found = banned_words(&file("a.rs", &format!("fine\n  {word}\n")));
            assert_eq!(found, [format!("a.rs:2: contains `{word}`")]);
        }
    }

    #[test]
    fn each_named_place_is_found_in_any_file() {
        for place in PLACES {
            assert_eq!(named_places(&file("notes.md", &format!("see {place}x"))).len(), 1);
        }
    }

    #[test]
    fn a_crate_without_lints_is_found() {
        let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert!(crate_without_lints(&file("a/Cargo.toml", good)).is_empty());
        assert_eq!(
            crate_without_lints(&file("a/Cargo.toml", "[package]\nname = \"a\"\n")).len(),
            1
        );
        assert!(crate_without_lints(&file("Cargo.toml", "[workspace]\n")).is_empty());
    }
}
