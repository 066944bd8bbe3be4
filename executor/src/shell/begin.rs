//! What an attempt begins with: its journal, and as much of the object's state as it wants.
//!
//! A small beginning is read at once. A large one is read beside the partition's loop, which goes on
//! meanwhile.
//!
//! **Invariant:** what is read is one state of the tables, and so acknowledged and applied. The
//! journal is that of when the attempt was decided on: what comes behind it is told.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Arc;

use everlog_log_schema::metadata::EagerState;
use everlog_log_schema::{AttemptId, Entry, InvocationId, InvocationRow, PartitionId, Target};
use everlog_partition::{Tables, TablesError, reads};

use super::eager::read_state;
use super::places::Place;
use crate::invoker::EagerStateMap;
use crate::store::{Job, Store};

/// Beginnings up to this size in memory are small, in bytes: so many can be read at once, and as many
/// attempts as may be open can begin with that.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// What an entry of a journal takes beside its payload, in bytes.
const ENTRY_BYTES: u64 = 128;

/// What an attempt begins with, to be read.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) invocation: InvocationId,
    pub(super) attempt: AttemptId,
    pub(super) entries: u32,
    pub(super) target: Target,
    pub(super) eager_state: EagerState,
    pub(super) state_bytes_max: u64,
}

/// What an attempt begins with.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) journal: Vec<Entry>,
    pub(super) state: Option<EagerStateMap>,
}

impl Beginning {
    /// Reads it.
    pub(super) fn read(&self, tables: &impl Tables) -> Result<Begun, TablesError> {
        let state = read_state(tables, &self.target, &self.eager_state, self.state_bytes_max)?;
        Ok(Begun { journal: reads::journal(tables, self.invocation, self.entries)?, state })
    }
}

/// How many bytes of memory a beginning takes, at most, if it is large; else zero.
pub(super) fn large_bytes(
    tables: &impl Tables,
    row: &InvocationRow,
    eager_state: &EagerState,
    state_bytes_max: u64,
) -> Result<u64, TablesError> {
    let Target { service, key, .. } = &row.target;
    let state = match (key, eager_state) {
        (None, _) | (_, EagerState::Nothing) => 0,
        (Some(key), EagerState::All | EagerState::Only(_)) => {
            reads::object(tables, service, key)?.bytes.min(state_bytes_max)
        }
    };
    let bytes = row.journal_bytes + u64::from(row.entries) * ENTRY_BYTES + state;
    Ok(if bytes > SMALL_BYTES_MAX { bytes } else { 0 })
}

/// Reads the large beginnings of one partition, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    store: Arc<Store>,
    partition: PartitionId,
    waiting: VecDeque<(Beginning, Place)>,
    reading: Option<Job<Read>>,
}

/// A beginning that was read, or not, and the place of the attempt.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) invocation: InvocationId,
    pub(super) attempt: AttemptId,
    /// It is kept while its memory is in use, even where nobody wants the attempt any more.
    pub(super) place: Place,
    pub(super) begun: Result<Begun, TablesError>,
}

impl Reader {
    pub(super) fn new(store: Arc<Store>, partition: PartitionId) -> Self {
        Self { store, partition, waiting: VecDeque::new(), reading: None }
    }

    /// Reads a beginning when those before it are read.
    pub(super) fn push(&mut self, beginning: Beginning, place: Place) {
        self.waiting.push_back((beginning, place));
        self.go_on();
    }

    /// Reads no more than what is being read.
    pub(super) fn close(&mut self) {
        self.waiting.clear();
    }

    /// Waits for the next that is read; none where there is nothing to read. May be dropped at any
    /// time: nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Read> {
        let read = self.reading.as_mut()?.await;
        self.reading = None;
        self.go_on();
        Some(read.unwrap_or_else(|error| resume_unwind(error.into_panic())).value)
    }

    fn go_on(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let Some((beginning, place)) = self.waiting.pop_front() else { return };
        let partition = self.partition;
        self.reading = Some(self.store.spawn(move |store| {
            let begun = beginning.read(&store.snapshot(partition));
            let Beginning { invocation, attempt, .. } = beginning;
            Read { invocation, attempt, place, begun }
        }));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What has not begun is not read any more.
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}
