//! A gateway on a real embedded log, with an owner of all partitions that is nothing but a fold in
//! memory: it takes messages in and answers by the name of their handler.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::unused_async)]

#[path = "../../../connect/tests/authority/mod.rs"]
pub mod authority;
pub mod endpoint;
pub mod faulty;
pub mod owner;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_connect::{Connector, TlsOptions};
use everlog_gateway::{Addresses, Gateway, GatewayConfig, GatewayLimits, Ports};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, follow_metadata};
use everlog_log_schema::metadata::{
    Change, Deployment, Handler, InputRule, Metadata, MetadataChange, OutputRule, ProtocolMode,
    Service, ServiceKind,
};
use everlog_log_schema::{
    DeploymentId, HandlerKind, MetadataOffset, Millis, OnMaxAttempts, RetryPolicy,
};
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
pub const DEADLINE: Duration = Duration::from_secs(30);

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

/// Starts a gateway that knows the services of [`metadata`].
pub async fn start() -> World {
    start_with(GatewayLimits::default()).await
}

pub async fn start_with(limits: GatewayLimits) -> World {
    build(limits, true).await
}

/// Starts a gateway that knows nothing, and follows what is registered.
pub async fn start_empty(limits: GatewayLimits) -> World {
    build(limits, false).await
}

async fn build(limits: GatewayLimits, with_services: bool) -> World {
    let directory = TempDir::new().unwrap();
    let options = EmbeddedOptions { partitions: PARTITIONS, fsync: false };
    let embedded = EmbeddedLog::open(directory.path().join("log"), options).unwrap();
    let log = Arc::new(FaultyLog::over(embedded));
    let readable: Arc<dyn EventLog> = Arc::clone(&log) as _;
    let owner = TestOwner::start(&readable);
    let fixed = watch::Sender::new(Arc::new(metadata()));
    let followed = follow_metadata(Arc::clone(&readable)).await.unwrap();
    let trust = TlsOptions { ca_file: Some(endpoint::AUTHORITY.file().to_owned()) };
    let config = GatewayConfig {
        log: readable,
        metadata: if with_services { fixed.subscribe() } else { followed },
        owner: Arc::clone(&owner) as _,
        connector: Connector::new(&trust).unwrap(),
        ports: Ports::bind(any_port(), any_port()).await.unwrap(),
        limits,
        version: "test".into(),
        health: Arc::new(Vec::new),
    };
    let gateway = Gateway::start(config).unwrap();
    let addresses = gateway.addresses();
    World { gateway, owner, log, addresses, metadata: Some(fixed), _directory: directory }
}

impl World {
    /// Sends a request to the ingress over HTTP/1.1.
    pub async fn ask(&self, request: Ask<'_>) -> Answer {
        ask(self.addresses.ingress, request, false).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Ask::get(path)).await
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

/// `Greeter` (plain: `greet`, `fail`, `hang`, `strict`, `void`, `secret`), `Hidden` (private) and
/// the object `Cart` (`add`, and `view`, which is shared).
pub fn metadata() -> Metadata {
    let plain = |name| handler(name, HandlerKind::Plain);
    let strict = Handler {
        input: InputRule {
            required: true,
            content_type: Some("application/json".into()),
            json_schema: None,
        },
        ..plain("strict")
    };
    let void = Handler {
        input: InputRule { required: false, content_type: None, json_schema: None },
        ..plain("void")
    };
    let kept = Handler { journal_retention: Some(Millis(3_600_000)), ..plain("kept") };
    let secret = Handler { ingress_private: true, ..plain("secret") };
    let handlers = vec![plain("greet"), plain("fail"), plain("hang"), strict, void, kept, secret];
    let greeter = service("Greeter", ServiceKind::Service, handlers);
    let hidden = Service {
        ingress_private: true,
        ..service("Hidden", ServiceKind::Service, vec![plain("greet")])
    };
    let carts = vec![handler("add", HandlerKind::Exclusive), handler("view", HandlerKind::Shared)];
    let cart = service("Cart", ServiceKind::VirtualObject, carts);
    let deployment = Deployment {
        id: DeploymentId("dp_1".into()),
        uri: "http://127.0.0.1:1".into(),
        headers: vec![],
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        created_at: Millis(0),
        services: vec![greeter, hidden, cart],
    };
    let mut metadata = Metadata::default();
    let change = Change::RegisterDeployment(deployment);
    assert!(
        metadata.fold(MetadataOffset(0), MetadataChange { replaces: MetadataOffset(0), change })
    );
    metadata
}

fn service(name: &str, kind: ServiceKind, handlers: Vec<Handler>) -> Service {
    Service {
        name: name.into(),
        kind,
        ingress_private: false,
        documentation: None,
        metadata: vec![],
        handlers,
    }
}

fn handler(name: &str, kind: HandlerKind) -> Handler {
    Handler {
        name: name.into(),
        kind,
        ingress_private: false,
        input: InputRule { required: false, content_type: Some("*/*".into()), json_schema: None },
        output: OutputRule {
            content_type: Some("application/json".into()),
            set_content_type_if_empty: false,
            json_schema: None,
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        retry: RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: Some(70),
            on_max_attempts: OnMaxAttempts::Pause,
        },
        documentation: None,
    }
}
