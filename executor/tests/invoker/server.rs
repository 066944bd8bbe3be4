//! An HTTP/2 server that answers as a test wants, and says how many connections it has seen.

use std::convert::Infallible;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How to answer a request.
pub(crate) enum Answer {
    /// With these chunks, and the end of the stream.
    Stream(Vec<Bytes>),
    /// With these chunks and, when told to, a reset.
    Reset(Vec<Bytes>, oneshot::Receiver<()>),
    /// With these chunks, and nothing more.
    Stall(Vec<Bytes>),
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

pub(crate) struct Server {
    pub(crate) uri: String,
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
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
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, connections.clone(), Arc::new(answer)));
        Self { uri: format!("http://{address}"), address, connections, task }
    }

    /// How many connections it has seen.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes its port and all connections.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve<F>(listener: TcpListener, connections: Arc<AtomicUsize>, answer: Arc<F>)
where
    F: Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        let service = service_fn(move |request| respond(answer(request)));
        tasks.spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
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
