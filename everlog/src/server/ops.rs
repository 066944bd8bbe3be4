//! The port of an executor for those who look after it: `GET /health` and `GET /metrics`, as a
//! gateway has them at its admin port.
//!
//! Its invariant: it changes nothing, and what it costs is bounded.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_gateway::HealthCheck;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may stay.
const CONNECTION_MAX: Duration = Duration::from_mins(1);
/// How long a request's head may take to arrive.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The port, answered until it is dropped.
#[derive(Debug)]
pub(super) struct OpsPort {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl OpsPort {
    /// Answers on a bound port.
    pub(super) fn start(listener: TcpListener, health: HealthCheck) -> Self {
        let address = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        Self { address, task: tokio::spawn(accept_loop(listener, health)) }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for OpsPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_loop(listener: TcpListener, health: HealthCheck) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await;
        let seat = seat.expect("the seats are never taken away");
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = Arc::clone(&health);
                connections.spawn(async move {
                    let _seat = seat;
                    let _ = tokio::time::timeout(CONNECTION_MAX, serve(stream, health)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, health: HealthCheck) {
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = answer(request.method(), request.uri().path(), &health);
        async move { Ok::<_, Infallible>(reply) }
    });
    let served = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "connection ended");
    }
}

fn answer(method: &Method, path: &str, health: &HealthCheck) -> Response<Full<Bytes>> {
    match (method, path) {
        (&Method::GET, "/health") => {
            let problems = health();
            let (status, word) = if problems.is_empty() {
                (StatusCode::OK, "ok")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "unwell")
            };
            let body = json!({ "status": word, "problems": problems }).to_string();
            reply(status, "application/json", body.into())
        }
        (&Method::GET, "/metrics") => {
            reply(StatusCode::OK, everlog_gateway::METRICS_TYPE, everlog_gateway::metrics_text())
        }
        (_, "/health" | "/metrics") => {
            reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is answered".into())
        }
        _ => {
            let what = "an executor answers GET /health and GET /metrics; all else is asked of a gateway\n";
            reply(StatusCode::NOT_FOUND, "text/plain", what.into())
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
