//! The barrier before a read that must be current.
//!
//! An owner that was deposed and has not learnt it must not answer from its tables. So whoever asks
//! waits for an accepted record that was appended after it asked: had another announced itself before,
//! that record would not be accepted.
//!
//! **Invariants:** one barrier serves all that wait when it is put before the log; while it is under
//! way, there is no other. Where there is something to append anyway, it costs nothing.

use everlog_log_schema::Seq;
use tokio::sync::watch;

use super::Owner;
use crate::desk::Desk;

/// The barriers of one term.
pub(super) struct Barriers {
    /// How many have asked for one, ever.
    pub(super) asked: watch::Receiver<u64>,
    under_way: Option<Barrier>,
}

struct Barrier {
    /// It is passed once the record with this number is accepted.
    seq: Seq,
    /// Those who asked up to this number wait for it.
    serves: u64,
}

impl Barriers {
    pub(super) fn new(desk: &Desk) -> Self {
        Self { asked: desk.barriers_asked(), under_way: None }
    }

    /// Whether one may be put before the log.
    pub(super) fn may_begin(&self) -> bool {
        self.under_way.is_none()
    }
}

impl Owner<'_> {
    /// Puts a barrier before the log, if anybody waits for one.
    pub(super) fn put_barrier(&mut self) {
        if self.barriers.may_begin() {
            let serves = *self.barriers.asked.borrow_and_update();
            if serves > self.shell.desk.barriers_passed() {
                let seq = self.proposals.append_something();
                self.barriers.under_way = Some(Barrier { seq, serves });
            }
        }
    }

    /// Lets those pass whose barrier has been applied.
    pub(super) fn pass_barrier(&mut self) {
        let next = self.fold.row().next_seq;
        if let Some(barrier) = self.barriers.under_way.take_if(|barrier| barrier.seq < next) {
            self.shell.desk.pass_barriers(barrier.serves);
        }
    }
}
