//! The port that takes calls in.
//!
//! A request becomes a message in the inbox of its partition; what it asks about an invocation goes
//! to the partition's owner. The gateway keeps nothing: all of it can be lost at any time, and no
//! accepted call is.

mod answer;
mod awakeable;
mod body;
mod call;
mod cors;
mod delay;
pub(crate) mod error;
mod headers;
mod ids;
mod input;
mod paths;
mod progress;
mod question;
mod stopped;
mod target;
mod trace;

use std::sync::Arc;

use everlog_log_schema::Millis;
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::OwnerApi;
use everlog_traces::Tracer;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::GatewayLimits;
use crate::inbox::Inbox;
use crate::metrics::METRICS;
use crate::places::{NoPlace, Place, Places};
use crate::reply::{Reply, json_reply};
use crate::server::Handler;
use cors::{AllowedOrigin, Cors};
use error::IngressError;
use paths::{Question, Route};
use stopped::Stopped;

/// All that the ingress needs to answer a request.
pub(crate) struct Ingress {
    name: String,
    limits: GatewayLimits,
    unkeyed_retention: Millis,
    metadata: watch::Receiver<Arc<Metadata>>,
    owner: Arc<dyn OwnerApi>,
    inbox: Arc<Inbox>,
    tracer: Tracer,
    cors: Cors,
    stopped: Stopped,
    places: Places,
    body_room: Arc<Semaphore>,
    answer_room: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

/// What an ingress is made of.
pub(crate) struct IngressParts {
    /// Says where answers to this gateway's calls are awaited.
    pub(crate) name: String,
    /// What is registered.
    pub(crate) metadata: watch::Receiver<Arc<Metadata>>,
    /// Answers questions about invocations.
    pub(crate) owner: Arc<dyn OwnerApi>,
    /// Where messages go.
    pub(crate) inbox: Arc<Inbox>,
    /// The origins whose web pages may call.
    pub(crate) cors_origins: Vec<String>,
    /// What it takes on.
    pub(crate) limits: GatewayLimits,
    /// How long the outcome of a call without an idempotency key is kept, where its service does
    /// not say.
    pub(crate) unkeyed_retention: Millis,
    /// Takes in the spans of calls.
    pub(crate) tracer: Tracer,
    /// Turns true when waiting callers are to be sent away.
    pub(crate) closing: watch::Receiver<bool>,
}

/// The body of the answer to a health check.
#[derive(Serialize)]
struct HealthBody {
    services: Vec<String>,
}

impl Ingress {
    /// Makes it of what the whole gateway has.
    pub(crate) fn new(parts: IngressParts) -> Self {
        let IngressParts { name, metadata, owner, inbox, cors_origins, limits, closing, .. } =
            parts;
        Self {
            name,
            unkeyed_retention: parts.unkeyed_retention,
            metadata,
            owner,
            inbox,
            tracer: parts.tracer,
            cors: Cors::new(&cors_origins),
            stopped: Stopped::default(),
            places: Places::new(&limits),
            body_room: Arc::new(Semaphore::new(limits.body_bytes_in_flight_max)),
            answer_room: Arc::new(Semaphore::new(limits.answer_bytes_in_flight_max)),
            closing,
            limits,
        }
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
        let (parts, incoming) = request.into_parts();
        let route = paths::parse(parts.uri.path())?;
        check_method(&route, &parts.method)?;
        match route {
            // Its health can be asked for under any load.
            Route::Health => self.health(),
            Route::Invoke { verb, scope, segments } => {
                self.invoke((verb, scope), &segments, parts, incoming).await
            }
            Route::Awakeable(how, id) => {
                let place = self.places.short()?;
                Ok(keep(self.settle(how, &id, &parts, incoming).await?, place))
            }
            Route::ById(question, id) => {
                let place = self.place_of_question(question)?;
                Ok(keep(self.answer(question, question::parse_id(&id)?).await?, place))
            }
            Route::ByKey(question, names) => {
                let place = self.place_of_question(question)?;
                Ok(keep(self.answer(question, question::named_by_path(&names)?).await?, place))
            }
            Route::ByWorkflow { question, name, key } => {
                let place = self.place_of_question(question)?;
                let id = ids::of_workflow(&name, &key);
                Ok(keep(self.answer(question, id).await?, place))
            }
            Route::ByBody(question) => {
                let place = self.place_of_question(question)?;
                let id = self.named_by_body(&parts, incoming).await?;
                Ok(keep(self.answer(question, id).await?, place))
            }
        }
    }

    fn place_of_question(&self, question: Question) -> Result<Place, NoPlace> {
        match question {
            Question::Attach => self.places.attach(),
            Question::Output | Question::Lookup => self.places.short(),
        }
    }

    /// Lets a page of an allowed origin read a reply, and counts the reply.
    fn finish(origin: Option<AllowedOrigin>, mut reply: Reply) -> Reply {
        if let Some(origin) = origin {
            origin.allow(&mut reply);
        }
        METRICS.requests.with_label_values(&["ingress", reply.status().as_str()]).inc();
        reply
    }

    fn health(&self) -> Result<Reply, IngressError> {
        let services = self.metadata()?.services.keys().cloned().collect();
        Ok(json_reply(StatusCode::OK, &HealthBody { services }))
    }
}

impl Handler for Ingress {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        let _counted = InFlight::enter();
        let origin = self.cors.allowed(request.headers());
        let reply = if origin.is_some() && cors::is_preflight(request.method(), request.headers()) {
            cors::preflight(request.headers())
        } else {
            Box::pin(self.respond(request)).await.unwrap_or_else(IngressError::into_reply)
        };
        Self::finish(origin, reply)
    }

    fn turn_away(&self, head: &Parts) -> Reply {
        let health =
            paths::parse(head.uri.path()) == Ok(Route::Health) && head.method == Method::GET;
        let reply = if health { self.health() } else { Err(IngressError::TooManyConnections) };
        let reply = reply.unwrap_or_else(IngressError::into_reply);
        Self::finish(self.cors.allowed(&head.headers), reply)
    }
}

/// Gives a request's place back once its answer has left.
fn keep(reply: Reply, place: Place) -> Reply {
    reply.map(|body| body.keep(place))
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
        Route::Health | Route::ById(..) | Route::ByKey(..) | Route::ByWorkflow { .. } => {
            (&[Method::GET], "GET")
        }
        Route::ByBody(_) | Route::Awakeable(..) => (&[Method::POST], "POST"),
    };
    if allowed.contains(method) { Ok(()) } else { Err(IngressError::MethodNotAllowed(names)) }
}
