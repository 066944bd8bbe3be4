//! Every way in which the ingress says no: a status, a stable code and a sentence that helps.
//!
//! Each code has its section in `docs/errors/ingress.md`, which the sentence names; a test keeps the
//! two together.

use std::time::Duration;

use everlog_log_schema::{ScopeError, limits};
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::inbox::InboxError;
use crate::places::NoPlace;
use crate::reply::{Reply, json_reply};

/// Says whether the ingress or the invocation itself failed.
pub(crate) const ERROR_SOURCE: &str = "x-restate-error-source";

/// What the ingress refuses, by what its caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IngressError {
    #[error("path is malformed: {0}")]
    MalformedPath(String),
    #[error("path is not known: call a handler at /Service/handler or /Object/key/handler")]
    UnknownPath,
    #[error("method is not allowed here: use {0}")]
    MethodNotAllowed(&'static str),
    #[error(
        "service `{service}` is not registered{hint}: register its deployment at the admin API (POST /deployments)"
    )]
    ServiceNotFound { service: String, hint: Hint },
    #[error("service `{service}` has no handler `{handler}`{hint}")]
    HandlerNotFound { service: String, handler: String, hint: Hint },
    #[error("`{service}/{handler}` is private: only other handlers may call it")]
    HandlerPrivate { service: String, handler: String },
    #[error("delay `{0}` is no duration of at most ten years: write `10s`, `1h 30m` or `PT10S`")]
    MalformedDelay(String),
    #[error("a call waits for its result and takes no delay: use the same path with /send")]
    DelayOnCall,
    #[error(
        "the run of a workflow is the same call by its key, and takes no idempotency key: call without it"
    )]
    KeyOnWorkflow,
    #[error("{0}: call at /restate/scope/SCOPE/call/Service/handler")]
    LimitKeyWithoutScope(ScopeError),
    #[error("{0}")]
    MalformedScope(ScopeError),
    #[error("limit key is malformed: {0}")]
    MalformedLimitKey(String),
    #[error("header `{name}` is malformed: {reason}")]
    MalformedHeader { name: String, reason: &'static str },
    #[error(
        "headers are too large: {} bytes at most, names and values together",
        limits::HEADERS_BYTES_MAX
    )]
    HeadersTooLarge,
    #[error("{what} is too long: {} bytes at most", limits::KEY_BYTES_MAX)]
    KeyTooLong { what: &'static str },
    #[error("invocation id `{id}` is malformed: {reason}")]
    MalformedId { id: String, reason: String },
    #[error("awakeable id `{id}` is malformed: {reason}")]
    MalformedAwakeableId { id: String, reason: String },
    #[error("body does not name a target: {0}")]
    MalformedTarget(String),
    #[error("handler needs a body")]
    BodyRequired,
    #[error("handler takes no body: send the request without one")]
    BodyUnexpected,
    #[error("handler takes content type `{expected}`, not {found}: set the content-type header")]
    ContentType { expected: String, found: String },
    #[error(
        "body is larger than {} bytes, which is the most that a call may carry",
        limits::BODY_BYTES_MAX
    )]
    BodyTooLarge,
    #[error("body did not arrive in time")]
    BodyTimeout,
    #[error("failed to read the body: {0}")]
    BodyUnreadable(String),
    #[error("body of a rejection is no text: send the reason as UTF-8")]
    BodyNotText,
    #[error("request is larger than a message may be: {0}")]
    MessageTooLarge(String),
    #[error("invocation `{0}` is not known: it never was, or its result is no longer kept")]
    InvocationNotFound(String),
    #[error(
        "invocation `{id}` has not completed: {sentence}. Ask again later, or attach to wait for it"
    )]
    NotReady { id: String, sentence: String, progress: Map<String, Value> },
    #[error("too many requests wait here: try again later")]
    TooManyRequests,
    #[error(
        "too many callers of `{0}` wait here: try again later, or send to it instead of calling; other services are not affected"
    )]
    ServiceBusy(String),
    #[error("too many connections are open here, and this one is closed: try again later")]
    TooManyConnections,
    #[error("too many bytes of bodies are on their way into the log: try again later")]
    TooManyBytes,
    #[error("the log takes in no more for now, and nothing was recorded: try again later")]
    LogBusy,
    #[error("the log refused the request, and nothing was recorded: {0}")]
    LogRefused(String),
    #[error(
        "it is not known whether the request was recorded ({0}): repeat a call with the same idempotency key if it had one; an awakeable ends once, however often it is told to"
    )]
    OutcomeUnknown(String),
    #[error("the invocation's partition has no owner now: {0}")]
    PartitionUnavailable(String),
    #[error("the call's partition has stopped, until somebody mends it: {reason}; {}", fate(*.recorded))]
    PartitionStopped { reason: String, recorded: bool },
    #[error(
        "this process no longer follows what is registered, and nothing was recorded: it must be restarted; its log says why"
    )]
    MetadataLost,
    #[error("the gateway is shutting down; what is recorded goes on: ask again later")]
    ShuttingDown,
}

/// What becomes of what was asked of a stopped partition.
fn fate(recorded: bool) -> &'static str {
    if recorded {
        "what is recorded there goes on then, a call just made too: attach to it, do not repeat it"
    } else {
        "nothing was recorded"
    }
}

/// What the caller may have meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hint(pub(crate) Option<String>);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, " (did you mean `{name}`?)"))
    }
}

/// The body of every error of the ingress.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) code: u16,
    pub(crate) message: &'a str,
    pub(crate) source: &'static str,
    pub(crate) error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Map<String, Value>>,
}

impl From<NoPlace> for IngressError {
    fn from(error: NoPlace) -> Self {
        match error {
            NoPlace::Any => Self::TooManyRequests,
            NoPlace::OfService(service) => Self::ServiceBusy(service),
        }
    }
}

impl From<ScopeError> for IngressError {
    fn from(error: ScopeError) -> Self {
        match error {
            ScopeError::NoScope => Self::LimitKeyWithoutScope(error),
            ScopeError::Malformed { .. } | ScopeError::TooDeep { .. } => {
                Self::MalformedScope(error)
            }
        }
    }
}

impl From<InboxError> for IngressError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Busy => Self::LogBusy,
            InboxError::TooLarge(reason) => Self::MessageTooLarge(reason),
            InboxError::Refused(reason) => Self::LogRefused(reason),
            InboxError::Unknown(reason) => Self::OutcomeUnknown(reason),
        }
    }
}

impl IngressError {
    /// The stable code, and the status that goes with it.
    pub(crate) fn code(&self) -> (&'static str, StatusCode) {
        const NOT_READY: u16 = 470;
        match self {
            Self::MalformedPath(_) => ("malformed-path", StatusCode::BAD_REQUEST),
            Self::UnknownPath => ("unknown-path", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed(_) => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::ServiceNotFound { .. } => ("service-not-found", StatusCode::NOT_FOUND),
            Self::HandlerNotFound { .. } => ("handler-not-found", StatusCode::NOT_FOUND),
            Self::HandlerPrivate { .. } => ("handler-private", StatusCode::BAD_REQUEST),
            Self::MalformedDelay(_) => ("malformed-delay", StatusCode::BAD_REQUEST),
            Self::DelayOnCall => ("delay-on-call", StatusCode::BAD_REQUEST),
            Self::KeyOnWorkflow => ("idempotency-key-on-workflow", StatusCode::BAD_REQUEST),
            Self::LimitKeyWithoutScope(_) => ("limit-key-without-scope", StatusCode::BAD_REQUEST),
            Self::MalformedScope(_) | Self::MalformedLimitKey(_) => {
                ("malformed-scope", StatusCode::BAD_REQUEST)
            }
            Self::MalformedHeader { .. } => ("malformed-header", StatusCode::BAD_REQUEST),
            Self::HeadersTooLarge => {
                ("headers-too-large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::KeyTooLong { .. } => ("key-too-long", StatusCode::BAD_REQUEST),
            Self::MalformedId { .. } => ("malformed-invocation-id", StatusCode::BAD_REQUEST),
            Self::MalformedAwakeableId { .. } => {
                ("malformed-awakeable-id", StatusCode::BAD_REQUEST)
            }
            Self::MalformedTarget(_) => ("malformed-target", StatusCode::BAD_REQUEST),
            Self::BodyRequired => ("body-required", StatusCode::BAD_REQUEST),
            Self::BodyUnexpected => ("body-unexpected", StatusCode::BAD_REQUEST),
            Self::ContentType { .. } => ("content-type-mismatch", StatusCode::BAD_REQUEST),
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::BodyTimeout => ("body-timeout", StatusCode::REQUEST_TIMEOUT),
            Self::BodyUnreadable(_) => ("body-unreadable", StatusCode::INTERNAL_SERVER_ERROR),
            Self::BodyNotText => ("body-not-text", StatusCode::BAD_REQUEST),
            Self::MessageTooLarge(_) => ("message-too-large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::InvocationNotFound(_) => ("invocation-not-found", StatusCode::NOT_FOUND),
            Self::NotReady { .. } => {
                ("not-ready", StatusCode::from_u16(NOT_READY).expect("470 is a legal status"))
            }
            Self::TooManyRequests => ("too-many-requests", StatusCode::TOO_MANY_REQUESTS),
            Self::ServiceBusy(_) => ("service-busy", StatusCode::TOO_MANY_REQUESTS),
            Self::TooManyConnections => ("too-many-connections", StatusCode::TOO_MANY_REQUESTS),
            Self::TooManyBytes => ("too-many-bytes", StatusCode::TOO_MANY_REQUESTS),
            Self::LogBusy => ("log-busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::LogRefused(_) => ("log-refused", StatusCode::SERVICE_UNAVAILABLE),
            Self::OutcomeUnknown(_) => ("outcome-unknown", StatusCode::SERVICE_UNAVAILABLE),
            Self::PartitionUnavailable(_) => {
                ("partition-unavailable", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::PartitionStopped { .. } => ("partition-stopped", StatusCode::SERVICE_UNAVAILABLE),
            Self::MetadataLost => ("metadata-lost", StatusCode::SERVICE_UNAVAILABLE),
            Self::ShuttingDown => ("shutting-down", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// When to come back, where coming back may help: not where somebody must mend something first.
    fn retry_after(&self) -> Option<Duration> {
        if matches!(self, Self::PartitionStopped { .. } | Self::MetadataLost) {
            return None;
        }
        let (_, status) = self.code();
        let later =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        later.then_some(Duration::from_secs(1))
    }

    /// Renders it.
    pub(crate) fn into_reply(self) -> Reply {
        let (error, status) = self.code();
        let message = format!("{self} (docs/errors/ingress.md#{error})");
        let metadata =
            if let Self::NotReady { progress, .. } = &self { Some(progress.clone()) } else { None };
        let body = ErrorBody {
            code: status.as_u16(),
            message: &message,
            source: "ingress",
            error,
            metadata,
        };
        let mut reply = json_reply(status, &body);
        reply.headers_mut().insert(ERROR_SOURCE, HeaderValue::from_static("ingress"));
        if let Some(after) = self.retry_after() {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_its_section_in_the_manual() {
        let manual = include_str!("../../../docs/errors/ingress.md");
        let mut codes = crate::manual::codes_in(include_str!("error.rs"));
        codes.insert("invocation-failed");
        assert_eq!(crate::manual::sections_in(manual), codes);
        assert_eq!(codes.len(), 39);
    }
}
