//! Kills everlog in the middle of two hundred orders and checks what is left.
//!
//! One run: start the outside world, the functions and everlog; place orders; `kill -9` everlog
//! while orders are half done; start it again; wait for every answer; compare the recorded results
//! with what the outside world saw. Invariant: no process and no file outlives the run, however it
//! ends.

mod check;
mod children;
mod orders;
mod stage;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::stage::{Plan, Stage};

/// Kills Everlog in the middle of many orders and shows that every one finishes, once.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// How many orders to place.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=2_000))]
    orders: u32,
    /// How many orders wait for an answer at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// Everlog's port for calls.
    #[arg(long, env = "DEMO_INGRESS_PORT", default_value_t = 8080)]
    ingress_port: u16,
    /// Everlog's port for administration.
    #[arg(long, env = "DEMO_ADMIN_PORT", default_value_t = 9070)]
    admin_port: u16,
    /// The checkout functions' port.
    #[arg(long, env = "DEMO_FUNCTIONS_PORT", default_value_t = 9080)]
    functions_port: u16,
    /// The counter service's port.
    #[arg(long, env = "DEMO_COUNTER_PORT", default_value_t = 9090)]
    counter_port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        orders: arguments.orders,
        concurrency: arguments.concurrency,
        ingress: arguments.ingress_port,
        admin: arguments.admin_port,
        functions: arguments.functions_port,
        counter: arguments.counter_port,
    };
    // Dropping the stage ends its processes and removes its folder, also when a signal wins.
    let outcome = tokio::select! {
        outcome = perform(plan) => outcome,
        name = interrupted() => Err(anyhow::anyhow!("stopped by {name}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nThe demo failed: a check above says why.");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo. Gives whether every check held.
async fn perform(plan: Plan) -> anyhow::Result<bool> {
    println!("Everlog demo: {} orders and one kill -9\n", plan.orders);
    let mut stage = Stage::set(plan)?;
    let outcome = stage.play().await;
    if !matches!(outcome, Ok(true)) {
        stage.print_logs();
    }
    stage.clear().await;
    outcome
}

async fn interrupted() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        // Without handlers the signals have their usual effect.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    }
}
