//! Where `everlog dev` keeps its data: a folder of the user's, or one that goes away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::config::Settings;

/// What a data folder has in it: two databases.
pub(crate) const PARTS: [&str; 2] = ["log", "tables"];
/// The file of a database that its process holds locked.
const LOCK: &str = "LOCK";

/// Where the data is kept.
pub(crate) enum Folder {
    /// Where the user wants it.
    Kept(PathBuf),
    /// Nowhere: it is removed when dropped.
    Ephemeral(TempDir),
}

impl Folder {
    /// Makes the folder, where it is not there.
    pub(crate) fn choose(settings: &Settings) -> Result<Self> {
        if settings.ephemeral {
            let made = tempfile::Builder::new().prefix("everlog-").tempdir();
            return Ok(Self::Ephemeral(made.context("failed to make a temporary folder")?));
        }
        let path = &settings.data_dir;
        std::fs::create_dir_all(path).with_context(|| {
            format!(
                "failed to make the data folder {}; choose another with --data-dir",
                path.display()
            )
        })?;
        Ok(Self::Kept(path.clone()))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Ephemeral(folder) => folder.path(),
        }
    }

    /// Warns of a folder that is larger than it should be.
    pub(crate) fn warn_of_size(&self, settings: &Settings) {
        let (path, max) = (self.path(), settings.data_dir_warn_bytes);
        let bytes = Contents::of(path).unwrap_or_default().bytes;
        if bytes > max.0 {
            tracing::warn!(
                data_dir = %path.display(),
                size = %readable(bytes),
                "data folder is larger than data_dir_warn_bytes ({max}): docs/configuration.md \
                 tells what bounds it, and `everlog dev reset` removes it"
            );
        }
    }
}

/// A size as people read it.
pub(crate) fn readable(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// What is in a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// How many files there are.
    pub(crate) files: u64,
    /// How large they are together, in bytes.
    pub(crate) bytes: u64,
    /// When the last of them was changed.
    pub(crate) changed: Option<SystemTime>,
}

impl Contents {
    /// Counts what is in a folder. Nothing, where it is not there; what goes away meanwhile, as
    /// databases' files do, does not count.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut contents = Self::default();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let Some(entries) = unless_gone(std::fs::read_dir(&folder))? else { continue };
            for entry in entries {
                let entry = entry?;
                let Some(about) = unless_gone(entry.metadata())? else { continue };
                if about.is_dir() {
                    folders.push(entry.path());
                } else {
                    contents.files += 1;
                    contents.bytes += about.len();
                    contents.changed = contents.changed.max(about.modified().ok());
                }
            }
        }
        Ok(contents)
    }
}

fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Holds the locks of a data folder's databases, as a server does. Freed when dropped.
pub(crate) struct Locks {
    _files: Vec<File>,
}

impl Locks {
    /// Takes the locks; none if another process has one of them.
    pub(crate) fn take(data_dir: &Path) -> io::Result<Option<Self>> {
        let mut files = Vec::new();
        for part in PARTS {
            let path = data_dir.join(part).join(LOCK);
            let opened = File::options().read(true).write(true).open(path);
            let Some(file) = unless_gone(opened)? else { continue };
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => files.push(file),
                Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(Self { _files: files }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_folder_is_counted() {
        let folder = TempDir::new().unwrap();
        assert_eq!(Contents::of(&folder.path().join("none")).unwrap(), Contents::default());
        std::fs::create_dir(folder.path().join("log")).unwrap();
        std::fs::write(folder.path().join("log/a"), "123").unwrap();
        std::fs::write(folder.path().join("b"), "4567").unwrap();
        let contents = Contents::of(folder.path()).unwrap();
        assert_eq!((contents.files, contents.bytes), (2, 7));
        assert!(contents.changed.is_some());
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1 << 20, "1 MiB"),
            ((1 << 30) - 1, "1023 MiB"),
            (5 << 30, "5 GiB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }
}
