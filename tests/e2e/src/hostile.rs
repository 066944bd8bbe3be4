//! A deployment that registers well and then breaks the protocol.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// In which way it is hostile.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Offers only protocol versions that nobody speaks.
    VersionsOfTheFuture,
    /// Offers the usual versions and then refuses the one that is chosen.
    LiesAboutVersions,
    /// Ends its answer in the middle of a frame.
    TruncatedFrame,
    /// Announces a frame of 4 GiB.
    EndlessFrame,
    /// Answers discovery with something else.
    NoManifest,
}

/// A served hostile endpoint.
pub struct Hostile {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Hostile {
    /// Serves it on a free port, with one service named `Hostile` and its handler `call`.
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

fn answer(request: &Request<Incoming>, behaviour: Behaviour) -> Response<Full<Bytes>> {
    let reply = |status: StatusCode, kind: &str, body: Vec<u8>| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        if let Ok(kind) = kind.parse() {
            response.headers_mut().insert("content-type", kind);
        }
        response
    };
    if request.uri().path() == "/discover" {
        let kind = "application/vnd.restate.endpointmanifest.v3+json";
        let (min, max) = match behaviour {
            Behaviour::VersionsOfTheFuture => (90, 99),
            Behaviour::NoManifest => return reply(StatusCode::OK, "text/html", b"<html>".to_vec()),
            Behaviour::LiesAboutVersions | Behaviour::TruncatedFrame | Behaviour::EndlessFrame => {
                (5, 7)
            }
        };
        let manifest = format!(
            r#"{{"protocolMode":"BIDI_STREAM","minProtocolVersion":{min},"maxProtocolVersion":{max},
               "services":[{{"name":"Hostile","ty":"SERVICE","handlers":[{{"name":"call"}}]}}]}}"#
        );
        return reply(StatusCode::OK, kind, manifest.into_bytes());
    }
    let asked = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let asked = asked.unwrap_or_default();
    match behaviour {
        Behaviour::TruncatedFrame => {
            // An output command of 100 bytes, of which 3 come.
            let frame = [0x04, 0x01, 0, 0, 0, 0, 0, 100, 1, 2, 3];
            reply(StatusCode::OK, asked, frame.to_vec())
        }
        Behaviour::EndlessFrame => {
            let frame = [0x04, 0x01, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
            reply(StatusCode::OK, asked, frame.to_vec())
        }
        Behaviour::VersionsOfTheFuture | Behaviour::LiesAboutVersions | Behaviour::NoManifest => {
            let body = br#"{"message":"unsupported"}"#;
            reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json", body.to_vec())
        }
    }
}
