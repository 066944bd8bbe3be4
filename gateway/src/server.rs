//! One port: HTTP/1.1 and HTTP/2 without TLS (h2c, prior knowledge), told apart by their first
//! bytes.
//!
//! Its invariant: nothing that a peer does or leaves undone holds a connection without end. A head
//! has a deadline, an answer must be read, an idle HTTP/2 connection is pinged, the system asks
//! after the peers of others, and their number is bounded for each port alone. Whoever connects
//! beyond that number is told so at once, and is not left waiting in the kernel's queue.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::GatewayLimits;
use crate::reply::Reply;
use crate::stream::CallerStream;
use crate::streams::{StreamExecutor, answered};
use crate::turned_away::turn_away;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// A request's head, in bytes: the headers that a call may carry, and as much again.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// How often an HTTP/2 peer is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
/// The pause after a failed accept: the process is out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections beyond those that a port may have that are being turned away at once.
const TURNED_AWAY_MAX: usize = 64;

/// Answers the requests of one port.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropped where its client goes away.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Reply> + Send;

    /// Answers a request on a connection too many, at once: how this process does, if that is what
    /// is asked, and else when to come back.
    fn turn_away(&self, head: &Parts) -> Reply;
}

/// Why a connection broke off.
type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

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
        connections_max: usize,
        limits: &GatewayLimits,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept_loop(
            bound.listener,
            handler,
            connections_max,
            limits.clone(),
            stopped,
        ));
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
    connections_max: usize,
    limits: GatewayLimits,
    mut stopped: watch::Receiver<bool>,
) {
    let seats = Seats {
        free: Arc::new(Semaphore::new(connections_max)),
        to_turn_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
    };
    let graceful = GracefulShutdown::new();
    let builder = connection_builder(&limits);
    let mut connections = JoinSet::new();
    loop {
        let (stream, seat) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next_connection(&listener, &seats, limits.write_stall_max) => accepted,
        };
        let handler = Arc::clone(&handler);
        match seat {
            Seat::Free(seat) => {
                let asked = Arc::new(AtomicBool::new(false));
                let connection = serve(&builder, stream, handler, Arc::clone(&asked));
                let connection = graceful.watch(connection);
                let head_deadline = limits.head_deadline;
                connections.spawn(async move {
                    let _seat = seat;
                    see_out(connection, &asked, head_deadline).await;
                });
            }
            Seat::ToTurnAway(seat) => {
                let turning_away = turn_away(builder.clone(), stream, handler);
                connections.spawn(async move {
                    let _seat = seat;
                    turning_away.await;
                });
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// The connections that there may be.
struct Seats {
    free: Arc<Semaphore>,
    to_turn_away: Arc<Semaphore>,
}

/// What an accepted connection may have; given back when dropped.
enum Seat {
    /// Answers.
    Free(OwnedSemaphorePermit),
    /// A word that there are too many.
    ToTurnAway(OwnedSemaphorePermit),
}

/// Accepts a connection, to serve it where there is a seat for it and else to turn it away.
async fn next_connection(
    listener: &TcpListener,
    seats: &Seats,
    stall_max: Duration,
) -> (CallerStream, Seat) {
    let never_closed = "the seats are never taken away";
    let seat = tokio::select! {
        biased;
        free = Arc::clone(&seats.free).acquire_owned() => Seat::Free(free.expect(never_closed)),
        taken = Arc::clone(&seats.to_turn_away).acquire_owned() => {
            Seat::ToTurnAway(taken.expect(never_closed))
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // One may have become free meanwhile.
                let free = match seat {
                    Seat::Free(free) => Ok(free),
                    Seat::ToTurnAway(taken) => {
                        Arc::clone(&seats.free).try_acquire_owned().map_err(|_| taken)
                    }
                };
                let seat = free.map_or_else(Seat::ToTurnAway, Seat::Free);
                return (CallerStream::new(stream, stall_max), seat);
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection. `asked` turns true with its first request.
fn serve<H: Handler>(
    builder: &Builder<StreamExecutor>,
    stream: CallerStream,
    handler: Arc<H>,
    asked: Arc<AtomicBool>,
) -> impl GracefulConnection<Error = ConnectionError> + Send + 'static {
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let handler = Arc::clone(&handler);
        async move {
            let reply = handler.handle(request).await;
            answered();
            Ok::<_, Infallible>(reply)
        }
    });
    builder.serve_connection(TokioIo::new(stream), service).into_owned()
}

/// Waits until a connection has ended, or its first request has not come in time.
async fn see_out(
    connection: impl Future<Output = Result<(), ConnectionError>>,
    asked: &AtomicBool,
    head_deadline: Duration,
) {
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
}

fn connection_builder(limits: &GatewayLimits) -> Builder<StreamExecutor> {
    let mut builder = Builder::new(StreamExecutor { answer_max: limits.answer_total_max });
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
