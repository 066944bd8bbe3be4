//! The house rules that no compiler knows, as plain functions over files and dependencies.
//!
//! `tests/workspace.rs` applies them to this workspace. Each rule gives the violations it found, as
//! lines for a person; each has a test that shows it find one.

mod codes;
mod dependencies;
mod links;
mod metrics;
mod sources;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use codes::attempt_codes_astray;
pub use dependencies::Dependencies;
pub use links::{broken_links, unknown_tests};
pub use metrics::metrics_astray;
pub use sources::{banned_words, crate_without_lints, missing_module_doc, named_places, too_long};

/// A text file of the project.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Its path from the root of the workspace, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl TextFile {
    fn extension_is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// Gives the root of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads all text files of the project: those that git tracks or would track.
///
/// Files that are not UTF-8 are binary and are left out, as are files deleted but still tracked.
pub fn workspace_files() -> io::Result<Vec<TextFile>> {
    let root = workspace_root();
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()?;
    assert!(output.status.success(), "git ls-files failed: run this in a clone");
    let listing = String::from_utf8_lossy(&output.stdout);
    let mut files = Vec::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        match std::fs::read(root.join(path)) {
            Ok(bytes) => {
                if let Ok(text) = String::from_utf8(bytes) {
                    files.push(TextFile { path: path.to_owned(), text });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}
