//! Measures Everlog: beside another engine in one run, with the same functions, the same callers and
//! the same machine; for an hour under a steady load; and with thousands of invocations that wait.
//!
//! Absolute figures say more about the machine than about the engine; compare the rows of one run.

mod case;
mod engine;
mod functions;
mod load;
mod queries;
mod report;
mod steady;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::case::CASES;
use crate::engine::Engine;
use crate::queries::Queries;
use crate::steady::Steady;
use crate::waiting::Waiting;

/// Measures Everlog.
#[derive(Debug, Parser)]
#[command(name = "everlog-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serves functions that are measured, until it is ended.
    Functions {
        /// Which.
        set: functions::Set,
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Runs every case on every engine and prints the table.
    Run(Run),
    /// Watches what a server holds under a steady load, and fails if something grows.
    ///
    /// The `everlog` program is the one beside this.
    Steady(Steady),
    /// Lets thousands of invocations wait at once, and wakes them.
    ///
    /// The `everlog` program is the one beside this.
    Waiting(Waiting),
    /// Asks questions in SQL about many invocations.
    ///
    /// The `everlog` program is the one beside this.
    Queries(Queries),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The `everlog` program.
    #[arg(long)]
    everlog: PathBuf,
    /// The `restate-server` program; left out, only Everlog is measured.
    #[arg(long)]
    restate: Option<PathBuf>,
    /// Seconds each case is measured, after a fifth of that to warm up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many callers call at the same time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    callers: Vec<usize>,
    /// Measure only the cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Write the table here too.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Task::Functions { set, listen } => functions::serve(set, listen).await,
        Task::Run(run) => measure(&run).await,
        Task::Steady(steady) => steady.run().await,
        Task::Waiting(waiting) => waiting.run().await,
        Task::Queries(queries) => queries.run().await,
    }
}

async fn measure(run: &Run) -> Result<()> {
    let functions = functions::Child::start(functions::Set::Calls).await?;
    let mut engines = vec![Engine::everlog(&run.everlog)];
    engines.extend(run.restate.as_deref().map(Engine::restate));
    let length = Duration::from_secs_f64(run.seconds);
    let mut rows = Vec::new();
    for engine in engines {
        eprintln!("{}: starting", engine.name());
        let running = engine.start(&functions.uri()).await?;
        for &case in CASES {
            if run.only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
                continue;
            }
            for &callers in &run.callers {
                let row = running.measure(case, callers, length).await?;
                eprintln!("{row}");
                rows.push(row);
            }
        }
        running.stop().await?;
    }
    let table = report::table(&rows, run.seconds);
    println!("{table}");
    if let Some(out) = &run.out {
        std::fs::write(out, &table)
            .with_context(|| format!("failed to write {}", out.display()))?;
    }
    Ok(())
}
