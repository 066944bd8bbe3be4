//! An HTTP server that answers as a test wants, and says how many connections it has seen.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Interval;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::shell::in_time;

/// How often one more byte trickles.
const TRICKLE_INTERVAL: Duration = Duration::from_millis(5);

/// How to answer a request.
pub(crate) enum Answer {
    /// With these chunks, and the end of the stream.
    Stream(Vec<Bytes>),
    /// With these chunks and, when told to, a reset.
    Reset(Vec<Bytes>, oneshot::Receiver<()>),
    /// With these chunks, and nothing more.
    Stall(Vec<Bytes>),
    /// With these bytes, one at a time, again and again.
    Trickle(Bytes),
    /// With chunks that hold nothing.
    Empty,
    /// With an output, the end, and a byte now and then.
    EndThenTrickle,
    /// With these chunks and, when told to, with those and the end of the stream.
    Later(Vec<Bytes>, watch::Receiver<bool>, Vec<Bytes>),
    /// Not at all, and the request is not read.
    Hold(Request<Incoming>),
    /// With one `Run` after the other; counts their bytes.
    Endless(Arc<AtomicUsize>),
    /// Once the request has ended, with the number of its bytes as the output.
    CountThenEnd(Incoming),
    /// With this content type.
    ContentType(&'static str),
    /// With this.
    Page(Arc<Response<&'static str>>),
    /// Not at all.
    Never,
}

/// The servers of these tests that speak TLS have their certificates from it.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// How a server talks.
#[derive(Clone, Default)]
pub(crate) struct Talk {
    /// Over HTTP/1.1 alone, instead of HTTP/2 alone.
    pub(crate) http_one: bool,
    /// Over TLS.
    pub(crate) tls: Option<TlsAcceptor>,
    /// How many streams of a connection it allows at once.
    pub(crate) streams_max: Option<u32>,
}

impl Talk {
    /// Over TLS, with a certificate for this name.
    pub(crate) fn tls(name: &str, http_one: bool) -> Self {
        let protocol = if http_one { "http/1.1" } else { "h2" };
        Self { http_one, tls: Some(AUTHORITY.server(name, &[protocol])), streams_max: None }
    }
}

pub(crate) struct Server {
    pub(crate) uri: String,
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    serving: tokio::task::JoinHandle<()>,
}

/// What a server has seen.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// How many connections are open.
    open: watch::Sender<usize>,
    /// Whether clients are to go elsewhere: connections end once their requests have.
    retiring: watch::Sender<bool>,
}

impl Server {
    pub(crate) async fn start(
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn start_at(
        address: SocketAddr,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let respond = move |request| respond(answer(request));
        Self::serve(address, Talk::default(), respond).await
    }

    /// Serves in another way.
    pub(crate) async fn talking(
        talk: Talk,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let respond = move |request| respond(answer(request));
        Self::serve("127.0.0.1:0".parse().unwrap(), talk, respond).await
    }

    /// Serves whatever answers requests.
    pub(crate) async fn serve<F, R, B>(address: SocketAddr, talk: Talk, respond: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if talk.tls.is_some() { "https" } else { "http" };
        let counts = Arc::new(Counts::default());
        let counting = counts.clone();
        let respond = move |request| {
            counting.requests.fetch_add(1, Ordering::SeqCst);
            respond(request)
        };
        let serving = tokio::spawn(accept(listener, talk, counts.clone(), respond));
        Self { uri: format!("{scheme}://{address}"), address, counts, serving }
    }

    /// How many connections it has seen.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many requests it has seen.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Waits until so many connections are open.
    pub(crate) async fn open_connections(&self, count: usize) {
        in_time(self.counts.open.subscribe().wait_for(|open| *open == count)).await.unwrap();
    }

    /// Asks clients to send nothing more on the connections that are open.
    pub(crate) fn retire_connections(&self) {
        self.counts.retiring.send_replace(true);
        self.counts.retiring.send_replace(false);
    }

    /// Closes its port and all connections.
    pub(crate) async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

async fn accept<F, R, B>(listener: TcpListener, talk: Talk, counts: Arc<Counts>, respond: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        counts.connections.fetch_add(1, Ordering::SeqCst);
        counts.open.send_modify(|open| *open += 1);
        let (talk, counts, respond) = (talk.clone(), counts.clone(), respond.clone());
        let mut retiring = counts.retiring.subscribe();
        tasks.spawn(async move {
            let retired = async move { drop(retiring.changed().await) };
            match &talk.tls {
                None => converse(TokioIo::new(stream), &talk, respond, retired).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(TokioIo::new(stream), &talk, respond, retired).await;
                    }
                }
            }
            counts.open.send_modify(|open| *open -= 1);
        });
    }
}

/// Serves one connection to its end.
async fn converse<F, R, B>(
    io: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    talk: &Talk,
    respond: F,
    retired: impl Future<Output = ()>,
) where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let retired = pin!(retired);
    if talk.http_one {
        let served = http1::Builder::new().serve_connection(io, service_fn(respond));
        let mut served = pin!(served);
        if let Either::Left(((), _)) = select(retired, served.as_mut()).await {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
        return;
    }
    let mut builder = http2::Builder::new(TokioExecutor::new());
    if talk.streams_max.is_some() {
        builder.max_concurrent_streams(talk.streams_max);
    }
    let mut served = pin!(builder.serve_connection(io, service_fn(respond)));
    if let Either::Left(((), _)) = select(retired, served.as_mut()).await {
        served.as_mut().graceful_shutdown();
        let _ = served.await;
    }
}

async fn respond(answer: Answer) -> Result<Response<Script>, Infallible> {
    let stream = |body| {
        let content_type = "application/vnd.restate.invocation.v6";
        Response::builder().header("content-type", content_type).body(body).unwrap()
    };
    Ok(match answer {
        Answer::Stream(chunks) => stream(Script::new(chunks, Last::End)),
        Answer::Reset(chunks, when) => stream(Script::new(chunks, Last::Reset(when))),
        Answer::Stall(chunks) => stream(Script::new(chunks, Last::Stall)),
        Answer::Trickle(bytes) => {
            let pause = tokio::time::interval(TRICKLE_INTERVAL);
            stream(Script::new(Vec::new(), Last::Trickle(bytes, 0, pause)))
        }
        Answer::EndThenTrickle => {
            let pause = tokio::time::interval(TRICKLE_INTERVAL);
            let last = Last::Trickle(Bytes::from_static(b"x"), 0, pause);
            stream(Script::new(vec![output("done"), end()], last))
        }
        Answer::Later(chunks, mut when, rest) => {
            let when = async move { drop(when.wait_for(|told| *told).await) };
            stream(Script::new(chunks, Last::Later(Box::pin(when), rest)))
        }
        Answer::Hold(request) => {
            std::future::pending::<()>().await;
            drop(request);
            unreachable!("nothing ends what is pending")
        }
        Answer::Empty => stream(Script::new(Vec::new(), Last::Empty(false))),
        Answer::Endless(count) => stream(Script::new(Vec::new(), Last::Endless(count, 0))),
        Answer::CountThenEnd(body) => {
            let bytes = body.collect().await.unwrap().to_bytes().len();
            stream(Script::new(vec![output(&bytes.to_string()), end()], Last::End))
        }
        Answer::ContentType(content_type) => {
            let response = Response::builder().header("content-type", content_type);
            response.body(Script::new(vec![output("done"), end()], Last::End)).unwrap()
        }
        Answer::Page(page) => {
            let mut response = Response::new(Script::new(vec![(*page.body()).into()], Last::End));
            *response.status_mut() = page.status();
            *response.headers_mut() = page.headers().clone();
            response
        }
        Answer::Never => std::future::pending().await,
    })
}

enum Last {
    End,
    Reset(oneshot::Receiver<()>),
    Stall,
    Trickle(Bytes, usize, Interval),
    /// And whether it has paused since the last one.
    Empty(bool),
    Later(Pin<Box<dyn Future<Output = ()> + Send>>, Vec<Bytes>),
    Endless(Arc<AtomicUsize>, u32),
}

/// A body: some chunks, then something else.
struct Script {
    chunks: std::vec::IntoIter<Bytes>,
    last: Last,
}

impl Script {
    fn new(chunks: Vec<Bytes>, last: Last) -> Self {
        Self { chunks: chunks.into_iter(), last }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(chunk) = self.chunks.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &mut self.last {
            Last::End => Poll::Ready(None),
            Last::Reset(when) => {
                Pin::new(when).poll(cx).map(|_| Some(Err(std::io::Error::other("enough"))))
            }
            Last::Stall => Poll::Pending,
            Last::Trickle(bytes, at, pause) => {
                ready!(pause.poll_tick(cx));
                let from = *at;
                *at = (from + 1) % bytes.len();
                Poll::Ready(Some(Ok(Frame::data(bytes.slice(from..=from)))))
            }
            Last::Later(when, rest) => {
                ready!(when.as_mut().poll(cx));
                self.chunks = std::mem::take(rest).into_iter();
                self.last = Last::End;
                self.poll_frame(cx)
            }
            Last::Empty(has_paused) => {
                *has_paused = !*has_paused;
                if *has_paused {
                    // Others are to run, too.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
            }
            Last::Endless(count, id) => {
                *id += 1;
                let chunk = run(*id);
                count.fetch_add(chunk.len(), Ordering::SeqCst);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
        }
    }
}

/// A message with a payload of fewer than 128 bytes.
fn message(kind: u16, payload: &[u8]) -> Bytes {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 0, 0, u8::try_from(payload.len()).unwrap()]);
    bytes.extend(payload);
    bytes.into()
}

/// A `Run` command with this completion id.
pub(crate) fn run(mut id: u32) -> Bytes {
    // Field 11, a varint.
    let mut payload = vec![11 << 3];
    while id >= 0x80 {
        payload.push(u8::try_from(id & 0x7F).unwrap() | 0x80);
        id >>= 7;
    }
    payload.push(u8::try_from(id).unwrap());
    message(0x0411, &payload)
}

/// A `Sleep` command with this completion id, below 128.
pub(crate) fn sleep(id: u8) -> Bytes {
    // Field 1 is the time, field 11 the id, both varints.
    message(0x040C, &[1 << 3, 100, 11 << 3, id])
}

/// A `Suspension` until this completion, below 128.
pub(crate) fn suspension(id: u8) -> Bytes {
    // Field 1 holds the ids.
    message(0x0001, &[(1 << 3) | 2, 1, id])
}

/// An `Output` command with this value.
pub(crate) fn output(value: &str) -> Bytes {
    // Field 14 holds a message whose field 1 holds the value.
    let length = u8::try_from(value.len()).unwrap();
    let mut payload = vec![(14 << 3) | 2, length + 2, (1 << 3) | 2, length];
    payload.extend(value.as_bytes());
    message(0x0401, &payload)
}

/// The end of an invocation.
pub(crate) fn end() -> Bytes {
    message(0x0003, &[])
}
