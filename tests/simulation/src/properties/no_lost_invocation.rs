//! No lost invocation: what is acknowledged comes to exactly one end, and its caller hears of that
//! end and no other; what is not acknowledged happens once or not at all.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    Command, Entry, InboxOffset, Incarnation, Ingest, Intake, InvocationId, Message, OnMaxAttempts,
    OrderAction, Outcome, PartitionId, RequestId, Row, RowKey, Seq, Source, Status,
};
use everlog_partition::Action;

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{CallId, Event, Life, Recorded};

const NAME: &str = "no lost invocation";

/// What became of one life.
#[derive(Debug, Default)]
struct Fate {
    output: Option<Outcome>,
    ended: bool,
    paused: bool,
    forgotten: bool,
}

/// One request.
#[derive(Debug)]
struct Asked {
    id: InvocationId,
    request: RequestId,
    acknowledged: bool,
    offset: Option<InboxOffset>,
}

/// The fold.
#[derive(Debug, Default)]
pub(super) struct NoLostInvocation {
    calls: BTreeMap<CallId, Asked>,
    current: BTreeMap<InvocationId, Incarnation>,
    /// The life before the current one: a record may take a message in, end it, and begin the next.
    former: BTreeMap<InvocationId, Incarnation>,
    lives: BTreeMap<Life, Fate>,
    created_by: BTreeMap<RequestId, Life>,
    /// Which life holds the id of a message once that is taken in.
    taken: BTreeMap<InboxOffset, Life>,
    /// What somebody has ordered to pause at any time.
    ordered_to_pause: BTreeSet<InvocationId>,
    next_inbox: InboxOffset,
    senders: BTreeMap<PartitionId, Seq>,
}

impl NoLostInvocation {
    pub(super) fn observe(&mut self, event: &Event<'_>, coverage: &mut Coverage) -> Judged {
        match event {
            Event::Called { call, id, request } => {
                let (id, request) = (*id, *request);
                let asked = Asked { id, request, acknowledged: false, offset: None };
                self.calls.insert(*call, asked);
                Ok(())
            }
            Event::Acknowledged { call, offset } => {
                if let Some(asked) = self.calls.get_mut(call) {
                    asked.acknowledged = true;
                    asked.offset = *offset;
                }
                Ok(())
            }
            Event::Answered { call, outcome } => {
                coverage.hit(Case::Answered);
                self.answered(*call, outcome)
            }
            Event::NotFound { call } => {
                coverage.hit(Case::Forgotten);
                let fate = self.fate_of(*call);
                let forgotten = fate.is_some_and(|fate| fate.forgotten);
                demand!(NAME, forgotten, "{call:?} is told that its invocation is not known");
                Ok(())
            }
            Event::Recorded(recorded) if recorded.accepted => self.recorded(recorded, coverage),
            Event::Recorded(_)
            | Event::Effect(_)
            | Event::Applied { .. }
            | Event::TimerProposed { .. } => Ok(()),
        }
    }

    fn fate_of(&self, call: CallId) -> Option<&Fate> {
        let offset = self.calls.get(&call)?.offset?;
        self.lives.get(self.taken.get(&offset)?)
    }

    fn answered(&self, call: CallId, outcome: &Outcome) -> Judged {
        let stored = self.fate_of(call).filter(|fate| fate.ended);
        let stored = stored.and_then(|fate| fate.output.as_ref());
        demand!(
            NAME,
            stored == Some(outcome),
            "{call:?} is answered {outcome:?}, but {stored:?} is stored"
        );
        Ok(())
    }

    fn recorded(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for message in recorded.messages() {
            if let Message::Order(order) = message
                && order.action == OrderAction::Pause
            {
                self.ordered_to_pause.insert(order.target);
            }
        }
        let created = self.moved(recorded, coverage)?;
        for command in &recorded.record.commands {
            if let Command::Ingest(ingest) = command {
                self.ingested(ingest, &created, coverage)?;
            }
        }
        for change in recorded.changes {
            let old = incarnation(change.old.as_ref());
            if let (RowKey::Invocation(id), Some(old)) = (&change.key, old)
                && incarnation(change.new.as_ref()) != Some(old)
            {
                let fate = self.lives.entry(Life { id: *id, incarnation: old }).or_default();
                demand!(NAME, fate.ended, "{id:?} is forgotten before its end");
                fate.forgotten = true;
            }
        }
        Ok(())
    }

    /// Follows the lives that the record moves. Returns those that it creates.
    fn moved(
        &mut self,
        recorded: &Recorded<'_>,
        coverage: &mut Coverage,
    ) -> Result<BTreeSet<Life>, super::Violation> {
        let mut created = BTreeSet::new();
        for change in recorded.changes {
            let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            else {
                continue;
            };
            let life = Life { id: *id, incarnation: row.incarnation };
            if incarnation(change.old.as_ref()) != Some(row.incarnation) {
                let again = self.lives.contains_key(&life);
                demand!(NAME, !again, "{life:?} begins a second time");
                let twin = self.created_by.insert(row.request_id, life);
                demand!(NAME, twin.is_none(), "one request creates {life:?} and {twin:?}");
                if let Some(former) = self.current.insert(*id, row.incarnation) {
                    self.former.insert(*id, former);
                    coverage.hit(Case::SecondLife);
                }
                created.insert(life);
            }
            let fate = self.lives.entry(life).or_default();
            fate.paused = row.status == Status::Paused;
            let pauses = row.retry.on_max_attempts == OnMaxAttempts::Pause
                || self.ordered_to_pause.contains(id);
            demand!(NAME, !fate.paused || pauses, "{life:?} is paused, which nobody asked for");
            let ends = matches!(row.status, Status::Completed { .. });
            demand!(NAME, !fate.ended || ends, "{life:?} goes on after its end");
            if ends && !fate.ended {
                let answers = recorded.actions.contains(&Action::Answer(*id));
                demand!(NAME, answers, "{life:?} ends and nobody is answered");
                fate.ended = true;
                if row.last_error.is_some() || killed(recorded, *id) {
                    coverage.hit(Case::Killed);
                }
            }
        }
        for added in recorded.added {
            if let Entry::Output { outcome, .. } = &added.entry {
                self.lives.entry(added.life).or_default().output = Some(outcome.clone());
            }
        }
        Ok(created)
    }

    fn ingested(
        &mut self,
        ingest: &Ingest,
        created: &BTreeSet<Life>,
        coverage: &mut Coverage,
    ) -> Judged {
        let offset = ingest.offset;
        let again = offset < self.next_inbox;
        self.next_inbox.0 = self.next_inbox.0.max(offset.0 + 1);
        let source = match &ingest.intake {
            Intake::Message(envelope) => Some(envelope.source),
            Intake::Rejected { source, .. } => {
                coverage.hit(Case::Rejected);
                *source
            }
        };
        let counts = !again && self.counts(source, coverage);
        let Intake::Message(envelope) = &ingest.intake else { return Ok(()) };
        let Message::Invoke(invoke) = &envelope.message else { return Ok(()) };
        let id = invoke.id;
        let own = Life { id, incarnation: Incarnation(offset.0) };
        if !counts {
            let took = created.contains(&own);
            demand!(NAME, !took, "a message that does not count creates {own:?}");
            return Ok(());
        }
        let holder = if created.contains(&own) {
            Some(own)
        } else {
            let lives = [self.current.get(&id), self.former.get(&id)];
            let began_before = lives.into_iter().flatten().find(|life| life.0 < offset.0);
            began_before.map(|&incarnation| Life { id, incarnation })
        };
        let Some(holder) = holder else {
            return Err(super::Violation::new(NAME, format!("{own:?} is not taken in")));
        };
        if holder != own && self.created_by.get(&invoke.request_id) == Some(&holder) {
            coverage.hit(Case::Resent);
        }
        let gone = self.lives.get(&holder).is_some_and(|fate| fate.forgotten);
        demand!(NAME, !gone, "a message of {id:?} finds a forgotten life");
        self.taken.insert(offset, holder);
        Ok(())
    }

    /// Whether a message counts by its sender's number: exactly the next one does.
    fn counts(&mut self, source: Option<Source>, coverage: &mut Coverage) -> bool {
        let Some(Source::Partition { partition, seq }) = source else { return true };
        let mark = self.senders.entry(partition).or_default();
        if seq.0 == mark.0 + 1 {
            *mark = seq;
            return true;
        }
        coverage.hit(Case::SenderGap);
        false
    }

    pub(super) fn finish(&self) -> Judged {
        for (call, asked) in &self.calls {
            if !asked.acknowledged {
                continue;
            }
            let life = match asked.offset {
                Some(offset) => self.taken.get(&offset),
                None => self.created_by.get(&asked.request),
            };
            let fate = life.and_then(|life| self.lives.get(life));
            let over = fate.is_some_and(|fate| fate.ended || fate.paused);
            demand!(NAME, over, "{call:?} of {:?} was acknowledged and has no end", asked.id);
        }
        Ok(())
    }
}

fn incarnation(row: Option<&Row>) -> Option<Incarnation> {
    match row {
        Some(Row::Invocation(row)) => Some(row.incarnation),
        _ => None,
    }
}

fn killed(recorded: &Recorded<'_>, id: InvocationId) -> bool {
    recorded.record.commands.iter().any(|command| {
        matches!(command, Command::AttemptFailed(failed)
            if failed.invocation == id && failed.then == everlog_log_schema::Then::Kill)
    })
}
