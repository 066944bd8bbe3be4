//! A collector of traces, and the connection to it.
//!
//! **Invariant:** one request at a time, and what it answers is bounded.

use bytes::Bytes;
use everlog_connect::{AddressError, Connector, Origin, Wanted};
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::uri::InvalidUri;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use prost::Message;

use crate::wire::ExportResponse;

/// Where a collector takes traces, below its address.
const PATH: &str = "/v1/traces";
/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A collector that speaks OTLP over HTTP, in its binary form.
#[derive(Debug)]
pub struct Collector {
    connector: Connector,
    origin: Origin,
    uri: Uri,
    headers: HeaderMap,
    /// An open connection that no request is on.
    idle: Option<http1::SendRequest<Full<Bytes>>>,
}

/// Why a collector cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// Its address cannot be read.
    #[error("{endpoint:?} is no address of a collector: {reason}")]
    Uri {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: InvalidUri,
    },
    /// Its address cannot be connected to.
    #[error("{endpoint:?} is no address of a collector: {reason}")]
    Address {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: AddressError,
    },
    /// What it is sent as headers are none.
    #[error("headers for the collector are written as name=value,name=value: {0}")]
    Headers(String),
}

/// Why a collector did not take spans. The texts end sentences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may take them later.
    Later(String),
    /// It will never take these.
    Never(String),
}

impl Collector {
    /// Makes a collector of its address, to which `/v1/traces` is added, and of headers that it is
    /// sent, written as `name=value,name=value` with percent-encoded values. Connects to nothing.
    pub fn new(
        endpoint: &str,
        headers: &str,
        connector: Connector,
    ) -> Result<Self, CollectorError> {
        let malformed = |reason| CollectorError::Uri { endpoint: endpoint.to_owned(), reason };
        let base: Uri = endpoint.parse().map_err(malformed)?;
        let origin = Origin::of(&base)
            .map_err(|reason| CollectorError::Address { endpoint: endpoint.to_owned(), reason })?;
        let path = format!("{}{PATH}", base.path().trim_end_matches('/'));
        let uri = path.parse().map_err(malformed)?;
        let mut headers = read_headers(headers)?;
        let host = base.authority().map_or("", |authority| authority.as_str());
        // Whoever logs in by the address must do so by a header instead.
        let host = host.rsplit('@').next().unwrap_or(host);
        let host = HeaderValue::from_str(host).expect("an authority is ASCII");
        headers.insert(HOST, host);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self { connector, origin, uri, headers, idle: None })
    }

    /// Sends spans. Tells how many of them were refused, and why.
    pub(crate) async fn post(&mut self, spans: Bytes) -> Result<Option<(u64, String)>, Refusal> {
        let mut connection = self.connection().await.map_err(Refusal::Later)?;
        let mut request = Request::post(self.uri.clone())
            .body(Full::new(spans))
            .expect("its parts were checked when they were read");
        *request.headers_mut() = self.headers.clone();
        let lost = |cause: hyper::Error| Refusal::Later(cause.to_string());
        let (head, body) = connection.send_request(request).await.map_err(lost)?.into_parts();
        let answer = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        if answer.is_ok() {
            self.idle = Some(connection);
        }
        match head.status {
            status if status.is_success() => {
                // Whoever answers at length, or with something else, has taken them.
                let answer = answer.ok().and_then(|answer| {
                    ExportResponse::decode(answer.to_bytes()).ok()?.partial_success
                });
                let refused = answer.filter(|refused| refused.rejected_spans > 0);
                Ok(refused.map(|it| (it.rejected_spans.unsigned_abs(), it.error_message)))
            }
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Err(Refusal::Later(format!("it answered {status}"))),
            status => Err(Refusal::Never(format!("it answered {status}"))),
        }
    }

    async fn connection(&mut self) -> Result<http1::SendRequest<Full<Bytes>>, String> {
        if let Some(mut idle) = self.idle.take()
            && idle.ready().await.is_ok()
        {
            return Ok(idle);
        }
        let socket = self.connector.connect(&self.origin, Wanted::HttpOne).await;
        let socket = socket.map_err(|cause| cause.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|cause| cause.to_string())?;
        // It ends with its sender, and whoever sends hears why.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

fn read_headers(text: &str) -> Result<HeaderMap, CollectorError> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let malformed = |reason: &str| CollectorError::Headers(reason.to_owned());
        // The value may be a secret: it is not shown.
        let (name, value) = pair.split_once('=').ok_or_else(|| malformed("one has no `=`"))?;
        let name: HeaderName = name
            .trim()
            .parse()
            .map_err(|_| CollectorError::Headers(format!("`{}` is no name", name.trim())))?;
        let unusable = || CollectorError::Headers(format!("the value of `{name}` cannot be sent"));
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| unusable())?;
        let mut value =
            HeaderValue::from_str(&value).map_err(|_: InvalidHeaderValue| unusable())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use everlog_connect::TlsOptions;

    use super::*;

    fn collector(endpoint: &str, headers: &str) -> Result<Collector, String> {
        let connector = Connector::new(&TlsOptions::default()).unwrap();
        Collector::new(endpoint, headers, connector).map_err(|error| error.to_string())
    }

    #[test]
    fn traces_go_to_their_path_below_the_address() {
        for (endpoint, path, host) in [
            ("http://localhost:4318", "/v1/traces", "localhost:4318"),
            ("http://localhost:4318/", "/v1/traces", "localhost:4318"),
            ("https://name:word@traces.example/otlp/", "/otlp/v1/traces", "traces.example"),
        ] {
            let collector = collector(endpoint, "").unwrap();
            assert_eq!(collector.uri.path(), path);
            assert_eq!(collector.headers[HOST], host);
        }
        for endpoint in ["localhost:4318", "grpc://localhost", "http://", "/v1/traces", "a b"] {
            let error = collector(endpoint, "").unwrap_err();
            assert!(error.starts_with(&format!("{endpoint:?} is no address")), "{error}");
        }
    }

    #[test]
    fn headers_are_pairs_with_percent_encoded_values() {
        let given = " authorization=Basic%20dTpw , x-team=blue,,";
        let read = collector("http://localhost", given).unwrap().headers;
        assert_eq!(read["authorization"], "Basic dTpw");
        assert_eq!(read["x-team"], "blue");
        assert!(read["authorization"].is_sensitive());
        for (wrong, said) in [
            ("token", "one has no `=`"),
            ("a b=secret", "`a b` is no name"),
            ("a=secret%0A", "the value of `a` cannot be sent"),
            ("a=%ff", "the value of `a` cannot be sent"),
        ] {
            let error = collector("http://localhost", wrong).unwrap_err();
            assert!(error.ends_with(said) && !error.contains("secret"), "{error}");
        }
    }
}
