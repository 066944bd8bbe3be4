//! `everlog completions`: what a shell needs to complete our commands.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::say::complain;

/// The arguments of `everlog completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog completions bash > ~/.local/share/bash-completion/completions/everlog
  everlog completions zsh > ~/.zfunc/_everlog
  everlog completions fish > ~/.config/fish/completions/everlog.fish")]
pub(crate) struct CompletionsArguments {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints them.
pub(crate) fn run(arguments: &CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "everlog", &mut script);
    match std::io::Write::write_all(&mut std::io::stdout(), &script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("everlog: failed to print the completions: {error}"));
            ExitCode::FAILURE
        }
    }
}
