//! The `everlog` program: a server for development, and the commands that talk to one.
//!
//! Everything it does is done by other crates; here they are put together, started and ended.

mod admin;
mod ask;
mod cli;
mod client;
mod cluster;
mod completions;
mod config;
mod confirm;
mod deployments;
mod dev;
mod doctor;
mod files;
mod invocations;
mod logs;
mod output;
mod register;
mod say;
mod server;
mod services;
mod signals;
mod sql;
mod state;
mod topics;
mod version;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::cli::{Cli, Subcommand};
use crate::say::complain;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::anyhow!("failed to start threads: {error}")),
    };
    run(cli.command, runtime).unwrap_or_else(|error| fail(&error))
}

fn run(command: Subcommand, runtime: Runtime) -> anyhow::Result<ExitCode> {
    Ok(match command {
        Subcommand::Dev(arguments) => dev::run(*arguments, runtime)?,
        Subcommand::Gateway(arguments) => server::gateway(&arguments, runtime)?,
        Subcommand::Executor(arguments) => server::executor(&arguments, runtime)?,
        Subcommand::Call(arguments) => runtime.block_on(ask::call(arguments)),
        Subcommand::Send(arguments) => runtime.block_on(ask::send(arguments)),
        Subcommand::Attach(arguments) => runtime.block_on(ask::attach(arguments)),
        Subcommand::Invocations(command) => runtime.block_on(invocations::run(command)),
        Subcommand::Services(command) => runtime.block_on(services::run(command)),
        Subcommand::Deployments(command) => runtime.block_on(deployments::run(command)),
        Subcommand::State(command) => runtime.block_on(state::run(command)),
        Subcommand::Sql(arguments) => runtime.block_on(sql::run(arguments)),
        Subcommand::Cluster(command) => runtime.block_on(cluster::run(command)),
        Subcommand::Topics(command) => runtime.block_on(topics::run(command))?,
        Subcommand::Config(command) => config::run(command)?,
        Subcommand::Doctor(arguments) => runtime.block_on(doctor::run(*arguments)),
        Subcommand::Completions(arguments) => completions::run(&arguments),
    })
}

/// Says why the program ends, in one line.
fn fail(error: &anyhow::Error) -> ExitCode {
    complain(format_args!("everlog: {error:#}"));
    ExitCode::FAILURE
}
