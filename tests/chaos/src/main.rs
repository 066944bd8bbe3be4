//! `everlog-chaos`: real processes, random programs, faults, and a verdict.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use everlog_chaos::driver::Load;
use everlog_chaos::run::{Plan, new_folder, run};
use everlog_chaos::stage::On;
use everlog_chaos::{checks, history, recovery};
use tokio::signal::unix::{SignalKind, signal};

/// Does harm to real processes, and checks that no promise was broken.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a workload while faults strike, and judges its history.
    Run(Run),
    /// Measures how long calls wait when their executor is killed.
    Recovery(Recovery),
    /// Judges the history of an earlier run once more.
    Check {
        /// The file.
        history: PathBuf,
        /// The number of partitions of the run.
        #[arg(long)]
        partitions: u32,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// What it runs on.
    #[arg(long, value_enum)]
    on: On,
    /// How long faults strike, in minutes; each kind strikes at least once. 0: once each.
    #[arg(long, default_value_t = 0.0)]
    minutes: f64,
    /// Decides programs and faults; drawn and printed unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many callers there are.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    callers: u32,
    /// How many keys they call.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    keys: u32,
    /// How many calls they make per second, all together.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Keeps the folder of the run even where all is well.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Recovery {
    /// How many executors keep a partition's tables beside its owner.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=2))]
    standbys: u32,
    /// How many kills there are.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// How many calls are made per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Who is asked to end lets go of what runs, which ends all processes.
    let outcome = tokio::select! {
        outcome = obey(Cli::parse().command) => outcome,
        () = asked_to_end() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn obey(command: Command) -> Result<bool> {
    match command {
        Command::Run(arguments) => perform(&arguments).await,
        Command::Recovery(arguments) => recover(&arguments).await,
        Command::Check { history, partitions } => judge(&history, partitions),
    }
}

/// Returns once somebody wants this program to end.
async fn asked_to_end() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn perform(arguments: &Run) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(random_seed);
    let Run { on, minutes, callers, keys, rate, keep, .. } = *arguments;
    println!("chaos: on {on:?}, seed {seed}, {callers} callers, {keys} keys, {rate} calls/s");
    let load = Load { seed, callers, keys, rate };
    let lasts = Duration::try_from_secs_f64(minutes * 60.0)?;
    let folder = new_folder()?;
    let outcome = run(&Plan { on, seed, lasts, load }, &folder).await;
    let well = outcome.as_ref().is_ok_and(everlog_chaos::run::Outcome::holds);
    if well && !keep {
        std::fs::remove_dir_all(&folder)?;
    } else {
        println!("chaos: history and logs are kept in {}", folder.display());
    }
    if let Err(error) = &outcome {
        println!("chaos: the run failed: {error:#}");
    }
    println!("chaos: {}, seed {seed}", if well { "all is well" } else { "FAILED" });
    Ok(well)
}

async fn recover(arguments: &Recovery) -> Result<bool> {
    let Recovery { standbys, kills, rate } = *arguments;
    println!("recovery: {standbys} standbys, {kills} kills under {rate} calls/s");
    let folder = new_folder()?;
    let gaps = recovery::measure(recovery::Plan { standbys, kills, rate }, &folder).await;
    match &gaps {
        Ok(gaps) => {
            let (median, max) = (gaps.median(), gaps.max());
            println!("recovery: {standbys} standbys: median {median:.2?}, longest {max:.2?}");
            std::fs::remove_dir_all(&folder)?;
        }
        Err(_) => println!("recovery: logs are kept in {}", folder.display()),
    }
    gaps.map(|_| true)
}

fn judge(path: &std::path::Path, partitions: u32) -> Result<bool> {
    let report = checks::check(&history::read(path)?, partitions);
    for figure in &report.figures {
        println!("{figure}");
    }
    for violation in &report.violations {
        println!("VIOLATION {violation}");
    }
    Ok(report.violations.is_empty())
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) >> 32
}
