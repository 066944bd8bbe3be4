//! A data folder that cannot be used is refused with a sentence; a full disk loses nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_e2e::Functions;
use everlog_harness::{Everlog, Process, within};
use tokio::process::Command;
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// At 64 KiB each, many times what is left on the full disk.
const CALLS_UNTIL_FULL: usize = 4_000;

async fn refusal(everlog: &mut Everlog) -> Result<String> {
    everlog.spawn()?;
    let status = everlog.ended().await?;
    assert!(!status.success(), "it started");
    Ok(everlog.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut first = Everlog::start(&data, &[]).await?;
    let mut second = Everlog::on(&data, &[])?;
    let said = refusal(&mut second).await?;
    assert!(said.contains("in use") && said.contains(data.to_str().unwrap()), "{said}");
    first.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    Everlog::start(&data, &["--partitions", "4"]).await?.stop().await?;
    let said = refusal(&mut Everlog::on(&data, &["--partitions", "5"])?).await?;
    assert!(said.contains('4') && said.contains('5') && said.contains("partitions"), "{said}");
    Ok(())
}

/// Overwrites the middle of each file whose name begins or ends like this; at least one.
fn damage(folder: &Path, name: impl Fn(&str) -> bool) -> Result<()> {
    let mut damaged = 0;
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if name(path.file_name().unwrap().to_str().unwrap()) && bytes.len() > 64 {
            let middle = bytes.len() / 2;
            bytes[middle - 32..middle + 32].fill(0xa5);
            std::fs::write(&path, bytes)?;
            damaged += 1;
        }
    }
    assert!(damaged > 0, "nothing to damage in {}", folder.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_folder_is_refused_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    everlog.call("/Steps/five", &[], "").await?.success()?;
    everlog.stop().await?;
    for database in ["log", "tables"] {
        let damaged = folder.path().join(format!("damaged-{database}"));
        copy_folder(&data, &damaged)?;
        damage(&damaged.join(database), |file| file.starts_with("MANIFEST"))?;
        let said = refusal(&mut Everlog::on(&damaged, &[])?).await?;
        assert!(said.contains("corrupt"), "{database}: {said}");
        assert!(said.contains(damaged.to_str().unwrap()), "{database}: {said}");
    }
    Everlog::start(&data, &[]).await?.stop().await
}

/// Where the damage makes a record look longer than the file, nobody can tell it from a write that
/// a crash has cut: the partitions whose records are missing stop, and the others live.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_records_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    everlog.call("/Steps/five", &[], "").await?.success()?;
    everlog.stop().await?;
    damage(&data.join("log"), |file| {
        Path::new(file).extension().is_some_and(|kind| kind == "log")
    })?;
    let mut damaged = Everlog::on(&data, &[])?;
    damaged.spawn()?;
    within(WAIT_MAX, "the loss is said", || async {
        let said = damaged.output();
        said.contains("corrupt") || said.contains("has lost records")
    })
    .await
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let path = file?.path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            std::fs::copy(&path, &copy)?;
        }
    }
    Ok(())
}

/// A file system of its own size, in memory, which only its holder and who enters it can see.
struct SmallDisk {
    path: PathBuf,
    holder: Process,
}

impl SmallDisk {
    async fn mount(path: PathBuf, size: &str) -> Result<Self> {
        std::fs::create_dir_all(&path)?;
        let script = r#"mount -t tmpfs -o size="$2" tmpfs "$1" && touch "$1/mounted" && read -r _"#;
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "holder"])
            .arg(&path)
            .arg(size);
        let holder = Process::hold(&mut command)?;
        let disk = Self { path, holder };
        let mounted = disk.seen_from_outside()?.join("mounted");
        within(WAIT_MAX, "the small disk is mounted", || async { mounted.exists() }).await?;
        Ok(disk)
    }

    /// The disk, as a path that this process can use.
    fn seen_from_outside(&self) -> Result<PathBuf> {
        let root = format!("/proc/{}/root", self.holder.pid()?);
        Ok(Path::new(&root).join(self.path.strip_prefix("/")?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path().join("disk"), "400m").await?;
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::on(&disk.path.join("data"), &["--partitions", "2"])?
        .with_mounts_of(disk.holder.pid()?);
    everlog.restart().await?;
    everlog.register(&functions.uri()).await?.success()?;
    let headers = [("idempotency-key", "before")];
    let before = everlog.call("/Steps/five", &headers, "").await?.success()?;

    // Fill the disk, and call until a call is not acknowledged any more.
    let filler = disk.seen_from_outside()?.join("filler");
    let full = std::fs::write(&filler, vec![0; 400 << 20]);
    assert_eq!(full.map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
    let mut acknowledged = Vec::new();
    let unacknowledged = loop {
        let key = format!("full-{}", acknowledged.len());
        let body = format!("\"{}\"", "x".repeat(1 << 16));
        let headers = [("idempotency-key", key.as_str())];
        let sent = everlog.call("/Steps/echo/send", &headers, &body);
        // While the tables cannot be written, nobody knows the verdict: a caller waits for it.
        match timeout(PATIENCE, sent).await {
            Ok(reply) if reply.as_ref().is_ok_and(|reply| reply.status == 202) => {
                acknowledged.push(reply?.headers["x-restate-id"].to_str()?.to_owned());
            }
            Ok(reply) => break Some(reply?),
            Err(_) => break None,
        }
        assert!(acknowledged.len() < CALLS_UNTIL_FULL, "a full disk takes everything");
    };
    if let Some(refused) = unacknowledged {
        assert_eq!(refused.status, 503, "{}", refused.text());
    }

    // With room again, and without a restart if it lives: it takes calls and knows the old ones.
    std::fs::remove_file(&filler)?;
    assert!(everlog.process()?.is_running()?, "everlog died of a full disk: {}", everlog.output());
    within(WAIT_MAX, "it takes calls again", || async {
        everlog.call("/Steps/echo", &[], "\"x\"").await.is_ok_and(|reply| reply.status == 200)
    })
    .await
    .with_context(|| everlog.output())?;
    let after = everlog.call("/Steps/five", &headers, "").await?.success()?;
    assert_eq!(before.body, after.body);
    everlog.kill().await?;
    everlog.restart().await?;
    let after = everlog.call("/Steps/five", &headers, "").await?.success()?;
    assert_eq!(before.body, after.body);
    for id in acknowledged {
        let path = format!("/restate/attach/{id}");
        everlog.http.get(everlog.ingress, &path).await?.success()?;
    }
    everlog.stop().await
}
