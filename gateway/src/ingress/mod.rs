//! The port that takes calls in.
//!
//! A request becomes a message in the inbox of its partition; what it asks about an invocation goes
//! to the partition's owner. The gateway keeps nothing: all of it can be lost at any time, and no
//! accepted call is.

mod answer;
mod body;
mod call;
mod delay;
pub(crate) mod error;
mod headers;
mod ids;
mod inbox;
mod input;
mod paths;
mod progress;
mod question;
mod stopped;
mod target;

use std::sync::Arc;

use bytes::Bytes;
use everlog_log_client::{EventLog, LogError};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::OwnerApi;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::GatewayLimits;
use crate::metrics::METRICS;
use crate::server::{Handler, Reply};
use error::{IngressError, json_reply};
use inbox::Inbox;
use paths::Route;
use stopped::Stopped;

/// All that the ingress needs to answer a request.
pub(crate) struct Ingress {
    name: String,
    limits: GatewayLimits,
    metadata: watch::Receiver<Arc<Metadata>>,
    owner: Arc<dyn OwnerApi>,
    inbox: Inbox,
    stopped: Stopped,
    requests: Semaphore,
    body_room: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

/// The body of the answer to a health check.
#[derive(Serialize)]
struct HealthBody {
    services: Vec<String>,
}

impl Ingress {
    /// Opens the inboxes. `name` says where answers to this gateway's calls are awaited; `closing`
    /// turns true when waiting callers are to be sent away.
    pub(crate) fn open(
        name: String,
        log: Arc<dyn EventLog>,
        metadata: watch::Receiver<Arc<Metadata>>,
        owner: Arc<dyn OwnerApi>,
        limits: GatewayLimits,
        closing: watch::Receiver<bool>,
    ) -> Result<Self, LogError> {
        Ok(Self {
            name,
            metadata,
            owner,
            inbox: Inbox::open(log, limits.resend_max)?,
            stopped: Stopped::default(),
            requests: Semaphore::new(limits.requests_max),
            body_room: Arc::new(Semaphore::new(limits.body_bytes_in_flight_max)),
            closing,
            limits,
        })
    }

    /// What is registered, to decide by. Once it is no longer followed nothing is decided: what was
    /// known last may be long out of date.
    fn metadata(&self) -> Result<Arc<Metadata>, IngressError> {
        match self.metadata.has_changed() {
            Ok(_) => Ok(self.last_metadata()),
            Err(_lost) => Err(IngressError::MetadataLost),
        }
    }

    /// What was known last, to render an answer by: nothing is decided, and the answer is there.
    fn last_metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata.borrow())
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Reply, IngressError> {
        if request.method() == Method::OPTIONS {
            return Ok(preflight());
        }
        let (parts, incoming) = request.into_parts();
        let route = paths::parse(parts.uri.path())?;
        check_method(&route, &parts.method)?;
        let _slot = self.requests.try_acquire().map_err(|_| IngressError::TooManyRequests)?;
        match route {
            Route::Health => self.health(),
            Route::Invoke { verb, segments } => self.invoke(verb, &segments, parts, incoming).await,
            Route::ById(question, id) => self.answer(question, question::parse_id(&id)?).await,
            Route::ByKey(question, names) => {
                self.answer(question, question::named_by_path(&names)?).await
            }
            Route::ByBody(question) => {
                let id = self.named_by_body(&parts, incoming).await?;
                self.answer(question, id).await
            }
        }
    }

    fn health(&self) -> Result<Reply, IngressError> {
        let services = self.metadata()?.services.keys().cloned().collect();
        Ok(json_reply(StatusCode::OK, &HealthBody { services }))
    }
}

impl Handler for Ingress {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        let _counted = InFlight::enter();
        let mut reply =
            Box::pin(self.respond(request)).await.unwrap_or_else(IngressError::into_reply);
        // Any page may call: the ingress knows no users, and who must not reach it is kept out by
        // what stands in front of it.
        reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        reply.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        METRICS.requests.with_label_values(&["ingress", reply.status().as_str()]).inc();
        reply
    }
}

/// Counts a request for as long as it is handled, also where its client goes away.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        METRICS.in_flight.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        METRICS.in_flight.dec();
    }
}

fn check_method(route: &Route, method: &Method) -> Result<(), IngressError> {
    let (allowed, names): (&[Method], _) = match route {
        Route::Invoke { .. } => (&[Method::GET, Method::POST], "GET, POST"),
        Route::Health | Route::ById(..) | Route::ByKey(..) => (&[Method::GET], "GET"),
        Route::ByBody(_) => (&[Method::POST], "POST"),
    };
    if allowed.contains(method) { Ok(()) } else { Err(IngressError::MethodNotAllowed(names)) }
}

fn preflight() -> Reply {
    let mut reply = Reply::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    reply
}
