//! `everlog gateway` and `everlog executor`: the two roles of a cluster, each a process of its own.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use everlog_cluster::Role;
use everlog_log_client::kafka::KafkaOptions;
use tokio::runtime::Runtime;

use super::{CLOSE_MAX, Plan, run_until_signal};
use crate::config::{Config, SettingFlags, Settings};
use crate::dev::Folder;
use crate::logs;
use crate::say::say;
use crate::version::VERSION;

/// The arguments of `everlog gateway`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog gateway --kafka 127.0.0.1:9092
      Take calls at 127.0.0.1:8080, and orders at the admin port 127.0.0.1:9070.

It keeps nothing: any number of gateways may run, and any of them can be killed. The topics must be
there (`everlog topics ensure`). Settings: docs/configuration.md.")]
pub(crate) struct GatewayArguments {
    #[command(flatten)]
    flags: SettingFlags,
}

/// The arguments of `everlog executor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog executor --kafka 127.0.0.1:9092 --data-dir a --admin-address 127.0.0.1:9071 \\
      --set cluster.name=a --set cluster.address=127.0.0.1:5122
      Own partitions and run functions, beside the other executors on the same Kafka.

What it keeps in its data folder is a copy: without it, it starts from Kafka. Its admin port answers
GET /health and GET /metrics. Settings: docs/configuration.md.")]
pub(crate) struct ExecutorArguments {
    #[command(flatten)]
    flags: SettingFlags,
}

/// Runs a gateway until a signal ends it.
pub(crate) fn gateway(arguments: &GatewayArguments, runtime: Runtime) -> Result<ExitCode> {
    let config = Config::load(&arguments.flags)?;
    let kafka = kafka_of(&config.settings)?;
    logs::start(&config);
    let settings = config.settings;
    let plan = Plan { role: Role::Gateway, kafka: Some(kafka), data: None };
    let ended = runtime.block_on(run_until_signal(settings, plan, |settings, server| {
        let Some(gateway) = server.gateway() else { return };
        let addresses = gateway.addresses();
        say(format_args!("Everlog {VERSION}: gateway {}.", settings.cluster.member_name()));
        say(format_args!("  calls     http://{}", addresses.ingress));
        say(format_args!("  admin     http://{}", addresses.admin));
    }));
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

/// Runs an executor until a signal ends it.
pub(crate) fn executor(arguments: &ExecutorArguments, runtime: Runtime) -> Result<ExitCode> {
    let config = Config::load(&arguments.flags)?;
    let kafka = kafka_of(&config.settings)?;
    logs::start(&config);
    let settings = config.settings;
    let folder = Folder::choose(&settings)?;
    folder.warn_of_size(&settings);
    let plan = Plan { role: Role::Executor, kafka: Some(kafka), data: Some(folder.path()) };
    let ended = runtime.block_on(run_until_signal(settings, plan, |settings, server| {
        let Some((admin, asked)) = server.executor_ports() else { return };
        say(format_args!("Everlog {VERSION}: executor {}.", settings.cluster.member_name()));
        say(format_args!("  admin     http://{admin}   (/health, /metrics)"));
        say(format_args!("  cluster   {asked}"));
    }));
    // Tasks hold the tables open, which write to the folder until they are closed.
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

fn kafka_of(settings: &Settings) -> Result<KafkaOptions> {
    let Some(kafka) = settings.kafka_options() else {
        bail!("no Kafka is named: set kafka.bootstrap_servers, or --kafka HOST:PORT");
    };
    Ok(kafka)
}
