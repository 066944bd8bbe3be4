//! Asks the owner of a partition what does not wait for an invocation.
//!
//! Its invariant: a partition without an owner, and an owner that is silent, delay an answer and
//! never change it. The question is asked again, but not for ever.

use std::time::Duration;

use everlog_log_schema::owner_api::{BoxFuture, OwnerError};
use tokio::time::Instant;

use crate::backoff::Backoff;

/// Asks for `within` at most while there is no owner: then it is [`OwnerError::Unavailable`].
pub(crate) async fn ask<'a, T>(
    within: Duration,
    question: impl Fn() -> BoxFuture<'a, Result<T, OwnerError>>,
) -> Result<T, OwnerError> {
    let deadline = Instant::now() + within;
    let mut backoff = Backoff::new();
    loop {
        let reason = match tokio::time::timeout_at(deadline, question()).await {
            Ok(Err(OwnerError::Unavailable(reason))) => reason,
            Ok(answered) => return answered,
            Err(_silent) => "it does not answer".to_owned(),
        };
        if Instant::now() >= deadline {
            return Err(OwnerError::Unavailable(reason));
        }
        backoff.pause().await;
    }
}
