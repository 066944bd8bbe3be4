//! Connections to endpoints, each shared by many streams.
//!
//! **Invariant:** a connection has at most `streams_per_connection` streams, and at most as many as
//! its peer allows, unless the endpoint has all the connections it may have.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::Uri;
use http::uri::Authority;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::HttpInvokerOptions;
use super::request::RequestBody;
use super::socket::PromptSocket;

/// How many bytes of a response may be under way to one attempt.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The head of a response, in bytes.
const RESPONSE_HEAD_BYTES_MAX: u32 = 16 << 10;

/// All connections.
#[derive(Debug)]
pub(super) struct Pool {
    options: HttpInvokerOptions,
    endpoints: Mutex<HashMap<Authority, Arc<Endpoint>>>,
}

/// The connections to one endpoint. Whoever opens one holds the lock, so that attempts that start
/// together share it.
type Endpoint = tokio::sync::Mutex<Vec<Connection>>;

/// The side of a connection that moves its bytes.
type Driver =
    hyper::client::conn::http2::Connection<TokioIo<PromptSocket>, RequestBody, TokioExecutor>;

#[derive(Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    /// Held once by the connection and once by each stream.
    streams: Arc<()>,
    /// How many streams the peer allows.
    allowed: Arc<AtomicUsize>,
    last_used: Instant,
}

/// The right to open one stream.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    _stream: Arc<()>,
}

impl Pool {
    /// Makes a pool without connections.
    pub(super) fn new(options: HttpInvokerOptions) -> Self {
        Self { options, endpoints: Mutex::default() }
    }

    /// Finds a connection that has room for a stream, or opens one. The error is a sentence's end.
    pub(super) async fn lease(&self, uri: &Uri) -> Result<Lease, String> {
        let limit = self.options.connect_timeout;
        tokio::time::timeout(limit, self.find_or_connect(uri))
            .await
            .unwrap_or_else(|_| Err(format!("no connection within {} ms", limit.as_millis())))
    }

    async fn find_or_connect(&self, uri: &Uri) -> Result<Lease, String> {
        let authority = uri.authority().ok_or("the URI names no host")?;
        let endpoint = self.endpoint(authority);
        let mut connections = endpoint.lock().await;
        connections.retain(|connection| connection.is_usable(&self.options));
        let is_full = connections.len() >= self.options.connections_per_endpoint;
        if let Some(connection) = connections.iter_mut().min_by_key(|other| other.streams())
            && (is_full || connection.has_room(&self.options))
        {
            return Ok(connection.lease());
        }
        let mut connection = self.connect(authority).await?;
        let lease = connection.lease();
        connections.push(connection);
        Ok(lease)
    }

    fn endpoint(&self, authority: &Authority) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgets endpoints that nobody uses, so that the map cannot grow with their number.
        endpoints.retain(|_, endpoint| {
            Arc::strong_count(endpoint) > 1
                || endpoint.try_lock().is_ok_and(|connections| {
                    connections.iter().any(|connection| connection.is_usable(&self.options))
                })
        });
        endpoints.entry(authority.clone()).or_default().clone()
    }

    async fn connect(&self, authority: &Authority) -> Result<Connection, String> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let socket =
            PromptSocket::connect((host, port)).await.map_err(|cause| cause.to_string())?;
        let streams = u32::try_from(self.options.streams_per_connection).unwrap_or(u32::MAX);
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            // Room for all streams at once, so that one that is not read cannot hold up the others.
            .initial_connection_window_size(
                STREAM_WINDOW_BYTES.saturating_mul(streams).min(i32::MAX.unsigned_abs()),
            )
            .max_header_list_size(RESPONSE_HEAD_BYTES_MAX)
            .keep_alive_interval(self.options.keep_alive_interval)
            .keep_alive_timeout(self.options.keep_alive_timeout)
            .handshake::<_, RequestBody>(TokioIo::new(socket))
            .await
            .map_err(|cause| sentence_of(&cause))?;
        let allowed = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        tokio::spawn(drive(connection, allowed.clone(), authority.clone()));
        Ok(Connection { sender, streams: Arc::new(()), allowed, last_used: Instant::now() })
    }
}

impl Connection {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    fn is_usable(&self, options: &HttpInvokerOptions) -> bool {
        let is_idle = self.streams() == 0 && self.last_used.elapsed() > options.idle_timeout;
        !self.sender.is_closed() && !is_idle
    }

    fn has_room(&self, options: &HttpInvokerOptions) -> bool {
        let allowed = self.allowed.load(Ordering::Relaxed);
        self.streams() < options.streams_per_connection.min(allowed)
    }

    fn lease(&mut self) -> Lease {
        self.last_used = Instant::now();
        Lease { sender: self.sender.clone(), _stream: self.streams.clone() }
    }
}

/// Moves a connection's bytes until it ends, and notes how many streams the peer allows.
async fn drive(mut connection: Driver, allowed: Arc<AtomicUsize>, authority: Authority) {
    let end = poll_fn(|cx| {
        let progress = Pin::new(&mut connection).poll(cx);
        allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
        progress
    });
    // The attempts on it see the error themselves.
    if let Err(cause) = end.await {
        tracing::debug!(%authority, cause = sentence_of(&cause), "connection ended");
    }
}

/// Tells an error with all its causes: the outermost alone says next to nothing.
pub(super) fn sentence_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
