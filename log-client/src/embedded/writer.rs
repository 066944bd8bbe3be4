//! The one thread that writes: group commit, and the way back from a write that failed.
//!
//! Everything queued goes into one batch and one write; then all its appends are resolved, in
//! order. Offsets are given out here, from what is published, so they have no gap.
//!
//! **A write that fails** (a full disk, a failing sync) may or may not be in the database's log
//! file. Its appends are *unknown*, whatever is queued behind them is refused, and the database is
//! not written to again: it is closed and reopened until that works. Reopening replays the log
//! file, makes durable what it finds there, and retires the file; so the failed batch is then
//! either in the log, whole and at the offsets it was given, or nowhere and for ever, and its
//! offsets are free. Nobody has seen it in between, because readers see only what was published.
//!
//! **Invariant:** no offset is ever seen with two records. A reopened database that ends before
//! what was published stops the log for good.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::queue::{Append, Commit, Request};
use super::store::Store;
use super::{EmbeddedOptions, Shared};
use crate::metrics::METRICS;
use crate::{AppendError, Bounds, LogError, Logged, Stream};

/// The wait before a failed database is first reopened; it doubles…
const REOPEN_WAIT_MIN: Duration = Duration::from_millis(50);
/// …up to this.
const REOPEN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The writer's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) directory: PathBuf,
    pub(super) options: EmbeddedOptions,
    /// The newest checkpointer of each partition. Lives as long as the process: so do they.
    pub(super) generations: BTreeMap<u32, u64>,
}

/// A batch in the making.
#[derive(Default)]
struct Staged {
    batch: WriteBatch,
    streams: BTreeMap<Stream, StagedStream>,
    appends: Vec<(Append, u64)>,
    trims: Vec<oneshot::Sender<Result<(), LogError>>>,
    commits: Vec<oneshot::Sender<Result<(), AppendError>>>,
}

struct StagedStream {
    bounds: Bounds,
    trimmed: bool,
    records: Vec<Logged>,
}

impl Writer {
    /// Writes until the log is closed or lost, and then closes the database.
    pub(super) fn run(mut self) {
        let stopped = loop {
            let Some(requests) = self.shared.queue.take() else {
                break LogError::Unavailable("the log is closed".into());
            };
            if let Err(failed) = self.write(requests)
                && let Err(stopped) = self.reopen(&failed)
            {
                break stopped;
            }
        };
        self.shared.queue.stop(stopped);
        *self.shared.store.write().unwrap_or_else(PoisonError::into_inner) = None;
        for stream in &self.shared.streams {
            stream.wake();
        }
    }

    fn write(&mut self, requests: Vec<Request>) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        // Whoever reads rows holds the lock: none sees a part of a commit.
        let staged = if requests.iter().any(|request| matches!(request, Request::Commit(_))) {
            let store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
            self.stage_and_write(store.as_ref(), requests)
        } else {
            let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
            self.stage_and_write(store.as_ref(), requests)
        };
        let (staged, written) = staged;
        match written {
            Ok(()) => {
                self.publish(staged);
                Ok(())
            }
            Err(error) => {
                let reason = format!("{}: {error}", self.directory.display());
                staged.unknown(&reason);
                Err(reason)
            }
        }
    }

    fn stage_and_write(
        &mut self,
        store: Option<&Store>,
        requests: Vec<Request>,
    ) -> (Staged, Result<(), rocksdb::Error>) {
        let store = store.expect("nothing is queued while the database is closed");
        let mut staged = Staged::default();
        let now_ms = now_ms();
        for request in requests {
            self.stage(store, &mut staged, request, now_ms);
        }
        if staged.batch.is_empty() {
            return (staged, Ok(()));
        }
        let written = store.write(std::mem::take(&mut staged.batch));
        if written.is_ok() {
            METRICS.batches.inc();
            METRICS.fsyncs.inc_by(u64::from(self.options.fsync));
        }
        (staged, written)
    }

    fn stage(&mut self, store: &Store, staged: &mut Staged, request: Request, now_ms: u64) {
        match request {
            Request::Append(append) => {
                let stream = staged.stream(&self.shared, append.stream);
                let offset = stream.bounds.end;
                let payload = append.payload.clone();
                let record = Logged { offset, appended_at_ms: now_ms, payload };
                stream.bounds.end += 1;
                stream.records.push(record.clone());
                store.put_record(&mut staged.batch, append.stream, &record);
                staged.appends.push((append, offset));
            }
            Request::Trim { stream: name, below, resolve } => {
                let stream = staged.stream(&self.shared, name);
                let Bounds { start, end } = stream.bounds;
                if below > end {
                    let _ = resolve.send(Err(LogError::OutOfRange { wanted: below, start, end }));
                    return;
                }
                if below > start {
                    stream.bounds.start = below;
                    stream.trimmed = true;
                    store.put_trim(&mut staged.batch, name, start, below);
                }
                staged.trims.push(resolve);
            }
            Request::OpenCheckpointer { partition, resolve } => {
                let generation = self.generations.entry(partition.0).or_default();
                *generation += 1;
                let _ = resolve.send(Ok(*generation));
            }
            Request::Commit(commit) => self.stage_commit(store, staged, commit),
        }
    }

    fn stage_commit(&self, store: &Store, staged: &mut Staged, commit: Commit) {
        if self.generations.get(&commit.partition.0) != Some(&commit.generation) {
            let _ = commit.resolve.send(Err(AppendError::Fenced));
            return;
        }
        for row in &commit.rows {
            store.put_row(&mut staged.batch, commit.partition, row);
        }
        self.shared.count_commit(commit.partition);
        staged.commits.push(commit.resolve);
    }

    fn publish(&self, staged: Staged) {
        let mut trimmed = Vec::new();
        for (name, stream) in staged.streams {
            let state = self.shared.stream_of_writer(name);
            for record in &stream.records {
                METRICS.bytes.inc_by(record.payload.len() as u64);
            }
            METRICS.records.inc_by(stream.records.len() as u64);
            if !stream.records.is_empty() {
                state.publish(stream.records);
            }
            if stream.trimmed {
                state.publish_start(stream.bounds.start);
                trimmed.push((name, stream.bounds.start));
            }
        }
        for (append, offset) in staged.appends {
            METRICS.append_seconds.observe(append.queued_at.elapsed().as_secs_f64());
            let _ = append.resolve.send(Ok(offset));
        }
        for resolve in staged.trims {
            let _ = resolve.send(Ok(()));
        }
        for resolve in staged.commits {
            let _ = resolve.send(Ok(()));
        }
        let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
        for (name, below) in trimmed {
            if let Some(store) = store.as_ref() {
                store.reclaim(name, below);
            }
        }
    }

    /// Closes the database and reopens it until it can be written again. Fails when the log is
    /// closed meanwhile, or when what was durable is gone.
    fn reopen(&mut self, reason: &str) -> Result<(), LogError> {
        METRICS.write_failures.inc();
        tracing::error!(reason, "the embedded log cannot be written; it will be reopened");
        self.shared.queue.fail(LogError::Unavailable(reason.to_owned()));
        *self.shared.store.write().unwrap_or_else(PoisonError::into_inner) = None;
        let mut wait = REOPEN_WAIT_MIN;
        loop {
            if self.shared.queue.closes_within(wait) {
                return Err(LogError::Unavailable("the log is closed".into()));
            }
            match Store::open(&self.directory, self.options.partitions, self.options.fsync) {
                Ok(store) => {
                    self.adopt(&store)?;
                    let mut slot =
                        self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
                    *slot = Some(store);
                    drop(slot);
                    self.shared.queue.resume();
                    tracing::info!("the embedded log can be written again");
                    return Ok(());
                }
                Err(error @ LogError::Corrupt(_)) => {
                    tracing::error!(%error, "the embedded log is lost");
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to reopen the embedded log");
                    wait = (wait * 2).min(REOPEN_WAIT_MAX);
                }
            }
        }
    }

    fn adopt(&self, store: &Store) -> Result<(), LogError> {
        for (state, stream) in self.shared.streams.iter().zip(self.shared.stream_names()) {
            let stored = store.bounds(stream)?;
            state.reopen(stored).map_err(|published| {
                store.corrupt(&format!(
                    "{stream:?} ends at {} and {} was acknowledged",
                    stored.end, published.end
                ))
            })?;
        }
        Ok(())
    }
}

impl Staged {
    fn stream(&mut self, shared: &Shared, name: Stream) -> &mut StagedStream {
        self.streams.entry(name).or_insert_with(|| StagedStream {
            bounds: shared.stream_of_writer(name).bounds(),
            trimmed: false,
            records: Vec::new(),
        })
    }

    /// Resolves everything after a write that failed.
    fn unknown(self, reason: &str) {
        for (append, _) in self.appends {
            let _ = append.resolve.send(Err(AppendError::Unknown(reason.to_owned())));
        }
        for resolve in self.commits {
            let _ = resolve.send(Err(AppendError::Unknown(reason.to_owned())));
        }
        for resolve in self.trims {
            let _ = resolve.send(Err(LogError::Unavailable(reason.to_owned())));
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
