//! The invoker that talks to HTTP endpoints: HTTP/2 or HTTP/1.1, with or without TLS, both sides
//! speaking at once or one after the other.
//!
//! One task per attempt moves bytes between its stream and its [`Machine`](super::machine::Machine).
//! The streams of a deployment go over its [lane](lane): its own connections and its own queue.
//!
//! **Invariants:** what an attempt holds in memory is bounded: the response by the stream's window
//! and one message, the request by one chunk beside the journal itself. No deployment waits for
//! another one.

mod attempt;
mod connection;
mod lane;
mod pool;
mod request;

use std::sync::Arc;
use std::time::Duration;

use everlog_connect::Connector;
use everlog_traces::Tracer;
use tokio::sync::mpsc;

use self::pool::Pool;
use super::{AttemptHandle, AttemptStart, EventSender, Invoker};

/// Runs attempts over HTTP.
#[derive(Debug)]
pub struct HttpInvoker {
    pool: Arc<Pool>,
    tracer: Tracer,
}

/// How connections to deployments are kept.
#[derive(Debug, Clone)]
pub struct HttpInvokerOptions {
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How many attempts share a connection over HTTP/2, unless the deployment allows fewer.
    pub streams_per_connection: usize,
    /// How many connections a deployment may have: over HTTP/1.1, one for each attempt.
    pub deployment_connections_max: usize,
    /// After this long without a byte from the peer it is asked for a sign of life (HTTP/2).
    pub keep_alive_interval: Duration,
    /// A peer that gives none for this long is dead, and its attempts fail.
    pub keep_alive_timeout: Duration,
    /// A connection unused for this long is closed: something on the way may have forgotten it.
    /// One over HTTP/1.1 is closed after three seconds, if that is less, as its servers close
    /// theirs after five.
    pub idle_timeout: Duration,
}

impl Default for HttpInvokerOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            streams_per_connection: 128,
            deployment_connections_max: 1_000,
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
        }
    }
}

impl HttpInvoker {
    /// Makes an invoker without connections, which traces nothing.
    pub fn new(options: HttpInvokerOptions, connector: Connector) -> Self {
        Self { pool: Arc::new(Pool::new(options, connector)), tracer: Tracer::default() }
    }

    /// Has the spans of attempts and steps go to a tracer.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }
}

impl Invoker for HttpInvoker {
    fn start(&self, attempt: AttemptStart, events: EventSender) -> AttemptHandle {
        let (tell, told) = mpsc::unbounded_channel();
        let (pool, tracer) = (self.pool.clone(), self.tracer.clone());
        let task = tokio::spawn(attempt::run(pool, tracer, attempt, events, told));
        AttemptHandle::new(tell, task.abort_handle())
    }
}
