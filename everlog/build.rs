//! Puts the commit into the version, where there is one: a source archive has none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=EVERLOG_COMMIT");
    // Changes with every commit and every checkout.
    let git_log = Path::new("../.git/logs/HEAD");
    if git_log.exists() {
        println!("cargo::rerun-if-changed={}", git_log.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let commit = std::env::var("EVERLOG_COMMIT").ok().or_else(commit_of_checkout);
    println!("cargo::rustc-env=EVERLOG_COMMIT={}", commit.as_deref().unwrap_or("unknown commit"));
}

fn commit_of_checkout() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=10", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
