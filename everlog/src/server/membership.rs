//! How this process belongs to its cluster: its name, its address, and whom it asks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use everlog_cluster::{
    Answers, Cluster, Holdings, JoinOptions, Joined, Member, MemberId, Members, OwnerServer,
    Owners, Peers, Role, Secret,
};
use everlog_connect::{Connector, TlsOptions};
use everlog_log_client::kafka::KafkaOptions;
use everlog_log_schema::codec::LEVEL_MAX;
use everlog_log_schema::owner_api::OwnerApi;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;

use super::Bound;
use crate::config::Settings;
use crate::version::VERSION;

/// The port at which other processes ask this one: bound, and nobody answers yet.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    secret: Option<Secret>,
    /// As the others are told.
    advertised: String,
}

impl Listening {
    /// Binds the port of `cluster.address`: on the loopback address where that is one, else on all
    /// addresses of this host, as its name may be known to others alone.
    pub(super) async fn bind(settings: &Settings) -> Result<Self> {
        let address = &settings.cluster.address.0;
        let secret = secret_of(settings);
        let (host, port) = address.rsplit_once(':').context("cluster.address has no port")?;
        let port: u16 = port.parse().context("the port of cluster.address is no number")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let resolved = lookup_host((bare, port)).await;
        let loopback = resolved.ok().and_then(|mut found| found.find(|at| at.ip().is_loopback()));
        let at =
            loopback.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        anyhow::ensure!(
            secret.is_some() || at.ip().is_loopback(),
            "cluster.address {address} can be reached from other hosts, and no secret is set: set \
             cluster.secret to the same for all processes, or choose a loopback address"
        );
        let listener = TcpListener::bind(at).await.with_context(|| {
            format!(
                "failed to listen on {at} for the other processes; choose another cluster.address"
            )
        })?;
        let port = listener.local_addr().context("the port is not known")?.port();
        Ok(Self { listener, secret, advertised: format!("{host}:{port}") })
    }

    /// Where the others reach this process.
    pub(super) fn advertised(&self) -> &str {
        &self.advertised
    }

    /// Begins to answer.
    pub(super) fn answer(self, answers: Answers) -> Result<OwnerServer> {
        Ok(OwnerServer::start(self.listener, self.secret, answers)?)
    }
}

/// The membership of this process.
#[derive(Debug)]
pub(super) struct Membership {
    joined: Arc<Joined>,
    secret: Option<Secret>,
}

/// Joins the cluster on a Kafka.
pub(super) async fn join(
    settings: &Settings,
    kafka: &KafkaOptions,
    role: Role,
    bound: &Bound,
    listening: Option<&Listening>,
) -> Result<Arc<Membership>> {
    let secret = secret_of(settings);
    let connector = Connector::new(&TlsOptions { ca_file: settings.tls_ca_file.clone() })?;
    let address = match (listening, bound) {
        (Some(listening), _) => listening.advertised().to_owned(),
        // Nobody asks a gateway: its calls are where people look for it.
        (None, Bound::Gateway(ports)) => ports.addresses().ingress.to_string(),
        (None, Bound::Executor(_)) => settings.cluster.address.0.clone(),
    };
    let (version, holdings) = (VERSION.to_owned(), Holdings::new());
    let session = settings.cluster.session_timeout.0;
    let joined = Joined::start(JoinOptions {
        kafka: kafka.clone(),
        me: MemberId(settings.cluster.member_name().to_owned()),
        member: Member { role, address, version, level: LEVEL_MAX, holdings },
        session_timeout: (role != Role::Gateway).then_some(session),
        member_timeout: JoinOptions::MEMBER_TIMEOUT,
        say_every: JoinOptions::SAY_EVERY,
        peers: Peers::new(connector, secret.clone()),
    });
    let joined = joined.await.context("failed to join the cluster")?;
    Ok(Arc::new(Membership { joined, secret }))
}

impl Membership {
    /// What the executor knows of the others.
    pub(super) fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::clone(&self.joined) as Arc<dyn Cluster>
    }

    /// Who lives.
    pub(super) fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.joined.members()
    }

    /// Asks the owners of all partitions, those of this process without a network.
    pub(super) fn owners(
        &self,
        partitions: u32,
        connector: &Connector,
        here: Option<Arc<dyn OwnerApi>>,
    ) -> Arc<dyn OwnerApi> {
        // Connections of their own: no call that waits holds up what executors ask each other.
        let peers = Peers::new(connector.clone(), self.secret.clone());
        let here = here.map(|here| (self.joined.me(), here));
        Arc::new(Owners::new(partitions, self.members(), peers, here))
    }

    /// What keeps this process from its cluster, a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        self.joined.problem()
    }

    /// Tells the others that this process goes.
    pub(super) async fn leave(&self) {
        self.joined.leave().await;
    }
}

fn secret_of(settings: &Settings) -> Option<Secret> {
    settings.cluster.secret.as_ref().map(|secret| Secret::new(secret.reveal()))
}
