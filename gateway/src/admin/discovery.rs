//! Asks a deployment what it offers: `GET {uri}/discover`, over HTTP/2 without TLS.
//!
//! The peer may be anything: its answer is bounded in size and time, and nothing it says is
//! believed before it is checked.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::error::AdminError;
use super::manifest::Manifest;
use crate::GatewayLimits;

/// The manifest versions that are understood, the best first.
const ACCEPTED: &str = "application/vnd.restate.endpointmanifest.v5+json, \
     application/vnd.restate.endpointmanifest.v4+json, \
     application/vnd.restate.endpointmanifest.v3+json, \
     application/vnd.restate.endpointmanifest.v2+json, \
     application/vnd.restate.endpointmanifest.v1+json";
/// The characters of a peer's own error that are shown to the registrar.
const SHOWN_CHARS_MAX: usize = 300;

/// What a deployment says about itself.
#[derive(Debug)]
pub(super) struct Discovered {
    /// What it offers.
    pub(super) manifest: Manifest,
    /// What its SDK calls itself.
    pub(super) sdk: Option<String>,
    /// Whether it answered over HTTP/1.1 only.
    pub(super) http_one_only: bool,
}

/// Why one way of asking failed.
enum Failed {
    /// Nobody listens there.
    Connect(String),
    /// Somebody does, and does not speak this version of HTTP.
    Talk(String),
    /// The answer is no manifest.
    Answer(String),
}

/// Asks a deployment. Over HTTP/1.1 only where it does not speak HTTP/2, for a better error.
pub(super) async fn discover(
    endpoint: &Endpoint,
    limits: &GatewayLimits,
) -> Result<Discovered, AdminError> {
    let asking = async {
        match ask(endpoint, limits, HttpVersion::Two).await {
            Err(Failed::Talk(_)) => ask(endpoint, limits, HttpVersion::One).await,
            outcome => outcome,
        }
    };
    let uri = endpoint.uri.clone();
    match timeout(limits.discovery_max, asking).await {
        Ok(Ok(discovered)) => Ok(discovered),
        Ok(Err(Failed::Connect(reason))) => Err(AdminError::Unreachable { uri, reason }),
        Ok(Err(Failed::Talk(reason))) => Err(AdminError::BadDiscovery {
            uri,
            reason: format!("it speaks neither HTTP/2 nor HTTP/1.1 ({reason})"),
        }),
        Ok(Err(Failed::Answer(reason))) => Err(AdminError::BadDiscovery { uri, reason }),
        Err(_elapsed) => Err(AdminError::Unreachable {
            uri,
            reason: format!("no answer within {} s", limits.discovery_max.as_secs()),
        }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HttpVersion {
    One,
    Two,
}

async fn ask(
    endpoint: &Endpoint,
    limits: &GatewayLimits,
    version: HttpVersion,
) -> Result<Discovered, Failed> {
    let host = endpoint.authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, endpoint.port()))
        .await
        .map_err(|error| Failed::Connect(error.to_string()))?;
    let mut connection = JoinSet::new();
    let response = send(endpoint, TokioIo::new(stream), version, &mut connection)
        .await
        .map_err(|error| Failed::Talk(error.to_string()))?;
    let (parts, body) = response.into_parts();
    let sdk = parts.headers.get("x-restate-server");
    let sdk = sdk.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read(body, limits.manifest_bytes_max).await?;
    let manifest = parse(parts.status, &parts.headers, &body)?;
    Ok(Discovered { manifest, sdk, http_one_only: version == HttpVersion::One })
}

/// Sends the request. The connection lives for as long as `connection` does.
async fn send(
    endpoint: &Endpoint,
    io: TokioIo<TcpStream>,
    version: HttpVersion,
    connection: &mut JoinSet<()>,
) -> Result<Response<Incoming>, hyper::Error> {
    match version {
        HttpVersion::Two => {
            let (mut sender, driver) = conn::http2::handshake(TokioExecutor::new(), io).await?;
            connection.spawn(async move { drop(driver.await) });
            sender.send_request(request(endpoint, version)).await
        }
        HttpVersion::One => {
            let (mut sender, driver) = conn::http1::handshake(io).await?;
            connection.spawn(async move { drop(driver.await) });
            sender.send_request(request(endpoint, version)).await
        }
    }
}

fn request(endpoint: &Endpoint, version: HttpVersion) -> Request<Empty<Bytes>> {
    let path = format!("{}/discover", endpoint.prefix);
    let uri = match version {
        HttpVersion::One => path.parse::<Uri>(),
        HttpVersion::Two => format!("http://{}{path}", endpoint.authority).parse(),
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.expect("a checked address and a fixed path make one");
    let headers = request.headers_mut();
    for header in &endpoint.headers {
        if let (Ok(name), Ok(value)) =
            (header.key.parse::<http::HeaderName>(), HeaderValue::from_str(&header.value))
        {
            headers.append(name, value);
        }
    }
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    if version == HttpVersion::One
        && let Ok(host) = HeaderValue::from_str(endpoint.authority.as_str())
    {
        headers.insert(HOST, host);
    }
    request
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Failed> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failed::Answer(format!("its manifest is larger than {bytes_max} bytes")))
        }
        Err(error) => Err(Failed::Answer(format!("its answer broke off ({error})"))),
    }
}

fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Manifest, Failed> {
    if status != StatusCode::OK {
        let said: String = String::from_utf8_lossy(body).chars().take(SHOWN_CHARS_MAX).collect();
        return Err(Failed::Answer(format!("it answered with status {status}: {said}")));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.is_empty() || !ACCEPTED.split(", ").any(|accepted| accepted.trim() == essence) {
        return Err(Failed::Answer(format!(
            "its content type is `{essence}`, not that of a manifest; is a function served there?"
        )));
    }
    serde_json::from_slice(body)
        .map_err(|error| Failed::Answer(format!("its manifest cannot be read: {error}")))
}
