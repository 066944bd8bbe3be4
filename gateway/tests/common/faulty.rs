//! A real log whose appends to the inboxes end as a test wants them to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everlog_log_client::{
    AppendError, Appender, Appending, Bounds, CheckpointReader, Checkpointer, EventLog, LogError,
    Reader, Stream, Topic,
};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;

/// How one append ends.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It landed, and nobody is told.
    UnknownLanded,
    /// It did not, and nobody is told.
    UnknownLost,
    /// The queue is full.
    QueueFull,
    /// It is refused.
    Refused,
}

type Faults = Arc<Mutex<VecDeque<Fault>>>;

pub struct FaultyLog {
    inner: Arc<dyn EventLog>,
    faults: Faults,
}

impl FaultyLog {
    pub fn over(inner: Arc<dyn EventLog>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// Has the next appends to the inboxes end so.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }
}

struct FaultyAppender {
    inner: Box<dyn Appender>,
    faults: Faults,
}

impl Appender for FaultyAppender {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.inner.append(payload),
            Some(Fault::QueueFull) => Err(AppendError::QueueFull),
            Some(Fault::Refused) => Err(AppendError::Refused("not today".into())),
            Some(Fault::UnknownLost) => Ok(Appending::new().1),
            Some(Fault::UnknownLanded) => {
                drop(self.inner.append(payload)?);
                Ok(Appending::new().1)
            }
        }
    }
}

impl EventLog for FaultyLog {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        let inner = self.inner.appender(stream)?;
        if stream.topic != Topic::Invocations {
            return Ok(inner);
        }
        Ok(Box::new(FaultyAppender { inner, faults: Arc::clone(&self.faults) }))
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(stream, from)
    }

    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>> {
        self.inner.bounds(stream)
    }

    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.inner.trim(stream, below)
    }

    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>> {
        self.inner.checkpointer(partition)
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        self.inner.checkpoint(partition)
    }
}
