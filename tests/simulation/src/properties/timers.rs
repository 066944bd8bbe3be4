//! Timers: each fires once or is cancelled, and never early.
//!
//! "Early" is by the clock of the owner that fires, which may differ from the true one by a bounded
//! skew. A record's time never goes back.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    Command, CompletionId, Effect as Asks, Entry, InvocationId, Message, Millis, NotificationId,
    OrderAction, Row, RowKey, Status, StatusKind, Timer, TimerKind, limits::REMEMBERED_MS_MIN,
};
use everlog_partition::Action;

use super::owing::Owing;
use super::{CLOCK_SKEW_MS_MAX, Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Change, Event, Life, Recorded};

const NAME: &str = "timers";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Timers {
    now: Millis,
    set: BTreeMap<InvocationId, BTreeSet<Timer>>,
    sleeps: BTreeMap<(Life, CompletionId), Millis>,
    /// What the record at hand is ordered, or signalled, to do: that needs no timer.
    ordered: BTreeSet<InvocationId>,
    /// Whose journal it is ordered to forget.
    forgets: BTreeSet<InvocationId>,
    /// The completed invocations that owe answers.
    owing: Owing,
    /// Those of them that were ordered to be forgotten: they are with the last answer.
    put_off: BTreeSet<InvocationId>,
}

impl Timers {
    pub(super) fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        match event {
            Event::TimerProposed { timer, clock } => {
                demand!(NAME, *clock >= timer.due, "{timer:?} is fired at {clock} of its owner");
                Ok(())
            }
            Event::Recorded(recorded) => self.recorded(recorded, coverage),
            Event::Called { .. }
            | Event::Acknowledged { .. }
            | Event::Answered { .. }
            | Event::NotFound { .. }
            | Event::Effect(_)
            | Event::Applied { .. } => Ok(()),
        }
    }

    fn recorded(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        if !recorded.accepted {
            return Ok(());
        }
        let (now, at) = (recorded.record.now, recorded.at);
        // A candidate cannot know what lands before its announcement: that alone may be behind.
        let announces = matches!(recorded.record.commands[..], [Command::AnnounceOwner(_)]);
        demand!(NAME, announces || now >= self.now, "time goes back from {} to {now}", self.now);
        demand!(NAME, now.0 <= at.0 + CLOCK_SKEW_MS_MAX, "a record says {now}, but it is {at}");
        self.now = self.now.max(now);
        // A clock that was set back meanwhile makes what was due a proposal before its time.
        let (was_set, early): (Vec<_>, Vec<_>) =
            self.fired(recorded).into_iter().partition(|timer| timer.due <= self.now);
        self.ordered = recorded.messages().filter_map(ordered).collect();
        self.forgets = recorded.messages().filter_map(forgets).collect();
        // A record's rows change together: what moved is judged by the timers before it, what is
        // left behind by those after it.
        for added in recorded.own_entries() {
            self.entry(added.life, &added.entry)?;
        }
        for change in recorded.changes {
            self.moved(change, coverage)?;
        }
        self.note_owing(recorded);
        for change in recorded.changes {
            if let RowKey::Timer(timer) = &change.key {
                let set = self.set.entry(timer.invocation).or_default();
                let _ = if change.new.is_some() { set.insert(*timer) } else { set.remove(timer) };
            }
        }
        for change in recorded.changes {
            self.left(change)?;
        }
        for timer in &was_set {
            let still = self.set.get(&timer.invocation).is_some_and(|set| set.contains(timer));
            demand!(NAME, !still, "{timer:?} is still set after it has fired");
        }
        for timer in early {
            let still = self.set.get(&timer.invocation).is_some_and(|set| set.contains(&timer));
            let armed = recorded.actions.contains(&Action::ArmTimer(timer));
            demand!(NAME, armed || !still, "{timer:?} is not due yet, and not armed again");
        }
        let idle = recorded.record.commands.iter().all(|c| matches!(c, Command::TimerFired(_)));
        if idle && was_set.is_empty() {
            let effect = recorded.changes.iter().find(|change| change.key != RowKey::Partition);
            let key = effect.map(|change| &change.key);
            demand!(NAME, effect.is_none(), "a timer that is not set changes {key:?}");
        }
        Ok(())
    }

    fn note_owing(&mut self, recorded: &Recorded<'_>) {
        for change in recorded.changes {
            self.owing.note(change);
        }
        for message in recorded.messages() {
            if let Message::Order(order) = message
                && order.action == OrderAction::Purge
                && self.owing.contains(order.target)
            {
                self.put_off.insert(order.target);
            }
        }
    }

    /// The timers that the record fires and that were set before it.
    fn fired(&self, recorded: &Recorded<'_>) -> Vec<Timer> {
        let fired = recorded.record.commands.iter().filter_map(|command| {
            if let Command::TimerFired(fired) = command { Some(fired.timer) } else { None }
        });
        fired
            .filter(|timer| self.set.get(&timer.invocation).is_some_and(|set| set.contains(timer)))
            .collect()
    }

    fn moved(&mut self, change: &Change, coverage: &mut Coverage) -> Judged {
        match (&change.key, &change.new) {
            (RowKey::Invocation(id), new) => {
                self.journal_forgotten(*id, change, coverage)?;
                self.forgotten(*id, change, coverage)?;
                let new = status_of(new.as_ref());
                if matches!(new, Some(Status::Scheduled { .. })) {
                    coverage.hit(Case::Scheduled);
                }
                self.life_moved(*id, status_of(change.old.as_ref()), new)
            }
            _ => Ok(()),
        }
    }

    /// A journal is forgotten no earlier than its invocation says, and leaves the output.
    fn journal_forgotten(
        &self,
        id: InvocationId,
        change: &Change,
        coverage: &mut Coverage,
    ) -> Judged {
        let (Some(Row::Invocation(old)), Some(Row::Invocation(new))) = (&change.old, &change.new)
        else {
            return Ok(());
        };
        let Status::Completed { at, .. } = old.status else { return Ok(()) };
        if old.incarnation != new.incarnation || old.entries == new.entries {
            return Ok(());
        }
        coverage.hit(Case::JournalForgotten);
        let kept = old.journal_retention.map_or(old.retention, |kept| kept.min(old.retention));
        let orders = [&self.forgets, &self.ordered, &self.put_off];
        let ordered = orders.iter().any(|of| of.contains(&id));
        demand!(
            NAME,
            ordered || self.now.0 >= at.0 + kept.0,
            "the journal of {id:?} is forgotten early"
        );
        Ok(())
    }

    /// An invocation expires no earlier than its retention says, and is forgotten no earlier than a resend of
    /// its call can come; what has expired may be called anew.
    fn forgotten(&mut self, id: InvocationId, change: &Change, coverage: &mut Coverage) -> Judged {
        let Some(Row::Invocation(old)) = &change.old else { return Ok(()) };
        let Status::Completed { at, expired, .. } = old.status else { return Ok(()) };
        let due = match &change.new {
            Some(Row::Invocation(new)) if new.incarnation == old.incarnation => {
                if expired || !new.has_expired() {
                    return Ok(());
                }
                coverage.hit(Case::Expired);
                old.retention.0
            }
            Some(_) if expired => 0,
            Some(_) => old.retention.0,
            None => old.retention.0.max(REMEMBERED_MS_MIN),
        };
        let due = Millis(at.0 + due);
        let ordered = self.put_off.remove(&id) || self.ordered.contains(&id);
        demand!(NAME, ordered || self.now >= due, "{id:?} is forgotten before {due}");
        Ok(())
    }

    fn left(&mut self, change: &Change) -> Judged {
        let RowKey::Invocation(id) = &change.key else { return Ok(()) };
        let Some(Row::Invocation(row)) = &change.new else {
            let set = self.set.get(id).into_iter().flatten();
            let left = set.filter(|timer| timer.kind == TimerKind::PurgeJournal).count();
            demand!(NAME, left == 0, "{id:?} is forgotten, and leaves the timer of its journal");
            return Ok(());
        };
        if row.status.kind() != StatusKind::Completed {
            return Ok(());
        }
        let set = self.set.get(id).into_iter().flatten();
        let purges = [TimerKind::Purge, TimerKind::PurgeJournal];
        let left: Vec<_> = set.filter(|timer| !purges.contains(&timer.kind)).collect();
        demand!(NAME, left.is_empty(), "ended {id:?} leaves {left:?}");
        Ok(())
    }

    fn entry(&mut self, life: Life, entry: &Entry) -> Judged {
        match entry {
            Entry::Command { effect: Asks::Sleep { completion, wake_at }, .. } => {
                self.sleeps.insert((life, *completion), *wake_at);
            }
            Entry::Notification {
                id: NotificationId::Completion { id: completion, .. }, ..
            } => {
                let due = self.sleeps.get(&(life, *completion)).copied().unwrap_or_default();
                demand!(NAME, self.now >= due, "sleep {completion} of {life:?} ends before {due}");
            }
            Entry::Notification { .. }
            | Entry::Command { .. }
            | Entry::Input { .. }
            | Entry::Output { .. } => {}
        }
        Ok(())
    }

    fn life_moved(
        &mut self,
        id: InvocationId,
        old: Option<&Status>,
        new: Option<&Status>,
    ) -> Judged {
        let now = self.now;
        if self.ordered.contains(&id) {
            return Ok(());
        }
        if let Some(Status::BackingOff { until }) = old {
            let early = new == Some(&Status::Running) && now < *until;
            demand!(NAME, !early, "retry of {id:?} comes before {until}");
        }
        if matches!(old, Some(Status::Scheduled { .. })) && old != new {
            let set = self.set.get(&id).into_iter().flatten();
            let start = set.filter(|timer| timer.kind == TimerKind::Start).map(|timer| timer.due);
            let due = start.max().unwrap_or_default();
            demand!(NAME, now >= due, "{id:?} starts before {due}");
        }
        Ok(())
    }
}

fn forgets(message: &Message) -> Option<InvocationId> {
    let Message::Order(order) = message else { return None };
    (order.action == OrderAction::PurgeJournal).then_some(order.target)
}

fn ordered(message: &Message) -> Option<InvocationId> {
    match message {
        Message::Order(order) => Some(order.target),
        Message::ResumeOn(resume) => Some(resume.target),
        Message::Signal(signal) => Some(signal.target),
        Message::Invoke(_) | Message::Attach(_) | Message::Complete(_) | Message::Restart(_) => {
            None
        }
    }
}

fn status_of(row: Option<&Row>) -> Option<&Status> {
    match row {
        Some(Row::Invocation(row)) => Some(&row.status),
        _ => None,
    }
}
