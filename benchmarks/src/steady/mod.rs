//! Watches a server under a steady, modest load for a long time: memory, threads, files and disk
//! must come to rest.
//!
//! History and retention are short, so that both are full long before the half that is judged.

mod growth;
mod orders;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use everlog_harness::Everlog;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::growth::{JUDGED_FROM, Sample, findings};
use self::orders::Orders;
use crate::functions::{Child, Set};

const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// One sample a minute is printed.
const PRINTED_EVERY: usize = 6;
/// What the kernel counts the blocks of a file in, in bytes.
const BLOCK_BYTES: u64 = 512;
/// What the run changes of the server's settings.
const SETTINGS: [(&str, &str); 3] = [
    ("EVERLOG_HISTORY_BYTES_MAX", "32MiB"),
    ("EVERLOG_UNKEYED_RETENTION", "1m"),
    ("EVERLOG_LOG", "warn,apache_avro=error"),
];

/// A long run.
#[derive(Debug, clap::Args)]
pub(crate) struct Steady {
    /// How long the load lasts.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Calls per second. Each calls two other functions.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
}

impl Steady {
    /// Runs the load, prints what the server holds every minute, and what grows at the end. An
    /// error if a call failed or something grows.
    pub(crate) async fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let functions = Child::start(Set::Shop).await?;
        let mut everlog = Everlog::on(&data, &[])?;
        for (name, value) in SETTINGS {
            everlog = everlog.with_env(name, value);
        }
        everlog.restart().await?;
        everlog.register(&functions.uri()).await?.success()?;

        let orders = Arc::new(Orders::new());
        let mut sending = JoinSet::new();
        sending.spawn(Arc::clone(&orders).send(everlog.ingress, self.rate));
        let samples = self.watch(&mut everlog, &data, &orders).await?;
        sending.shutdown().await;
        let ended = orders.end().await;
        let (answered, left_out) = (orders.answered(), orders.left_out());
        println!("\n{answered} calls answered, {left_out} left out; the second half:\n");
        println!(
            "| | least | most | at most | growth per hour | at most |\n|---|---|---|---|---|---|"
        );
        let findings = findings(&samples);
        for finding in &findings {
            println!("{finding}");
        }
        ended?;
        everlog.stop().await?;
        let said = everlog.output();
        let warned: Vec<_> =
            said.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        ensure!(warned.is_empty(), "everlog warned:\n{}", warned.join("\n"));
        if Duration::from_mins(self.minutes) < JUDGED_FROM {
            println!("\nToo short to judge: that takes {} minutes.", JUDGED_FROM.as_secs() / 60);
        } else {
            ensure!(findings.iter().all(growth::Finding::is_bounded), "something grows");
        }
        Ok(())
    }

    async fn watch(
        &self,
        everlog: &mut Everlog,
        data: &Path,
        orders: &Orders,
    ) -> Result<Vec<Sample>> {
        println!(
            "| minute | calls/s | memory MiB | threads | open files | disk MiB |\n|---|---|---|---|---|---|"
        );
        let mut samples: Vec<Sample> = Vec::new();
        let mut printed = Sample::default();
        let begin = Instant::now();
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while begin.elapsed() < Duration::from_mins(self.minutes) {
            ticks.tick().await;
            let usage = everlog.process()?.usage()?;
            let sample = Sample {
                at: begin.elapsed(),
                answered: orders.answered(),
                resident_bytes: usage.resident_bytes,
                threads: usage.threads,
                open_files: usage.open_files,
                disk_bytes: bytes_of(data)?,
            };
            samples.push(sample);
            if samples.len() % PRINTED_EVERY == 1 {
                print(&sample, &printed);
                printed = sample;
            }
        }
        Ok(samples)
    }
}

#[expect(clippy::cast_precision_loss, reason = "calls in a minute are few")]
fn print(sample: &Sample, before: &Sample) {
    let seconds = sample.at.saturating_sub(before.at).as_secs_f64().max(1.0);
    println!(
        "| {} | {:.0} | {} | {} | {} | {} |",
        sample.at.as_secs() / 60,
        (sample.answered - before.answered) as f64 / seconds,
        sample.resident_bytes >> 20,
        sample.threads,
        sample.open_files,
        sample.disk_bytes >> 20,
    );
}

/// What a folder takes on disk. Files that are removed meanwhile do not count.
fn bytes_of(path: &Path) -> Result<u64> {
    let is_there = |error: &std::io::Error| error.kind() != ErrorKind::NotFound;
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if is_there(&error) => return Err(error.into()),
        Err(_gone) => return Ok(0),
    };
    if !file.is_dir() {
        return Ok(file.blocks() * BLOCK_BYTES);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += bytes_of(&entry?.path())?;
    }
    Ok(bytes)
}
