//! The queue in front of the writer: bounded, and closed to all while the log cannot be written.
//!
//! **Invariant:** what was refused here was never given to the database.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everlog_log_schema::PartitionId;
use tokio::sync::oneshot;

use crate::{AppendError, LogError, RowChange, Stream};

/// Payload bytes that may wait for the writer.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Records that may wait for the writer.
const QUEUE_RECORDS_MAX: usize = 16_384;

/// What the writer is asked to do.
pub(super) enum Request {
    Append(Append),
    /// Gives up all records below an offset.
    Trim {
        stream: Stream,
        below: u64,
        resolve: oneshot::Sender<Result<(), LogError>>,
    },
    /// Ends all earlier checkpointers of a partition; resolves to the new one's generation.
    OpenCheckpointer {
        partition: PartitionId,
        resolve: oneshot::Sender<Result<u64, LogError>>,
    },
    Commit(Commit),
}

/// A record to append.
pub(super) struct Append {
    pub(super) stream: Stream,
    pub(super) payload: Bytes,
    pub(super) queued_at: Instant,
    pub(super) resolve: oneshot::Sender<Result<u64, AppendError>>,
}

/// Rows to write together.
pub(super) struct Commit {
    pub(super) partition: PartitionId,
    pub(super) generation: u64,
    pub(super) rows: Vec<RowChange>,
    pub(super) resolve: oneshot::Sender<Result<(), AppendError>>,
}

impl Request {
    /// Answers a request that was never given to the database. Whoever asked may be gone.
    fn refuse(self, error: &LogError) {
        match self {
            Self::Append(append) => {
                let _ = append.resolve.send(Err(AppendError::Refused(error.to_string())));
            }
            Self::Commit(commit) => {
                let _ = commit.resolve.send(Err(AppendError::Refused(error.to_string())));
            }
            Self::Trim { resolve, .. } => {
                let _ = resolve.send(Err(error.clone()));
            }
            Self::OpenCheckpointer { resolve, .. } => {
                let _ = resolve.send(Err(error.clone()));
            }
        }
    }
}

/// The queue. Any number of callers, one writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    requests: Vec<Request>,
    bytes: usize,
    records: usize,
    health: Health,
    closing: bool,
}

/// Whether requests are taken.
#[derive(Default)]
enum Health {
    #[default]
    Writing,
    /// Not now.
    Failing(LogError),
    /// Never again.
    Stopped(LogError),
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record.
    pub(super) fn append(&self, append: Append) -> Result<(), AppendError> {
        let mut state = self.state();
        if let Some(error) = state.refusal() {
            return Err(AppendError::Refused(error.to_string()));
        }
        let bytes = append.payload.len();
        if state.records >= QUEUE_RECORDS_MAX || state.bytes + bytes > QUEUE_BYTES_MAX {
            return Err(AppendError::QueueFull);
        }
        state.records += 1;
        state.bytes += bytes;
        state.requests.push(Request::Append(append));
        self.changed.notify_all();
        Ok(())
    }

    /// Queues anything else. These are few, each waited for by its caller, and not counted.
    pub(super) fn request(&self, request: Request) {
        let mut state = self.state();
        if let Some(error) = state.refusal().cloned() {
            drop(state);
            request.refuse(&error);
            return;
        }
        state.requests.push(request);
        self.changed.notify_all();
    }

    /// Waits for requests and takes them all; none once the queue is closing and empty.
    pub(super) fn take(&self) -> Option<Vec<Request>> {
        let mut state = self.state();
        while state.requests.is_empty() {
            if state.closing {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (state.bytes, state.records) = (0, 0);
        Some(std::mem::take(&mut state.requests))
    }

    /// Refuses all requests, waiting and to come, until [`Queue::resume`].
    pub(super) fn fail(&self, error: LogError) {
        self.refuse_all(Health::Failing(error));
    }

    /// Refuses all requests, waiting and to come, for ever.
    pub(super) fn stop(&self, error: LogError) {
        self.refuse_all(Health::Stopped(error));
    }

    fn refuse_all(&self, health: Health) {
        let mut state = self.state();
        if !matches!(state.health, Health::Stopped(_)) {
            state.health = health;
        }
        let error = state.refusal().cloned();
        let refused = std::mem::take(&mut state.requests);
        (state.bytes, state.records) = (0, 0);
        drop(state);
        for (request, error) in refused.into_iter().zip(std::iter::repeat(error)) {
            if let Some(error) = &error {
                request.refuse(error);
            }
        }
    }

    /// Takes requests again.
    pub(super) fn resume(&self) {
        let mut state = self.state();
        if !matches!(state.health, Health::Stopped(_)) {
            state.health = Health::Writing;
        }
    }

    /// Asks the writer to write what is queued and end.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// Waits for a while; tells early that the queue is closing.
    pub(super) fn closes_within(&self, wait: Duration) -> bool {
        let state = self.state();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, wait, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner);
        state.closing
    }

    /// Why nothing can be written or read now, if so.
    pub(super) fn refusal(&self) -> Option<LogError> {
        self.state().refusal().cloned()
    }

    /// Why nothing will ever be appended again, if so.
    pub(super) fn stopped(&self) -> Option<LogError> {
        match &self.state().health {
            Health::Stopped(error) => Some(error.clone()),
            Health::Writing | Health::Failing(_) => None,
        }
    }
}

impl QueueState {
    fn refusal(&self) -> Option<&LogError> {
        match &self.health {
            Health::Writing => None,
            Health::Failing(error) | Health::Stopped(error) => Some(error),
        }
    }
}
