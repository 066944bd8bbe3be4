//! How an owner lets go of its partition: because its executor ends, or because another executor
//! that is to own it has caught up.
//!
//! **Invariant:** it resigns in the log only when its attempts have ended and nothing waits to be
//! acknowledged; whoever takes over finds all of it there.

use everlog_log_schema::Command;
use tokio::time::Instant;

use super::Owner;
use crate::metrics;
use crate::shell::Order;
use crate::shell::error::Interruption;
use crate::shell::follow::HAND_OVER_LAG_MAX;

/// An owner that lets go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// Until when open attempts may go on.
    until: Instant,
    /// Another executor waits for the partition.
    hands_over: bool,
}

impl Owner<'_> {
    pub(super) fn on_order(&mut self) {
        let order = *self.shell.orders.borrow_and_update();
        if let Order::Drain(until) = order {
            self.leave(Leaving { until, hands_over: false });
        }
    }

    /// Hands over to an executor that asks for it, if it has caught up and this one is not itself
    /// asked to own the partition: two that believe so must not take it from each other.
    pub(super) fn on_wanted(&mut self) {
        let Some(caught_up) = *self.wanted.borrow_and_update() else { return };
        let behind = self.fold.row().next_log.0.saturating_sub(caught_up.0);
        if behind <= HAND_OVER_LAG_MAX && self.leaving.is_none() && !self.shell.hints.is_assigned()
        {
            let until = Instant::now() + self.shell.limits.hand_over_grace;
            self.leave(Leaving { until, hands_over: true });
        }
    }

    fn leave(&mut self, leaving: Leaving) {
        self.leaving = Some(leaving);
        self.attempts.close();
        // The loop comes by here at the latest when the time is up.
        self.look_at = self.look_at.min(leaving.until);
    }

    pub(super) fn may_resign(&self) -> bool {
        self.leaving.is_some_and(|Leaving { until, .. }| {
            Instant::now() >= until || (!self.attempts.any_open() && self.proposals.is_empty())
        })
    }

    /// Ends the attempts that are still open, tells the log, and waits until it knows.
    pub(super) async fn resign(&mut self) -> Result<(), Interruption> {
        // Nothing is sent any more: the loop that sends is left.
        self.attempts.abort();
        self.tell_arrived(true);
        self.proposals.push(Command::Resign, 0);
        while !self.proposals.is_empty() {
            let now = self.clock.now();
            self.proposals.propose(now)?;
            let queue_may_have_room = self.proposals.queue_may_have_room();
            tokio::select! {
                steps = self.proposals.acknowledged() => self.settle(&steps?).await?,
                () = queue_may_have_room => {}
            }
        }
        let term = Some(self.fold.row().term);
        self.shell.resigned = term;
        if self.leaving.is_some_and(|leaving| leaving.hands_over) {
            self.shell.handed_over = term;
            metrics::HAND_OVERS.inc();
        }
        Ok(())
    }
}
