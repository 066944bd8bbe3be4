//! `everlog dev`: gateway, executor and embedded log in one process.
//!
//! Its invariant: what it needs is checked before anything is served, and each thing that is
//! missing ends it with one sentence. What it has accepted is in the data folder, whatever ends it.

mod folder;
mod register;
mod reset;
mod traces;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use everlog_cluster::Alone;
use everlog_connect::{Connector, TlsOptions};
use everlog_executor::invoker::{HttpInvoker, HttpInvokerOptions};
use everlog_executor::{Executor, ExecutorConfig, Standing};
use everlog_gateway::{
    Addresses, Gateway, GatewayConfig, GatewayLimits, HealthCheck, PartitionStanding, Ports,
    StandingCheck,
};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, follow_metadata};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use self::folder::Folder;
use self::register::keep_registered;
use self::reset::ResetArguments;
use self::traces::Traces;
use crate::config::{Config, SettingFlags, Settings};
use crate::files::{self, Connections};
use crate::logs;
use crate::say::say;
use crate::signals::Signals;
use crate::version::VERSION;

pub(crate) use self::folder::{Contents, Locks, readable};

/// How long functions that run get to end, once the process is asked to.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long callers whose functions have ended get to be answered.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the databases get to close.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// The exit code after a second signal, as shells give it for an interrupted program.
const INTERRUPTED: u8 = 130;

/// The executor, shared with the health check, until it is drained.
type Running = Arc<Mutex<Option<Executor>>>;

/// The arguments of `everlog dev`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  everlog dev --register http://127.0.0.1:9080
      Serve the functions that listen on port 9080. Data stays in ./.everlog.
  everlog dev --ephemeral --ingress-address 127.0.0.1:0 --admin-address 127.0.0.1:0
      For a test: nothing is kept, and the system chooses the ports.
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
    let settings = Config::load(&arguments.flags)?.settings;
    anyhow::ensure!(
        settings.kafka_options().is_none(),
        "`everlog dev` keeps its log in a folder, and kafka.bootstrap_servers names a Kafka: unset it"
    );
    logs::start(&settings);
    let folder = Folder::choose(&settings)?;
    folder.warn_of_size(&settings);
    let ended = runtime.block_on(serve(settings, &folder));
    // Tasks hold the databases open, which write to the folder until they are closed.
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

async fn serve(settings: Settings, folder: &Folder) -> Result<ExitCode> {
    let mut signals = Signals::catch().context("failed to catch signals")?;
    let server = Server::start(&settings, folder).await?;
    greet(&settings, folder, &server.gateway);
    let mut registrations = JoinSet::new();
    for uri in settings.register {
        registrations.spawn(keep_registered(server.gateway.registrar(), uri));
    }
    signals.next().await;
    let drain = DRAIN_MAX.as_secs();
    say(format_args!("Ending: running functions get {drain} s. Once more to end at once."));
    registrations.shutdown().await;
    tokio::select! {
        () = server.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// What runs in this process.
struct Server {
    gateway: Gateway,
    executor: Running,
    traces: Traces,
    // Last, so that the log outlives all that write to it.
    _log: Arc<EmbeddedLog>,
}

impl Server {
    async fn start(settings: &Settings, folder: &Folder) -> Result<Self> {
        let fsync = settings.fsync && !settings.ephemeral;
        let log_options = EmbeddedOptions { partitions: settings.partitions.0, fsync };
        let embedded = EmbeddedLog::open(folder.path().join("log"), log_options)?;
        // Before the executor starts: a server that cannot be reached must not run any function.
        let ports = Ports::bind(settings.ingress_address, settings.admin_address).await?;
        let log: Arc<dyn EventLog> = Arc::clone(&embedded) as _;
        let metadata = follow_metadata(Arc::clone(&log)).await?;
        let connector = Connector::new(&TlsOptions { ca_file: settings.tls_ca_file.clone() })?;
        let traces = Traces::start(settings, &connector)?;
        let invoker = HttpInvoker::new(HttpInvokerOptions::default(), connector.clone());
        let executor = Executor::start(ExecutorConfig {
            log: Arc::clone(&log),
            cluster: Arc::new(Alone::new(settings.partitions.0)),
            metadata: metadata.clone(),
            tables_dir: folder.path().join("tables"),
            invoker: Arc::new(invoker.traced(traces.tracer())),
            address: "in-process".into(),
            limits: settings.executor_limits(),
        })?;
        let owner = executor.owner_api();
        let executor = Running::new(Mutex::new(Some(executor)));
        let started = Gateway::start(GatewayConfig {
            log,
            metadata,
            owner,
            connector,
            ports,
            limits: gateway_limits(settings),
            defaults: settings.service_defaults(),
            version: VERSION.into(),
            health: health_of(&executor),
            standings: standings_of(&executor),
            cors_origins: settings.cors_origins.clone(),
            admin_hosts: settings.admin_hosts.clone(),
            tracer: traces.tracer(),
        });
        match started {
            Ok(gateway) => Ok(Self { gateway, executor, traces, _log: embedded }),
            Err(error) => {
                if let Some(executor) = take(&executor) {
                    executor.abort().await;
                }
                Err(error.into())
            }
        }
    }

    /// Ends in good order: nothing more comes in, what runs may end, who waits is answered or sent
    /// away, the tables are safe, and spans are sent.
    async fn stop(self) {
        self.gateway.close();
        if let Some(executor) = take(&self.executor)
            && let Err(error) = executor.drain(DRAIN_MAX).await
        {
            tracing::warn!(%error, "the next start reads more of the log");
        }
        self.gateway.shutdown(ANSWER_MAX).await;
        self.traces.stop().await;
    }
}

/// The limits of the gateway, with as many connections as there may be files for.
fn gateway_limits(settings: &Settings) -> GatewayLimits {
    let limits = settings.gateway_limits();
    let files = files::raise_limit();
    let wanted =
        Connections { ingress: limits.connections_max, admin: limits.admin_connections_max };
    let attempts = settings.open_attempts_max.get();
    let Connections { ingress, admin } = files::connections_of(files, attempts, wanted);
    if ingress < limits.requests_max {
        tracing::warn!(
            files,
            connections = ingress,
            requests_max = limits.requests_max,
            "this process may open too few files for as many callers as `requests_max` says: those \
             beyond the connections are refused; raise the limit (`ulimit -Hn`)"
        );
    }
    GatewayLimits { connections_max: ingress, admin_connections_max: admin, ..limits }
}

fn take(executor: &Running) -> Option<Executor> {
    executor.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Names the partitions that have stopped for good: those that only change hands are well.
fn health_of(executor: &Running) -> HealthCheck {
    let executor = Arc::clone(executor);
    Arc::new(move || {
        let executor = executor.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = executor.as_ref().map(Executor::health).unwrap_or_default();
        let stopped = standings.into_iter().filter_map(|(partition, standing)| match standing {
            Standing::Stopped(reason) => {
                Some(format!("partition {partition} has stopped: {reason}"))
            }
            Standing::Owner { .. } | Standing::Standby(_) => None,
        });
        stopped.collect()
    })
}

/// Tells how each partition stands; nothing once the executor is drained.
fn standings_of(executor: &Running) -> StandingCheck {
    let executor = Arc::clone(executor);
    Arc::new(move || {
        let executor = executor.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = executor.as_ref().map(Executor::health).unwrap_or_default();
        let shown = standings.into_iter().map(|(partition, standing)| {
            let (word, owned) = match standing {
                Standing::Owner { next_log, next_inbox } => ("owner", Some((next_log, next_inbox))),
                Standing::Standby(_) => ("standby", None),
                Standing::Stopped(_) => ("stopped", None),
            };
            let (next_log, next_inbox) = owned.unzip();
            PartitionStanding { partition, standing: word, next_log, next_inbox }
        });
        shown.collect()
    })
}

/// Says where things are, and what to do next.
fn greet(settings: &Settings, folder: &Folder, gateway: &Gateway) {
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
