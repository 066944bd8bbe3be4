//! A log that refuses appends, or leaves it open what became of them, as Kafka may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use everlog_executor::{ExecutorLimits, Standing};
use everlog_log_client::embedded::EmbeddedLog;
use everlog_log_client::{
    AppendError, Appender, Appending, Bounds, CheckpointReader, Checkpointer, EventLog, LogError,
    Logged, Reader, Stream, Topic,
};
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;

use tokio::sync::{oneshot, watch};

use crate::house::{Call, House, answer, owned, standing, text, within};
use crate::switchboard::Way;

/// What becomes of some appends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is not in the log; what was queued behind it is.
    Refused,
    /// It is in the log, but nobody says so.
    UnknownAndThere,
    /// It is not in the log, and nobody says so.
    UnknownAndLost,
    /// There is no room for it now.
    QueueFull,
    /// It is not in the log, and nobody says so, or will.
    Stalled,
}

/// The embedded log with a fault at every `every`th append to some streams.
pub(crate) struct Faulty {
    log: Arc<EmbeddedLog>,
    hits: fn(Stream) -> bool,
    fault: Fault,
    every: u64,
    appends: Arc<AtomicU64>,
    stalled: Stalled,
    /// With each change all readers fail once.
    outages: watch::Sender<()>,
}

impl Faulty {
    /// With faults in the event log.
    fn new(house: &House, fault: Fault, every: u64) -> Arc<Self> {
        Self::at(house, |stream| stream.topic == Topic::Log, fault, every)
    }

    /// With faults in the streams that `hits` names.
    pub(crate) fn at(
        house: &House,
        hits: fn(Stream) -> bool,
        fault: Fault,
        every: u64,
    ) -> Arc<Self> {
        let (log, appends) = (Arc::clone(&house.log), Arc::default());
        let (outages, stalled) = (watch::Sender::default(), Arc::default());
        Arc::new(Self { log, hits, fault, every, appends, stalled, outages })
    }
}

struct FaultyReader {
    reader: Box<dyn Reader>,
    outages: watch::Receiver<()>,
}

impl Reader for FaultyReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Logged>, LogError>> {
        Box::pin(async move {
            tokio::select! {
                read = self.reader.next() => read,
                Ok(()) = self.outages.changed() => Err(LogError::Unavailable("outage".into())),
            }
        })
    }
}

type Stalled = Arc<Mutex<Vec<oneshot::Sender<Result<u64, AppendError>>>>>;

struct FaultyAppender {
    appender: Box<dyn Appender>,
    fault: Fault,
    every: u64,
    appends: Arc<AtomicU64>,
    stalled: Stalled,
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
            Fault::Stalled => self.stalled.lock().unwrap().push(resolve),
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
        if !(self.hits)(stream) {
            return Ok(appender);
        }
        let Self { fault, every, .. } = *self;
        let (appends, stalled) = (Arc::clone(&self.appends), Arc::clone(&self.stalled));
        Ok(Box::new(FaultyAppender { appender, fault, every, appends, stalled }))
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        let (reader, outages) = (self.log.reader(stream, from)?, self.outages.subscribe());
        Ok(Box::new(FaultyReader { reader, outages }))
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
    let log = Faulty::new(&house, fault, every);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_executor_deposes_nobody_after_an_outage() {
    let house = House::build();
    let log = Faulty::new(&house, Fault::QueueFull, u64::MAX);
    let outages = log.outages.clone();
    let first = house.start_on(log, &house.tables(), ExecutorLimits::default());
    owned(&first, 0).await;
    house.switchboard.way("second", "tables", Some(Way::Cut));
    let second = house.start_as("second", ExecutorLimits::default());
    owned(&second, 0).await;
    standing(&first, 0, |standing| !matches!(standing, Standing::Owner { .. })).await;
    let by_outage =
        |standing: &Standing| matches!(standing, Standing::Standby(why) if why.contains("outage"));
    within("an outage to be noticed", async {
        while !by_outage(&standing(&first, 0, |_| true).await) {
            outages.send_replace(());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let deposed = tokio::time::timeout(Duration::from_secs(1), owned(&first, 0)).await;
    assert!(deposed.is_err(), "the first has deposed the second: {deposed:?}");
    owned(&second, 0).await;
    second.drain(Duration::ZERO).await.unwrap();
    owned(&first, 0).await;
}
