//! Deployments that register well and then do harm, over HTTP/2. Those over bare sockets, which can
//! break HTTP as well, are in `raw.rs`.

mod raw;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use raw::{RawBehaviour, RawHostile};

/// How often a slow peer sends a byte.
const DRIP_EVERY: Duration = Duration::from_millis(50);
/// How much an endless peer sends at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// The message type of a run.
const RUN: u16 = 0x0411;
const MANIFEST: &str = "application/vnd.restate.endpointmanifest.v4+json";

/// In which way it is hostile.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Offers only protocol versions that nobody speaks.
    VersionsOfTheFuture,
    /// Offers the usual versions and then refuses the one that is chosen.
    LiesAboutVersions,
    /// Ends its answer in the middle of a frame.
    TruncatedFrame,
    /// Announces a frame of 4 GiB, and sends it.
    EndlessFrame,
    /// Announces a frame of 1 MiB, and sends it byte by byte.
    DrippedFrame,
    /// Sends one step after the other.
    EndlessFrames,
    /// Sends whole messages where they do not belong.
    Says(&'static [u8]),
    /// Answers with more headers than anybody reads.
    HugeHeaders,
    /// Answers discovery with something else.
    NoManifest,
}

/// A served hostile endpoint.
pub struct Hostile {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Hostile {
    /// Serves it on a free port, with one service named `Hostile` and its handler `call`, which is
    /// tried once and then paused.
    pub async fn serve(behaviour: Behaviour) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |request| async move {
                    Ok::<_, Infallible>(answer(&request, behaviour))
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client may hang up on such a server at any time.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, task })
    }

    /// What to register.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The manifest of the one service.
fn manifest(mode: &str, versions: (u32, u32)) -> String {
    let (min, max) = versions;
    format!(
        r#"{{"protocolMode":"{mode}","minProtocolVersion":{min},"maxProtocolVersion":{max},
           "services":[{{"name":"Hostile","ty":"SERVICE","handlers":[{{"name":"call"}}],
           "retryPolicyMaxAttempts":1,"retryPolicyOnMaxAttempts":"PAUSE"}}]}}"#
    )
}

fn answer(request: &Request<Incoming>, behaviour: Behaviour) -> Response<Body> {
    if request.uri().path() == "/discover" {
        let versions = match behaviour {
            Behaviour::NoManifest => {
                return reply(StatusCode::OK, "text/html", whole(b"<html>".to_vec()));
            }
            Behaviour::VersionsOfTheFuture => (90, 99),
            Behaviour::LiesAboutVersions
            | Behaviour::TruncatedFrame
            | Behaviour::EndlessFrame
            | Behaviour::DrippedFrame
            | Behaviour::EndlessFrames
            | Behaviour::Says(_)
            | Behaviour::HugeHeaders => (5, 6),
        };
        let manifest = manifest("BIDI_STREAM", versions);
        return reply(StatusCode::OK, MANIFEST, whole(manifest.into_bytes()));
    }
    let asked = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let say = |body| reply(StatusCode::OK, asked.unwrap_or_default(), body);
    match behaviour {
        // An output command of 100 bytes, of which 3 come.
        Behaviour::TruncatedFrame => say(whole([0x04, 0x01, 0, 0, 0, 0, 0, 100, 1, 2, 3].to_vec())),
        Behaviour::EndlessFrame => {
            let header = [0x04, 0x01, 0, 0, 0xff, 0xff, 0xff, 0xff];
            let chunk = Bytes::from(vec![0; CHUNK_BYTES]);
            say(streamed(
                stream::once(async move { Bytes::copy_from_slice(&header) })
                    .chain(stream::repeat(chunk)),
            ))
        }
        Behaviour::DrippedFrame => {
            let header = [0x04, 0x01, 0, 0, 0, 0x10, 0, 0];
            say(streamed(
                stream::once(async move { Bytes::copy_from_slice(&header) }).chain(drips(b"x")),
            ))
        }
        Behaviour::EndlessFrames => say(streamed(stream::iter((1..).map(run)))),
        Behaviour::Says(bytes) => say(whole(bytes.to_vec())),
        Behaviour::HugeHeaders => {
            let mut response = say(whole(Vec::new()));
            for number in 0..64 {
                if let Ok(name) = HeaderName::try_from(format!("x-{number}"))
                    && let Ok(value) = HeaderValue::try_from("x".repeat(4 << 10))
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Behaviour::VersionsOfTheFuture | Behaviour::LiesAboutVersions | Behaviour::NoManifest => {
            let body = br#"{"message":"unsupported"}"#;
            reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json", whole(body.to_vec()))
        }
    }
}

fn reply(status: StatusCode, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert("content-type", kind);
    }
    response
}

fn whole(bytes: Vec<u8>) -> Body {
    Full::from(bytes).boxed_unsync()
}

fn streamed(chunks: impl stream::Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

/// The same bytes again and again, slowly.
fn drips(bytes: &'static [u8]) -> impl stream::Stream<Item = Bytes> {
    stream::unfold((), move |()| async move {
        tokio::time::sleep(DRIP_EVERY).await;
        Some((Bytes::from_static(bytes), ()))
    })
}

/// The command of a run that declares a completion.
fn run(completion: u32) -> Bytes {
    let mut payload = vec![11 << 3];
    // Seven bits a byte, the lowest first; the last byte is the one below 0x80.
    let mut left = completion;
    loop {
        let [low, ..] = (left & 0x7f).to_le_bytes();
        left >>= 7;
        if left == 0 {
            payload.push(low);
            break;
        }
        payload.push(low | 0x80);
    }
    let [length, ..] = payload.len().to_le_bytes();
    let mut frame = RUN.to_be_bytes().to_vec();
    frame.extend([0, 0, 0, 0, 0, length]);
    frame.extend(payload);
    frame.into()
}
