//! A collector of traces: an OTLP/HTTP receiver that keeps what it is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::within;

/// How long spans may take to arrive: a bound that tells a loss from a slow machine.
const ARRIVAL_MAX: Duration = Duration::from_mins(1);

/// A collector on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct TraceCollector {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: Vec<TraceRequest>,
    /// What the next requests are answered with instead of being taken.
    refusals: VecDeque<StatusCode>,
    connections: usize,
}

/// What a collector was sent in one request.
#[derive(Debug, Clone)]
pub struct TraceRequest {
    /// Where it was sent.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// What it carried.
    pub body: ExportTraceServiceRequest,
}

impl TraceRequest {
    /// Its spans.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        let scopes = self.body.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans)
    }
}

impl TraceCollector {
    /// Starts it at an address; port 0 lets the system choose.
    pub async fn serve(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let kept = Arc::<Mutex<Kept>>::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&kept)));
        Ok(Self { address, kept, task })
    }

    /// Its address, as it is configured.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses a request to come with this status.
    pub fn refuse_next(&self, status: StatusCode) {
        lock(&self.kept).refusals.push_back(status);
    }

    /// How many refusals are still to come.
    #[must_use]
    pub fn refusals_left(&self) -> usize {
        lock(&self.kept).refusals.len()
    }

    /// How many connections were opened to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.kept).connections
    }

    /// The requests that it has taken, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<TraceRequest> {
        lock(&self.kept).requests.clone()
    }

    /// All spans that it has taken, in order.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        requests.iter().flat_map(TraceRequest::spans).cloned().collect()
    }

    /// Waits until the spans it has taken are as wanted, and returns them.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Result<Vec<Span>> {
        let arrived = within(ARRIVAL_MAX, what, || async { wanted(&self.spans()) }).await;
        arrived.with_context(|| {
            let names = self.spans().into_iter().map(|span| span.name).collect::<Vec<_>>();
            format!("the collector has {names:?}")
        })?;
        Ok(self.spans())
    }
}

impl Drop for TraceCollector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, kept: Arc<Mutex<Kept>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        lock(&kept).connections += 1;
        let kept = Arc::clone(&kept);
        let service = service_fn(move |request| {
            let kept = Arc::clone(&kept);
            async move { Ok::<_, Infallible>(answer(request, &kept).await) }
        });
        // An error means that the client has gone.
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

async fn answer(request: Request<Incoming>, kept: &Mutex<Kept>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut answer = Response::new(Full::default());
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).ok();
    let body = body.and_then(|body| ExportTraceServiceRequest::decode(body).ok());
    let mut kept = lock(kept);
    match (kept.refusals.pop_front(), body) {
        (Some(status), _) => *answer.status_mut() = status,
        (None, None) => *answer.status_mut() = StatusCode::BAD_REQUEST,
        (None, Some(body)) => {
            let (path, headers) = (head.uri.path().to_owned(), head.headers);
            kept.requests.push(TraceRequest { path, headers, body });
        }
    }
    answer
}
