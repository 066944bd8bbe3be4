//! One connection to a deployment, of either version of HTTP.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use everlog_connect::{Connection as Socket, HttpVersion};
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::HttpInvokerOptions;
use super::pool::{Destination, Settings};
use super::request::RequestBody;

/// How many bytes of a response may be under way to one attempt.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The head of a response, in bytes.
const RESPONSE_HEAD_BYTES_MAX: u32 = 16 << 10;
/// How long a connection over HTTP/1.1 is kept unused: many servers close theirs after 5 s, and a
/// request that crosses with that is lost.
const IDLE_MAX_HTTP_ONE: Duration = Duration::from_secs(3);

/// The side of a connection that moves its bytes, until it ends.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// A connection as its lane knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    sender: Sender,
    /// How many streams are leased.
    streams: usize,
    last_used: Instant,
    /// What moves its bytes, once that is started.
    pub(super) driver: Option<AbortHandle>,
}

#[derive(Debug)]
enum Sender {
    /// None while it is leased: it carries one request at a time.
    One(Option<http1::SendRequest<RequestBody>>),
    Two(http2::SendRequest<RequestBody>, Arc<Allowance>),
}

/// How many streams the peer of a connection allows. Before it has said so, that is a guess.
#[derive(Debug)]
pub(super) struct Allowance {
    streams: AtomicUsize,
    /// Has the driver look again: nothing wakes it where the peer changes its mind.
    look: Notify,
}

/// The right to send one request on a connection.
#[derive(Debug)]
pub(super) enum Leased {
    One(http1::SendRequest<RequestBody>),
    Two(http2::SendRequest<RequestBody>, Arc<Allowance>),
}

/// Opens a connection, which moves nothing before its driver is run. `on_more` is called where the
/// peer comes to allow more streams. The error is a sentence's end.
pub(super) async fn open(
    id: u64,
    destination: &Destination,
    settings: &Settings,
    on_more: impl Fn() + Send + Sync + 'static,
) -> Result<(Connection, Driver), String> {
    let Settings { options, connector } = settings;
    let socket = connector.connect(&destination.origin, destination.wanted).await;
    let socket = socket.map_err(|cause| cause.to_string())?;
    let version = socket.version();
    let io = TokioIo::new(socket);
    let (sender, driver) = match version {
        HttpVersion::One => {
            let handshake = http1::Builder::new()
                .max_header_size(RESPONSE_HEAD_BYTES_MAX as usize)
                .max_buf_size(STREAM_WINDOW_BYTES as usize)
                .handshake(io);
            let (sender, connection) = handshake.await.map_err(|cause| sentence_of(&cause))?;
            (Sender::One(Some(sender)), Box::pin(connection) as Driver)
        }
        HttpVersion::Two => {
            let handshake = http_two(options).handshake(io);
            let (sender, connection) = handshake.await.map_err(|cause| sentence_of(&cause))?;
            let streams = AtomicUsize::new(connection.current_max_send_streams());
            let allowed = Arc::new(Allowance { streams, look: Notify::new() });
            let driver = drive_two(connection, allowed.clone(), on_more);
            (Sender::Two(sender, allowed), Box::pin(driver) as Driver)
        }
    };
    Ok((Connection { id, sender, streams: 0, last_used: Instant::now(), driver: None }, driver))
}

/// Moves the bytes of a connection over HTTP/2, and notes how many streams its peer allows.
async fn drive_two(
    mut connection: http2::Connection<TokioIo<Socket>, RequestBody, TokioExecutor>,
    allowed: Arc<Allowance>,
    on_more: impl Fn() + Send + Sync + 'static,
) -> Result<(), hyper::Error> {
    loop {
        let moving = poll_fn(|cx| {
            let progress = Pin::new(&mut connection).poll(cx);
            let now = connection.current_max_send_streams();
            if allowed.streams.swap(now, Ordering::Relaxed) < now {
                on_more();
            }
            progress
        });
        tokio::select! {
            end = moving => return end,
            () = allowed.look.notified() => {}
        }
    }
}

fn http_two(options: &HttpInvokerOptions) -> http2::Builder<TokioExecutor> {
    let streams = u32::try_from(options.streams_per_connection).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        // Room for all streams at once, so that one that is not read cannot hold up the others.
        .initial_connection_window_size(
            STREAM_WINDOW_BYTES.saturating_mul(streams).min(i32::MAX.unsigned_abs()),
        )
        .max_header_list_size(RESPONSE_HEAD_BYTES_MAX)
        .keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout);
    builder
}

impl Connection {
    /// The version of HTTP that is spoken on it.
    pub(super) fn version(&self) -> HttpVersion {
        match self.sender {
            Sender::One(_) => HttpVersion::One,
            Sender::Two(..) => HttpVersion::Two,
        }
    }

    /// How many streams are leased.
    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// How long it may be kept unused.
    pub(super) fn idle_max(&self, options: &HttpInvokerOptions) -> Duration {
        match self.version() {
            HttpVersion::One => options.idle_timeout.min(IDLE_MAX_HTTP_ONE),
            HttpVersion::Two => options.idle_timeout,
        }
    }

    /// Whether it is open, and in use or used not long ago.
    pub(super) fn is_usable(&self, options: &HttpInvokerOptions) -> bool {
        let is_closed = match &self.sender {
            Sender::One(sender) => sender.as_ref().is_some_and(http1::SendRequest::is_closed),
            Sender::Two(sender, _) => sender.is_closed(),
        };
        let is_idle = self.streams == 0 && self.last_used.elapsed() >= self.idle_max(options);
        !is_closed && !is_idle
    }

    /// Whether it has room for one more stream.
    pub(super) fn has_room(&self, options: &HttpInvokerOptions) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_some(),
            Sender::Two(_, allowed) => {
                // A peer that allows none is waited for by the attempt, whose patience is limited.
                let allowed = allowed.streams.load(Ordering::Relaxed).max(1);
                self.streams < options.streams_per_connection.min(allowed)
            }
        }
    }

    /// Leases a stream, if there is room.
    pub(super) fn lease(&mut self) -> Option<Leased> {
        let leased = match &mut self.sender {
            Sender::One(sender) => Leased::One(sender.take()?),
            Sender::Two(sender, allowed) => Leased::Two(sender.clone(), allowed.clone()),
        };
        self.streams += 1;
        self.last_used = Instant::now();
        Some(leased)
    }

    /// Takes a stream back. `reusable` is what the next request goes out by where the connection
    /// carries one at a time; without it such a connection is over.
    pub(super) fn give_back(&mut self, reusable: Option<http1::SendRequest<RequestBody>>) -> bool {
        self.streams -= 1;
        self.last_used = Instant::now();
        match &mut self.sender {
            Sender::One(sender) => {
                *sender = reusable;
                sender.is_some()
            }
            Sender::Two(..) => true,
        }
    }
}

impl Leased {
    /// Sends the request.
    pub(super) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::One(sender) => {
                shape_for_http_one(&mut request);
                sender.try_send_request(request).await
            }
            Self::Two(sender, allowed) => {
                let answered = sender.try_send_request(request).await;
                // By now the peer has said what it allows.
                allowed.look.notify_one();
                answered
            }
        }
    }
}

/// HTTP/1.1 names the host in a header, and nothing but the path in its first line.
fn shape_for_http_one(request: &mut Request<RequestBody>) {
    let uri = std::mem::take(request.uri_mut());
    if let Some(authority) = uri.authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = uri.into_parts().path_and_query.map(Uri::from).unwrap_or_default();
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
