//! What `everlog dev`, `everlog gateway` and `everlog executor` run: the same parts, put together
//! for the roles that a process has.
//!
//! Its invariant: what it needs is checked before anything is served, and each thing that is
//! missing ends it with one sentence. What it has accepted is in the log, whatever ends it.

mod arguments;
mod membership;
mod ops;
mod run;
mod standings;
mod traces;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use everlog_cluster::{Alone, Answers, Cluster, OwnerServer, Role};
use everlog_connect::{Connector, Identity, TlsOptions};
use everlog_executor::invoker::{HttpInvoker, HttpInvokerOptions};
use everlog_executor::{Executor, ExecutorConfig};
use everlog_gateway::{Gateway, GatewayConfig, GatewayLimits, Ports};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{EventLog, follow_metadata};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::OwnerApi;
use everlog_query::Engine;
use everlog_traces::Tracer;
use tokio::sync::watch;

use self::membership::{Listening, Membership};
use self::ops::OpsPort;
use self::standings::{health_of, standings_of};
use self::traces::Traces;
use crate::config::Settings;
use crate::files::{self, Connections};
use crate::version::VERSION;

pub(crate) use self::arguments::{ExecutorArguments, GatewayArguments, executor, gateway};
pub(crate) use self::run::{CLOSE_MAX, run_until_signal};

/// How long functions that run get to end, once the process is asked to.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long callers whose functions have ended get to be answered.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The executor, shared with the health check, until it is drained.
type Running = Arc<Mutex<Option<Executor>>>;

/// What a process is to be.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Whether it takes calls, owns partitions, or both.
    pub(crate) role: Role,
    /// The Kafka that holds the log; the log is embedded where there is none.
    pub(crate) kafka: Option<KafkaOptions>,
    /// Where tables, and an embedded log, are kept. Gateways keep nothing.
    pub(crate) data: Option<&'a Path>,
}

/// What runs in this process.
pub(crate) struct Server {
    gateway: Option<Gateway>,
    executor: Running,
    ops: Option<OpsPort>,
    asked: Option<OwnerServer>,
    membership: Option<Arc<Membership>>,
    traces: Traces,
    // Last, so that the log outlives all that write to it.
    _log: Arc<dyn EventLog>,
}

/// What all parts share.
struct Base {
    log: Arc<dyn EventLog>,
    metadata: watch::Receiver<Arc<Metadata>>,
    connector: Connector,
    tracer: Tracer,
}

/// The ports of a process: bound before anything begins to act.
enum Bound {
    Gateway(Ports),
    Executor(tokio::net::TcpListener),
}

impl Server {
    /// Starts the parts that the role has.
    pub(crate) async fn start(settings: &Settings, plan: Plan<'_>) -> Result<Self> {
        let embedded = match (&plan.kafka, plan.data) {
            (None, Some(data)) => Some(open_embedded(settings, data)?),
            (None, None) => anyhow::bail!("a gateway needs a Kafka: name one with --kafka"),
            (Some(_), _) => None,
        };
        // Before the executor starts: a server that cannot be reached must not run any function.
        let bound = bind(settings, plan.role).await?;
        let listening = match (plan.role, &plan.kafka) {
            (Role::Executor | Role::Both, Some(_)) => Some(Listening::bind(settings).await?),
            (Role::Executor | Role::Both | Role::Gateway, _) => None,
        };
        let log: Arc<dyn EventLog> = match (embedded, plan.kafka.clone()) {
            (Some(embedded), _) => embedded,
            (None, Some(options)) => KafkaLog::connect(options).await?,
            (None, None) => unreachable!("one of the two holds the log"),
        };
        let metadata = follow_metadata(Arc::clone(&log)).await?;
        let connector = Connector::new(&TlsOptions { ca_file: settings.tls_ca_file.clone() })?
            .signed_by(identity_of(settings)?);
        let traces = Traces::start(settings, &connector)?;
        let base = Base { log, metadata, connector, tracer: traces.tracer() };
        let membership = match &plan.kafka {
            Some(kafka) => {
                let join = membership::join(settings, kafka, plan.role, &bound, listening.as_ref());
                Some(join.await?)
            }
            None => None,
        };
        let executor = match plan.data {
            Some(data) if plan.role != Role::Gateway => Some(start_executor(
                settings,
                &base,
                membership.as_ref(),
                listening.as_ref(),
                data,
            )?),
            Some(_) | None => None,
        };
        let mut server = Self {
            gateway: None,
            executor: Running::new(Mutex::new(executor)),
            ops: None,
            asked: None,
            membership,
            traces,
            _log: Arc::clone(&base.log),
        };
        match server.open(settings, base, bound, listening) {
            Ok(()) => Ok(server),
            Err(error) => {
                if let Some(executor) = take(&server.executor) {
                    executor.abort().await;
                }
                Err(error)
            }
        }
    }

    /// Opens the ports, once what answers there runs.
    fn open(
        &mut self,
        settings: &Settings,
        base: Base,
        bound: Bound,
        listening: Option<Listening>,
    ) -> Result<()> {
        let here = self.with_executor(Executor::owner_api);
        if let Some(listening) = listening {
            let standings = self.with_executor(Executor::standings);
            let answers = Answers { owner: here.clone(), standings };
            self.asked = Some(listening.answer(answers)?);
        }
        let health = health_of(&self.executor, self.membership.as_ref());
        match bound {
            Bound::Executor(listener) => self.ops = Some(OpsPort::start(listener, health)),
            Bound::Gateway(ports) => {
                let owner: Arc<dyn OwnerApi> = match (&self.membership, here) {
                    (Some(membership), here) => {
                        membership.owners(settings.partitions.0, &base.connector, here)
                    }
                    (None, Some(here)) => here,
                    (None, None) => unreachable!("without a cluster, all partitions are here"),
                };
                let (asked, metadata) = (Arc::clone(&owner), base.metadata.clone());
                let partitions = base.log.partitions();
                let sql = Engine::start(asked, metadata, partitions, settings.query_limits())?;
                let gateway = Gateway::start(GatewayConfig {
                    log: base.log,
                    metadata: base.metadata,
                    owner,
                    sql: Arc::new(sql),
                    connector: base.connector,
                    ports,
                    limits: gateway_limits(settings),
                    defaults: settings.service_defaults(),
                    version: VERSION.into(),
                    health,
                    standings: standings_of(&self.executor),
                    members: self.membership.as_ref().map(|membership| membership.members()),
                    cors_origins: settings.cors_origins.clone(),
                    admin_hosts: settings.admin_hosts.clone(),
                    tracer: base.tracer,
                });
                self.gateway = Some(gateway?);
            }
        }
        Ok(())
    }

    /// The gateway, in a process that is one.
    pub(crate) fn gateway(&self) -> Option<&Gateway> {
        self.gateway.as_ref()
    }

    /// The executor's port for those who look after it, and where other processes ask it.
    pub(crate) fn executor_ports(&self) -> Option<(std::net::SocketAddr, std::net::SocketAddr)> {
        Some((self.ops.as_ref()?.address(), self.asked.as_ref()?.address()))
    }

    fn with_executor<T>(&self, read: impl FnOnce(&Executor) -> T) -> Option<T> {
        let executor = self.executor.lock().unwrap_or_else(PoisonError::into_inner);
        executor.as_ref().map(read)
    }

    /// Ends in good order: nothing more comes in, what runs may end, who waits is answered or sent
    /// away, the tables are safe, the others know, and spans are sent.
    pub(crate) async fn stop(self) {
        if let Some(gateway) = &self.gateway {
            gateway.close();
        }
        if let Some(executor) = take(&self.executor)
            && let Err(error) = executor.drain(DRAIN_MAX).await
        {
            tracing::warn!(%error, "the next start reads more of the log");
        }
        if let Some(gateway) = self.gateway {
            gateway.shutdown(ANSWER_MAX).await;
        }
        if let Some(asked) = self.asked {
            asked.shutdown(ANSWER_MAX).await;
        }
        if let Some(membership) = self.membership {
            membership.leave().await;
        }
        self.traces.stop().await;
    }
}

fn open_embedded(settings: &Settings, data: &Path) -> Result<Arc<EmbeddedLog>> {
    let fsync = settings.fsync && !settings.ephemeral;
    let options = EmbeddedOptions { partitions: settings.partitions.0, fsync };
    Ok(EmbeddedLog::open(data.join("log"), options)?)
}

/// What requests to deployments are signed with.
fn identity_of(settings: &Settings) -> Result<Identity> {
    let Some(path) = &settings.request_identity_file else { return Ok(Identity::default()) };
    let identity = Identity::of_file(path)?;
    let public_keys = identity.public_keys();
    tracing::info!(
        public_key = public_keys.last(),
        keys = public_keys.len(),
        "requests to deployments are signed: give them the public key"
    );
    Ok(identity)
}

async fn bind(settings: &Settings, role: Role) -> Result<Bound> {
    let admin = settings.admin_address;
    if role == Role::Executor {
        let bound = tokio::net::TcpListener::bind(admin).await.with_context(|| {
            format!("failed to listen on {admin}; choose another with --admin-address")
        });
        return Ok(Bound::Executor(bound?));
    }
    Ok(Bound::Gateway(Ports::bind(settings.ingress_address, admin).await?))
}

fn start_executor(
    settings: &Settings,
    base: &Base,
    membership: Option<&Arc<Membership>>,
    listening: Option<&Listening>,
    data: &Path,
) -> Result<Executor> {
    let invoker = HttpInvoker::new(HttpInvokerOptions::default(), base.connector.clone());
    let (cluster, limits): (Arc<dyn Cluster>, _) = match membership {
        Some(membership) => (membership.cluster(), settings.cluster_limits()),
        None => (Arc::new(Alone::new(settings.partitions.0)), settings.executor_limits()),
    };
    Ok(Executor::start(ExecutorConfig {
        log: Arc::clone(&base.log),
        cluster,
        metadata: base.metadata.clone(),
        tables_dir: data.join("tables"),
        invoker: Arc::new(invoker.traced(base.tracer.clone())),
        address: listening.map_or_else(|| "in-process".into(), |at| at.advertised().to_owned()),
        limits,
    })?)
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
