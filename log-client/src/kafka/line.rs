//! The records of one stream on their way through one producer: few in the producer, the others here.
//!
//! librdkafka has at most five records of a partition under way when it numbers them
//! (`RD_KAFKA_IDEMP_MAX_INFLIGHT`, which its code counts in records). While it holds more than it may
//! send, its thread for the broker does not sleep: it asks the clock and the socket until an
//! acknowledgement comes, which costs a core just when brokers are slow. So it is given what it can
//! send at once: up to five records, or, when none is under way, all that wait, which it sends as
//! one batch.
//!
//! **Invariants:** records are given to the producer in the order in which they were put. While some
//! wait, one is under way whose report gives the next ones, or the line has been told to.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak, mpsc};

use bytes::Bytes;

use super::lock;
use super::stall::Queued;
use crate::AppendError;

/// Records of one stream that a line holds: as many at most…
pub(super) const RECORDS_MAX: usize = 4_096;
/// …with as many bytes, or one that is larger. So a partition whose broker is away leaves room in
/// the producer's queue to the others.
pub(super) const BYTES_MAX: usize = 32 << 20;
/// Records of one stream that the producer holds while it has not told of one of them.
const UNDER_WAY_MAX: usize = 5;

/// Gives a record to the producer, or gives it back with the reason.
pub(super) type Give =
    Box<dyn Fn(Box<Queued>, &Bytes) -> Result<(), (AppendError, Box<Queued>)> + Send + Sync>;
/// Tells that a line has to give the next records.
pub(super) type Wake = mpsc::Sender<Weak<Line>>;

/// What one producer holds of one stream, or will hold.
pub(super) struct Line {
    held: Mutex<Held>,
    give: Give,
    /// The producer, so that the last to let go of it does not do so inside `give`.
    producer: Weak<dyn Any + Send + Sync>,
    wake: Wake,
}

#[derive(Default)]
struct Held {
    waiting: VecDeque<(Box<Queued>, Bytes)>,
    /// Records that the producer holds.
    under_way: usize,
    /// Bytes of all.
    bytes: usize,
    /// Records that the producer holds, and that nobody waits for any more.
    abandoned: usize,
}

impl Held {
    fn records(&self) -> usize {
        self.waiting.len() + self.under_way
    }

    fn has_room(&self, bytes: usize) -> bool {
        let records = self.records();
        records == 0 || records < RECORDS_MAX && self.bytes + bytes <= BYTES_MAX
    }

    /// Whether the producer can send all that waits.
    fn may_give(&self) -> bool {
        self.under_way == 0 || self.records() <= UNDER_WAY_MAX
    }
}

impl Line {
    pub(super) fn new(give: Give, producer: Weak<dyn Any + Send + Sync>, wake: Wake) -> Self {
        Self { held: Mutex::default(), give, producer, wake }
    }

    /// How many records are abandoned, and not told of yet.
    pub(super) fn abandoned(&self) -> usize {
        lock(&self.held).abandoned
    }

    /// Takes a record behind all others. What there is no room for, or the producer refuses at once,
    /// is given back.
    pub(super) fn put(
        &self,
        queued: Box<Queued>,
        payload: Bytes,
    ) -> Result<(), (AppendError, Box<Queued>)> {
        let (mut held, bytes) = (lock(&self.held), payload.len());
        if !held.has_room(bytes) {
            return Err((AppendError::QueueFull, queued));
        }
        if held.records() < UNDER_WAY_MAX && held.waiting.is_empty() {
            (self.give)(queued, &payload)?;
            held.under_way += 1;
        } else {
            held.waiting.push_back((queued, payload));
        }
        held.bytes += bytes;
        Ok(())
    }

    /// Gives what waits to the producer, if it can send it.
    pub(super) fn hand_over(&self) {
        // Ending a producer waits for its thread, which may be waiting for this lock.
        let _producer = self.producer.upgrade();
        let mut held = lock(&self.held);
        if !held.may_give() {
            return;
        }
        while let Some((queued, payload)) = held.waiting.pop_front() {
            let Err((error, queued)) = (self.give)(queued, &payload) else {
                held.under_way += 1;
                continue;
            };
            let refused = queued.queue();
            // There until its appender stalls, so that none passes it, and none behind it is written.
            held.waiting.push_front((queued, payload));
            drop(held);
            refused.refuse(&error);
            held = lock(&self.held);
        }
    }

    /// The producer has told of a record.
    pub(super) fn told(self: &Arc<Self>, bytes: usize, abandoned: bool) {
        let mut held = lock(&self.held);
        held.under_way -= 1;
        held.bytes -= bytes;
        held.abandoned -= usize::from(abandoned);
        if !held.waiting.is_empty() && held.may_give() {
            // Where nobody listens, the process ends.
            let _ = self.wake.send(Arc::downgrade(self));
        }
    }

    /// Nobody waits for `pending` records any more, of which `is_of` tells those that wait here.
    /// They are dropped; tells how many others the producer holds.
    pub(super) fn abandon(&self, pending: usize, is_of: impl Fn(&Queued) -> bool) -> usize {
        let mut held = lock(&self.held);
        let Held { waiting, bytes, .. } = &mut *held;
        let before = waiting.len();
        waiting.retain(|(queued, payload)| {
            let kept = !is_of(queued);
            *bytes -= if kept { 0 } else { payload.len() };
            kept
        });
        let given = pending - (before - waiting.len());
        held.abandoned += given;
        given
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::stall::Queue;
    use super::*;
    use crate::Appending;

    /// A producer that keeps what it is given, up to a number.
    pub(in super::super) struct Fixture {
        pub(in super::super) line: Arc<Line>,
        pub(in super::super) queue: Arc<Queue>,
        given: Arc<Mutex<VecDeque<Box<Queued>>>>,
        full_at: Arc<Mutex<usize>>,
        woken: mpsc::Receiver<Weak<Line>>,
    }

    pub(in super::super) fn fixture() -> Fixture {
        let given: Arc<Mutex<VecDeque<Box<Queued>>>> = Arc::default();
        let full_at = Arc::new(Mutex::new(usize::MAX));
        let (wake, woken) = mpsc::channel();
        let give: Give = {
            let (given, full_at) = (Arc::clone(&given), Arc::clone(&full_at));
            Box::new(move |queued, _| {
                let mut given = given.lock().unwrap();
                if given.len() >= *full_at.lock().unwrap() {
                    return Err((AppendError::QueueFull, queued));
                }
                given.push_back(queued);
                Ok(())
            })
        };
        let line = Arc::new(Line::new(give, Weak::<()>::new(), wake));
        Fixture { queue: Queue::new(Arc::clone(&line)), line, given, full_at, woken }
    }

    impl Fixture {
        pub(in super::super) fn append(&self, bytes: usize) -> Result<Appending, AppendError> {
            self.queue.append(Bytes::from(vec![0; bytes]))
        }

        /// The producer tells of the first record that it holds.
        pub(in super::super) fn tell(&self, outcome: Result<u64, AppendError>) {
            let queued = self.given.lock().unwrap().pop_front().unwrap();
            queued.told(outcome);
            while let Ok(line) = self.woken.try_recv() {
                line.upgrade().unwrap().hand_over();
            }
        }

        /// The producer holds its records the other way round.
        pub(in super::super) fn last_first(&self) {
            self.given.lock().unwrap().make_contiguous().reverse();
        }

        fn in_producer(&self) -> usize {
            self.given.lock().unwrap().len()
        }
    }

    #[tokio::test]
    async fn no_more_is_given_than_can_be_sent() {
        let fixture = fixture();
        let mut told: Vec<_> = (0..5).map(|_| fixture.append(1).unwrap()).collect();
        assert_eq!(fixture.in_producer(), 5, "all may be under way");
        told.extend((0..7).map(|_| fixture.append(1).unwrap()));
        assert_eq!(fixture.in_producer(), 5, "the others wait");
        for offset in 0..4 {
            fixture.tell(Ok(offset));
            assert_eq!(fixture.in_producer(), 4 - usize::try_from(offset).unwrap());
        }
        fixture.tell(Ok(4));
        assert_eq!(fixture.in_producer(), 7, "none was under way: all that waited is one batch");
        told.push(fixture.append(1).unwrap());
        (5..9).for_each(|offset| fixture.tell(Ok(offset)));
        assert_eq!(fixture.in_producer(), 4, "there is room for the one that waited");
        (9..13).for_each(|offset| fixture.tell(Ok(offset)));
        for (offset, told) in (0..).zip(told) {
            assert_eq!(told.await, Ok(offset), "in the order in which they were put");
        }
    }

    #[tokio::test]
    async fn what_the_producer_refuses_at_once_was_never_put() {
        let fixture = fixture();
        *fixture.full_at.lock().unwrap() = 1;
        let first = fixture.append(1).unwrap();
        assert_eq!(fixture.append(1).unwrap_err(), AppendError::QueueFull);
        fixture.tell(Ok(0));
        assert_eq!(first.await, Ok(0));
        let _later = fixture.append(1).expect("there is room again");
    }

    #[tokio::test]
    async fn what_the_producer_refuses_later_takes_all_behind_it_along() {
        let fixture = fixture();
        let mut told: Vec<_> = (0..12).map(|_| fixture.append(1).unwrap()).collect();
        (0..4).for_each(|offset| fixture.tell(Ok(offset)));
        *fixture.full_at.lock().unwrap() = 1;
        fixture.tell(Ok(4));
        assert_eq!(fixture.in_producer(), 1, "the second that waited was refused");
        assert!(matches!(fixture.append(1), Err(AppendError::Refused(_))), "none goes behind it");
        fixture.tell(Ok(5));
        assert_eq!(fixture.line.abandoned(), 0);
        for told in told.split_off(5) {
            assert!(matches!(told.await, Err(AppendError::Unknown(_))));
        }
    }

    #[test]
    fn a_line_is_full_at_its_limits() {
        let fixture = fixture();
        let _told: Vec<_> = (0..RECORDS_MAX).map(|_| fixture.append(1).unwrap()).collect();
        assert!(matches!(fixture.append(1), Err(AppendError::QueueFull)));
        fixture.tell(Ok(0));
        fixture.append(1).unwrap();
        let fixture = self::fixture();
        let _large = fixture.append(BYTES_MAX + 1).unwrap();
        assert!(matches!(fixture.append(1), Err(AppendError::QueueFull)), "it fills the line");
        fixture.tell(Ok(0));
        let _held = (fixture.append(BYTES_MAX - 1).unwrap(), fixture.append(1).unwrap());
        assert!(matches!(fixture.append(1), Err(AppendError::QueueFull)));
    }
}
