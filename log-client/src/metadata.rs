//! What is registered, as this process knows it: a fold over the metadata topic that follows it.
//!
//! **Invariant:** the fold is of all records from offset 0 to its `next`, none left out. Where that
//! cannot go on it ends, and whoever watches is told: a process that decides by half of the
//! metadata would decide otherwise than the others.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::codec::{self, EncodeError};
use everlog_log_schema::metadata::{Metadata, MetadataChange};
use everlog_log_schema::{MetadataOffset, PartitionId};
use tokio::sync::watch;

use crate::{AppendError, EventLog, LogError, Logged, Reader, Stream, Topic};

const STREAM: Stream = Stream { topic: Topic::Metadata, partition: PartitionId(0) };
/// The wait before the log is tried again; it doubles…
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
/// …up to this.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Folds the metadata topic up to its present end, and goes on folding what is appended.
///
/// Waits as long as the log is unavailable, at the start and later. Fails where the topic does not
/// begin at offset 0 or holds what this version cannot read. Where that happens later, it is
/// logged and the sender of the returned receiver is dropped: what is there then is the last that
/// was known, and must not be decided by any more. The task ends with the last receiver.
pub async fn follow_metadata(
    log: Arc<dyn EventLog>,
) -> Result<watch::Receiver<Arc<Metadata>>, LogError> {
    let mut follower = Follower { log, reader: None, metadata: Metadata::default() };
    let end = follower.end().await?;
    while follower.metadata.next < end {
        follower.advance().await?;
    }
    let (sender, receiver) = watch::channel(Arc::new(follower.metadata.clone()));
    tokio::spawn(async move {
        if let Err(error) = follower.follow(&sender).await {
            tracing::error!(%error, "the metadata topic cannot be followed any further");
        }
    });
    Ok(receiver)
}

/// Why a change of metadata was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It cannot be written: refuse what it came from.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The log cannot be written to.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It was not appended, or perhaps it was.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Appends a change of metadata and returns its offset. Whether it takes effect shows once the fold
/// has passed that offset: it does if `version` is one more, so that it replaced what it named.
pub async fn append_metadata_change(
    log: &dyn EventLog,
    change: &MetadataChange,
) -> Result<MetadataOffset, ChangeError> {
    let record = codec::encode_metadata_change(change)?;
    let mut appender = log.appender(STREAM)?;
    let offset = appender.append(record)?.await?;
    Ok(MetadataOffset(offset))
}

struct Follower {
    log: Arc<dyn EventLog>,
    reader: Option<Box<dyn Reader>>,
    metadata: Metadata,
}

impl Follower {
    async fn end(&self) -> Result<MetadataOffset, LogError> {
        let bounds = retried(|| self.log.bounds(STREAM)).await?;
        Ok(MetadataOffset(bounds.end))
    }

    async fn follow(&mut self, sender: &watch::Sender<Arc<Metadata>>) -> Result<(), LogError> {
        loop {
            let advanced = tokio::select! {
                () = sender.closed() => return Ok(()),
                advanced = self.advance() => advanced,
            };
            sender.send_replace(Arc::new(self.metadata.clone()));
            advanced?;
        }
    }

    /// Folds the next records. Dropping the future loses nothing.
    async fn advance(&mut self) -> Result<(), LogError> {
        let mut wait = RETRY_WAIT_MIN;
        loop {
            match self.read().await {
                Ok(records) => {
                    return records.into_iter().try_for_each(|record| self.fold(&record));
                }
                Err(LogError::Unavailable(reason)) => {
                    tracing::debug!(reason, "the metadata topic cannot be read now");
                    self.reader = None;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_WAIT_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Logged>, LogError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            empty => empty.insert(self.log.reader(STREAM, self.metadata.next.0)?),
        };
        reader.next().await
    }

    fn fold(&mut self, record: &Logged) -> Result<(), LogError> {
        let change = codec::decode_metadata_change(&record.payload).map_err(|error| {
            LogError::Setup(format!(
                "offset {} of the metadata topic cannot be read by this version of Everlog, use the \
                 one that wrote it: {error}",
                record.offset
            ))
        })?;
        if !self.metadata.fold(MetadataOffset(record.offset), change) {
            tracing::debug!(offset = record.offset, "a change of metadata came too late");
        }
        Ok(())
    }
}

async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, LogError>
where
    F: Future<Output = Result<T, LogError>>,
{
    let mut wait = RETRY_WAIT_MIN;
    loop {
        match attempt().await {
            Err(LogError::Unavailable(reason)) => {
                tracing::debug!(reason, "the log is unavailable");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_WAIT_MAX);
            }
            other => return other,
        }
    }
}
