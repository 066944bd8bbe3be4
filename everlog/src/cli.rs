//! The command line: the list of commands. The arguments of each are in its own module.

use clap::Parser;

use crate::ask::{AttachArguments, CallArguments, SendArguments};
use crate::cluster::ClusterCommand;
use crate::completions::CompletionsArguments;
use crate::config::ConfigCommand;
use crate::deployments::DeploymentsCommand;
use crate::dev::DevArguments;
use crate::doctor::DoctorArguments;
use crate::invocations::InvocationsCommand;
use crate::server::{ExecutorArguments, GatewayArguments};
use crate::services::ServicesCommand;
use crate::sql::SqlArguments;
use crate::state::StateCommand;
use crate::topics::TopicsCommand;
use crate::version::VERSION;

/// Durable functions on a log.
///
/// A function that is called through Everlog runs to its end: its steps are recorded as they
/// happen, and after a crash it goes on where it stood.
#[derive(Debug, Parser)]
#[command(name = "everlog", version = VERSION, arg_required_else_help = true)]
#[command(after_help = "\
Start with `everlog dev`, then read `everlog call --help`. Where something does not work,
`everlog doctor` says what and why.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Subcommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Run a whole server in this process, its data in one folder.
    Dev(Box<DevArguments>),
    /// Take calls, as a process of a cluster on Kafka.
    Gateway(Box<GatewayArguments>),
    /// Own partitions and run functions, as a process of a cluster on Kafka.
    Executor(Box<ExecutorArguments>),
    /// Call a handler and print what it returns.
    Call(CallArguments),
    /// Hand a call over without waiting for it, and print its id.
    Send(SendArguments),
    /// Wait for a call that was sent before, and print what it returned.
    Attach(AttachArguments),
    /// See what runs, waits and has ended, and act on it.
    #[command(subcommand, visible_alias = "inv")]
    Invocations(InvocationsCommand),
    /// See the services that can be called.
    #[command(subcommand)]
    Services(ServicesCommand),
    /// Register the code of services, and see what is registered.
    #[command(subcommand)]
    Deployments(DeploymentsCommand),
    /// See the state of virtual objects.
    #[command(subcommand)]
    State(StateCommand),
    /// Ask in SQL about invocations, journals, queues, state and what is registered.
    Sql(SqlArguments),
    /// See how the server does.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Make and check the topics on Kafka.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// See the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for what keeps Everlog from working, and say what to do.
    Doctor(Box<DoctorArguments>),
    /// Print the completions of commands for a shell.
    Completions(CompletionsArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_command_lacks_nothing_and_takes_nothing_strange() {
        for line in [
            "dev --ephemeral --data-dir x",
            "dev --partitions 0",
            "dev --partitions 1025",
            "dev --ingress-address 8080",
            "dev --inactivity-timeout 5",
            "dev reset --set",
            "topics",
            "topics check --kafka",
            "config",
            "config show --ephemeral=no",
            "completions tcsh",
            "deployments register",
            "deployments show",
            "services show",
            "sql",
            "sql SELECT 1",
            "state get Cart",
            "invocations show",
            "invocations cancel",
            "invocations list --status asleep",
            "invocations list --limit 0",
            "invocations list --limit 10001",
            "invocations list --watch=often",
            "invocations kill --service",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("everlog").chain(line.split(' ')));
            assert!(parsed.is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_documented_is_understood() {
        for line in [
            "dev",
            "dev --partitions 1024 --register http://a --register http://b",
            "dev reset --yes --data-dir x",
            "config show --json --partitions 3",
            "dev --kafka 127.0.0.1:9092",
            "gateway --kafka 127.0.0.1:9092 --ingress-address 127.0.0.1:0",
            "executor --data-dir x --set cluster.name=a",
            "doctor --json --data-dir x",
            "topics ensure --kafka a:1,b:2 --set kafka.replication_factor=1",
            "topics check --json",
            "completions fish",
            "deployments list --watch",
            "deployments register http://127.0.0.1:9080 --force",
            "services list --json",
            "state get Cart ann items",
            "sql SELECT",
            "sql SELECT --json --watch=1s",
            "cluster status --watch=500ms",
            "inv list --service Cart --status running,suspended --limit 10000",
            "invocations show inv_1",
            "invocations resume inv_1 inv_2",
            "invocations purge --service Cart --status completed --yes",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("everlog").chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }
}
