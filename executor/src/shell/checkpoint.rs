//! The checkpoints of an owner: what makes the log below them dispensable.
//!
//! Without a journal topic the flush of the tables is the checkpoint. With it, all rows changed since
//! the last one go there in one transaction, which ends in the checkpoint row. All of that is done
//! beside the loop of the owner, which takes in the commands that it leads to.
//!
//! The broker fences by the order in which checkpointers are opened, not by that of the log. So one is
//! opened only after the announcement has come back, and writes only once `CheckpointOpened`, appended
//! after that, is accepted: whoever is deposed meanwhile never begins.
//!
//! **Invariant:** `Checkpointed` names what is certainly committed. What became of a commit that
//! nobody answered for is not asked: the rows stay marked, and the next one writes them again.

use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::{AppendError, Checkpointer, EventLog, LogError, RowChange};
use everlog_log_schema::codec::{CHECKPOINT_KEY, encode_checkpoint};
use everlog_log_schema::{CheckpointRow, Checkpointed, Command, LogOffset, PartitionId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fold::Step;
use crate::config::ExecutorLimits;
use crate::metrics;
use crate::store::{Position, Running, Store, StoreError};

/// The first pause after a failure, which doubles each time.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether many rows have changed, where no checkpoint is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Pieces of rows that are read ahead of the transaction; each of about a mebibyte.
const PIECES_AHEAD: usize = 2;

/// Why a checkpoint was not written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to open the transactions of the journal topic: {0}")]
    Open(#[from] LogError),
    #[error("failed to write to the journal topic: {0}")]
    Write(#[from] AppendError),
    #[error("failed to read the rows that have changed: {0}")]
    Rows(#[from] StoreError),
}

/// What a task beside the loop came to.
type Outcome = Result<(Box<dyn Checkpointer>, Option<Written>), Failure>;

/// A checkpoint that is committed.
struct Written {
    row: CheckpointRow,
    /// [`Store::changes`] before its rows were read.
    changes: u64,
}

/// Where the journal's checkpoints stand.
enum State {
    /// There is no journal topic.
    Off,
    /// The next try to open a checkpointer waits.
    Closed(Instant),
    /// A task opens a checkpointer, or writes by one.
    Busy(JoinSet<Outcome>),
    /// `CheckpointOpened` is put before the log.
    Announced(Box<dyn Checkpointer>),
    /// The next checkpoint may begin.
    Ready(Box<dyn Checkpointer>),
    /// `Checkpointed` is put before the log.
    Committed(Box<dyn Checkpointer>, Written),
}

/// The checkpoints of one term.
pub(super) struct Checkpoints {
    log: Arc<dyn EventLog>,
    store: Arc<Store>,
    partition: PartitionId,
    interval: Duration,
    dirty_rows_max: u64,
    state: State,
    /// When the next checkpoint on the journal topic begins, if anything has changed.
    due: Instant,
    retry: Duration,
    /// [`Store::changes`] as the last checkpoint found it.
    changes_before: u64,
    /// The last checkpoint put before the log.
    last: LogOffset,
    /// Below it lies all that a checkpoint would be worth.
    worth: LogOffset,
}

impl Checkpoints {
    /// Begins those of a term whose announcement, the last record below `next`, was read back.
    pub(super) fn begin(
        log: Arc<dyn EventLog>,
        store: Arc<Store>,
        partition: PartitionId,
        limits: &ExecutorLimits,
        next: LogOffset,
    ) -> Self {
        let now = Instant::now();
        Self {
            changes_before: store.changes(partition),
            log,
            store,
            partition,
            interval: limits.checkpoint_interval,
            dirty_rows_max: limits.dirty_rows_max,
            state: if limits.journal { State::Closed(now) } else { State::Off },
            due: now,
            retry: RETRY_MIN,
            last: LogOffset(0),
            worth: next,
        }
    }

    /// Whether so much has changed since the last checkpoint that nothing more should be taken in.
    pub(super) fn are_behind(&self) -> bool {
        let off = matches!(self.state, State::Off);
        !off && self.changed() > self.dirty_rows_max.saturating_mul(2)
    }

    /// What the flush of the tables leads to: a checkpoint, where there is no journal topic.
    pub(super) fn on_flushed(&mut self, Position { log, inbox }: Position) -> Option<Command> {
        let wanted = log > self.last && self.last < self.worth;
        if !wanted || !matches!(self.state, State::Off) {
            return None;
        }
        self.last = log;
        Some(Command::Checkpointed(Checkpointed { log, inbox, journal: false }))
    }

    /// Takes note of a record of this term that has been applied.
    pub(super) fn settle(&mut self, step: &Step) {
        if step.is_substantial() {
            self.worth = LogOffset(step.offset.0 + 1);
        }
        for command in &step.record.commands {
            self.state = match (std::mem::replace(&mut self.state, State::Off), command) {
                (State::Announced(checkpointer), Command::CheckpointOpened) => {
                    State::Ready(checkpointer)
                }
                (State::Committed(checkpointer, written), Command::Checkpointed(_)) => {
                    self.changes_before = written.changes;
                    self.retry = RETRY_MIN;
                    State::Ready(checkpointer)
                }
                (state, _) => state,
            };
        }
    }

    /// Waits for the next command that is to be put before the log; for ever where none is to come.
    /// May be dropped at any time: nothing is lost.
    pub(super) async fn next(&mut self) -> Command {
        loop {
            match &mut self.state {
                State::Off | State::Announced(_) | State::Committed(..) => {
                    std::future::pending::<()>().await;
                }
                State::Closed(at) => {
                    tokio::time::sleep_until(*at).await;
                    self.open();
                }
                State::Ready(_) => {
                    self.wait_until_due().await;
                    self.write();
                }
                State::Busy(task) => {
                    let ended = task.join_next().await.expect("there is one task");
                    let outcome = ended.expect("a task of checkpoints does not panic");
                    if let Some(command) = self.on_outcome(outcome) {
                        return command;
                    }
                }
            }
        }
    }

    async fn wait_until_due(&mut self) {
        loop {
            let now = Instant::now();
            let worth = self.last < self.worth;
            if worth && (now >= self.due || self.changed() >= self.dirty_rows_max) {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn changed(&self) -> u64 {
        self.store.changes(self.partition) - self.changes_before
    }

    fn open(&mut self) {
        let mut task = JoinSet::new();
        let opening = open(Arc::clone(&self.log), Arc::clone(&self.store), self.partition);
        task.spawn(until_ended(opening, self.store.running()));
        self.state = State::Busy(task);
    }

    fn write(&mut self) {
        let State::Ready(checkpointer) = std::mem::replace(&mut self.state, State::Off) else {
            unreachable!("a checkpoint begins with a checkpointer that is ready");
        };
        self.due = Instant::now() + self.interval;
        let mut task = JoinSet::new();
        let writing = write(Arc::clone(&self.store), self.partition, checkpointer);
        task.spawn(until_ended(writing, self.store.running()));
        self.state = State::Busy(task);
    }

    fn on_outcome(&mut self, outcome: Outcome) -> Option<Command> {
        match outcome {
            Ok((checkpointer, None)) => {
                self.state = State::Announced(checkpointer);
                Some(Command::CheckpointOpened)
            }
            Ok((checkpointer, Some(written))) => {
                let CheckpointRow { log, inbox, .. } = written.row;
                self.last = log;
                self.state = State::Committed(checkpointer, written);
                Some(Command::Checkpointed(Checkpointed { log, inbox, journal: true }))
            }
            Err(failure) => {
                let partition = self.partition;
                tracing::warn!(%partition, reason = %failure, "a checkpoint was not written");
                metrics::CHECKPOINTS_FAILED.inc();
                self.state = State::Closed(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY_MAX);
                None
            }
        }
    }
}

/// Counts as work on the tables until it has ended, or is dropped.
async fn until_ended(work: impl Future<Output = Outcome>, running: Running) -> Outcome {
    // Behind the work in the order of drops.
    let _running = running;
    work.await
}

/// Opens a checkpointer. Where the journal topic has nothing, as it was lost and made anew, all rows are marked:
/// those that have changed since the last checkpoint would be a part that nobody could tell from a whole.
async fn open(log: Arc<dyn EventLog>, store: Arc<Store>, partition: PartitionId) -> Outcome {
    let checkpointer = log.checkpointer(partition).await?;
    if checkpointer.began_empty() {
        store.run(move |store| store.mark_all(partition)).await?;
    }
    Ok((checkpointer, None))
}

/// Writes all rows changed since the last checkpoint, as they are now, in one transaction.
async fn write(
    store: Arc<Store>,
    partition: PartitionId,
    mut checkpointer: Box<dyn Checkpointer>,
) -> Outcome {
    let timer = metrics::CHECKPOINT_SECONDS.start_timer();
    let (pieces, mut ready) = mpsc::channel::<Vec<RowChange>>(PIECES_AHEAD);
    let changes = store.changes(partition);
    let reading = store.spawn(move |store| {
        store.checkpoint(partition, |piece| pieces.blocking_send(piece).is_ok())
    });
    let mut rows = 0;
    while let Some(piece) = ready.recv().await {
        rows += piece.len() as u64;
        checkpointer.add(piece).await?;
    }
    let row = reading.await.expect("reading rows does not panic").value?;
    let value = encode_checkpoint(&row).expect("a checkpoint row is small");
    let last = RowChange { key: CHECKPOINT_KEY.into(), value: Some(value) };
    checkpointer.commit(vec![last]).await?;
    timer.observe_duration();
    metrics::CHECKPOINTS.inc();
    metrics::CHECKPOINT_ROWS.inc_by(rows);
    Ok((checkpointer, Some(Written { row, changes })))
}
