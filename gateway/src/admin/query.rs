//! `POST /query`: questions in SQL, about all that the executors know.
//!
//! Its invariant: what is answered is the whole answer. What takes too much is refused with a reason, and
//! so is what a partition is missing for.

use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{Admin, AdminError, read_body};
use crate::reply::{Reply, ReplyBody};

/// Answers questions in SQL.
pub trait SqlEngine: Send + Sync + 'static {
    /// Answers one. May be dropped at any time.
    fn query(&self, sql: String, form: SqlForm) -> BoxFuture<'_, Result<SqlAnswer, SqlError>>;
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlForm {
    /// As JSON: an object with all `rows`.
    Json,
    /// As a stream of Arrow's IPC format.
    Arrow,
}

/// An answer.
#[derive(Debug)]
pub struct SqlAnswer {
    /// It, in the form that was asked for.
    pub body: Bytes,
    /// The place among the queries at once that it has until it is read.
    pub place: OwnedSemaphorePermit,
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The text is no SQL.
    #[error("query is no SQL that is understood: {0}")]
    Malformed(String),
    /// It asks for what is not there, or what cannot be done.
    #[error("query cannot be answered: {0}")]
    Invalid(String),
    /// It would do more than read, or asks in a way that is not answered here.
    #[error("query is not allowed: {0}; only SELECT, EXPLAIN, DESCRIBE and SHOW TABLES are")]
    NotAllowed(String),
    /// It is too long, or too much is in it.
    #[error("query has more than {max} {what}: ask for less at once")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// There are too many at once.
    #[error("{max} queries are being answered already: try again later")]
    TooManyQueries {
        /// The limit.
        max: usize,
    },
    /// It takes too long.
    #[error(
        "query takes longer than {}: ask for less, or have whoever runs this gateway raise `query.time_max`",
        readable(*max)
    )]
    TimeExceeded {
        /// The limit.
        max: Duration,
    },
    /// It takes too much memory.
    #[error(
        "query needs more than {max} bytes of memory: ask for fewer rows or columns, or have whoever runs this gateway raise `query.memory_max`"
    )]
    MemoryExceeded {
        /// The limit, in bytes.
        max: usize,
    },
    /// Its answer is too long.
    #[error(
        "query has more than {max} rows for an answer: give it a LIMIT, or have whoever runs this gateway raise `query.rows_max`"
    )]
    RowsExceeded {
        /// The limit.
        max: usize,
    },
    /// A partition has no owner now.
    #[error("query needs partition {0}; try again later")]
    PartitionUnavailable(String),
    /// A partition has stopped.
    #[error("query needs partition {0}; it has stopped, until somebody mends it")]
    PartitionStopped(String),
    /// Something is wrong here.
    #[error("query failed: {0}")]
    Failed(String),
}

impl SqlError {
    /// The stable code, and the status.
    pub(super) fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Malformed(_) => ("malformed-sql", StatusCode::BAD_REQUEST),
            Self::Invalid(_) => ("invalid-sql", StatusCode::BAD_REQUEST),
            Self::NotAllowed(_) => ("sql-not-allowed", StatusCode::BAD_REQUEST),
            Self::TooComplex { .. } => ("query-too-complex", StatusCode::BAD_REQUEST),
            Self::TooManyQueries { .. } => ("too-many-queries", StatusCode::TOO_MANY_REQUESTS),
            Self::TimeExceeded { .. } => ("query-time-exceeded", StatusCode::UNPROCESSABLE_ENTITY),
            Self::MemoryExceeded { .. } => {
                ("query-memory-exceeded", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::RowsExceeded { .. } => ("query-rows-exceeded", StatusCode::UNPROCESSABLE_ENTITY),
            Self::PartitionUnavailable(_) => {
                ("partition-unavailable", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::PartitionStopped(_) => ("partition-stopped", StatusCode::SERVICE_UNAVAILABLE),
            Self::Failed(_) => ("query-failed", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
}

impl Admin {
    /// Answers a question in SQL.
    pub(super) async fn query(&self, request: Request<Incoming>) -> Result<Reply, AdminError> {
        let form = form_of(request.headers());
        let body = read_body(request.into_body()).await?;
        let Question { query } = serde_json::from_slice(&body)
            .map_err(|error| AdminError::MalformedRequest(error.to_string()))?;
        let SqlAnswer { body, place } = self.sql.query(query, form).await?;
        let body = ReplyBody::from(body).hold(place, self.limits.answer_total_max);
        let mut reply = Reply::new(body);
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(type_of(form)));
        Ok(reply)
    }
}

/// JSON is for those who say that they take it.
fn form_of(headers: &HeaderMap) -> SqlForm {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_json = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    };
    let json = accepted.flat_map(|value| value.split(',')).any(is_json);
    if json { SqlForm::Json } else { SqlForm::Arrow }
}

fn type_of(form: SqlForm) -> &'static str {
    match form {
        SqlForm::Json => "application/json",
        SqlForm::Arrow => "application/vnd.apache.arrow.stream",
    }
}

fn readable(duration: Duration) -> String {
    crate::time::readable(duration.into())
}
