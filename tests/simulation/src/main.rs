//! The simulation on the command line: seeds in, coverage and time out, or a failing seed's story.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use everlog_simulation::bug::Bug;
use everlog_simulation::run::{Batch, run_batch};

/// Simulates partitions under faults until enough processes have died.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many processes must die.
    #[arg(long, default_value_t = 1_000_000)]
    crashes: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// At most this many seeds; coverage is demanded only without it.
    #[arg(long)]
    seeds: Option<u64>,
    /// A mistake to make on purpose; `list` names all.
    #[arg(long)]
    bug: Option<String>,
    /// How many threads share the work.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let name = arguments.bug.as_deref().unwrap_or("none");
    let Some(bug) = Bug::named(name).or((name == "none").then_some(Bug::None)) else {
        Bug::all().for_each(|bug| println!("{}", bug.name()));
        return if name == "list" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let batch = Batch {
        first_seed: arguments.seed,
        seeds_max: arguments.seeds.unwrap_or(u64::MAX),
        crashes: arguments.crashes,
        threads: arguments.threads,
        bug,
    };
    let began = Instant::now();
    let summary = run_batch(&batch, |seeds, crashes| {
        if seeds.is_multiple_of(5_000) {
            println!("{seeds} seeds, {crashes} crashes, {:.0?}", began.elapsed());
        }
    });
    println!("{}", summary.coverage.table());
    println!("{} seeds, {} records, {:.1?}", summary.seeds, summary.record_count, began.elapsed());
    if let Some(failure) = summary.failure {
        println!("{failure}");
        return ExitCode::FAILURE;
    }
    let missed = summary.coverage.missed();
    if arguments.seeds.is_none() && !missed.is_empty() {
        println!("never met: {}", missed.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
