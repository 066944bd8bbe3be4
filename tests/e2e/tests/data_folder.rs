//! A data folder that cannot be used is refused with a sentence; a full disk loses nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_e2e::Functions;
use everlog_harness::{Everlog, within};
use tokio::process::Command;
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(2);
/// At 64 KiB each, many times what is left on the full disk.
const CALLS_UNTIL_FULL: usize = 4_000;

async fn refusal(everlog: &mut Everlog) -> Result<String> {
    everlog.spawn()?;
    let status = everlog.process()?.ended().await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_folder_is_refused_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    everlog.call("/Steps/five", &[], "").await?.success()?;
    everlog.stop().await?;
    for file in std::fs::read_dir(data.join("log"))? {
        let path = file?.path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("MANIFEST") {
            std::fs::write(&path, b"this is no manifest")?;
        }
    }
    let said = refusal(&mut Everlog::on(&data, &[])?).await?;
    assert!(said.contains("corrupt") && said.contains(data.to_str().unwrap()), "{said}");
    Ok(())
}

/// A file system of its own size, in memory.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    async fn mount(at: &'a Path, size: &str) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .status()
            .await?;
        mounted.success().then_some(Self(at)).context("failed to mount a small disk; needs root")
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    let _disk = SmallDisk::mount(&disk, "400m").await?;
    let data = disk.join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &["--partitions", "2"]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    let headers = [("idempotency-key", "before")];
    let before = everlog.call("/Steps/five", &headers, "").await?.success()?;

    // Fill the disk until calls are refused, and say so.
    let filler = disk.join("filler");
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M", &format!("of={}", filler.display())])
        .output()
        .await?;
    assert!(!fill.status.success(), "the disk is not full");
    let mut refused = None;
    for call in 0..CALLS_UNTIL_FULL {
        let key = format!("full-{call}");
        let body = format!("\"{}\"", "x".repeat(1 << 16));
        let headers = [("idempotency-key", key.as_str())];
        let sent = everlog.call("/Steps/echo/send", &headers, &body);
        // A call whose fate is unknown is sent again for minutes: its client may lose patience.
        let Ok(reply) = timeout(PATIENCE, sent).await else { continue };
        let reply = reply?;
        if !reply.status.is_success() {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.context("a full disk refuses nothing")?;
    assert_eq!(refused.status, 503, "{}", refused.text());

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
    everlog.stop().await
}
