//! Why the tables cannot be opened or written, in words that say what to do.

use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

/// The tables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has them open.
    #[error("tables in {path} are in use by another process: stop it, or choose another directory")]
    Locked {
        /// Where they are.
        path: PathBuf,
    },
    /// They are damaged.
    #[error(
        "tables in {path} are damaged ({reason}): restore the directory from a backup; where the \
         log still holds everything from offset 0 on, deleting it is enough"
    )]
    Corrupt {
        /// Where they are.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A newer version wrote them.
    #[error(
        "tables in {path} have format {found}, but this version supports {supported}: run the \
         version that wrote them, or a newer one"
    )]
    Format {
        /// Where they are.
        path: PathBuf,
        /// What they say.
        found: u64,
        /// What this program writes and reads.
        supported: u32,
    },
    /// The directory cannot be made, entered or read.
    #[error("failed to open the tables in {path}: {reason}")]
    Directory {
        /// Where they should be.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The disk refused, as when it is full. Nothing is lost: the log has it all.
    #[error("failed to write the tables in {path}: {reason}")]
    Write {
        /// Where they are.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl StoreError {
    pub(super) fn from_open(path: &Path, error: &rocksdb::Error) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        if is_corrupt(error) {
            return Self::Corrupt { path, reason };
        }
        // RocksDB has no kind of its own for this; its text is of the file named LOCK.
        if error.kind() == ErrorKind::IOError && reason.contains("LOCK") {
            return Self::Locked { path };
        }
        Self::Directory { path, reason }
    }

    pub(super) fn from_use(path: &Path, what: &str, error: &rocksdb::Error) -> Self {
        let path = path.to_owned();
        if is_corrupt(error) {
            return Self::Corrupt { path, reason: error.to_string() };
        }
        Self::Write { path, reason: format!("{what}: {error}") }
    }
}

fn is_corrupt(error: &rocksdb::Error) -> bool {
    // A file of the database that is missing is reported as an invalid argument.
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::InvalidArgument)
}
