//! The invoker that talks to HTTP endpoints: HTTP/2 without TLS, both sides speaking at once.
//!
//! One task per attempt moves bytes between its stream and its [`Machine`](super::machine::Machine).
//!
//! **Invariant:** what an attempt holds in memory is bounded: the response by the stream's window
//! and one message, the request by one chunk beside the journal itself.

mod attempt;
mod pool;
mod request;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::pool::Pool;
use super::{AttemptEvent, AttemptHandle, AttemptStart, Invoker};

/// Runs attempts over HTTP/2.
#[derive(Debug)]
pub struct HttpInvoker {
    pool: Arc<Pool>,
}

/// How connections to deployments are kept.
#[derive(Debug, Clone)]
pub struct HttpInvokerOptions {
    /// How long a connection may take to come about, with the wait for others that open one.
    pub connect_timeout: Duration,
    /// How many attempts share a connection.
    pub streams_per_connection: usize,
    /// How many connections one endpoint may have; beyond that, attempts wait for a stream.
    pub connections_per_endpoint: usize,
    /// After this long without a byte from the peer it is asked for a sign of life.
    pub keep_alive_interval: Duration,
    /// A peer that gives none for this long is dead, and its attempts fail.
    pub keep_alive_timeout: Duration,
    /// A connection unused for this long is not used again: something on the way may have
    /// forgotten it.
    pub idle_timeout: Duration,
}

impl Default for HttpInvokerOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            streams_per_connection: 128,
            connections_per_endpoint: 64,
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
        }
    }
}

impl HttpInvoker {
    /// Makes an invoker without connections.
    pub fn new(options: HttpInvokerOptions) -> Self {
        Self { pool: Arc::new(Pool::new(options)) }
    }
}

impl Invoker for HttpInvoker {
    fn start(&self, attempt: AttemptStart, events: mpsc::Sender<AttemptEvent>) -> AttemptHandle {
        let (notify, notices) = mpsc::unbounded_channel();
        let task = tokio::spawn(attempt::run(self.pool.clone(), attempt, events, notices));
        AttemptHandle::new(notify, task.abort_handle())
    }
}
