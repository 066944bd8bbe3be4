//! What our own processes have logged: a warning or an error that nobody expects fails the run.
//!
//! Expected lines are regular expressions in `expected-lines.toml`, with a reason each. A line reads
//! `LEVEL target: message field=value …`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

/// The lines that are expected.
#[derive(Debug)]
pub struct Expected(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    pattern: Regex,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    line: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pattern: String,
    reason: String,
}

/// What logs hold.
#[derive(Debug, Default)]
pub struct Judged {
    /// How many lines were expected, by reason.
    pub expected: BTreeMap<String, usize>,
    /// Those that were not: file and line.
    pub unexpected: Vec<String>,
}

impl Expected {
    /// Reads the list that comes with the tool.
    pub fn load() -> Result<Self> {
        Self::parse(include_str!("../expected-lines.toml"))
    }

    fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).context("failed to read expected-lines.toml")?;
        let compile = |entry: Entry| {
            let pattern = Regex::new(&entry.pattern)
                .with_context(|| format!("failed to read the pattern {:?}", entry.pattern))?;
            Ok(Pattern { pattern, reason: entry.reason })
        };
        file.line.into_iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// Judges all logs in a folder: the files that end in `.output`.
    pub fn judge(&self, folder: &Path) -> Result<Judged> {
        let mut judged = Judged::default();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "output") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let text = std::fs::read(&path)?;
                self.take(&name, &String::from_utf8_lossy(&text), &mut judged);
            }
        }
        Ok(judged)
    }

    fn take(&self, name: &str, text: &str, judged: &mut Judged) {
        for line in text.lines().filter_map(complaint) {
            match self.0.iter().find(|pattern| pattern.pattern.is_match(&line)) {
                Some(pattern) => *judged.expected.entry(pattern.reason.clone()).or_default() += 1,
                None => judged.unexpected.push(format!("{name}: {line}")),
            }
        }
    }
}

/// A line that complains, in one form, whether it is a record of the log or something else.
fn complaint(line: &str) -> Option<String> {
    let Ok(Value::Object(record)) = serde_json::from_str(line) else {
        // What a program says by other ways than its log: panics, most of all.
        let lower = line.to_lowercase();
        let complains = ["panic", "error", "warn", "fail"].iter().any(|word| lower.contains(word));
        return complains.then(|| line.to_owned());
    };
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let level = text("level");
    if level != "WARN" && level != "ERROR" {
        return None;
    }
    let mut words = format!("{level} {}:", text("target"));
    let fields = record.get("fields").and_then(Value::as_object);
    let message = fields.and_then(|fields| fields.get("message")).and_then(Value::as_str);
    let _ = write!(words, " {}", message.unwrap_or_default());
    for (key, value) in fields.into_iter().flatten().filter(|(key, _)| *key != "message") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(words, " {key}={value}");
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "[[line]]\npattern = '^WARN everlog_x: a term has ended'\nreason = 'killed'";

    fn judged(text: &str) -> Judged {
        let mut judged = Judged::default();
        Expected::parse(LIST).unwrap().take("x", text, &mut judged);
        judged
    }

    #[test]
    fn a_complaint_that_is_not_listed_is_found() {
        let line = r#"{"level":"WARN","fields":{"message":"odd","count":3},"target":"everlog_y"}"#;
        assert_eq!(judged(line).unexpected, ["x: WARN everlog_y: odd count=3"]);
        let line = line.replace("WARN", "INFO");
        assert_eq!(judged(&line).unexpected, Vec::<String>::new());
        assert_eq!(judged("thread 'main' panicked at x.rs").unexpected.len(), 1);
        assert_eq!(judged("everlog takes calls").unexpected.len(), 0);
    }

    #[test]
    fn a_listed_one_is_counted_by_its_reason() {
        let line = r#"{"level":"WARN","fields":{"message":"a term has ended","reason":"cut"},"target":"everlog_x"}"#;
        let judged = judged(&format!("{line}\n{line}"));
        assert_eq!(judged.expected, BTreeMap::from([("killed".to_owned(), 2)]));
        assert_eq!(judged.unexpected, Vec::<String>::new());
    }

    #[test]
    fn the_list_of_this_tool_can_be_read() {
        assert!(Expected::load().is_ok());
    }
}
