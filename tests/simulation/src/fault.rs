//! Which faults a seed meets, and how often.
//!
//! Each seed draws a random subset: a bug that one fault shows is often hidden by another.

use crate::rng::Rng;

/// How often each fault strikes, in thousandths of the occasions it has; 0 where it is off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A process dies at one of the named points of its loop.
    pub crash_point: u64,
    /// A process dies between two steps (of all steps of the world).
    pub crash: u64,
    /// The log's leader dies and takes its unacknowledged tail along (of all steps).
    pub log_crash: u64,
    /// A process stops, and later goes on as if nothing had been (of all steps).
    pub pause: u64,
    /// A process believes to be assigned that is not (of all steps).
    pub false_hint: u64,
    /// An appender breaks: the outcome of all that it holds is unknown (of all steps).
    pub delivery_error: u64,
    /// A record is refused as too large, though what is queued behind it is not.
    pub refused: u64,
    /// An appender's queue is full.
    pub queue_full: u64,
    /// An offset of the log is spent on a marker.
    pub marker: u64,
    /// A restart finds no tables.
    pub lost_tables: u64,
    /// Tables are not flushed.
    pub no_flush: u64,
    /// A checkpoint's commit has an unknown outcome.
    pub unknown_commit: u64,
    /// A message is sent twice.
    pub duplicate: u64,
    /// A message, an acknowledgement or an answer is lost.
    pub loss: u64,
    /// A message cannot be decoded.
    pub garbage: u64,
    /// An attempt fails.
    pub failure: u64,
    /// A function proposes two results for one run.
    pub twice: u64,
    /// What an attempt said before it was given up arrives all the same.
    pub ghost: u64,
    /// A record that landed lands once more, later.
    pub echo: u64,
    /// An owner takes its checkpoint further. No fault, but a world comes to rest without.
    pub checkpoint: u64,
    /// Messages are not taken in, though the owner does all else.
    pub slow_intake: u64,
    /// The inbox cannot be read for a while (of all steps).
    pub no_inbox: u64,
    /// An attempt hangs.
    pub hang: u64,
    /// A function is asked to suspend where it waits.
    pub suspend: u64,
    /// Somebody cancels, kills, pauses, resumes or purges an invocation (of the callers' steps).
    pub order: u64,
    /// An order about what has completed restarts it. No fault, but a world comes to rest without.
    pub restart: u64,
    /// A process's clock is set back by up to an hour, or right again (of all steps).
    pub clock_set: u64,
    /// The clocks of processes differ by up to this many milliseconds.
    pub clock_skew_ms: u64,
}

impl Faults {
    /// Draws the faults of a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut some = |most: u64| {
            let rate = (1 + rng.below(most)) >> rng.below(4);
            if rng.chance(600) { rate } else { 0 }
        };
        // Where ownership changes all the time, nothing else has the time to go wrong.
        let crash = 5 + some(60);
        let [crash_point, log_crash, pause] = [some(60), some(20), some(20)];
        let [false_hint, delivery_error] = [some(20), some(15)];
        let calm = if some(1_000) > 200 { 3 } else { 0 };
        Self {
            crash_point: crash_point >> calm,
            crash: 1 + (crash >> calm),
            log_crash: log_crash >> calm,
            pause: pause >> calm,
            false_hint: false_hint >> calm,
            delivery_error: delivery_error >> calm,
            refused: some(60),
            queue_full: some(100),
            marker: some(200),
            lost_tables: some(500),
            no_flush: some(900),
            unknown_commit: some(1_000),
            duplicate: some(600),
            loss: some(500),
            garbage: some(100),
            failure: some(400),
            twice: some(200),
            ghost: 2 * some(1_000),
            echo: some(100),
            checkpoint: 200 + some(800),
            slow_intake: if some(1_000) > 300 { 900 } else { 0 },
            no_inbox: some(8),
            hang: some(250),
            suspend: 50 + some(600),
            order: some(150),
            clock_set: some(20),
            clock_skew_ms: 8 * some(120),
            restart: 300 + some(600),
        }
    }

    /// The world after it has healed: nothing fails any more. Clocks differ as they did, and
    /// operators stay.
    #[must_use]
    pub fn healed(self) -> Self {
        Self {
            suspend: 50,
            checkpoint: 20,
            order: 4,
            restart: self.restart,
            clock_skew_ms: self.clock_skew_ms,
            ..Self::default()
        }
    }
}
