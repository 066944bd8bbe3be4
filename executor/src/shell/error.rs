//! Why a partition stops, or gives its term up.

use everlog_log_client::LogError;
use everlog_log_schema::{InboxOffset, LogOffset};
use everlog_partition::{ApplyError, TablesError};

use crate::store::{BulkError, StoreError};

/// Why the partition stays down until somebody does something. The others live on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StopReason {
    #[error(
        "the log starts at offset {start}, but the tables end at {next}{}: what lies between is \
         lost; restore the tables from a backup",
        journal_ends(*.checkpoint)
    )]
    LogTrimmed {
        start: LogOffset,
        next: LogOffset,
        /// Where the last checkpoint of the journal topic ends, if there is one.
        checkpoint: Option<LogOffset>,
    },
    #[error(
        "the inbox starts at offset {start}, but all below {next} alone was taken in: the messages \
         between are lost; ask their senders, and give the topic back its retention"
    )]
    InboxTrimmed { start: InboxOffset, next: InboxOffset },
    #[error(
        "the log ends at offset {end}, but the tables have applied all below {next}: the log has \
         lost records; restore it from a backup"
    )]
    LogLost { end: LogOffset, next: LogOffset },
    #[error(
        "the log holds another record at offset {offset} than the tables have applied: it is not \
         the log that they were made from"
    )]
    LogReplaced { offset: LogOffset },
    #[error(
        "the log has {found} partitions, but the partition was made as one of {before}: their \
         number never changes"
    )]
    Repartitioned { found: u32, before: u32 },
    #[error("failed to decode the record at offset {offset}: {reason}")]
    Undecodable { offset: LogOffset, reason: String },
    #[error("failed to decode the inbox message at offset {offset}: {reason}")]
    UndecodableMessage { offset: u64, reason: String },
    #[error("an invariant broke at the record at offset {offset}: {message}")]
    InvariantBroken { offset: LogOffset, message: String },
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error(transparent)]
    Store(StoreError),
    #[error("failed to restore the tables: {0}")]
    Journal(BulkError),
    #[error("failed to use the log: {0}")]
    Log(LogError),
    #[error("failed to follow the metadata: its follower has stopped")]
    MetadataLost,
}

fn journal_ends(checkpoint: Option<LogOffset>) -> String {
    checkpoint.map_or_else(String::new, |end| format!(" and the last checkpoint at {end}"))
}

/// Why a partition does not go on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Interruption {
    /// For good.
    #[error(transparent)]
    Stop(StopReason),
    /// This executor may take the partition over again at once.
    #[error("{0}")]
    Retry(String),
    /// Another owner reigns: this executor must not depose it unasked.
    #[error("another executor has taken the partition over")]
    Superseded,
}

impl<E: Into<StopReason>> From<E> for Interruption {
    fn from(error: E) -> Self {
        Self::Stop(error.into())
    }
}

impl From<LogError> for Interruption {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(reason) => Self::Retry(reason),
            // A later owner has trimmed what this executor, frozen or cut off, had not read yet. What
            // is lost for good shows when it begins anew.
            LogError::OutOfRange { wanted, start, .. } if wanted < start => {
                Self::Retry(error.to_string())
            }
            LogError::OutOfRange { .. } | LogError::Corrupt(_) | LogError::Setup(_) => {
                Self::Stop(StopReason::Log(error))
            }
        }
    }
}

impl From<StoreError> for Interruption {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Write { .. } => Self::Retry(error.to_string()),
            StoreError::Corrupt { .. }
            | StoreError::Locked { .. }
            | StoreError::Format { .. }
            | StoreError::Directory { .. } => Self::Stop(StopReason::Store(error)),
        }
    }
}

impl From<BulkError> for Interruption {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Store(error) => error.into(),
            BulkError::Row(_)
            | BulkError::Ahead { .. }
            | BulkError::Torn { .. }
            | BulkError::NoCheckpoint => Self::Stop(StopReason::Journal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trimmed_meanwhile_is_no_reason_to_stop_and_what_is_lost_is_one() {
        let error = |wanted| Interruption::from(LogError::OutOfRange { wanted, start: 5, end: 9 });
        assert!(matches!(error(4), Interruption::Retry(_)));
        assert!(matches!(error(10), Interruption::Stop(_)));
    }
}
