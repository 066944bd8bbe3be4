//! The embedded log with a journal topic whose commits may fail, and counts of what is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{
    AppendError, Appender, Appending, Bounds, CheckpointReader, Checkpointer, EventLog, LogError,
    Reader, RowChange, Stream, Topic,
};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::watch;

use crate::house::{House, within};

/// What becomes of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    /// They are written, and acknowledged.
    Answered,
    /// They are not written.
    Refused,
    /// They are written, and nobody says so.
    UnknownAndThere,
    /// They are not written, and nobody says so.
    UnknownAndLost,
}

struct Shared {
    commits: Mutex<Commits>,
    failed: watch::Sender<u64>,
    appended: AtomicU64,
    committed: AtomicU64,
}

/// See the module.
pub(crate) struct JournalLog {
    log: Arc<EmbeddedLog>,
    /// The log whose journal topic counts.
    journal: Mutex<Arc<EmbeddedLog>>,
    shared: Arc<Shared>,
}

impl JournalLog {
    pub(crate) fn over(house: &House) -> Arc<Self> {
        let shared = Shared {
            commits: Mutex::new(Commits::Answered),
            failed: watch::Sender::new(0),
            appended: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        };
        let (log, journal) = (Arc::clone(&house.log), Mutex::new(Arc::clone(&house.log)));
        Arc::new(Self { log, journal, shared: Arc::new(shared) })
    }

    /// From now on the journal topic is a new one.
    pub(crate) fn lose_journal(&self, house: &House) {
        let folder = house.tables().with_file_name("other-log");
        let options = EmbeddedOptions { partitions: self.log.partitions(), fsync: false };
        *self.journal.lock().unwrap() = EmbeddedLog::open(folder, options).unwrap();
    }

    fn journal(&self) -> Arc<EmbeddedLog> {
        Arc::clone(&self.journal.lock().unwrap())
    }

    /// From now on.
    pub(crate) fn commits(&self, commits: Commits) {
        *self.shared.commits.lock().unwrap() = commits;
    }

    /// Waits until so many more commits have failed.
    pub(crate) async fn failed(&self, count: u64) {
        let mut failed = self.shared.failed.subscribe();
        let before = *failed.borrow();
        within("failed commits", failed.wait_for(|now| *now >= before + count)).await.unwrap();
    }

    /// How many records were appended to event logs, and how many transactions were committed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
        (count(&self.shared.appended), count(&self.shared.committed))
    }
}

struct Counted {
    appender: Box<dyn Appender>,
    shared: Arc<Shared>,
}

impl Appender for Counted {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        let appending = self.appender.append(payload)?;
        self.shared.appended.fetch_add(1, Ordering::SeqCst);
        Ok(appending)
    }
}

struct Failing {
    checkpointer: Box<dyn Checkpointer>,
    shared: Arc<Shared>,
}

impl Checkpointer for Failing {
    fn began_empty(&self) -> bool {
        self.checkpointer.began_empty()
    }

    fn add(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        self.checkpointer.add(rows)
    }

    fn commit(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let commits = *self.shared.commits.lock().unwrap();
            if matches!(commits, Commits::Answered | Commits::UnknownAndThere) {
                self.checkpointer.commit(rows).await?;
                self.shared.committed.fetch_add(1, Ordering::SeqCst);
            }
            if commits != Commits::Answered {
                self.shared.failed.send_modify(|failed| *failed += 1);
            }
            match commits {
                Commits::Answered => Ok(()),
                Commits::Refused => Err(AppendError::Refused("fault".into())),
                Commits::UnknownAndThere | Commits::UnknownAndLost => {
                    Err(AppendError::Unknown("fault".into()))
                }
            }
        })
    }
}

impl EventLog for JournalLog {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        let appender = self.log.appender(stream)?;
        if stream != (Stream { topic: Topic::Log, partition: PartitionId(0) }) {
            return Ok(appender);
        }
        Ok(Box::new(Counted { appender, shared: Arc::clone(&self.shared) }))
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(stream, from)
    }

    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>> {
        self.log.bounds(stream)
    }

    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.trim(stream, below)
    }

    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>> {
        Box::pin(async move {
            let checkpointer = self.journal().checkpointer(partition).await?;
            if partition != PartitionId(0) {
                return Ok(checkpointer);
            }
            let shared = Arc::clone(&self.shared);
            Ok(Box::new(Failing { checkpointer, shared }) as Box<dyn Checkpointer>)
        })
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        Box::pin(async move { self.journal().checkpoint(partition).await })
    }
}
