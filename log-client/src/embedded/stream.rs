//! One stream as its readers see it: how far it reaches, and its newest records in memory.
//!
//! **Invariant:** what is published is durable (or as durable as the log was asked to be), and the
//! tail ends where the stream ends. Readers see nothing else, so that a record whose write failed
//! is never seen before it is known to be in the log.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::store::{READ_BYTES_MAX, READ_RECORDS_MAX};
use crate::{Bounds, LogError, Logged};

/// Payload bytes that one stream keeps in memory for its readers.
const TAIL_BYTES_MAX: usize = 1 << 20;
/// Records that one stream keeps in memory for its readers.
const TAIL_RECORDS_MAX: usize = 4_096;

/// The published state of a stream.
pub(super) struct StreamState {
    tail: Mutex<Tail>,
    changes: watch::Sender<Bounds>,
}

struct Tail {
    bounds: Bounds,
    /// The newest records, without a gap, up to the end.
    records: VecDeque<Logged>,
    bytes: usize,
}

/// What a reader finds at an offset.
pub(super) enum Found {
    /// These records.
    Records(Vec<Logged>),
    /// Records that are in the database only, below this end.
    Stored(u64),
    /// Nothing yet: the offset is the end.
    Nothing,
}

impl StreamState {
    pub(super) fn new(bounds: Bounds) -> Self {
        let tail = Tail { bounds, records: VecDeque::new(), bytes: 0 };
        Self { tail: Mutex::new(tail), changes: watch::Sender::new(bounds) }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.tail().bounds
    }

    /// Tells of each change of the bounds.
    pub(super) fn changes(&self) -> watch::Receiver<Bounds> {
        self.changes.subscribe()
    }

    /// Lets all readers look again, though nothing was appended.
    pub(super) fn wake(&self) {
        self.changes.send_modify(|_| {});
    }

    /// Makes records visible. Their offsets follow the end.
    pub(super) fn publish(&self, records: impl IntoIterator<Item = Logged>) {
        let mut tail = self.tail();
        for record in records {
            assert_eq!(record.offset, tail.bounds.end, "offsets have no gap");
            tail.bounds.end += 1;
            tail.bytes += record.payload.len();
            tail.records.push_back(record);
        }
        tail.shrink();
        self.changes.send_replace(tail.bounds);
    }

    /// Makes a trim visible.
    pub(super) fn publish_start(&self, start: u64) {
        let mut tail = self.tail();
        tail.bounds.start = start;
        tail.shrink();
        self.changes.send_replace(tail.bounds);
    }

    /// Takes over what a reopened database holds: perhaps records whose write seemed to fail.
    /// Fails where it holds less than was published.
    pub(super) fn reopen(&self, stored: Bounds) -> Result<(), Bounds> {
        let mut tail = self.tail();
        if stored.end < tail.bounds.end {
            return Err(tail.bounds);
        }
        tail.bounds = stored;
        tail.records.clear();
        tail.bytes = 0;
        self.changes.send_replace(stored);
        Ok(())
    }

    /// Looks for records at `from`.
    pub(super) fn find(&self, from: u64) -> Result<Found, LogError> {
        let tail = self.tail();
        let Bounds { start, end } = tail.bounds;
        if from < start || from > end {
            return Err(LogError::OutOfRange { wanted: from, start, end });
        }
        if from == end {
            return Ok(Found::Nothing);
        }
        let first = tail.records.front().map_or(end, |record| record.offset);
        if from < first {
            return Ok(Found::Stored(end));
        }
        let skipped = usize::try_from(from - first).expect("the tail fits memory");
        let mut bytes = 0;
        let batch = tail
            .records
            .range(skipped..)
            .take(READ_RECORDS_MAX)
            .take_while(|record| {
                let wanted = bytes < READ_BYTES_MAX;
                bytes += record.payload.len();
                wanted
            })
            .cloned()
            .collect();
        Ok(Found::Records(batch))
    }
}

impl Tail {
    fn shrink(&mut self) {
        while let Some(oldest) = self.records.front() {
            let fits = self.bytes <= TAIL_BYTES_MAX && self.records.len() <= TAIL_RECORDS_MAX;
            if fits && oldest.offset >= self.bounds.start {
                break;
            }
            self.bytes -= oldest.payload.len();
            self.records.pop_front();
        }
    }
}
