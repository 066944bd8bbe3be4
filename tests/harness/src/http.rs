//! An HTTP client with kept connections.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long a connection is kept unused: Everlog closes one that is silent for a minute, and a call
/// that crosses with that is lost.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// An HTTP/1.1 client with kept connections.
#[derive(Debug, Clone)]
pub struct Http(Client<HttpConnector, Full<Bytes>>);

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reply, if it is a success.
    pub fn success(self) -> Result<Self> {
        ensure!(self.status.is_success(), "answered {}: {}", self.status, self.text());
        Ok(self)
    }
}

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        Self(builder.pool_idle_timeout(IDLE_MAX).build(connector))
    }
}

impl Http {
    /// Sends a request and reads the whole answer, whatever its status.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let uri = request.uri().clone();
        let response =
            self.0.request(request).await.with_context(|| format!("failed to call {uri}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.with_context(|| format!("failed to read from {uri}"))?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// Sends a GET.
    pub async fn get(&self, at: SocketAddr, path: &str) -> Result<Reply> {
        self.send(Request::get(format!("http://{at}{path}")).body(Full::default())?).await
    }

    /// Sends a POST with a JSON body; an empty one goes without content type.
    pub async fn post(
        &self,
        at: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        json: impl Into<Bytes>,
    ) -> Result<Reply> {
        let json = json.into();
        let mut request = Request::post(format!("http://{at}{path}"));
        if !json.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(json))?).await
    }
}
