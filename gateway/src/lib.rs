//! The gateway: HTTP in. It takes calls in at the ingress port, turns each into a message in the
//! inbox of its partition, and waits for answers; at the admin port deployments are registered, and
//! invocations shown and ordered about.
//!
//! Its invariant: a gateway holds no state that matters. What it has acknowledged is in the log,
//! and any other gateway can answer for it.
//!
//! **Architecture invariant:** it never depends on the executor. They meet in the log, and in the
//! owner API of `everlog_log_schema`.

mod admin;
mod asking;
mod backoff;
#[cfg(test)]
mod fixtures;
mod inbox;
mod ingress;
mod limits;
#[cfg(test)]
mod manual;
mod metrics;
mod places;
mod reply;
mod server;
mod stream;
mod streams;
mod time;
mod turned_away;
mod url;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everlog_connect::Connector;
use everlog_log_client::{EventLog, LogError};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::OwnerApi;
use everlog_log_schema::{InboxOffset, LogOffset, Members, PartitionId};
use everlog_traces::Tracer;
use tokio::net::TcpListener;
use tokio::sync::watch;

use admin::{Admin, AdminParts, Hosts};
use inbox::Inbox;
use ingress::{Ingress, IngressParts};
use server::{Listening, Server};

pub use admin::{
    AdminError, METRICS_TYPE, RegisterOutcome, RegisterRequest, Registered, SqlAnswer, SqlEngine,
    SqlError, SqlForm, metrics_text,
};
pub use limits::{GatewayLimits, ServiceDefaults};

/// Tells what in this process is not well, one sentence each; nothing if all is.
pub type HealthCheck = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Tells how each partition stands in this process, in order.
pub type StandingCheck = Arc<dyn Fn() -> Vec<PartitionStanding> + Send + Sync>;

/// How a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStanding {
    /// Which.
    pub partition: PartitionId,
    /// In a word: `owner`, `standby` or `stopped`.
    pub standing: &'static str,
    /// All records of its log below are applied, where it is owned here.
    pub next_log: Option<LogOffset>,
    /// All messages of its inbox below are taken in, where it is owned here.
    pub next_inbox: Option<InboxOffset>,
}

/// How long calls that wait get to be sent away, once their time is up.
const SEND_AWAY_MAX: Duration = Duration::from_secs(2);

/// What a gateway is made of.
pub struct GatewayConfig {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What is registered, as it changes.
    pub metadata: watch::Receiver<Arc<Metadata>>,
    /// Answers questions about invocations.
    pub owner: Arc<dyn OwnerApi>,
    /// Answers questions in SQL.
    pub sql: Arc<dyn SqlEngine>,
    /// Leads to the deployments that are registered here.
    pub connector: Connector,
    /// The two ports.
    pub ports: Ports,
    /// What it takes on.
    pub limits: GatewayLimits,
    /// What holds for services that do not say otherwise.
    pub defaults: ServiceDefaults,
    /// The version that the admin port shows.
    pub version: String,
    /// What the admin port's health check asks besides.
    pub health: HealthCheck,
    /// How the partitions stand, which the admin port shows.
    pub standings: StandingCheck,
    /// The processes of the cluster, which the admin port shows; none where there is one process.
    pub members: Option<watch::Receiver<Arc<Members>>>,
    /// The origins whose web pages may call, such as `https://shop.example`, or `*` for any; mostly
    /// none.
    pub cors_origins: Vec<String>,
    /// The host names by which requests may address the admin port, beside `localhost` and IP
    /// addresses; `*` for any. Where there are none and it does not listen on the loopback address,
    /// any may.
    pub admin_hosts: Vec<String>,
    /// Takes in the spans of calls.
    pub tracer: Tracer,
}

/// The ports of a gateway: bound, and nobody answers on them yet. Whoever connects waits.
///
/// They are bound apart from [`Gateway::start`], so that a port that cannot be had is known before
/// anything else begins to act.
#[derive(Debug)]
pub struct Ports {
    ingress: Listening,
    admin: Listening,
}

/// A running gateway.
pub struct Gateway {
    ingress: Server,
    admin: Server,
    registrar: Arc<Admin>,
    closing: watch::Sender<bool>,
}

/// Registers deployments.
#[derive(Clone)]
pub struct Registrar(Arc<Admin>);

impl Registrar {
    /// Registers a deployment, as a request to the admin port would.
    pub async fn register(&self, request: &RegisterRequest) -> Result<Registered, AdminError> {
        self.0.register(request).await
    }
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The port for calls.
    pub ingress: SocketAddr,
    /// The port for administration.
    pub admin: SocketAddr,
}

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} for the {port}: {error}; choose another with {flag}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Which of the two ports.
    pub port: &'static str,
    /// The flag that chooses another.
    pub flag: &'static str,
    /// What the system says.
    pub error: std::io::Error,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The inboxes cannot be opened.
    #[error("failed to open the inboxes: {0}")]
    Log(#[from] LogError),
}

impl Ports {
    /// Binds both ports: one where calls are taken in, one where deployments are registered. Port
    /// 0 lets the system choose.
    pub async fn bind(ingress: SocketAddr, admin: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self {
            ingress: listen(ingress, "ingress", "--ingress-address").await?,
            admin: listen(admin, "admin API", "--admin-address").await?,
        })
    }

    /// Where they are.
    pub fn addresses(&self) -> Addresses {
        Addresses { ingress: self.ingress.address, admin: self.admin.address }
    }
}

impl Gateway {
    /// Answers on both ports. Must be called within a Tokio runtime.
    pub fn start(config: GatewayConfig) -> Result<Self, StartError> {
        let Ports { ingress, admin } = config.ports;
        let (closing, is_closing) = watch::channel(false);
        let name = ingress.address.to_string();
        let inbox = Arc::new(Inbox::open(Arc::clone(&config.log), config.limits.resend_max)?);
        let calls = Ingress::new(IngressParts {
            name: name.clone(),
            metadata: config.metadata.clone(),
            owner: Arc::clone(&config.owner),
            inbox: Arc::clone(&inbox),
            cors_origins: config.cors_origins,
            tracer: config.tracer,
            limits: config.limits.clone(),
            unkeyed_retention: config.defaults.unkeyed_retention,
            closing: is_closing,
        });
        let registrar = Arc::new(Admin::new(AdminParts {
            log: config.log,
            metadata: config.metadata,
            connector: config.connector,
            owner: config.owner,
            sql: config.sql,
            inbox,
            limits: config.limits.clone(),
            retry: config.defaults.retry,
            version: config.version,
            ingress_url: format!("http://{name}"),
            health: config.health,
            standings: config.standings,
            members: config.members,
            hosts: Hosts::new(admin.address, &config.admin_hosts),
        }));
        let limits = &config.limits;
        let (calls_max, orders_max) = (limits.connections_max, limits.admin_connections_max);
        Ok(Self {
            ingress: Server::start(ingress, Arc::new(calls), calls_max, limits),
            admin: Server::start(admin, Arc::clone(&registrar), orders_max, limits),
            registrar,
            closing,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        Addresses { ingress: self.ingress.address(), admin: self.admin.address() }
    }

    /// Registers deployments without a port in between.
    pub fn registrar(&self) -> Registrar {
        Registrar(Arc::clone(&self.registrar))
    }

    /// Takes in nothing more. What waits goes on waiting.
    pub fn close(&self) {
        self.ingress.close();
    }

    /// Takes in nothing more and lets what waits be answered, at most this long. Then it sends the
    /// rest away: what is recorded goes on, and can be asked for again.
    pub async fn shutdown(mut self, grace: Duration) {
        self.close();
        if !self.ingress.closed(grace).await {
            self.closing.send_replace(true);
            if !self.ingress.closed(SEND_AWAY_MAX).await {
                tracing::warn!("some requests were broken off without an answer");
            }
        }
        self.admin.close();
        self.admin.closed(SEND_AWAY_MAX).await;
    }
}

async fn listen(
    address: SocketAddr,
    port: &'static str,
    flag: &'static str,
) -> Result<Listening, ListenError> {
    let failed = |error| ListenError { address, port, flag, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listening { listener, address })
}
