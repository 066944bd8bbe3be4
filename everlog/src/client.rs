//! A small HTTP client: one request, one answer, read to its end.

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address, or a header, is not one.
    #[error("{0}")]
    Malformed(String),
    /// Nobody is there: the request was certainly not taken in.
    #[error(
        "failed to reach Everlog at {server}: {reason}; is it running? start it with `everlog dev`"
    )]
    Connect {
        /// Who was called.
        server: String,
        /// What failed.
        reason: String,
    },
    /// The connection broke: the request may have been taken in.
    #[error("connection to {server} broke before there was an answer: {reason}")]
    Broken {
        /// Who was called.
        server: String,
        /// What failed.
        reason: String,
    },
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// The address of a path at a server such as `http://127.0.0.1:8080`.
pub(crate) fn address(server: &str, path_and_query: &str) -> Result<Uri, ClientError> {
    let malformed = |reason: &str| ClientError::Malformed(format!("`{server}` {reason}"));
    let uri: Uri = format!("{}{path_and_query}", server.trim_end_matches('/'))
        .parse()
        .map_err(|_| malformed("is no address such as http://127.0.0.1:8080"))?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => Ok(uri),
        Some(_) => Err(malformed("is not http://, which is all that is supported yet")),
        None => Err(malformed("is no address such as http://127.0.0.1:8080")),
    }
}

/// Sends a request and waits for its answer, however long that takes.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
    let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.map_err(|error| {
        let (server, reason) = (server.clone(), deepest(&error));
        if error.is_connect() {
            ClientError::Connect { server, reason }
        } else {
            ClientError::Broken { server, reason }
        }
    })?;
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|error| ClientError::Broken { server, reason: deepest(&error) })?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}

/// The innermost cause: it is what says something.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_made_of_a_server_and_a_path() {
        let uri = address("http://127.0.0.1:8080/", "/Greeter/greet").unwrap();
        assert_eq!(uri.to_string(), "http://127.0.0.1:8080/Greeter/greet");
        for server in ["127.0.0.1:8080", "https://x", "", "localhost"] {
            assert!(address(server, "/x").is_err(), "{server}");
        }
    }
}
