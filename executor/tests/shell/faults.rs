//! A log that refuses appends, or leaves it open what became of them, as Kafka may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use everlog_executor::ExecutorLimits;
use everlog_log_client::embedded::EmbeddedLog;
use everlog_log_client::{
    AppendError, Appender, Appending, Bounds, CheckpointReader, Checkpointer, EventLog, LogError,
    Reader, Stream, Topic,
};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;

use crate::house::{Call, House, answer, text};

/// What becomes of some appends.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is not in the log; what was queued behind it is.
    Refused,
    /// It is in the log, but nobody says so.
    UnknownAndThere,
    /// It is not in the log, and nobody says so.
    UnknownAndLost,
    /// There is no room for it now.
    QueueFull,
}

/// The embedded log with a fault at every `every`th append of a record.
struct Faulty {
    log: Arc<EmbeddedLog>,
    fault: Fault,
    every: u64,
    appends: Arc<AtomicU64>,
}

struct FaultyAppender {
    appender: Box<dyn Appender>,
    fault: Fault,
    every: u64,
    appends: Arc<AtomicU64>,
}

impl Appender for FaultyAppender {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        if !(self.appends.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every) {
            return self.appender.append(payload);
        }
        let (resolve, appending) = Appending::new();
        match self.fault {
            Fault::QueueFull => return Err(AppendError::QueueFull),
            Fault::Refused => resolve.send(Err(AppendError::Refused("fault".into()))).unwrap(),
            Fault::UnknownAndThere => drop(self.appender.append(payload)?),
            Fault::UnknownAndLost => drop(resolve),
        }
        Ok(appending)
    }
}

impl EventLog for Faulty {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        let appender = self.log.appender(stream)?;
        if stream.topic != Topic::Log {
            return Ok(appender);
        }
        let Self { fault, every, .. } = *self;
        let appends = Arc::clone(&self.appends);
        Ok(Box::new(FaultyAppender { appender, fault, every, appends }))
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
        self.log.checkpointer(partition)
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        self.log.checkpoint(partition)
    }
}

/// Runs calls on such a log; each completes, with each step's result recorded once. Returns how
/// many attempts that took.
async fn all_complete_despite(fault: Fault, every: u64) -> usize {
    let house = House::build();
    let appends = Arc::default();
    let log = Arc::new(Faulty { log: Arc::clone(&house.log), fault, every, appends });
    let executor = house.start_on(log, &house.tables(), ExecutorLimits::default());
    let calls: Vec<Call> = (0..30)
        .map(|uuid| Call::new(uuid, "steps"))
        .map(|call| if call.id.uuid % 3 == 0 { call.key("k") } else { call })
        .collect();
    let mut last = None;
    for call in &calls {
        last = Some(house.send(&call.envelope()).await);
    }
    let mut attempts = 0;
    for call in &calls {
        let text = text(&answer(&executor, call.id, last).await);
        let steps: Vec<&str> =
            text.split(',').map(|step| step.split('-').next().unwrap()).collect();
        assert_eq!(steps, ["reserve", "charge", "ship"]);
        attempts += house.functions.attempts(call.id);
    }
    attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_in_a_pipeline_ends_the_term_and_loses_nothing() {
    assert!(all_complete_despite(Fault::Refused, 9).await > 30, "no term ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_there_though_nobody_says_so_is_applied_once() {
    assert!(all_complete_despite(Fault::UnknownAndThere, 9).await > 30, "no term ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_lost_though_nobody_says_so_ends_the_term_and_loses_nothing() {
    assert!(all_complete_despite(Fault::UnknownAndLost, 9).await > 30, "no term ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_waited_for_and_ends_no_term() {
    assert_eq!(all_complete_despite(Fault::QueueFull, 3).await, 30);
}
