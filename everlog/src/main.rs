//! The `everlog` program: a server for development, and the commands that talk to one.
//!
//! Everything it does is done by other crates; here they are put together, started and ended.

mod ask;
mod cli;
mod client;
mod dev;
mod files;
mod logs;
mod register;
mod say;
mod signals;
mod version;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Subcommand};
use crate::say::complain;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::anyhow!("failed to start threads: {error}")),
    };
    match cli.command {
        Subcommand::Dev(options) => {
            logs::start(options.log_format);
            match dev::run(options, runtime) {
                Ok(code) => code,
                Err(error) => fail(&error),
            }
        }
        Subcommand::Call(arguments) => runtime.block_on(ask::call(arguments)),
        Subcommand::Send(arguments) => runtime.block_on(ask::send(arguments)),
        Subcommand::Attach(arguments) => runtime.block_on(ask::attach(arguments)),
    }
}

/// Says why the program ends, in one line.
fn fail(error: &anyhow::Error) -> ExitCode {
    complain(format_args!("everlog: {error:#}"));
    ExitCode::FAILURE
}
