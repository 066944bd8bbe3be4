//! The compacted topic of the embedded log: one row per key, no history.
//!
//! **Invariant:** a commit is written whole or not at all, by the newest checkpointer only; a
//! reader never mixes the rows of two commits.

use std::sync::Arc;

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use everlog_log_schema::{PartitionId, limits};
use tokio::sync::oneshot;

use super::Shared;
use super::queue::{Commit, Request};
use crate::{AppendError, CheckpointReader, Checkpointer, LogError, RowChange};

/// Commits rows until a later one is opened.
pub(super) struct EmbeddedCheckpointer {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: PartitionId,
    pub(super) generation: u64,
    pub(super) began_empty: bool,
    /// The rows of the transaction: the log takes it as one write, which is in memory in any case.
    pub(super) added: Vec<RowChange>,
}

impl EmbeddedCheckpointer {
    fn take(&mut self, rows: Vec<RowChange>) -> Result<(), AppendError> {
        for row in &rows {
            let bytes = row.key.len() + row.value.as_ref().map_or(0, Bytes::len);
            if bytes > limits::ROW_BYTES_MAX {
                self.added.clear();
                return Err(AppendError::TooLarge { bytes, max: limits::ROW_BYTES_MAX });
            }
        }
        self.added.extend(rows);
        Ok(())
    }
}

impl Checkpointer for EmbeddedCheckpointer {
    fn began_empty(&self) -> bool {
        self.began_empty
    }

    fn add(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        let taken = self.take(rows);
        Box::pin(std::future::ready(taken))
    }

    fn commit(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.take(rows)?;
            let rows = std::mem::take(&mut self.added);
            let (resolve, answer) = oneshot::channel();
            let (partition, generation) = (self.partition, self.generation);
            let commit = Commit { partition, generation, rows, resolve };
            self.shared.queue.request(Request::Commit(commit));
            answer
                .await
                .unwrap_or_else(|_| Err(AppendError::Unknown("the log's writer stopped".into())))
        })
    }
}

/// Reads the rows of one commit, in the order of their keys.
pub(super) struct RowsReader {
    shared: Arc<Shared>,
    partition: PartitionId,
    after: Option<Bytes>,
    /// The commits that the rows read so far are of; another commit makes the rest unreadable.
    commits: Option<u64>,
}

impl RowsReader {
    pub(super) fn open(shared: &Arc<Shared>, partition: PartitionId) -> Self {
        Self { shared: Arc::clone(shared), partition, after: None, commits: None }
    }

    async fn next_batch(&mut self) -> Result<Vec<RowChange>, LogError> {
        let (partition, after, wanted) = (self.partition, self.after.clone(), self.commits);
        let (commits, batch) = self
            .shared
            .read(move |shared, store| {
                let commits = shared.commits(partition);
                if wanted.is_some_and(|wanted| wanted != commits) {
                    return Err(LogError::Unavailable(
                        "a later checkpoint was committed while this one was read: read again"
                            .into(),
                    ));
                }
                Ok((commits, store.rows(partition, after.as_deref())?))
            })
            .await?;
        self.commits = Some(commits);
        if let Some(last) = batch.last() {
            self.after = Some(last.key.clone());
        }
        Ok(batch)
    }
}

impl CheckpointReader for RowsReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<RowChange>, LogError>> {
        Box::pin(self.next_batch())
    }
}
