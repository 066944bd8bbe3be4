//! Applies the house rules to this workspace.

use everlog_tidy::{
    Dependencies, TextFile, attempt_codes_astray, banned_words, broken_links, crate_without_lints,
    metrics_astray, missing_module_doc, named_places, too_long, unknown_tests, workspace_files,
    workspace_root,
};

fn check(rule: fn(&TextFile) -> Vec<String>) {
    let files = workspace_files().unwrap_or_else(|error| panic!("failed to read files: {error}"));
    assert!(files.iter().any(|file| file.path == "tests/tidy/tests/workspace.rs"), "wrong root");
    report(&files.iter().flat_map(rule).collect::<Vec<_>>());
}

fn report(violations: &[String]) {
    assert!(violations.is_empty(), "house rules are broken:\n{}", violations.join("\n"));
}

#[test]
fn no_rust_file_is_too_long() {
    check(too_long);
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    check(missing_module_doc);
}

#[test]
fn nothing_is_left_unfinished_or_unrun() {
    check(banned_words);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    check(crate_without_lints);
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    check(named_places);
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    let files = workspace_files().unwrap();
    report(&broken_links(&files));
}

#[test]
fn every_test_that_the_docs_name_exists() {
    let files = workspace_files().unwrap();
    report(&unknown_tests(&files));
}

#[test]
fn every_code_of_a_failed_attempt_has_its_line_in_the_manual() {
    let files = workspace_files().unwrap();
    report(&attempt_codes_astray(&files));
}

#[test]
fn every_metric_has_its_line_in_the_manual() {
    let files = workspace_files().unwrap();
    report(&metrics_astray(&files));
}

#[test]
fn dependencies_point_the_right_way() {
    let graph = Dependencies::of_workspace(&workspace_root()).unwrap();
    report(&graph.violations());
}
