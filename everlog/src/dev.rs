//! `everlog dev`: gateway, executor and embedded log in one process.
//!
//! Its invariant: what it needs is checked before anything is served, and each thing that is
//! missing ends it with one sentence. What it has accepted is in the data folder, whatever ends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use everlog_connect::{Connector, TlsOptions};
use everlog_executor::invoker::{HttpInvoker, HttpInvokerOptions};
use everlog_executor::{Executor, ExecutorConfig, ExecutorLimits, Standing};
use everlog_gateway::{
    Addresses, Gateway, GatewayConfig, GatewayLimits, HealthCheck, PartitionStanding, Ports,
    StandingCheck,
};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, follow_metadata};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::cli::DevOptions;
use crate::files;
use crate::register::register;
use crate::say::say;
use crate::signals::Signals;
use crate::version::VERSION;

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

/// Runs a server until a signal ends it.
pub(crate) fn run(options: DevOptions, runtime: Runtime) -> Result<ExitCode> {
    let folder = Folder::choose(&options)?;
    let ended = runtime.block_on(serve(options, &folder));
    // Tasks hold the databases open, which write to the folder until they are closed.
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

async fn serve(options: DevOptions, folder: &Folder) -> Result<ExitCode> {
    let mut signals = Signals::catch().context("failed to catch signals")?;
    let server = Server::start(&options, folder).await?;
    greet(&options, folder, &server.gateway);
    let mut registrations = JoinSet::new();
    for uri in options.register {
        registrations.spawn(register(server.gateway.registrar(), uri));
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

/// Where the data is kept.
enum Folder {
    /// Where the user wants it.
    Kept(PathBuf),
    /// Nowhere: it is removed when dropped.
    Ephemeral(TempDir),
}

impl Folder {
    fn choose(options: &DevOptions) -> Result<Self> {
        if options.ephemeral {
            let made = tempfile::Builder::new().prefix("everlog-").tempdir();
            return Ok(Self::Ephemeral(made.context("failed to make a temporary folder")?));
        }
        let path = &options.data_dir;
        std::fs::create_dir_all(path).with_context(|| {
            format!(
                "failed to make the data folder {}; choose another with --data-dir",
                path.display()
            )
        })?;
        Ok(Self::Kept(path.clone()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Ephemeral(folder) => folder.path(),
        }
    }
}

/// What runs in this process.
struct Server {
    gateway: Gateway,
    executor: Running,
    // Last, so that the log outlives all that write to it.
    _log: Arc<EmbeddedLog>,
}

impl Server {
    async fn start(options: &DevOptions, folder: &Folder) -> Result<Self> {
        let fsync = !options.no_fsync && !options.ephemeral;
        let log_options = EmbeddedOptions { partitions: options.partitions, fsync };
        let embedded = EmbeddedLog::open(folder.path().join("log"), log_options)?;
        // Before the executor starts: a server that cannot be reached must not run any function.
        let ports = Ports::bind(options.ingress_address, options.admin_address).await?;
        let log: Arc<dyn EventLog> = Arc::clone(&embedded) as _;
        let metadata = follow_metadata(Arc::clone(&log)).await?;
        let connector = Connector::new(&TlsOptions::default())?;
        let invoker = HttpInvoker::new(HttpInvokerOptions::default(), connector.clone());
        let executor = Executor::start(ExecutorConfig {
            log: Arc::clone(&log),
            metadata: metadata.clone(),
            tables_dir: folder.path().join("tables"),
            invoker: Arc::new(invoker),
            address: "in-process".into(),
            limits: ExecutorLimits::default(),
        })?;
        let owner = executor.owner_api();
        let executor = Running::new(Mutex::new(Some(executor)));
        let started = Gateway::start(GatewayConfig {
            log,
            metadata,
            owner,
            connector,
            ports,
            limits: gateway_limits(),
            version: VERSION.into(),
            health: health_of(&executor),
            standings: standings_of(&executor),
            cors_origins: vec![],
        });
        match started {
            Ok(gateway) => Ok(Self { gateway, executor, _log: embedded }),
            Err(error) => {
                if let Some(executor) = take(&executor) {
                    executor.abort().await;
                }
                Err(error.into())
            }
        }
    }

    /// Ends in good order: nothing more comes in, what runs may end, who waits is answered or sent
    /// away, and the tables are safe.
    async fn stop(self) {
        self.gateway.close();
        if let Some(executor) = take(&self.executor)
            && let Err(error) = executor.drain(DRAIN_MAX).await
        {
            tracing::warn!(%error, "the next start reads more of the log");
        }
        self.gateway.shutdown(ANSWER_MAX).await;
    }
}

fn gateway_limits() -> GatewayLimits {
    let limits = GatewayLimits::default();
    let connections_max = files::connections_of(files::raise_limit(), limits.connections_max);
    GatewayLimits { connections_max, ..limits }
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
fn greet(options: &DevOptions, folder: &Folder, gateway: &Gateway) {
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
    if options.register.is_empty() {
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
