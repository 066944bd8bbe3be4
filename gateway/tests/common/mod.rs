//! A gateway on a real embedded log, with an owner of all partitions that is nothing but a fold in
//! memory: it takes messages in and answers by the name of their handler.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::unused_async)]

#[path = "../../../connect/tests/authority/mod.rs"]
pub mod authority;
pub mod endpoint;
pub mod faulty;
#[path = "../../src/fixtures.rs"]
mod fixtures;
pub mod made;
pub mod owner;
pub mod registering;
pub mod sql;
pub mod stored;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_connect::{Connector, TlsOptions};
use everlog_gateway::{
    Addresses, Gateway, GatewayConfig, GatewayLimits, PartitionStanding, Ports, ServiceDefaults,
};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, follow_metadata};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{InboxOffset, LogOffset, PartitionId};
use everlog_traces::Tracer;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

pub use faulty::FaultyLog;
pub use owner::TestOwner;

/// The partitions of the log.
pub const PARTITIONS: u32 = 4;
/// Within what everything here must happen.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A running gateway and all that it stands on.
pub struct World {
    pub gateway: Gateway,
    pub owner: Arc<TestOwner>,
    pub log: Arc<FaultyLog>,
    pub addresses: Addresses,
    /// What is registered is followed until this is dropped.
    pub metadata: Option<watch::Sender<Arc<Metadata>>>,
    _directory: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The status and the stable code of an error.
    pub fn error(&self) -> (u16, String) {
        let code = self.json()["error"].as_str().unwrap_or("none").to_owned();
        (self.status, code)
    }
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Starts a gateway that knows the services of [`fixtures::metadata`].
pub async fn start() -> World {
    start_with(GatewayLimits::default()).await
}

pub async fn start_with(limits: GatewayLimits) -> World {
    build(limits, true, vec![], Tracer::default()).await
}

/// Starts a gateway that web pages of these origins may call.
pub async fn start_for_pages_of(origins: &[&str]) -> World {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    build(GatewayLimits::default(), true, origins, Tracer::default()).await
}

/// Starts a gateway whose calls are traced.
pub async fn start_traced(tracer: Tracer) -> World {
    build(GatewayLimits::default(), true, vec![], tracer).await
}

/// Starts a gateway that knows nothing, and follows what is registered.
pub async fn start_empty(limits: GatewayLimits) -> World {
    build(limits, false, vec![], Tracer::default()).await
}

async fn build(
    limits: GatewayLimits,
    with_services: bool,
    cors_origins: Vec<String>,
    tracer: Tracer,
) -> World {
    let directory = TempDir::new().unwrap();
    let options = EmbeddedOptions { partitions: PARTITIONS, fsync: false };
    let embedded = EmbeddedLog::open(directory.path().join("log"), options).unwrap();
    let log = Arc::new(FaultyLog::over(embedded));
    let readable: Arc<dyn EventLog> = Arc::clone(&log) as _;
    let owner = TestOwner::start(&readable);
    let fixed = watch::Sender::new(Arc::new(fixtures::metadata()));
    let followed = follow_metadata(Arc::clone(&readable)).await.unwrap();
    let trust = TlsOptions { ca_file: Some(endpoint::AUTHORITY.file().to_owned()) };
    let config = GatewayConfig {
        log: readable,
        metadata: if with_services { fixed.subscribe() } else { followed },
        owner: Arc::clone(&owner) as _,
        sql: Arc::new(sql::TestSql::default()),
        connector: Connector::new(&trust).unwrap(),
        ports: Ports::bind(any_port(), any_port()).await.unwrap(),
        limits,
        defaults: ServiceDefaults::default(),
        version: "test".into(),
        health: Arc::new(Vec::new),
        standings: Arc::new(standings),
        members: None,
        cors_origins,
        admin_hosts: vec![],
        tracer,
    };
    let gateway = Gateway::start(config).unwrap();
    let addresses = gateway.addresses();
    World { gateway, owner, log, addresses, metadata: Some(fixed), _directory: directory }
}

fn standings() -> Vec<PartitionStanding> {
    let owned = PartitionStanding {
        partition: PartitionId(0),
        standing: "owner",
        next_log: Some(LogOffset(7)),
        next_inbox: Some(InboxOffset(3)),
    };
    let stopped = PartitionStanding {
        partition: PartitionId(1),
        standing: "stopped",
        next_log: None,
        next_inbox: None,
    };
    vec![owned, stopped]
}

impl World {
    /// Sends a request to the ingress over HTTP/1.1.
    pub async fn ask(&self, request: Ask<'_>) -> Answer {
        ask(self.addresses.ingress, request, false).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Ask::get(path)).await
    }

    /// Sends a request to the admin port.
    pub async fn admin(&self, method: Method, path: &str) -> Answer {
        ask(self.addresses.admin, Ask::get(path).method(method), false).await
    }

    pub async fn post(&self, path: &str, body: &'static str) -> Answer {
        self.ask(Ask::post(path, body)).await
    }
}

/// A request.
#[derive(Clone)]
pub struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: Bytes,
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, headers: vec![], body: Bytes::new() }
    }

    pub fn post(path: &'a str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "application/json")];
        Self { method: Method::POST, path, headers, body: body.into() }
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Sends a request and reads the answer to its end.
pub async fn ask(address: SocketAddr, ask: Ask<'_>, http2: bool) -> Answer {
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let mut request =
        Request::builder().method(ask.method).uri(format!("http://{address}{}", ask.path));
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(ask.body)).unwrap();
    let answering = async {
        let response = client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    };
    tokio::time::timeout(DEADLINE, answering).await.expect("an answer in time")
}

pub const OK: u16 = StatusCode::OK.as_u16();
