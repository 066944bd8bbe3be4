//! Answers queries with what they ask for: the text back, in the form that was asked for, or the refusal
//! whose name it is.

use std::sync::Arc;
use std::time::Duration;

use everlog_gateway::{SqlAnswer, SqlEngine, SqlError, SqlForm};
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::Semaphore;

const PLACES: usize = 100;

/// An engine with more places than a test needs.
pub struct TestSql(Arc<Semaphore>);

impl Default for TestSql {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl SqlEngine for TestSql {
    fn query(&self, sql: String, form: SqlForm) -> BoxFuture<'_, Result<SqlAnswer, SqlError>> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        Box::pin(async move {
            let place = place.map_err(|_| SqlError::TooManyQueries { max: PLACES })?;
            let max = Duration::from_secs(30);
            let refused = match sql.as_str() {
                "malformed" => SqlError::Malformed("at Line: 1, Column: 8".into()),
                "invalid" => SqlError::Invalid("no such column".into()),
                "not allowed" => SqlError::NotAllowed("DROP".into()),
                "too complex" => SqlError::TooComplex { what: "words", max: 7 },
                "too long" => SqlError::TimeExceeded { max },
                "too much" => SqlError::MemoryExceeded { max: 7 },
                "too many" => SqlError::RowsExceeded { max: 7 },
                "unavailable" => SqlError::PartitionUnavailable("3: nobody".into()),
                "stopped" => SqlError::PartitionStopped("3: broken".into()),
                "failed" => SqlError::Failed("it broke off".into()),
                _ => {
                    let body = format!("{form:?}: {sql}").into();
                    return Ok(SqlAnswer { body, place });
                }
            };
            Err(refused)
        })
    }
}
