//! `everlog dev`: gateway and executor in one process, with an embedded log or over a Kafka.
//!
//! Its invariant: what it needs is checked before anything is served, and each thing that is
//! missing ends it with one sentence. What it has accepted is in the data folder, whatever ends it.

mod folder;
mod reset;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use everlog_cluster::Role;
use everlog_gateway::Addresses;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use tokio::runtime::Runtime;

use self::reset::ResetArguments;
use crate::config::{Config, SettingFlags, Settings};
use crate::logs;
use crate::say::say;
use crate::server::{CLOSE_MAX, Plan, Server, run_until_signal};
use crate::version::VERSION;

pub(crate) use self::folder::{Contents, Folder, Locks, readable};

/// The arguments of `everlog dev`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  everlog dev --register http://127.0.0.1:9080
      Serve the functions that listen on port 9080. Data stays in ./.everlog.
  everlog dev --ephemeral --ingress-address 127.0.0.1:0 --admin-address 127.0.0.1:0
      For a test: nothing is kept, and the system chooses the ports.
  everlog dev --kafka 127.0.0.1:9092
      Keep the log in a Kafka: topics that are missing are made.
  everlog dev reset
      Remove what is kept, and begin anew.

Each setting can also stand in a file (everlog.toml) or in the environment (EVERLOG_PARTITIONS):
docs/configuration.md has them all, `everlog config show` those in force. Logs go to standard
error; EVERLOG_LOG=info,everlog_gateway=debug says how much of them.

Ctrl-C or SIGTERM ends it in good order; the same again ends it at once. Nothing that was accepted
is lost either way.")]
pub(crate) struct DevArguments {
    #[command(subcommand)]
    command: Option<DevCommand>,
    #[command(flatten)]
    flags: SettingFlags,
}

/// What else there is to do with the data of `everlog dev`.
#[derive(Debug, clap::Subcommand)]
enum DevCommand {
    /// Remove the data folder, to begin anew.
    Reset(ResetArguments),
}

/// Runs a server until a signal ends it.
pub(crate) fn run(arguments: DevArguments, runtime: Runtime) -> Result<ExitCode> {
    if let Some(DevCommand::Reset(arguments)) = arguments.command {
        return reset::run(&arguments);
    }
    let config = Config::load(&arguments.flags)?;
    logs::start(&config);
    let settings = config.settings;
    let folder = Folder::choose(&settings)?;
    folder.warn_of_size(&settings);
    let ended = runtime.block_on(serve(settings, &folder));
    // Tasks hold the databases open, which write to the folder until they are closed.
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

async fn serve(settings: Settings, folder: &Folder) -> Result<ExitCode> {
    let kafka = match settings.kafka_options() {
        Some(options) => Some(with_topics(options).await?),
        None => None,
    };
    let plan = Plan { role: Role::Both, kafka, data: Some(folder.path()) };
    run_until_signal(settings, plan, |settings, server| greet(settings, folder, server)).await
}

/// Makes the topics, on no more brokers than there are.
async fn with_topics(options: KafkaOptions) -> Result<KafkaOptions> {
    let brokers = KafkaLog::brokers(options.clone()).await?;
    let replication_factor = options.replication_factor.min(brokers);
    let options = KafkaOptions { replication_factor, ..options };
    KafkaLog::ensure_topics(options.clone()).await?;
    Ok(options)
}

/// Says where things are, and what to do next.
fn greet(settings: &Settings, folder: &Folder, server: &Server) {
    let Some(gateway) = server.gateway() else { return };
    let data = match folder {
        Folder::Kept(path) => {
            path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
        }
        Folder::Ephemeral(_) => "nowhere: it is gone when this ends".into(),
    };
    let Addresses { ingress, admin } = gateway.addresses();
    say(format_args!("Everlog {VERSION} is running."));
    say(format_args!("  calls     http://{ingress}"));
    say(format_args!("  admin     http://{admin}   (/deployments, /services, /health, /metrics)"));
    if let Some(kafka) = settings.kafka_options() {
        say(format_args!("  log       Kafka at {}", kafka.bootstrap_servers));
    }
    say(format_args!("  data      {data}"));
    if settings.register.is_empty() {
        say(format_args!("\nNext, register the functions that you serve, say, on port 9080:"));
        say(format_args!(
            "  curl http://{admin}/deployments --json '{{\"uri\": \"http://127.0.0.1:9080\"}}'"
        ));
    } else {
        say(format_args!(
            "\nNext, once they are registered: everlog call SERVICE/HANDLER --body 'JSON'"
        ));
    }
}
