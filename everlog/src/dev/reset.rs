//! `everlog dev reset`: removes what a server keeps, to begin anew.
//!
//! Its invariant: nothing is removed from under a server, and nothing that is not Everlog's.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::folder::{Contents, Locks, PARTS, readable};
use crate::config::{Config, SettingFlags};
use crate::confirm::confirm;
use crate::say::say;

/// Files that RocksDB puts into each of its databases, and hardly anyone else into a folder.
const OF_ROCKSDB: [&str; 2] = ["CURRENT", "IDENTITY"];

/// The arguments of `everlog dev reset`.
#[derive(Debug, Args)]
#[command(after_help = "\
It removes all invocations, all state and all registrations. Files in the folder that are not
Everlog's stay, and so does the folder then. Where `log` or `tables` in it is no database, nothing
is removed.

Exit codes: 0 it is removed or was not there, 1 it is not removed.")]
pub(crate) struct ResetArguments {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    flags: SettingFlags,
}

/// Removes the data folder.
pub(crate) fn run(arguments: &ResetArguments) -> Result<ExitCode> {
    let settings = Config::load(&arguments.flags)?.settings;
    let path = settings.data_dir.as_path();
    let shown = path.display();
    if !PARTS.iter().any(|part| path.join(part).exists()) {
        say(format_args!("Nothing to remove: {shown} holds no data of Everlog."));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(part) = PARTS.map(|part| path.join(part)).iter().find(|part| is_foreign(part)) {
        bail!(
            "{} is not a database of Everlog, for it has no files CURRENT and IDENTITY: nothing is \
             removed; name another folder with --data-dir, or remove this one yourself",
            part.display()
        );
    }
    let unreadable = || format!("failed to read the data folder {shown}");
    let locks = Locks::take(path).with_context(unreadable)?;
    let Some(_held) = locks else {
        bail!("a server uses {shown}: stop it first, and then reset");
    };
    let contents = Contents::of(path).with_context(unreadable)?;
    let size = readable(contents.bytes);
    let question = format!("Remove all data of Everlog in {shown} ({size})?");
    if !confirm(&question, arguments.yes).map_err(anyhow::Error::msg)? {
        say(format_args!("Nothing is removed."));
        return Ok(ExitCode::FAILURE);
    }
    remove(path)?;
    let left = if path.exists() { ", and left what is not Everlog's" } else { "" };
    say(format_args!("Removed {} files ({size}) of {shown}{left}.", contents.files));
    Ok(ExitCode::SUCCESS)
}

/// Whether something is there that RocksDB did not make.
fn is_foreign(part: &Path) -> bool {
    part.exists() && !OF_ROCKSDB.iter().all(|file| part.join(file).is_file())
}

fn remove(path: &Path) -> Result<()> {
    for part in PARTS.map(|part| path.join(part)).iter().filter(|part| part.exists()) {
        std::fs::remove_dir_all(part)
            .with_context(|| format!("failed to remove {}", part.display()))?;
    }
    // Fails where something else is in it, which then stays.
    let _ = std::fs::remove_dir(path);
    Ok(())
}
