//! Every way in which the admin port says no: a status, a stable code and a sentence that helps,
//! and beside them the code by which tools of the service protocol know it.
//!
//! Each code has its section in `docs/errors/admin.md`, which the sentence names; a test keeps the
//! two together.

use everlog_log_schema::InvocationId;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::SqlError;
use crate::inbox::InboxError;
use crate::reply::{Reply, json_reply};

/// What the admin port refuses, by what its caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No such path.
    #[error("path is not known: docs/admin-api.md has all")]
    UnknownPath,
    /// A web page of another origin asks, by its visitor's browser.
    #[error("request comes from a web page of another origin, and such are not answered here")]
    ForeignOrigin,
    /// The host that is asked for is none of this port's names.
    #[error(
        "request is addressed to the host `{0}`, which is no name of this port: use localhost or an IP address, or have whoever runs it add the name to `admin_hosts`"
    )]
    ForeignHost(String),
    /// The path is known, the method is not.
    #[error("method is not allowed here: use {0}")]
    MethodNotAllowed(String),
    /// The request's body is not what it must be.
    #[error("request is malformed: {0}")]
    MalformedRequest(String),
    /// The request's body is too large.
    #[error("body is larger than {max} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// The path or its query cannot be read, or says what is not understood.
    #[error("path or query is malformed: {0}")]
    MalformedQuery(String),
    /// An order about all invocations there are, which somebody may not have meant.
    #[error(
        "order names no invocations: filter by service, handler, key or status, or say all=true for every one there is"
    )]
    FilterRequired,
    /// Too much is asked at once.
    #[error("too many requests are being answered here: try again later")]
    TooManyRequests,
    /// There are too many connections.
    #[error("too many connections are open here, and this one is closed: try again later")]
    TooManyConnections,
    /// The text is no invocation id.
    #[error("invocation id `{id}` is malformed: {reason}")]
    MalformedId {
        /// The text.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// An order names too many invocations.
    #[error("order names {given} invocations, and may name {max}: give it in parts")]
    TooMany {
        /// How many.
        given: usize,
        /// How many it may name.
        max: usize,
    },
    /// What an order about several invocations is to do.
    #[error("`{0}` is no order: use cancel, kill, pause, resume, purge or purge-journal")]
    UnknownOrder(String),
    /// No such invocation.
    #[error("invocation `{0}` is not known: it never was, or is no longer kept")]
    InvocationNotFound(InvocationId),
    /// It cannot be paused, resumed or begun anew before it has begun.
    #[error("invocation has not started, and only what has can be {0}")]
    NotStarted(&'static str),
    /// It cannot be stopped or resumed any more.
    #[error("invocation has completed, and can no longer be {0}")]
    Completed(&'static str),
    /// It cannot be forgotten yet.
    #[error(
        "invocation has not completed, and only what has can be purged or begun anew: cancel or kill it first"
    )]
    NotCompleted,
    /// It runs, and the code of a running attempt stays as it is.
    #[error("invocation runs, and no other code can be chosen for it meanwhile: pause it first")]
    Running,
    /// It has recorded nothing yet, so that no code is fixed for it.
    #[error(
        "invocation has recorded no step, and so takes the newest code by itself: resume or restart it without `deployment`"
    )]
    NotPinned,
    /// The chosen deployment cannot run it.
    #[error("deployment {deployment} does not offer `{handler}`: choose one that does")]
    NotOffered {
        /// Its id.
        deployment: String,
        /// The handler.
        handler: String,
    },
    /// The chosen deployment does not speak the version that the invocation began in.
    #[error(
        "deployment {deployment} does not speak version {version} of the service protocol, which the \
         invocation began in: choose one that does"
    )]
    VersionNotSpoken {
        /// Its id.
        deployment: String,
        /// The version.
        version: u32,
    },
    /// What a new invocation would begin with is gone.
    #[error(
        "the journal of the invocation is no longer kept, and with it what a new one would begin with"
    )]
    JournalGone,
    /// A new invocation cannot begin like this one.
    #[error("no invocation can begin like this one: {0}")]
    RestartRefused(String),
    /// The state is not of the version that it was to have.
    #[error("{0}; nothing was changed: look at the state again")]
    StateVersion(String),
    /// The state of a workflow is nobody's but its run's.
    #[error(
        "the state of a workflow cannot be replaced: its run alone writes it, from beginning to end"
    )]
    StateOfWorkflow,
    /// The state was not replaced.
    #[error("the state was not replaced: {0}")]
    EditEnded(String),
    /// The invocation's partition has no owner now.
    #[error("partition has no owner now: {0}; try again later")]
    PartitionUnavailable(String),
    /// The invocation's partition has stopped.
    #[error("partition has stopped, until somebody mends it: {0}")]
    PartitionStopped(String),
    /// An order may be recorded, now or later, or not; or it is, and its effect cannot be seen.
    #[error(
        "it is not known what became of the order ({0}): look at the invocation, and repeat the order where it had no effect"
    )]
    OrderUnknown(String),
    /// No such deployment, service or handler.
    #[error("{what} `{name}` is not registered")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Other code than a deployment is registered with is to take its place.
    #[error(
        "what answers at {uri} cannot take the place of the registered code: {reason}; register it as a deployment of its own, or say \"overwrite\": true"
    )]
    NotSimilar {
        /// The address.
        uri: String,
        /// What differs.
        reason: String,
    },
    /// Something still needs the deployment.
    #[error("deployment {id} is still needed: {reason}; wait, or say force=true")]
    InUse {
        /// Its id.
        id: String,
        /// By what.
        reason: String,
    },
    /// Something that is named in the design and not built yet.
    #[error("{0}")]
    NotSupported(String),
    /// Nobody answers at the deployment's address.
    #[error(
        "failed to reach the deployment at {uri}: {reason}; is it running, and reachable from here?"
    )]
    Unreachable {
        /// Its address.
        uri: String,
        /// What failed.
        reason: String,
    },
    /// The deployment answers, but does not say what it offers.
    #[error("deployment at {uri} gave no usable answer to discovery: {reason}")]
    BadDiscovery {
        /// Its address.
        uri: String,
        /// What is wrong.
        reason: String,
    },
    /// The deployment speaks HTTP/1.1 only.
    #[error(
        "deployment at {uri} speaks HTTP/1.1 only: register it with \"use_http_11\": true, or serve it over HTTP/2 without TLS (h2c)"
    )]
    HttpOneOnly {
        /// Its address.
        uri: String,
    },
    /// The deployment streams both ways, and TLS has come to HTTP/1.1.
    #[error(
        "deployment at {uri} streams both ways (BIDI_STREAM), but offers HTTP/1.1 only, which proxies seldom let stream so: serve it over HTTP/2 or in REQUEST_RESPONSE mode, or register it with \"use_http_11\": true if nothing in between holds back its streams"
    )]
    NotBidirectional {
        /// Its address.
        uri: String,
    },
    /// No version of the service protocol is known to both sides.
    #[error(
        "deployment at {uri} speaks versions {min} to {max} of the service protocol, Everlog {our_min} to {our_max}: use an SDK of the same time"
    )]
    NoCommonVersion {
        /// Its address.
        uri: String,
        /// Its lowest version.
        min: u32,
        /// Its highest version.
        max: u32,
        /// Our lowest version.
        our_min: u32,
        /// Our highest version.
        our_max: u32,
    },
    /// The same address is registered with other services.
    #[error(
        "deployment `{id}` is registered at {uri} with other services or settings: register the new code at an address of its own, or replace the old with \"force\": true (calls in flight may then fail)"
    )]
    Conflict {
        /// The registered deployment.
        id: String,
        /// Its address.
        uri: String,
    },
    /// The new version of a service lacks what the old one has.
    #[error(
        "service `{service}` would break its callers: {reason}; to do it all the same, register with \"breaking\": true"
    )]
    Breaking {
        /// The service.
        service: String,
        /// What it lacks.
        reason: String,
    },
    /// A query has no answer.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The log takes in nothing now.
    #[error("failed to write to the log, and nothing was recorded: {0}; try again later")]
    LogUnavailable(String),
    /// What is registered is no longer known here.
    #[error(
        "this process no longer follows what is registered, and nothing was recorded: it must be restarted; its log says why"
    )]
    MetadataLost,
    /// The registration may be recorded, now or later, or not.
    #[error(
        "it is not known whether the registration was recorded ({0}): register again, which is harmless"
    )]
    OutcomeUnknown(String),
}

/// The body of every error of the admin port.
#[derive(Serialize)]
struct ErrorBody<'a> {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    restate_code: Option<&'static str>,
    error: &'a str,
}

impl From<InboxError> for AdminError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Unknown(reason) => Self::OrderUnknown(reason),
            InboxError::Busy | InboxError::Refused(_) | InboxError::TooLarge(_) => {
                Self::LogUnavailable(error.to_string())
            }
        }
    }
}

impl AdminError {
    /// The stable code, the status, and the code of the service protocol's tools.
    pub fn code(&self) -> (&'static str, StatusCode, Option<&'static str>) {
        match self {
            Self::UnknownPath => ("unknown-path", StatusCode::NOT_FOUND, None),
            Self::ForeignOrigin => ("foreign-origin", StatusCode::FORBIDDEN, None),
            Self::ForeignHost(_) => ("foreign-host", StatusCode::FORBIDDEN, None),
            Self::MethodNotAllowed(_) => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, None)
            }
            Self::MalformedRequest(_) => ("malformed-request", StatusCode::BAD_REQUEST, None),
            Self::BodyTooLarge { .. } => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::MalformedQuery(_) => ("malformed-query", StatusCode::BAD_REQUEST, None),
            Self::FilterRequired => ("filter-required", StatusCode::BAD_REQUEST, None),
            Self::TooManyRequests => ("too-many-requests", StatusCode::TOO_MANY_REQUESTS, None),
            Self::TooManyConnections => {
                ("too-many-connections", StatusCode::TOO_MANY_REQUESTS, None)
            }
            Self::MalformedId { .. } => ("malformed-invocation-id", StatusCode::BAD_REQUEST, None),
            Self::TooMany { .. } => ("too-many-invocations", StatusCode::BAD_REQUEST, None),
            Self::UnknownOrder(_) => ("unknown-order", StatusCode::NOT_FOUND, None),
            Self::InvocationNotFound(_) => ("invocation-not-found", StatusCode::NOT_FOUND, None),
            Self::NotStarted(_) => ("invocation-not-started", StatusCode::TOO_EARLY, None),
            Self::Completed(_) => ("invocation-completed", StatusCode::CONFLICT, None),
            Self::NotCompleted => ("invocation-not-completed", StatusCode::CONFLICT, None),
            Self::Running => ("invocation-running", StatusCode::CONFLICT, None),
            Self::NotPinned => ("invocation-not-pinned", StatusCode::CONFLICT, None),
            Self::NotOffered { .. } => ("handler-not-offered", StatusCode::BAD_REQUEST, None),
            Self::VersionNotSpoken { .. } => {
                ("version-not-spoken", StatusCode::BAD_REQUEST, Some("RT0014"))
            }
            Self::JournalGone => ("journal-gone", StatusCode::GONE, None),
            Self::RestartRefused(_) => ("restart-refused", StatusCode::UNPROCESSABLE_ENTITY, None),
            Self::StateVersion(_) => ("state-version-mismatch", StatusCode::CONFLICT, None),
            Self::StateOfWorkflow => ("state-of-workflow", StatusCode::UNPROCESSABLE_ENTITY, None),
            Self::EditEnded(_) => ("state-edit-ended", StatusCode::CONFLICT, None),
            Self::PartitionUnavailable(_) => {
                ("partition-unavailable", StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::PartitionStopped(_) => {
                ("partition-stopped", StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::OrderUnknown(_) => {
                ("order-outcome-unknown", StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::NotFound { .. } => ("not-found", StatusCode::NOT_FOUND, None),
            Self::NotSupported(_) => ("not-supported-yet", StatusCode::NOT_IMPLEMENTED, None),
            Self::Unreachable { .. } => {
                ("deployment-unreachable", StatusCode::BAD_REQUEST, Some("META0003"))
            }
            Self::BadDiscovery { .. } => {
                ("bad-discovery", StatusCode::BAD_REQUEST, Some("META0013"))
            }
            Self::HttpOneOnly { .. } => ("http-1-only", StatusCode::BAD_REQUEST, Some("META0014")),
            Self::NotBidirectional { .. } => {
                ("not-bidirectional", StatusCode::BAD_REQUEST, Some("META0015"))
            }
            Self::NoCommonVersion { .. } => {
                ("no-common-version", StatusCode::BAD_REQUEST, Some("META0012"))
            }
            Self::Conflict { .. } => {
                ("deployment-conflict", StatusCode::CONFLICT, Some("META0004"))
            }
            Self::Breaking { .. } => ("breaking-change", StatusCode::CONFLICT, Some("META0006")),
            Self::NotSimilar { .. } => {
                ("deployment-not-similar", StatusCode::CONFLICT, Some("META0016"))
            }
            Self::InUse { .. } => ("deployment-in-use", StatusCode::CONFLICT, None),
            Self::Sql(error) => {
                let (code, status) = error.code();
                (code, status, None)
            }
            Self::LogUnavailable(_) => ("log-unavailable", StatusCode::SERVICE_UNAVAILABLE, None),
            Self::MetadataLost => ("metadata-lost", StatusCode::SERVICE_UNAVAILABLE, None),
            Self::OutcomeUnknown(_) => ("outcome-unknown", StatusCode::SERVICE_UNAVAILABLE, None),
        }
    }

    /// Whether the same request may go well later, without anybody changing it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || self.is_passing()
    }

    /// Whether this gateway itself is what is in the way, for now. What may be recorded already is
    /// not repeated blindly.
    fn is_passing(&self) -> bool {
        let (_, status, _) = self.code();
        let later = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        let for_good = matches!(
            self,
            Self::MetadataLost
                | Self::PartitionStopped(_)
                | Self::Sql(SqlError::PartitionStopped(_))
                | Self::OrderUnknown(_)
        );
        later.contains(&status) && !for_good
    }

    /// Renders it.
    pub(crate) fn into_reply(self) -> Reply {
        let (error, status, restate_code) = self.code();
        let message = format!("{self} (docs/errors/admin.md#{error})");
        let mut reply = json_reply(status, &ErrorBody { message, restate_code, error });
        if self.is_passing() {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::MethodNotAllowed(allowed) = self
            && let Ok(allowed) = HeaderValue::from_str(&allowed)
        {
            reply.headers_mut().insert(ALLOW, allowed);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_its_section_in_the_manual() {
        let manual = include_str!("../../../docs/errors/admin.md");
        let mut codes = crate::manual::codes_in(include_str!("error.rs"));
        codes.extend(crate::manual::codes_in(include_str!("query.rs")));
        assert_eq!(crate::manual::sections_in(manual), codes);
        assert_eq!(codes.len(), 52);
    }
}
