//! Asks a deployment what it offers: `GET {uri}/discover`, the way in which it will be called.
//!
//! The peer may be anything: its answer is bounded in size and time, and nothing it says is
//! believed before it is checked.

use bytes::Bytes;
use everlog_connect::{Connection, Connector, HttpVersion, Identity, Wanted};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
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
    /// The version of HTTP that it answered in.
    pub(super) version: HttpVersion,
}

/// Why one way of asking failed.
enum Failed {
    /// Nobody listens there, or nobody to be trusted.
    Connect(String),
    /// Somebody does, and does not speak this version of HTTP.
    Talk(String),
    /// The answer is no manifest.
    Answer(String),
}

/// Asks a deployment. Over HTTP/1.1 where its registrar says so, or where TLS comes to it; and where
/// it does not speak HTTP/2, for a better error.
pub(super) async fn discover(
    endpoint: &Endpoint,
    connector: &Connector,
    limits: &GatewayLimits,
) -> Result<Discovered, AdminError> {
    // Without TLS there is nothing to agree by, so that HTTP/2 is a guess.
    let is_guess = endpoint.wanted == Wanted::Best && !endpoint.origin.is_tls();
    let asking = async {
        match ask(endpoint, connector, limits, endpoint.wanted).await {
            Err(Failed::Talk(_)) if is_guess => {
                ask(endpoint, connector, limits, Wanted::HttpOne).await
            }
            outcome => outcome,
        }
    };
    let uri = endpoint.uri.clone();
    match timeout(limits.discovery_max, asking).await {
        Ok(Ok(discovered)) => Ok(discovered),
        Ok(Err(Failed::Connect(reason))) => Err(AdminError::Unreachable { uri, reason }),
        Ok(Err(Failed::Talk(reason))) => Err(AdminError::BadDiscovery {
            uri,
            reason: if is_guess {
                format!("it speaks neither HTTP/2 nor HTTP/1.1 ({reason})")
            } else {
                format!("it does not speak the HTTP that was agreed on ({reason})")
            },
        }),
        Ok(Err(Failed::Answer(reason))) => Err(AdminError::BadDiscovery { uri, reason }),
        Err(_elapsed) => Err(AdminError::Unreachable {
            uri,
            reason: format!("no answer within {} s", limits.discovery_max.as_secs()),
        }),
    }
}

async fn ask(
    endpoint: &Endpoint,
    connector: &Connector,
    limits: &GatewayLimits,
    wanted: Wanted,
) -> Result<Discovered, Failed> {
    let connection = Box::pin(connector.connect(&endpoint.origin, wanted))
        .await
        .map_err(|error| Failed::Connect(error.to_string()))?;
    let version = connection.version();
    let mut driver = JoinSet::new();
    let response = send(endpoint, connection, connector.identity(), &mut driver)
        .await
        .map_err(|error| Failed::Talk(error.to_string()))?;
    let (parts, body) = response.into_parts();
    let sdk = parts.headers.get("x-restate-server");
    let sdk = sdk.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read(body, limits.manifest_bytes_max).await?;
    let manifest = parse(parts.status, &parts.headers, &body)?;
    Ok(Discovered { manifest, sdk, version })
}

/// Sends the request. The connection lives for as long as `driver` does.
async fn send(
    endpoint: &Endpoint,
    connection: Connection,
    identity: &Identity,
    driver: &mut JoinSet<()>,
) -> Result<Response<Incoming>, hyper::Error> {
    let version = connection.version();
    let mut request = request(endpoint, version);
    identity.sign("/discover", request.headers_mut());
    let io = TokioIo::new(connection);
    match version {
        HttpVersion::Two => {
            let (mut sender, moved) = conn::http2::handshake(TokioExecutor::new(), io).await?;
            driver.spawn(async move { drop(moved.await) });
            sender.send_request(request).await
        }
        HttpVersion::One => {
            let (mut sender, moved) = conn::http1::handshake(io).await?;
            driver.spawn(async move { drop(moved.await) });
            sender.send_request(request).await
        }
    }
}

fn request(endpoint: &Endpoint, version: HttpVersion) -> Request<Empty<Bytes>> {
    let path = format!("{}/discover", endpoint.prefix);
    let uri = match version {
        HttpVersion::One => path.parse::<Uri>(),
        HttpVersion::Two => format!("{}/discover", endpoint.uri).parse(),
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
        && !headers.contains_key(HOST)
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
        let hint = if status == StatusCode::UNAUTHORIZED {
            "; does it take this server's public key? `everlog doctor` shows it"
        } else {
            ""
        };
        return Err(Failed::Answer(format!("it answered with status {status}: {said}{hint}")));
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
