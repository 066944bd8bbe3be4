//! Asks the owners of partitions for rows.
//!
//! **Invariants:** whoever drops a question drops what it waits for. A partition that gives no answer in
//! time ends the query, so that no answer lacks a part.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use everlog_gateway::SqlError;
use everlog_log_schema::limits::{QUESTION_BYTES_MAX, ROW_RANGES_MAX};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::{OwnerApi, OwnerError, RowPage, RowRange};
use everlog_log_schema::{PartitionId, Row, RowKey, codec};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the ranges of one question take, in bytes, as far as there is more than one: the rest is for
/// what surrounds them.
const RANGES_BYTES_MAX: usize = QUESTION_BYTES_MAX / 2;
/// The pauses before a partition without an owner is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Where rows come from.
#[derive(Clone)]
pub(crate) struct Source {
    /// Knows all partitions.
    pub(crate) owner: Arc<dyn OwnerApi>,
    /// What is registered.
    pub(crate) metadata: watch::Receiver<Arc<Metadata>>,
    /// Where it is asked: its connections must not depend on how busy the queries are.
    pub(crate) home: Handle,
    /// How long a partition without an owner is asked again.
    pub(crate) wait_max: Duration,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct Held<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Source {
    /// Reads some rows in these ranges, at least one if there are any. Takes what it has read out of
    /// the ranges: none are left at the end.
    pub(crate) async fn page(
        &self,
        partition: PartitionId,
        ranges: &mut Vec<RowRange>,
    ) -> Result<RowPage, SqlError> {
        let asked = some(ranges);
        let page = self.ask(partition, &asked).await?;
        match &page.next {
            Some(next) => {
                ranges.retain(|range| range.below > *next);
                if let Some(first) = ranges.first_mut() {
                    first.from = first.from.clone().max(next.clone());
                }
            }
            None => drop(ranges.drain(..asked.len())),
        }
        Ok(page)
    }

    async fn ask(&self, partition: PartitionId, ranges: &[RowRange]) -> Result<RowPage, SqlError> {
        let deadline = Instant::now() + self.wait_max;
        let mut pause = PAUSE_MIN;
        loop {
            let reason = match tokio::time::timeout_at(deadline, self.once(partition, ranges)).await
            {
                Ok(Ok(page)) => return Ok(page),
                Ok(Err(OwnerError::Stopped(reason))) => {
                    return Err(SqlError::PartitionStopped(format!("{partition}: {reason}")));
                }
                Ok(Err(OwnerError::Unavailable(reason))) => reason,
                Ok(Err(OwnerError::NotFound)) => "it knows no such rows".to_owned(),
                Err(_silent) => "it does not answer".to_owned(),
            };
            if Instant::now() + pause >= deadline {
                return Err(SqlError::PartitionUnavailable(format!("{partition}: {reason}")));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn once(
        &self,
        partition: PartitionId,
        ranges: &[RowRange],
    ) -> Result<RowPage, OwnerError> {
        let (owner, ranges) = (Arc::clone(&self.owner), ranges.to_vec());
        let asking = self.home.spawn(async move { owner.rows(partition, ranges).await });
        let answered = (&mut Held(asking).0).await;
        answered.unwrap_or_else(|error| Err(OwnerError::Unavailable(error.to_string())))
    }
}

/// As many of the first ranges as one question may name.
fn some(ranges: &[RowRange]) -> Vec<RowRange> {
    let mut bytes = 0;
    let fits = |range: &&RowRange| {
        let first = bytes == 0;
        bytes += range.from.len() + range.below.len() + 1;
        first || bytes <= RANGES_BYTES_MAX
    };
    ranges.iter().take(ROW_RANGES_MAX).take_while(fits).cloned().collect()
}

/// Reads a row as it is stored.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(RowKey, Row), SqlError> {
    let unread = |error: &dyn fmt::Display| {
        let reason = format!("a row cannot be read: {error}; is its owner of another version?");
        SqlError::Failed(reason)
    };
    let key = RowKey::from_bytes(key).map_err(|error| unread(&error))?;
    let row = codec::decode_row(&key, value).map_err(|error| unread(&error))?;
    Ok((key, row))
}

/// Wraps a refusal, to be found again by [`refusal_in`].
pub(crate) fn wrapped(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The refusal that an error is about, if one of ours began it.
pub(crate) fn refusal_in(error: &DataFusionError) -> Option<SqlError> {
    if let DataFusionError::External(inner) = error.find_root() {
        inner.downcast_ref::<SqlError>().cloned()
    } else {
        None
    }
}
