//! The port that administers: deployments are registered and listed here, invocations shown and
//! ordered about, and metrics read.
//!
//! It knows no users and believes whoever reaches it: it listens on the loopback address unless
//! told otherwise. A browser reaches it too, on behalf of any page that is open in it: its invariant
//! is that no page of another origin is obeyed, nor one whose name was made to lead here.

mod body;
mod cluster;
mod deployments;
mod discovery;
mod endpoint;
mod error;
mod invocations;
mod manifest;
mod offered;
mod openapi;
mod origin;
mod query;
mod record;
mod register;
mod routes;
mod services;
mod state;
mod views;

use std::sync::Arc;

use bytes::Bytes;
use everlog_connect::Connector;
use everlog_log_client::EventLog;
use everlog_log_schema::metadata::{Change, Deployment, Metadata, Service};
use everlog_log_schema::owner_api::{BoxFuture, OwnerApi, OwnerError};
use everlog_log_schema::{DeploymentId, Members, RetryPolicy};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use prometheus::{Encoder, TextEncoder};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::asking::ask;
use crate::inbox::Inbox;
use crate::metrics::METRICS;
use crate::reply::{Reply, json_reply};
use crate::server::Handler;
use crate::{GatewayLimits, HealthCheck, StandingCheck, url};
use body::{read_body, read_json};
use invocations::Verb;

pub use error::AdminError;
pub(crate) use origin::Hosts;
pub use query::{SqlAnswer, SqlEngine, SqlError, SqlForm};
pub use register::{RegisterOutcome, RegisterRequest, Registered};

/// All that the admin port needs to answer a request.
pub(crate) struct Admin {
    log: Arc<dyn EventLog>,
    metadata: watch::Receiver<Arc<Metadata>>,
    connector: Connector,
    owner: Arc<dyn OwnerApi>,
    sql: Arc<dyn SqlEngine>,
    inbox: Arc<Inbox>,
    limits: GatewayLimits,
    retry: RetryPolicy,
    requests: Semaphore,
    version: String,
    ingress_url: String,
    health: HealthCheck,
    standings: StandingCheck,
    members: Option<watch::Receiver<Arc<Members>>>,
    hosts: Hosts,
}

/// What an admin port is made of.
pub(crate) struct AdminParts {
    /// The log that holds the metadata topic.
    pub(crate) log: Arc<dyn EventLog>,
    /// What is registered.
    pub(crate) metadata: watch::Receiver<Arc<Metadata>>,
    /// Leads to deployments.
    pub(crate) connector: Connector,
    /// Answers questions about invocations.
    pub(crate) owner: Arc<dyn OwnerApi>,
    /// Answers questions in SQL.
    pub(crate) sql: Arc<dyn SqlEngine>,
    /// Where orders go.
    pub(crate) inbox: Arc<Inbox>,
    /// What it takes on.
    pub(crate) limits: GatewayLimits,
    /// What services do about failed attempts where they do not say.
    pub(crate) retry: RetryPolicy,
    /// The version of this program.
    pub(crate) version: String,
    /// Where calls are taken in.
    pub(crate) ingress_url: String,
    /// Tells what else in this process is not well.
    pub(crate) health: HealthCheck,
    /// Tells how the partitions stand.
    pub(crate) standings: StandingCheck,
    /// The processes of the cluster.
    pub(crate) members: Option<watch::Receiver<Arc<Members>>>,
    /// By what names it may be addressed.
    pub(crate) hosts: Hosts,
}

impl Admin {
    /// Makes it of what the whole gateway has.
    pub(crate) fn new(parts: AdminParts) -> Self {
        let AdminParts { log, metadata, connector, owner, sql, inbox, limits, version, .. } = parts;
        Self {
            log,
            metadata,
            connector,
            owner,
            sql,
            inbox,
            requests: Semaphore::new(limits.admin_requests_max),
            limits,
            retry: parts.retry,
            version,
            ingress_url: parts.ingress_url,
            health: parts.health,
            standings: parts.standings,
            members: parts.members,
            hosts: parts.hosts,
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Reply, AdminError> {
        self.check_sender(request.headers(), request.uri())?;
        let path = path_of(request.uri())?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        routes::check(&path, request.method())?;
        if let Some(reply) = self.show_itself(&path, request.method()) {
            return Ok(reply);
        }
        let slot = self.requests.try_acquire();
        let _slot = slot.map_err(|_| AdminError::TooManyRequests)?;
        if let ["invocations", rest @ ..] = path.as_slice() {
            return self.respond_about_invocations(rest, &request).await;
        }
        self.respond_about_rest(&path, request).await
    }

    fn check_sender(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), AdminError> {
        if let Some(host) = self.hosts.stranger(headers, uri) {
            return Err(AdminError::ForeignHost(host));
        }
        if origin::is_own(headers, uri) { Ok(()) } else { Err(AdminError::ForeignOrigin) }
    }

    /// Tells how it does, under any load.
    fn show_itself(&self, path: &[&str], method: &Method) -> Option<Reply> {
        match (path, method) {
            (["health"], &Method::GET) => Some(self.show_health()),
            (["cluster-health"], &Method::GET) => Some(self.show_cluster_health()),
            (["version"], &Method::GET) => Some(self.show_version()),
            (["metrics"], &Method::GET) => Some(show_metrics()),
            _ => None,
        }
    }

    async fn respond_about_invocations(
        &self,
        path: &[&str],
        request: &Request<Incoming>,
    ) -> Result<Reply, AdminError> {
        let query = request.uri().query();
        match (path, request.method()) {
            ([id], &Method::DELETE) => self.end_invocation(id, query).await,
            ([], &Method::GET) => self.list_invocations(query).await,
            ([verb], &Method::POST) if let Some(verb) = Verb::parse(verb) => {
                self.order_many(verb, query).await
            }
            ([id], &Method::GET) => self.show_invocation(id).await,
            ([id, "journal"], &Method::GET) => self.show_journal(id, query).await,
            ([id, "restart-as-new"], &Method::PATCH) => self.restart(id, query).await,
            ([id, "resume"], &Method::PATCH) => self.resume(id, query).await,
            ([id, verb], &Method::PATCH) if let Some(verb) = Verb::parse(verb) => {
                self.order(verb, id).await
            }
            _ => Err(AdminError::UnknownPath),
        }
    }

    async fn respond_about_rest(
        &self,
        path: &[&str],
        request: Request<Incoming>,
    ) -> Result<Reply, AdminError> {
        let metadata = Arc::clone(&self.metadata.borrow());
        match (path, &request.method().clone()) {
            (["deployments"], &Method::POST) => self.post_deployment(request).await,
            (["deployments"], &Method::GET) => Ok(list_deployments(&metadata)),
            (["deployments", id], &Method::GET) => show_deployment(&metadata, id),
            (["deployments", id], &Method::PATCH | &Method::PUT) => {
                let body = read_body(request.into_body()).await?;
                self.update_deployment(id, &body).await
            }
            (["deployments", id], &Method::DELETE) => {
                self.remove_deployment(id, request.uri().query()).await
            }
            (["deployments", id, "drain"], &Method::GET) => self.show_drain(id).await,
            (["services"], &Method::GET) => Ok(list_services(&metadata)),
            (["services", service, "state", key], &Method::GET) => {
                self.show_state(service, key, request.uri().query()).await
            }
            (["services", name], &Method::PATCH) => {
                let body = read_body(request.into_body()).await?;
                self.patch_service(name, &body).await
            }
            (["services", name, "state"], &Method::POST) => {
                let body = read_body(request.into_body()).await?;
                self.edit_state(name, &body).await
            }
            (["services", name, "openapi"], &Method::GET) => self.describe(&metadata, name),
            (["services", name, rest @ ..], &Method::GET) => show_service(&metadata, name, rest),
            (["cluster"], &Method::GET) => Ok(self.show_cluster()),
            (["openapi"], &Method::GET) => {
                Ok(json_reply(StatusCode::OK, &routes::document(&self.version)))
            }
            (["internal", "invocations_batch_operations", order], &Method::POST) => {
                let body = read_body(request.into_body()).await?;
                self.order_batch(order, &body).await
            }
            (["query"], &Method::POST) => self.query(request).await,
            _ => Err(AdminError::UnknownPath),
        }
    }

    /// Asks the owner of a partition; none where it does not know what is asked about.
    async fn ask<'a, T>(
        &'a self,
        question: impl Fn() -> BoxFuture<'a, Result<T, OwnerError>>,
    ) -> Result<Option<T>, AdminError> {
        match ask(self.limits.question_max, question).await {
            Ok(answer) => Ok(Some(answer)),
            Err(OwnerError::NotFound) => Ok(None),
            Err(OwnerError::Unavailable(reason)) => Err(AdminError::PartitionUnavailable(reason)),
            Err(OwnerError::Stopped(reason)) => Err(AdminError::PartitionStopped(reason)),
        }
    }

    async fn post_deployment(&self, request: Request<Incoming>) -> Result<Reply, AdminError> {
        let body = read_body(request.into_body()).await?;
        let request: RegisterRequest = read_json(&body)?;
        let registered = self.register(&request).await?;
        let status = match registered.outcome {
            RegisterOutcome::Created => StatusCode::CREATED,
            RegisterOutcome::Replaced | RegisterOutcome::Unchanged => StatusCode::OK,
        };
        let mut info = Vec::new();
        let mut metadata = Arc::clone(&self.metadata.borrow());
        if request.dry_run {
            info.push("nothing was recorded, as `dry_run` asks".to_owned());
            if registered.outcome != RegisterOutcome::Unchanged {
                let change = Change::RegisterDeployment(registered.deployment.clone());
                metadata = Arc::new(record::foreseen(&metadata, change));
            }
        }
        Ok(json_reply(status, &views::deployment(&metadata, &registered.deployment, info)))
    }

    fn describe(&self, metadata: &Metadata, name: &str) -> Result<Reply, AdminError> {
        let (_, service) = newest(metadata, name)?;
        let revision = metadata.services.get(name).map_or(1, |newest| newest.number);
        let document = openapi::document(service, revision, &self.ingress_url);
        Ok(json_reply(StatusCode::OK, &document))
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
            "features": [],
            "request_identity_public_keys": self.connector.identity().public_keys(),
        });
        json_reply(StatusCode::OK, &body)
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        finish(Box::pin(self.respond(request)).await)
    }

    fn turn_away(&self, head: &Parts) -> Reply {
        finish(self.check_sender(&head.headers, &head.uri).and_then(|()| {
            let path = path_of(&head.uri)?;
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            self.show_itself(&path, &head.method).ok_or(AdminError::TooManyConnections)
        }))
    }
}

fn path_of(uri: &Uri) -> Result<Vec<String>, AdminError> {
    let path = url::segments(uri.path().trim_matches('/'));
    path.map_err(|error| AdminError::MalformedQuery(error.to_string()))
}

fn finish(reply: Result<Reply, AdminError>) -> Reply {
    let reply = reply.unwrap_or_else(AdminError::into_reply);
    METRICS.requests.with_label_values(&["admin", reply.status().as_str()]).inc();
    reply
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
    Ok(json_reply(StatusCode::OK, &views::deployment(metadata, found(metadata, id)?, vec![])))
}

fn list_services(metadata: &Metadata) -> Reply {
    let newest = metadata.services.keys().filter_map(|name| metadata.service(name));
    let services = newest.map(|(of, offered)| views::service(metadata, of, offered)).collect();
    json_reply(StatusCode::OK, &ServiceList { services })
}

fn show_service(metadata: &Metadata, name: &str, rest: &[&str]) -> Result<Reply, AdminError> {
    let (of, service) = newest(metadata, name)?;
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

/// The deployment with an id.
fn found<'a>(metadata: &'a Metadata, id: &str) -> Result<&'a Deployment, AdminError> {
    let found = metadata.deployments.get(&DeploymentId(id.to_owned()));
    found.ok_or_else(|| not_found("deployment", id))
}

/// The newest version of a service, with its deployment.
fn newest<'a>(
    metadata: &'a Metadata,
    name: &str,
) -> Result<(&'a Deployment, &'a Service), AdminError> {
    metadata.service(name).ok_or_else(|| not_found("service", name))
}

fn not_found(what: &'static str, name: &str) -> AdminError {
    const SHOWN_CHARS_MAX: usize = 80;
    AdminError::NotFound { what, name: name.chars().take(SHOWN_CHARS_MAX).collect() }
}

/// What [`metrics_text`] is written in.
pub const METRICS_TYPE: &str = prometheus::TEXT_FORMAT;

/// The metrics of this process, as Prometheus reads them.
pub fn metrics_text() -> Bytes {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        tracing::error!(%error, "failed to render metrics");
    }
    text.into()
}

fn show_metrics() -> Reply {
    let mut reply = Reply::new(metrics_text().into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    reply
}
