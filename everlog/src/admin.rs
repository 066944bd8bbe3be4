//! Talks to the admin port of a server.

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{self, Answer, ClientError};

/// What is written as it is neither in a path nor in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the server is administered.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArguments {
    /// The server's address for administration.
    #[arg(
        long,
        value_name = "URL",
        env = "EVERLOG_ADMIN",
        default_value = "http://127.0.0.1:9070"
    )]
    pub(crate) admin: String,
}

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminFailure {
    /// There is no answer.
    #[error(transparent)]
    NoAnswer(#[from] ClientError),
    /// It said no.
    #[error("{message} [{status} {code}]")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The sentence.
        message: String,
    },
    /// It answered, and what was asked for is not there.
    #[error("{what}")]
    Absent {
        /// What there is instead.
        what: String,
    },
    /// Its answer is not what this program knows.
    #[error("failed to read the answer of {server}: {reason}; is it another version of Everlog?")]
    Strange {
        /// Who answered.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

impl AdminArguments {
    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, AdminFailure> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks for something whose answer counts whatever its status is.
    pub(crate) async fn get_whatever(&self, path: &str) -> Result<Value, AdminFailure> {
        let answer = self.send(Method::GET, path, None).await?;
        serde_json::from_slice(&answer.body).map_err(|_| self.strange("it is no JSON"))
    }

    /// Asks with any method, and a body in JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, AdminFailure> {
        let text = self.ask_for_text(method, path, body).await?;
        serde_json::from_slice(&text).map_err(|_| self.strange("it is no JSON"))
    }

    /// The same, for those who read the answer themselves.
    pub(crate) async fn ask_for_text(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Bytes, AdminFailure> {
        let answer = self.send(method, path, body).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
        Err(AdminFailure::Refused {
            status: answer.status.as_u16(),
            code: field("error").unwrap_or_else(|| "unknown-error".into()),
            message: field("message")
                .unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned()),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        let typed = bytes.is_some();
        let mut request = Request::new(Full::new(bytes.unwrap_or_default()));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        *request.method_mut() = method;
        *request.uri_mut() = client::address(&self.admin, path)?;
        if typed {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        client::send(request).await
    }

    /// Reads an answer as what it should be.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Value) -> Result<T, AdminFailure> {
        serde_json::from_value(answer.clone()).map_err(|error| self.strange(&error.to_string()))
    }

    /// Says that an answer is not understood.
    pub(crate) fn strange(&self, reason: &str) -> AdminFailure {
        AdminFailure::Strange { server: self.admin.clone(), reason: reason.to_owned() }
    }
}

impl AdminFailure {
    /// Whether what was asked may have been done all the same.
    pub(crate) fn may_have_happened(&self) -> bool {
        match self {
            Self::NoAnswer(ClientError::Broken { .. }) | Self::Strange { .. } => true,
            Self::NoAnswer(ClientError::Malformed(_) | ClientError::Connect { .. })
            | Self::Absent { .. } => false,
            Self::Refused { code, .. } => is_unknown(code),
        }
    }
}

/// Whether a code says that nobody knows what became of a request.
pub(crate) fn is_unknown(code: &str) -> bool {
    ["outcome-unknown", "order-outcome-unknown"].contains(&code)
}

/// A text as a part of a path or a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A query of these parameters, those without a value left out; begins with `?` unless empty.
pub(crate) fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={}", encode(value))));
    let given = given.collect::<Vec<_>>().join("&");
    if given.is_empty() { given } else { format!("?{given}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_may_have_happened() {
        let refused = |code: &str| AdminFailure::Refused {
            status: 503,
            code: code.into(),
            message: String::new(),
        };
        assert!(refused("outcome-unknown").may_have_happened());
        assert!(refused("order-outcome-unknown").may_have_happened());
        assert!(!refused("log-unavailable").may_have_happened());
    }

    #[test]
    fn a_query_has_what_is_given() {
        assert_eq!(query(&[("a", None), ("b", None)]), "");
        assert_eq!(
            query(&[("a", Some("x y&z")), ("b", None), ("c", Some("1"))]),
            "?a=x%20y%26z&c=1"
        );
    }
}
