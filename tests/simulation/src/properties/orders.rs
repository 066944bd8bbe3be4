//! Orders and signals: a kill ends, and reaches the calls that the killed one waits for; a pause
//! lasts until somebody ends it; a signal that was not told wakes.

use std::collections::BTreeMap;

use everlog_log_schema::{
    Awaited, Combinator, Command, CompletionId, Effect as Asks, Entry, Incarnation, InvocationId,
    Message, NotificationId, Order, OrderAction, Outcome, Row, RowKey, SignalId, Status,
    StatusKind, Suspend,
};
use everlog_partition::Action;

use super::owing::Owing;
use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Life, Recorded};

const NAME: &str = "orders and signals";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Orders {
    standing: BTreeMap<InvocationId, (Incarnation, StatusKind)>,
    /// The callees that a life waits for.
    callees: BTreeMap<Life, BTreeMap<CompletionId, InvocationId>>,
    /// The completed invocations that owe answers: they are forgotten with the last of them.
    owing: Owing,
    /// All signals of a life, in order.
    signals: BTreeMap<Life, Vec<SignalId>>,
}

impl Orders {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for added in recorded.own_entries() {
            match &added.entry {
                Entry::Command { effect: Asks::Call(call), .. } => {
                    if let Some(completion) = call.completion {
                        let callees = self.callees.entry(added.life).or_default();
                        callees.insert(completion, call.callee);
                    }
                }
                Entry::Notification { id: NotificationId::Completion { id, .. }, .. } => {
                    self.callees.entry(added.life).or_default().remove(id);
                }
                Entry::Notification { id: NotificationId::Signal(signal), .. } => {
                    let meant = recorded.messages().any(|message| may_bring(message, added.life, signal));
                    demand!(NAME, meant, "{:?} gets {signal:?}, meant for another life", added.life);
                    self.signals.entry(added.life).or_default().push(signal.clone());
                }
                Entry::Output { outcome: Outcome::Failure(failure), .. }
                    // By an order, or by its retry policy.
                    if matches!(&*failure.message, "killed" | "function failed") =>
                {
                    self.killed(added.life, recorded)?;
                }
                Entry::Command { .. } | Entry::Input { .. } | Entry::Output { .. } => {}
            }
        }
        let before = self.standing.clone();
        self.moved(recorded);
        // What one command does can be told where it is alone.
        let [command] = &recorded.record.commands[..] else { return Ok(()) };
        match (command, recorded.messages().next()) {
            (Command::Suspend(suspend), _) => self.suspended(suspend, recorded, coverage),
            (_, Some(Message::Order(order))) => self.ordered(order, &before, coverage),
            (_, Some(Message::Signal(signal))) if signal.signal == SignalId::CANCEL => {
                self.cancelled(signal.target, &before, coverage)
            }
            _ => Ok(()),
        }
    }

    fn moved(&mut self, recorded: &Recorded<'_>) {
        for change in recorded.changes {
            self.owing.note(change);
            let RowKey::Invocation(id) = &change.key else { continue };
            match &change.new {
                Some(Row::Invocation(row)) => {
                    self.standing.insert(*id, (row.incarnation, row.status.kind()));
                }
                _ => {
                    self.standing.remove(id);
                }
            }
        }
    }

    /// A killed life takes with it the calls that it waits for.
    fn killed(&self, life: Life, recorded: &Recorded<'_>) -> Judged {
        let open = self.callees.get(&life).into_iter().flatten();
        for (completion, callee) in open {
            let told = recorded.actions.iter().any(|action| {
                matches!(action, Action::Send { row, .. }
                    if matches!(&row.message, Message::Order(order)
                        if order.target == *callee && order.action == OrderAction::Kill))
            });
            demand!(NAME, told, "{life:?} is killed, and {callee:?} of {completion} is not told");
        }
        Ok(())
    }

    fn ordered(
        &self,
        order: &Order,
        before: &BTreeMap<InvocationId, (Incarnation, StatusKind)>,
        coverage: &mut Coverage,
    ) -> Judged {
        let Some((_, old)) = before.get(&order.target) else { return Ok(()) };
        let new = self.standing.get(&order.target).map(|(_, new)| *new);
        let expected = match (order.action, old) {
            (OrderAction::Kill, StatusKind::Completed) => return Ok(()),
            (OrderAction::Kill, _) => {
                if order.sender.is_some() {
                    if new == Some(StatusKind::Completed) {
                        coverage.hit(Case::KilledWithCaller);
                    }
                    return Ok(());
                }
                coverage.hit(Case::KilledByOrder);
                Some(StatusKind::Completed)
            }
            (
                OrderAction::Pause,
                StatusKind::Running | StatusKind::Suspended | StatusKind::BackingOff,
            ) => {
                coverage.hit(Case::PausedByOrder);
                Some(StatusKind::Paused)
            }
            (
                OrderAction::Resume,
                StatusKind::Paused | StatusKind::Suspended | StatusKind::BackingOff,
            ) => {
                coverage.hit(Case::Resumed);
                Some(StatusKind::Running)
            }
            (OrderAction::Purge, StatusKind::Completed) if self.owing.contains(order.target) => {
                coverage.hit(Case::PurgedOwing);
                Some(StatusKind::Completed)
            }
            (OrderAction::Purge, StatusKind::Completed) => {
                coverage.hit(Case::Purged);
                None
            }
            (
                OrderAction::Pause
                | OrderAction::Resume
                | OrderAction::Purge
                | OrderAction::PurgeJournal,
                _,
            ) => Some(*old),
        };
        demand!(NAME, new == expected, "{order:?} of {old:?} leads to {new:?}");
        Ok(())
    }

    fn cancelled(
        &self,
        id: InvocationId,
        before: &BTreeMap<InvocationId, (Incarnation, StatusKind)>,
        coverage: &mut Coverage,
    ) -> Judged {
        let Some((_, StatusKind::Scheduled | StatusKind::Pending)) = before.get(&id) else {
            return Ok(());
        };
        coverage.hit(Case::CanceledEarly);
        let new = self.standing.get(&id).map(|(_, new)| *new);
        let over = new == Some(StatusKind::Completed);
        demand!(NAME, over, "{id:?} is cancelled before it began, and is {new:?}");
        Ok(())
    }

    /// A suspension that waits for a signal which came untold is no suspension.
    fn suspended(
        &self,
        suspend: &Suspend,
        recorded: &Recorded<'_>,
        coverage: &mut Coverage,
    ) -> Judged {
        let id = suspend.invocation;
        let life = Life { id, incarnation: suspend.attempt.incarnation };
        let told = usize::try_from(suspend.signals_told).unwrap_or(usize::MAX);
        let untold = self.signals.get(&life).into_iter().flatten().skip(told);
        // In a race any one of them is enough; the other trees are judged by the futures.
        let root = suspend.waiting.nodes.first();
        let race = root.filter(|root| root.combinator == Combinator::FirstCompleted);
        let meets = untold.into_iter().any(|signal| {
            let signal = Awaited::Signal(signal.clone());
            race.is_some_and(|race| race.leaves.iter().any(|leaf| leaf == signal))
        });
        let parked = recorded.changes.iter().any(|change| {
            change.key == RowKey::Invocation(id)
                && matches!(&change.new, Some(Row::Invocation(row))
                    if matches!(row.status, Status::Suspended(_)))
        });
        if meets {
            coverage.hit(Case::UntoldSignal);
        }
        demand!(NAME, !(meets && parked), "{life:?} waits for a signal that it has");
        Ok(())
    }
}

/// Whether a message may bring this signal to this life.
fn may_bring(message: &Message, life: Life, signal: &SignalId) -> bool {
    let Message::Signal(sent) = message else { return false };
    let meant = sent.incarnation.is_none_or(|incarnation| incarnation == life.incarnation);
    sent.target == life.id && sent.signal == *signal && meant
}
