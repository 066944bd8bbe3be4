//! What an appender has queued and not been told of, and what becomes of it when nobody tells.
//!
//! librdkafka never gives a record up here (`message.timeout.ms=0`): a record that timed out would
//! leave a hole before those behind it. So the deadline is kept on this side. An appender whose
//! oldest record has waited for too long *stalls*: that record and all behind it resolve as unknown,
//! and the appender takes no more, so that the owner of the partition deposes itself.
//!
//! The records are *abandoned* then, and still in the producer's queue: they may reach the log later.
//! A line counts them, for one stream and one producer, until the producer tells of each. See
//! [`super::producers`] for what that means to the next appender.
//!
//! **Invariant:** each queued record resolves once: as its delivery report says, or as unknown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{AppendError, Appending};

type Outcome = Result<u64, AppendError>;

/// Records of one stream that one producer holds: as many at most…
pub(super) const LINE_RECORDS_MAX: usize = 4_096;
/// …with as many bytes, or one that is larger. So a partition whose broker is away leaves room in
/// the producer's queue to the others.
pub(super) const LINE_BYTES_MAX: usize = 32 << 20;

/// What one producer holds of one stream.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    records: usize,
    bytes: usize,
    abandoned: usize,
}

impl Line {
    /// How many records are abandoned, and not told of yet.
    pub(super) fn abandoned(&self) -> usize {
        lock(&self.0).abandoned
    }

    /// Makes room for a record, if there is any.
    fn take(&self, bytes: usize) -> Result<(), AppendError> {
        let mut held = lock(&self.0);
        let fits = held.records < LINE_RECORDS_MAX && held.bytes + bytes <= LINE_BYTES_MAX;
        if held.records > 0 && !fits {
            return Err(AppendError::QueueFull);
        }
        held.records += 1;
        held.bytes += bytes;
        Ok(())
    }

    fn give_back(&self, bytes: usize, abandoned: bool) {
        let mut held = lock(&self.0);
        held.records -= 1;
        held.bytes -= bytes;
        held.abandoned -= usize::from(abandoned);
    }
}

/// What one appender has queued.
#[derive(Debug)]
pub(super) struct Queue {
    line: Arc<Line>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Records that are not resolved, in the order of the log; gone are those resolved before their
    /// turn.
    pending: VecDeque<Pending>,
    /// The number of the first of them.
    first: u64,
    /// Why nothing more is taken.
    stalled: Option<String>,
}

#[derive(Debug)]
struct Pending {
    since: Instant,
    resolve: Option<oneshot::Sender<Outcome>>,
}

/// One record in a producer's queue.
#[derive(Debug)]
pub(super) struct Queued {
    queue: Arc<Queue>,
    number: u64,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(line: Arc<Line>) -> Arc<Self> {
        Arc::new(Self { line, state: Mutex::default() })
    }

    /// Notes a record that is about to be given to the producer.
    pub(super) fn enter(
        self: &Arc<Self>,
        bytes: usize,
    ) -> Result<(Queued, Appending), AppendError> {
        let mut state = lock(&self.state);
        if let Some(reason) = &state.stalled {
            return Err(AppendError::Refused(reason.clone()));
        }
        self.line.take(bytes)?;
        let (resolve, appending) = Appending::new();
        let number = state.first + state.pending.len() as u64;
        state.pending.push_back(Pending { since: Instant::now(), resolve: Some(resolve) });
        Ok((Queued { queue: Arc::clone(self), number, bytes }, appending))
    }

    /// Stalls if the oldest record has waited for longer than `max`; tells how many are abandoned.
    pub(super) fn stall_after(&self, max: Duration) -> Option<usize> {
        let mut state = lock(&self.state);
        let oldest = state.pending.iter().find(|pending| pending.resolve.is_some())?;
        if oldest.since.elapsed() < max {
            return None;
        }
        let reason = format!("no broker has acknowledged an append within {max:?}");
        state.first += state.pending.len() as u64;
        let mut abandoned: Vec<_> =
            state.pending.drain(..).filter_map(|pending| pending.resolve).collect();
        state.stalled = Some(reason.clone());
        // Before anybody learns of it and opens another appender.
        lock(&self.line.0).abandoned += abandoned.len();
        let count = abandoned.len();
        for resolve in abandoned.drain(..) {
            // Whoever appended may be gone.
            let _ = resolve.send(Err(AppendError::Unknown(reason.clone())));
        }
        Some(count)
    }
}

impl Queued {
    /// The producer has told of the record, or has not taken it.
    pub(super) fn told(self, outcome: Outcome) {
        let Self { queue, number, bytes } = self;
        let resolve = queue.settle(number);
        queue.line.give_back(bytes, resolve.is_none());
        if let Some(resolve) = resolve {
            // Whoever appended may be gone.
            let _ = resolve.send(outcome);
        }
    }
}

impl Queue {
    /// Takes a record out; nothing where it was abandoned.
    fn settle(&self, number: u64) -> Option<oneshot::Sender<Outcome>> {
        let mut state = lock(&self.state);
        let index = usize::try_from(number.checked_sub(state.first)?).ok()?;
        let resolve = state.pending.get_mut(index)?.resolve.take();
        while state.pending.front().is_some_and(|pending| pending.resolve.is_none()) {
            state.pending.pop_front();
            state.first += 1;
        }
        resolve
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Arc<Line>, Arc<Queue>) {
        let line = Arc::new(Line::default());
        (Arc::clone(&line), Queue::new(line))
    }

    #[tokio::test]
    async fn a_stalled_queue_resolves_all_as_unknown_and_takes_no_more() {
        let (line, queue) = queue();
        let (first, told) = queue.enter(1).unwrap();
        let (second, one) = queue.enter(1).unwrap();
        let (third, two) = queue.enter(1).unwrap();
        first.told(Ok(7));
        assert_eq!(told.await, Ok(7));
        assert_eq!(queue.stall_after(Duration::from_mins(1)), None);
        assert_eq!(queue.stall_after(Duration::ZERO), Some(2));
        assert!(matches!(one.await, Err(AppendError::Unknown(_))));
        assert!(matches!(two.await, Err(AppendError::Unknown(_))));
        assert!(matches!(queue.enter(1), Err(AppendError::Refused(_))));
        assert_eq!(line.abandoned(), 2);
        second.told(Ok(8));
        third.told(Err(AppendError::QueueFull));
        assert_eq!(line.abandoned(), 0);
        assert_eq!(queue.stall_after(Duration::ZERO), None, "nothing waits any more");
    }

    #[tokio::test]
    async fn reports_out_of_order_resolve_the_right_ones() {
        let (line, queue) = queue();
        let mut queued: Vec<_> = (0..3).map(|_| queue.enter(1).unwrap()).collect();
        let (third, told_third) = queued.pop().unwrap();
        let (second, told_second) = queued.pop().unwrap();
        let (first, told_first) = queued.pop().unwrap();
        second.told(Ok(2));
        third.told(Ok(3));
        assert_eq!(queue.stall_after(Duration::ZERO), Some(1), "the first still waits");
        first.told(Ok(1));
        assert_eq!((told_second.await, told_third.await), (Ok(2), Ok(3)));
        assert!(told_first.await.is_err());
        assert_eq!(line.abandoned(), 0);
    }

    #[test]
    fn a_line_is_full_at_its_limits() {
        let (_line, queue) = queue();
        let mut queued: Vec<_> = (0..LINE_RECORDS_MAX).map(|_| queue.enter(1).unwrap().0).collect();
        assert!(matches!(queue.enter(1), Err(AppendError::QueueFull)));
        queued.pop().unwrap().told(Ok(0));
        let one_more = queue.enter(1).unwrap().0;
        drop((queued, one_more));
        let (_line, queue) = self::queue();
        let large = queue.enter(LINE_BYTES_MAX + 1).unwrap().0;
        assert!(matches!(queue.enter(1), Err(AppendError::QueueFull)), "it fills the line");
        large.told(Ok(0));
        let _held = (queue.enter(LINE_BYTES_MAX - 1).unwrap(), queue.enter(1).unwrap());
        assert!(matches!(queue.enter(1), Err(AppendError::QueueFull)));
    }
}
