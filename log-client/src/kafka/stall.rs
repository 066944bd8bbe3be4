//! What an appender has queued and not been told of, and what becomes of it when nobody tells.
//!
//! librdkafka never gives a record up here (`message.timeout.ms=0`): a record that timed out would
//! leave a hole before those behind it. So the deadline is kept on this side. An appender whose
//! oldest record has waited for too long *stalls*: that record and all behind it resolve as unknown,
//! and the appender takes no more, so that the owner of the partition deposes itself.
//!
//! Those that the producer holds are *abandoned* then: they may reach the log later. The line counts
//! them ([`super::line`]) until the producer tells of each. See [`super::producers`] for what that
//! means to the next appender.
//!
//! **Invariant:** each queued record resolves once: as its delivery report says, or as unknown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::line::Line;
use super::lock;
use crate::{AppendError, Appending};

type Outcome = Result<u64, AppendError>;

/// What one appender has queued.
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

/// One record in a line.
pub(super) struct Queued {
    queue: Arc<Queue>,
    number: u64,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(line: Arc<Line>) -> Arc<Self> {
        Arc::new(Self { line, state: Mutex::default() })
    }

    /// Puts a record behind the others.
    pub(super) fn append(self: &Arc<Self>, payload: Bytes) -> Result<Appending, AppendError> {
        let bytes = payload.len();
        let mut state = lock(&self.state);
        if let Some(reason) = &state.stalled {
            return Err(AppendError::Refused(reason.clone()));
        }
        let (resolve, appending) = Appending::new();
        let number = state.first + state.pending.len() as u64;
        state.pending.push_back(Pending { since: Instant::now(), resolve: Some(resolve) });
        let queued = Box::new(Queued { queue: Arc::clone(self), number, bytes });
        if let Err((error, _)) = self.line.put(queued, payload) {
            state.pending.pop_back();
            return Err(error);
        }
        Ok(appending)
    }

    /// Stalls if the oldest record has waited for longer than `max`; tells how many are abandoned.
    pub(super) fn stall_after(&self, max: Duration) -> Option<usize> {
        let mut state = lock(&self.state);
        let oldest = state.pending.iter().find(|pending| pending.resolve.is_some())?;
        if oldest.since.elapsed() < max {
            return None;
        }
        let reason = format!("no broker has acknowledged an append within {max:?}");
        Some(self.stall(&mut state, &reason))
    }

    /// The producer has not taken a record that had waited for its turn.
    pub(super) fn refuse(&self, error: &AppendError) {
        let reason = format!("the producer has not taken the record: {error}");
        self.stall(&mut lock(&self.state), &reason);
    }

    /// Resolves all as unknown, and takes no more.
    fn stall(&self, state: &mut State, reason: &str) -> usize {
        state.first += state.pending.len() as u64;
        let resolves: Vec<_> =
            state.pending.drain(..).filter_map(|pending| pending.resolve).collect();
        state.stalled = Some(reason.to_owned());
        // Before anybody learns of it and opens another appender.
        let is_own = |queued: &Queued| std::ptr::eq(Arc::as_ptr(&queued.queue), self);
        let abandoned = self.line.abandon(resolves.len(), is_own);
        for resolve in resolves {
            // Whoever appended may be gone.
            let _ = resolve.send(Err(AppendError::Unknown(reason.to_owned())));
        }
        abandoned
    }

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

impl Queued {
    /// The producer has told of the record.
    pub(super) fn told(self, outcome: Outcome) {
        let Self { queue, number, bytes } = self;
        let resolve = queue.settle(number);
        queue.line.told(bytes, resolve.is_none());
        if let Some(resolve) = resolve {
            // Whoever appended may be gone.
            let _ = resolve.send(outcome);
        }
    }

    /// What the appender of the record has queued.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::fixture;
    use super::*;

    #[tokio::test]
    async fn a_stalled_queue_resolves_all_as_unknown_and_takes_no_more() {
        let fixture = fixture();
        let told = fixture.append(1).unwrap();
        let waiting: Vec<_> = (0..6).map(|_| fixture.append(1).unwrap()).collect();
        fixture.tell(Ok(7));
        assert_eq!(told.await, Ok(7));
        let (line, queue) = (&fixture.line, &fixture.queue);
        assert_eq!(queue.stall_after(Duration::from_mins(1)), None);
        assert_eq!(queue.stall_after(Duration::ZERO), Some(4), "the producer holds as many");
        for told in waiting {
            assert!(matches!(told.await, Err(AppendError::Unknown(_))));
        }
        assert!(matches!(fixture.append(1), Err(AppendError::Refused(_))));
        assert_eq!(line.abandoned(), 4);
        (8..11).for_each(|offset| fixture.tell(Ok(offset)));
        fixture.tell(Err(AppendError::QueueFull));
        assert_eq!(line.abandoned(), 0, "what waited was never given");
        assert_eq!(queue.stall_after(Duration::ZERO), None, "nothing waits any more");
    }

    #[tokio::test]
    async fn reports_out_of_order_resolve_the_right_ones() {
        let fixture = fixture();
        let [first, second, third] = [(); 3].map(|()| fixture.append(1).unwrap());
        fixture.last_first();
        fixture.tell(Ok(3));
        fixture.tell(Ok(2));
        assert_eq!(fixture.queue.stall_after(Duration::ZERO), Some(1), "the first still waits");
        fixture.tell(Ok(1));
        assert_eq!((second.await, third.await), (Ok(2), Ok(3)));
        assert!(first.await.is_err());
        assert_eq!(fixture.line.abandoned(), 0);
    }
}
