//! Reading one stream of the embedded log.
//!
//! **Invariant:** the place moves only together with the records returned, so that a dropped
//! future loses nothing.

use std::sync::Arc;

use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::watch;

use super::Shared;
use super::stream::Found;
use crate::{Bounds, LogError, Logged, Reader, Stream};

/// Reads from memory where it can, from the database where it must.
pub(super) struct StreamReader {
    shared: Arc<Shared>,
    stream: Stream,
    changes: watch::Receiver<Bounds>,
    next: u64,
}

impl StreamReader {
    pub(super) fn open(shared: &Arc<Shared>, stream: Stream, from: u64) -> Result<Self, LogError> {
        let state = shared.stream(stream)?;
        state.find(from)?;
        Ok(Self { changes: state.changes(), shared: Arc::clone(shared), stream, next: from })
    }

    async fn next_batch(&mut self) -> Result<Vec<Logged>, LogError> {
        loop {
            tokio::task::consume_budget().await;
            self.changes.borrow_and_update();
            let found = self.shared.stream(self.stream)?.find(self.next)?;
            let batch = match found {
                Found::Records(batch) => batch,
                Found::Stored(end) => self.read_stored(end).await?,
                Found::Nothing => {
                    if let Some(error) = self.shared.queue.stopped() {
                        return Err(error);
                    }
                    self.changes
                        .changed()
                        .await
                        .map_err(|_| LogError::Unavailable("the log is closed".into()))?;
                    continue;
                }
            };
            if let Some(last) = batch.last() {
                self.next = last.offset + 1;
                return Ok(batch);
            }
        }
    }

    /// Reads what is published; nothing where a trim came first, which the next look tells.
    async fn read_stored(&self, end: u64) -> Result<Vec<Logged>, LogError> {
        let (stream, from) = (self.stream, self.next);
        self.shared
            .read(move |shared, store| {
                let batch = store.read(stream, from, end)?;
                let start = shared.stream(stream)?.bounds().start;
                if batch.is_empty() && from >= start {
                    return Err(store.corrupt(&format!("{stream:?} has no record {from}")));
                }
                Ok(batch)
            })
            .await
    }
}

impl Reader for StreamReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>> {
        Box::pin(self.next_batch())
    }
}
