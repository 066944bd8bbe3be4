//! The embedded log as an executor reaches it over a bad line: held up, and told of too late.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Whose readers get nothing.
    held: watch::Sender<BTreeSet<Topic>>,
    /// How far the log's clock is ahead, in milliseconds.
    clock_ms: watch::Sender<i64>,
    /// Where streams are said to end, once that is not the truth any more.
    stale: Mutex<Option<BTreeMap<Stream, Bounds>>>,
}

impl Line {
    pub(crate) fn new(log: &Arc<EmbeddedLog>) -> Arc<Self> {
        let (log, held, stale) = (Arc::clone(log), watch::Sender::default(), Mutex::default());
        Arc::new(Self { log, held, clock_ms: watch::Sender::new(0), stale })
    }

    /// Lets nobody read a topic, from now on.
    pub(crate) fn hold_up(&self, topic: Topic) {
        self.held.send_modify(|held| {
            held.insert(topic);
        });
    }

    /// Sets the log's clock: so far ahead, or behind, of the system's.
    pub(crate) fn set_clock(&self, ahead_ms: i64) {
        self.clock_ms.send_replace(ahead_ms);
    }

    /// Lets everybody read everything.
    pub(crate) fn let_go(&self) {
        self.held.send_replace(BTreeSet::new());
    }

    /// From now on the event logs are said to end where they end now.
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
    topic: Topic,
    held: watch::Receiver<BTreeSet<Topic>>,
    clock_ms: watch::Receiver<i64>,
}

impl Reader for HeldReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>> {
        Box::pin(async move {
            loop {
                let topic = self.topic;
                self.held.wait_for(|held| !held.contains(&topic)).await.unwrap();
                tokio::select! {
                    read = self.reader.next() => {
                        let mut read = read?;
                        for logged in &mut read {
                            let dated = &mut logged.appended_at_ms;
                            *dated = dated.saturating_add_signed(*self.clock_ms.borrow());
                        }
                        return Ok(read);
                    }
                    _ = self.held.wait_for(|held| held.contains(&topic)) => {}
                }
            }
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
        let (reader, held) = (self.log.reader(stream, from)?, self.held.subscribe());
        let clock_ms = self.clock_ms.subscribe();
        Ok(Box::new(HeldReader { reader, topic: stream.topic, held, clock_ms }))
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
