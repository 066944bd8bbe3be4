//! The port that administers: deployments are registered and listed here, and metrics read.
//!
//! It knows no users and believes whoever reaches it: it listens on the loopback address unless
//! told otherwise.

mod discovery;
mod endpoint;
mod error;
mod manifest;
mod offered;
mod register;
mod views;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_connect::Connector;
use everlog_log_client::EventLog;
use everlog_log_schema::DeploymentId;
use everlog_log_schema::metadata::Metadata;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use prometheus::{Encoder, TextEncoder};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::ingress::error::json_reply;
use crate::metrics::METRICS;
use crate::server::{Handler, Reply};
use crate::{GatewayLimits, HealthCheck};

pub use error::AdminError;
pub use register::{RegisterOutcome, RegisterRequest, Registered};

/// The largest body of a request to this port, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long such a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// All that the admin port needs to answer a request.
pub(crate) struct Admin {
    /// The log that holds the metadata topic.
    pub(crate) log: Arc<dyn EventLog>,
    /// What is registered.
    pub(crate) metadata: watch::Receiver<Arc<Metadata>>,
    /// Leads to deployments.
    pub(crate) connector: Connector,
    /// What it takes on.
    pub(crate) limits: GatewayLimits,
    /// The version of this program.
    pub(crate) version: String,
    /// Where calls are taken in.
    pub(crate) ingress_url: String,
    /// Tells what else in this process is not well.
    pub(crate) health: HealthCheck,
}

impl Admin {
    async fn respond(&self, request: Request<Incoming>) -> Result<Reply, AdminError> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let metadata = Arc::clone(&self.metadata.borrow());
        let method = request.method().clone();
        match (segments.as_slice(), &method) {
            (["deployments"], &Method::POST) => self.post_deployment(request).await,
            (["deployments"], &Method::GET) => Ok(list_deployments(&metadata)),
            (["deployments", id], &Method::GET) => show_deployment(&metadata, id),
            (["services"], &Method::GET) => Ok(list_services(&metadata)),
            (["services", name, rest @ ..], &Method::GET) => show_service(&metadata, name, rest),
            (["health"], &Method::GET) => Ok(self.show_health()),
            (["version"], &Method::GET) => Ok(self.show_version()),
            (["metrics"], &Method::GET) => Ok(show_metrics()),
            (["deployments"], _) => Err(AdminError::MethodNotAllowed("GET, POST")),
            (["deployments", _] | ["services", ..] | ["health" | "version" | "metrics"], _) => {
                Err(AdminError::MethodNotAllowed("GET"))
            }
            _ => Err(AdminError::UnknownPath),
        }
    }

    async fn post_deployment(&self, request: Request<Incoming>) -> Result<Reply, AdminError> {
        let body = read_body(request.into_body()).await?;
        let request: RegisterRequest = serde_json::from_slice(&body)
            .map_err(|error| AdminError::MalformedRequest(error.to_string()))?;
        let registered = self.register(&request).await?;
        let status = match registered.outcome {
            RegisterOutcome::Created => StatusCode::CREATED,
            RegisterOutcome::Replaced | RegisterOutcome::Unchanged => StatusCode::OK,
        };
        let mut info = Vec::new();
        if !request.metadata.is_empty() {
            info.push("`metadata` of deployments is not kept yet".to_owned());
        }
        if request.dry_run {
            info.push("nothing was recorded, as `dry_run` asks".to_owned());
        }
        let metadata = Arc::clone(&self.metadata.borrow());
        Ok(json_reply(status, &views::deployment(&metadata, &registered.deployment, info)))
    }

    fn show_health(&self) -> Reply {
        let mut problems = (self.health)();
        if self.metadata.has_changed().is_err() {
            problems.push("the metadata topic is no longer followed: restart this process".into());
        }
        let (status, word) = if problems.is_empty() {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "unwell")
        };
        json_reply(status, &json!({ "status": word, "problems": problems }))
    }

    fn show_version(&self) -> Reply {
        let body = json!({
            "version": self.version,
            "min_admin_api_version": 2,
            "max_admin_api_version": 4,
            "ingress_endpoint": self.ingress_url,
        });
        json_reply(StatusCode::OK, &body)
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        let reply = Box::pin(self.respond(request)).await.unwrap_or_else(AdminError::into_reply);
        METRICS.requests.with_label_values(&["admin", reply.status().as_str()]).inc();
        reply
    }
}

#[derive(Serialize)]
struct DeploymentList<'a> {
    deployments: Vec<views::DeploymentView<'a>>,
}

#[derive(Serialize)]
struct ServiceList<'a> {
    services: Vec<views::ServiceView<'a>>,
}

#[derive(Serialize)]
struct HandlerList<'a> {
    handlers: Vec<views::HandlerView<'a>>,
}

fn list_deployments(metadata: &Metadata) -> Reply {
    let deployments = metadata.deployments.values();
    let deployments = deployments.map(|each| views::deployment(metadata, each, vec![])).collect();
    json_reply(StatusCode::OK, &DeploymentList { deployments })
}

fn show_deployment(metadata: &Metadata, id: &str) -> Result<Reply, AdminError> {
    let found = metadata.deployments.get(&DeploymentId(id.to_owned()));
    let found = found.ok_or_else(|| not_found("deployment", id))?;
    Ok(json_reply(StatusCode::OK, &views::deployment(metadata, found, vec![])))
}

fn list_services(metadata: &Metadata) -> Reply {
    let newest = metadata.services.keys().filter_map(|name| metadata.service(name));
    let services = newest.map(|(of, offered)| views::service(metadata, of, offered)).collect();
    json_reply(StatusCode::OK, &ServiceList { services })
}

fn show_service(metadata: &Metadata, name: &str, rest: &[&str]) -> Result<Reply, AdminError> {
    let (of, service) = metadata.service(name).ok_or_else(|| not_found("service", name))?;
    match rest {
        [] => Ok(json_reply(StatusCode::OK, &views::service(metadata, of, service))),
        ["handlers"] => {
            let handlers = service.handlers.iter().map(views::handler).collect();
            Ok(json_reply(StatusCode::OK, &HandlerList { handlers }))
        }
        ["handlers", wanted] => {
            let found = service.handlers.iter().find(|handler| handler.name == *wanted);
            let found = found.ok_or_else(|| not_found("handler", &format!("{name}/{wanted}")))?;
            Ok(json_reply(StatusCode::OK, &views::handler(found)))
        }
        _ => Err(AdminError::UnknownPath),
    }
}

fn not_found(what: &'static str, name: &str) -> AdminError {
    const SHOWN_CHARS_MAX: usize = 80;
    AdminError::NotFound { what, name: name.chars().take(SHOWN_CHARS_MAX).collect() }
}

fn show_metrics() -> Reply {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    if let Err(error) = encoder.encode(&prometheus::gather(), &mut text) {
        tracing::error!(%error, "failed to render metrics");
    }
    let mut reply = Reply::new(Full::new(Bytes::from(text)));
    if let Ok(content_type) = HeaderValue::from_str(encoder.format_type()) {
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    reply
}

async fn read_body(body: Incoming) -> Result<Bytes, AdminError> {
    match timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(AdminError::BodyTooLarge { max: BODY_BYTES_MAX })
        }
        Ok(Err(error)) => Err(AdminError::MalformedRequest(format!("its body broke off: {error}"))),
        Err(_elapsed) => {
            Err(AdminError::MalformedRequest("its body did not arrive in time".into()))
        }
    }
}
