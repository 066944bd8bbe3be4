//! How the tests of this crate read its manual, so that it tells of every code.

use std::collections::BTreeSet;

/// The error codes of a source file: each stands in front of its status.
pub(crate) fn codes_in(source: &str) -> BTreeSet<&str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let before_status = source.split(", StatusCode::").filter_map(|text| text.rsplit_once("(\""));
    before_status.filter_map(|(_, code)| code.strip_suffix('"')).collect()
}

/// The error codes of a manual: each is the title of a section.
pub(crate) fn sections_in(manual: &str) -> BTreeSet<&str> {
    manual.lines().filter_map(|line| line.strip_prefix("## ")).collect()
}
