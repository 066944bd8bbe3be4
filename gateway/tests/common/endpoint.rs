//! Deployments: one of the real SDK, and others that answer as a test wants.

use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use restate_sdk::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::any_port;
use super::authority::Authority;

/// Every gateway of these tests trusts it.
pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// A function of the real SDK.
pub struct Greeter;

#[restate_sdk::service]
impl Greeter {
    #[handler]
    async fn greet(&self, _context: Context<'_>, name: String) -> HandlerResult<String> {
        Ok(format!("Hello {name}"))
    }

    #[handler]
    async fn part(&self, _context: Context<'_>) -> HandlerResult<()> {
        Ok(())
    }
}

/// An object of the real SDK.
pub struct Cart;

#[restate_sdk::object]
impl Cart {
    #[handler]
    async fn add(&self, _context: ObjectContext<'_>, item: u64) -> HandlerResult<u64> {
        Ok(item)
    }

    #[handler]
    async fn view(&self, _context: SharedObjectContext<'_>) -> HandlerResult<u64> {
        Ok(0)
    }
}

/// Serves an endpoint of the real SDK.
pub async fn serve_sdk(endpoint: Endpoint) -> SocketAddr {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(HttpServer::new(endpoint).serve(listener));
    address
}

/// What a scripted deployment answers to discovery.
#[derive(Debug, Clone)]
pub struct Script {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
    pub http2: bool,
    /// Whether it speaks TLS, with a certificate for this name.
    pub tls: Option<&'static str>,
}

impl Script {
    /// A manifest.
    pub fn manifest(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            content_type: "application/vnd.restate.endpointmanifest.v4+json",
            body: body.into(),
            http2: true,
            tls: None,
        }
    }
}

/// Serves a script.
pub async fn serve_script(script: Script) -> SocketAddr {
    let protocol = if script.http2 { "h2" } else { "http/1.1" };
    let tls = script.tls.map(|name| AUTHORITY.server(name, &[protocol]));
    serve_with(move |stream| {
        let (script, tls) = (script.clone(), tls.clone());
        async move {
            match tls {
                None => answer(script, TokioIo::new(stream)).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(script, TokioIo::new(stream)).await;
                    }
                }
            }
        }
    })
    .await
}

async fn answer(script: Script, io: impl Read + Write + Send + Unpin + 'static) {
    let http2 = script.http2;
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        assert_eq!(request.uri().path(), "/discover");
        let response = Response::builder()
            .status(script.status)
            .header("content-type", script.content_type)
            .header("x-restate-server", "scripted/1")
            .body(Full::new(script.body.clone()));
        async move { response }
    });
    if http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

/// Answers every connection with these bytes, and closes it or not.
pub async fn serve_bytes(bytes: &'static [u8], close: bool) -> SocketAddr {
    serve_with(move |mut stream| async move {
        let _ = stream.write_all(bytes).await;
        if !close {
            std::future::pending::<()>().await;
        }
    })
    .await
}

async fn serve_with<F, S>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}
