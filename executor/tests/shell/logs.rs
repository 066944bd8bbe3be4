//! The embedded log as an executor reaches it over a bad line: held up, and told of too late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use everlog_log_client::embedded::EmbeddedLog;
use everlog_log_client::{
    Appender, Bounds, CheckpointReader, Checkpointer, EventLog, LogError, Logged, Reader, Stream,
    Topic,
};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::watch;

/// A log that can be held up.
pub(crate) struct Line {
    log: Arc<EmbeddedLog>,
    /// Whether readers get what there is.
    reads: watch::Sender<bool>,
    /// Where streams are said to end, once that is not the truth any more.
    stale: Mutex<Option<BTreeMap<Stream, Bounds>>>,
}

impl Line {
    pub(crate) fn new(log: &Arc<EmbeddedLog>) -> Arc<Self> {
        let (log, reads, stale) = (Arc::clone(log), watch::Sender::new(true), Mutex::default());
        Arc::new(Self { log, reads, stale })
    }

    /// Lets readers read, or not.
    pub(crate) fn let_read(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// From now on the event logs are said to end where they end now.
    #[expect(dead_code, reason = "for the test of the barrier")]
    pub(crate) async fn tells_old_ends(&self) {
        let mut bounds = BTreeMap::new();
        for partition in (0..self.log.partitions()).map(PartitionId) {
            let stream = Stream { topic: Topic::Log, partition };
            bounds.insert(stream, self.log.bounds(stream).await.unwrap());
        }
        *self.stale.lock().unwrap() = Some(bounds);
    }
}

struct HeldReader {
    reader: Box<dyn Reader>,
    reads: watch::Receiver<bool>,
}

impl Reader for HeldReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>> {
        Box::pin(async move {
            self.reads.wait_for(|reads| *reads).await.unwrap();
            self.reader.next().await
        })
    }
}

impl EventLog for Line {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        self.log.appender(stream)
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        let (reader, reads) = (self.log.reader(stream, from)?, self.reads.subscribe());
        Ok(Box::new(HeldReader { reader, reads }))
    }

    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let stale = self.stale.lock().unwrap().as_ref().and_then(|of| of.get(&stream).copied());
        match stale {
            Some(bounds) => Box::pin(std::future::ready(Ok(bounds))),
            None => self.log.bounds(stream),
        }
    }

    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.trim(stream, below)
    }

    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>> {
        self.log.checkpointer(partition)
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        self.log.checkpoint(partition)
    }
}
