//! One port: HTTP/1.1 and HTTP/2 without TLS (h2c, prior knowledge), told apart by their first
//! bytes.
//!
//! Its invariant: nothing that a peer does or leaves undone holds a connection without end. A head
//! has a deadline, an answer must be read, an idle HTTP/2 connection is pinged, the system asks
//! after the peers of others, and their number is bounded for each port alone.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::GatewayLimits;
use crate::reply::Reply;
use crate::stream::CallerStream;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// A request's head, in bytes: the headers that a call may carry, and as much again.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// How often an HTTP/2 peer is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
/// The pause after a failed accept: the process is out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers the requests of one port.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropped where its client goes away.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Reply> + Send;
}

/// A port that is being served.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A bound port that nobody answers on yet.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Its socket.
    pub(crate) listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Serves a bound port.
    pub(crate) fn start<H: Handler>(
        bound: Listening,
        handler: Arc<H>,
        limits: &GatewayLimits,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept_loop(bound.listener, handler, limits.clone(), stopped));
        Self { address: bound.address, stop, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections and closes those that are idle.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Waits, at most this long, until the last request is answered; tells whether it was.
    pub(crate) async fn closed(&mut self, within: Duration) -> bool {
        self.task.is_finished() || tokio::time::timeout(within, &mut self.task).await.is_ok()
    }
}

impl Drop for Server {
    /// Breaks off what is still open.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_loop<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    limits: GatewayLimits,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let builder = connection_builder(&limits);
    let mut connections = JoinSet::new();
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next_connection(&listener, &slots, limits.write_stall_max) => accepted,
        };
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (handler, asked) = (Arc::clone(&handler), Arc::clone(&asked));
            service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let handler = Arc::clone(&handler);
                async move { Ok::<_, Infallible>(handler.handle(request).await) }
            })
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        let head_deadline = limits.head_deadline;
        connections.spawn(async move {
            let _slot = slot;
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = &mut connection => return,
                () = tokio::time::sleep(head_deadline) => {}
            }
            if asked.load(Ordering::Relaxed)
                && let Err(error) = connection.await
            {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// Accepts a connection once there is room for it.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stall_max: Duration,
) -> (CallerStream, Option<OwnedSemaphorePermit>) {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (CallerStream::new(stream, stall_max), slot),
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection_builder(limits: &GatewayLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}
