//! What is looked at on this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use everlog_connect::Identity;
use rustix::fs::{Access, access, statvfs};

use super::Finding;
use crate::config::Settings;
use crate::dev::{Contents, Locks, readable};
use crate::files;

/// With less room than this, in bytes, the disk is soon full.
const ROOM_MIN: u64 = 1 << 30;
/// With fewer open files than this there is little room for connections.
const FILES_MIN: usize = 4_096;
/// A clock may stand so far behind the last change of the data.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(2);
/// The first version of Node that the SDK for TypeScript works well with.
const NODE_MIN: u32 = 22;
/// How long Node may take to say its version.
const NODE_DEADLINE: Duration = Duration::from_secs(5);

/// Looks at the data folder and the disk below it.
pub(super) fn folder(settings: &Settings) -> Vec<Finding> {
    const FOLDER: &str = "data folder";
    if settings.ephemeral {
        return vec![Finding::ok(FOLDER, "none: nothing is kept")];
    }
    let path = settings.data_dir.as_path();
    let shown = path.display();
    // Where it is not there, it is made in the nearest folder that is.
    let there = nearest_there(path);
    let writable = access(&there, Access::WRITE_OK | Access::EXEC_OK);
    let mut findings = Vec::new();
    findings.push(match (writable, Contents::of(path)) {
        (Err(error), _) => Finding::fail(
            FOLDER,
            format!("{} may not be written to: {}", there.display(), io::Error::from(error)),
            "change its owner, or choose another with data_dir",
        ),
        (Ok(()), Err(error)) => Finding::fail(
            FOLDER,
            format!("failed to read {shown}: {error}"),
            "choose a folder with data_dir",
        ),
        (Ok(()), Ok(_)) if there != path => {
            Finding::ok(FOLDER, format!("{shown} is yet to be made"))
        }
        (Ok(()), Ok(_)) if !path.is_dir() => {
            Finding::fail(FOLDER, format!("{shown} is a file"), "choose a folder with data_dir")
        }
        (Ok(()), Ok(contents)) => of_size(settings, contents.bytes),
    });
    if let Ok(None) = Locks::take(path) {
        findings.push(Finding::ok(FOLDER, format!("a server uses {shown}")));
    }
    findings.extend(room(&there));
    findings
}

fn of_size(settings: &Settings, bytes: u64) -> Finding {
    let (shown, size) = (settings.data_dir.display(), readable(bytes));
    if bytes <= settings.data_dir_warn_bytes.0 {
        return Finding::ok("data folder", format!("{shown} has {size}"));
    }
    let max = settings.data_dir_warn_bytes;
    Finding::warn(
        "data folder",
        format!("{shown} has {size}, more than {max}"),
        "docs/configuration.md tells what bounds it; `everlog dev reset` removes it",
    )
}

fn room(path: &Path) -> Option<Finding> {
    let about = statvfs(path).ok()?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let says = format!("{} free", readable(free));
    Some(if free >= ROOM_MIN {
        Finding::ok("disk", says)
    } else {
        Finding::warn("disk", says, "make room: with a full disk no call is accepted")
    })
}

fn nearest_there(path: &Path) -> PathBuf {
    let mut above = path.ancestors().filter(|folder| folder.exists());
    match above.next() {
        Some(folder) if folder.as_os_str().is_empty() => ".".into(),
        Some(folder) => folder.to_owned(),
        None => ".".into(),
    }
}

/// Looks whether the clock went back.
pub(super) fn clock(settings: &Settings) -> Finding {
    let last = if settings.ephemeral { None } else { Contents::of(&settings.data_dir).ok() };
    clock_against(SystemTime::now(), last.and_then(|contents| contents.changed))
}

fn clock_against(now: SystemTime, last_change: Option<SystemTime>) -> Finding {
    let ahead = last_change.and_then(|last| last.duration_since(now).ok()).unwrap_or_default();
    if ahead <= CLOCK_BEHIND_MAX {
        return Finding::ok("clock", "is not behind the data");
    }
    let behind = crate::output::brief(ahead);
    Finding::warn(
        "clock",
        format!("is {behind} behind the last change of the data"),
        "set it right (timedatectl): until it has caught up, no timer fires",
    )
}

/// Looks how many files may be open.
pub(super) fn files() -> Finding {
    let files = files::raise_limit();
    let says = if files == usize::MAX { "no limit".to_owned() } else { format!("{files} at once") };
    if files >= FILES_MIN {
        return Finding::ok("open files", says);
    }
    let remedy = format!("raise it to {FILES_MIN} or more: ulimit -n, or LimitNOFILE of systemd");
    Finding::warn("open files", says, remedy)
}

/// Looks at what requests to deployments are signed with.
pub(super) fn identity(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "identity";
    let path = settings.request_identity_file.as_ref()?;
    Some(match Identity::of_file(path) {
        Ok(identity) => {
            let keys = identity.public_keys().join(", then ");
            Finding::ok(CHECK, format!("requests to functions are signed; public key {keys}"))
        }
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "mend the file that request_identity_file names",
        ),
    })
}

/// Looks at Node, where there is one: functions in TypeScript need it.
pub(super) async fn node() -> Option<Finding> {
    let asking = tokio::process::Command::new("node")
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = tokio::time::timeout(NODE_DEADLINE, asking).await.ok()?.ok()?;
    node_of(String::from_utf8_lossy(&said.stdout).trim())
}

fn node_of(version: &str) -> Option<Finding> {
    let major: u32 = version.strip_prefix('v')?.split('.').next()?.parse().ok()?;
    let says = format!("Node {version}");
    Some(if major >= NODE_MIN {
        Finding::ok("node", says)
    } else {
        let remedy = format!("functions in TypeScript need Node {NODE_MIN} or newer");
        Finding::warn("node", says, remedy)
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::Level;
    use super::*;
    use crate::config::ByteSize;

    fn levels(findings: &[Finding]) -> Vec<(&str, Level)> {
        findings.iter().map(|finding| (finding.says.as_str(), finding.level)).collect()
    }

    #[test]
    fn a_folder_is_yet_to_be_made_or_has_a_size() {
        let parent = TempDir::new().unwrap();
        let data_dir = parent.path().join("a/b");
        let settings = Settings { data_dir, ..Settings::default() };
        assert!(folder(&settings)[0].says.ends_with("is yet to be made"));
        std::fs::create_dir_all(&settings.data_dir).unwrap();
        std::fs::write(settings.data_dir.join("x"), "12345").unwrap();
        let found = folder(&settings);
        assert!(found[0].says.ends_with("has 5 B") && found[0].level == Level::Ok, "{found:?}");
        let settings = Settings { data_dir_warn_bytes: ByteSize(4), ..settings };
        assert_eq!(folder(&settings)[0].level, Level::Warn);
        let file = Settings { data_dir: settings.data_dir.join("x"), ..settings };
        assert_eq!(folder(&file)[0].level, Level::Fail);
        let kept_nowhere = Settings { ephemeral: true, ..file };
        assert_eq!(levels(&folder(&kept_nowhere)), [("none: nothing is kept", Level::Ok)]);
    }

    #[test]
    fn a_clock_that_went_back_is_seen() {
        let now = SystemTime::now();
        for (ahead, level) in [(0, Level::Ok), (2, Level::Ok), (3, Level::Warn)] {
            let last = now + Duration::from_secs(ahead);
            assert_eq!(clock_against(now, Some(last)).level, level, "{ahead}");
        }
        assert_eq!(clock_against(now, None).level, Level::Ok);
    }

    #[test]
    fn an_old_node_is_named() {
        assert_eq!(node_of("v22.0.0").unwrap().level, Level::Ok);
        assert_eq!(node_of("v21.9.0").unwrap().level, Level::Warn);
        assert_eq!(node_of("no version"), None);
    }

    #[test]
    fn the_public_key_is_shown_and_a_file_without_one_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key.pem");
        let settings =
            Settings { request_identity_file: Some(path.clone()), ..Settings::default() };
        assert_eq!(identity(&Settings::default()), None);
        assert_eq!(identity(&settings).unwrap().level, Level::Fail);
        // Made by `openssl genpkey -algorithm ed25519`.
        let key = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIHsTAfcFVhLiCMrqqrnXgP7xhzOOA3lH6NGqPJFW9AYZ\n\
                   -----END PRIVATE KEY-----\n";
        std::fs::write(&path, key).unwrap();
        let found = identity(&settings).unwrap();
        assert_eq!(found.level, Level::Ok, "{found:?}");
        assert!(found.says.contains("publickeyv1_"), "{found:?}");
    }
}
