//! Promises: each is completed once until its workflow is forgotten, whoever asks is told what it
//! was completed with, and all who wait when it is completed are told.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    CompletionId, Effect as Asks, Entry, HandlerKind, InvocationId, NotificationId,
    NotificationResult, Outcome, Owed, PromiseResult, Row, RowKey, Status, Target, identity, kinds,
};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Added, Change, Life, Recorded};

const NAME: &str = "promises";
/// The status code of a completion that came too late.
const CONFLICT: u32 = 409;

/// A workflow: its service and key.
type Workflow = (String, String);
/// A promise of it.
type Promise = (Workflow, String);

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Promises {
    targets: BTreeMap<Life, Target>,
    /// What each promise is completed with.
    completed: BTreeMap<Promise, Outcome>,
    /// What each was ever completed with: an answer may be under way when it is forgotten.
    ever: BTreeMap<Promise, Vec<Outcome>>,
    asked: BTreeMap<(Life, CompletionId), Promise>,
    /// What those who wait for each promise that was heard of wait for.
    ids: BTreeMap<Promise, InvocationId>,
    /// Whether a completion is the first.
    first: BTreeMap<(Life, CompletionId), bool>,
    /// Who waits for which promise.
    waiting: BTreeMap<InvocationId, BTreeSet<(InvocationId, CompletionId)>>,
    owing: BTreeSet<InvocationId>,
}

/// The workflows whose run a record forgets.
pub(super) fn forgotten(recorded: &Recorded<'_>) -> BTreeSet<Workflow> {
    let gone = recorded.changes.iter().filter_map(|change| {
        let Some(Row::Invocation(old)) = &change.old else { return None };
        let goes_on = matches!(&change.new, Some(Row::Invocation(new))
            if new.incarnation == old.incarnation && !new.has_expired());
        let key = old.target.key.clone().filter(|_| old.kind == HandlerKind::Workflow)?;
        (!goes_on && !old.has_expired()).then(|| (old.target.service.clone(), key))
    });
    gone.collect()
}

impl Promises {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for change in recorded.changes {
            if let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            {
                let life = Life { id: *id, incarnation: row.incarnation };
                self.targets.entry(life).or_insert_with(|| row.target.clone());
            }
        }
        // What a record says beside forgetting may come before or behind that.
        let forgotten = forgotten(recorded);
        let of_forgotten = |promise: &&Promise| forgotten.contains(&promise.0);
        let before = self.completed.keys().filter(of_forgotten).cloned().collect();
        for added in recorded.own_entries() {
            self.added(added, &forgotten, coverage)?;
        }
        for workflow in &forgotten {
            coverage.hit(Case::WorkflowForgotten);
            self.forget(workflow, &before, recorded)?;
        }
        for change in recorded.changes {
            self.changed(change, &forgotten, coverage)?;
        }
        self.wait(recorded)
    }

    fn added(
        &mut self,
        added: &Added,
        forgotten: &BTreeSet<Workflow>,
        coverage: &mut Coverage,
    ) -> Judged {
        let life = added.life;
        let Some(target) = self.targets.get(&life) else { return Ok(()) };
        let workflow = (target.service.clone(), target.key.clone().unwrap_or_default());
        match &added.entry {
            Entry::Command { effect, bytes, .. } => match effect {
                Asks::GetPromise { completion, name } | Asks::PeekPromise { completion, name } => {
                    let promise = (workflow, name.clone());
                    self.heard_of(&promise);
                    self.asked.insert((life, *completion), promise);
                }
                Asks::CompletePromise { completion, name, settled } => {
                    let outcome = match settled {
                        PromiseResult::Value(value) => {
                            Outcome::Success(value.slice(bytes).unwrap_or_default())
                        }
                        PromiseResult::Failure(failure) => Outcome::Failure(failure.clone()),
                    };
                    let promise = (workflow, name.clone());
                    self.heard_of(&promise);
                    self.complete((life, *completion), promise, outcome);
                }
                Asks::None
                | Asks::Run { .. }
                | Asks::Sleep { .. }
                | Asks::GetState { .. }
                | Asks::GetStateKeys { .. }
                | Asks::SetState { .. }
                | Asks::ClearState { .. }
                | Asks::ClearAllState
                | Asks::Call(_)
                | Asks::SendSignal { .. }
                | Asks::Attach { .. }
                | Asks::GetOutput { .. } => {}
            },
            Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
                let lenient = forgotten.contains(&workflow);
                self.told((life, *id), *kind, result, lenient, coverage)?;
            }
            Entry::Input { .. } | Entry::Output { .. } | Entry::Notification { .. } => {}
        }
        Ok(())
    }

    fn heard_of(&mut self, promise: &Promise) {
        let ((service, key), name) = promise;
        let id = || identity::of_promise(service, key, name);
        self.ids.entry(promise.clone()).or_insert_with(id);
    }

    fn complete(&mut self, who: (Life, CompletionId), promise: Promise, outcome: Outcome) {
        let first = !self.completed.contains_key(&promise);
        self.first.insert(who, first);
        self.ever.entry(promise.clone()).or_default().push(outcome.clone());
        if first {
            self.completed.insert(promise, outcome);
        }
    }

    fn told(
        &self,
        who: (Life, CompletionId),
        kind: u16,
        result: &NotificationResult,
        lenient: bool,
        coverage: &mut Coverage,
    ) -> Judged {
        let promise = self.asked.get(&who);
        let now = promise.and_then(|promise| self.completed.get(promise));
        let right = match kind {
            kinds::COMPLETE_PROMISE_COMPLETION => {
                let refused = matches!(result, NotificationResult::Failure(failure)
                    if failure.code == CONFLICT);
                if refused {
                    coverage.hit(Case::PromiseRefused);
                }
                self.first.get(&who).is_some_and(|first| *first != refused)
                    && (refused || *result == NotificationResult::Void)
            }
            kinds::PEEK_PROMISE_COMPLETION => match now {
                None => *result == NotificationResult::Void,
                Some(outcome) => *result == told_as(outcome),
            },
            kinds::GET_PROMISE_COMPLETION => {
                coverage.hit(Case::PromiseTold);
                let ever = promise.and_then(|promise| self.ever.get(promise));
                ever.is_some_and(|ever| ever.iter().any(|outcome| *result == told_as(outcome)))
            }
            _ => return Ok(()),
        };
        demand!(
            NAME,
            right || lenient,
            "{who:?} is told {result:?} of {promise:?}, which is {now:?}"
        );
        Ok(())
    }

    /// Takes note that a workflow is forgotten, with those of its promises that were completed `before`,
    /// or in the same record ahead of that. Where the record says nothing else, all must be gone with it.
    fn forget(
        &mut self,
        workflow: &Workflow,
        before: &BTreeSet<Promise>,
        recorded: &Recorded<'_>,
    ) -> Judged {
        let alone = recorded.record.commands.len() == 1;
        let all: Vec<_> = self.completed.keys().filter(|(of, _)| of == workflow).cloned().collect();
        for promise in all {
            let change = recorded.changes.iter().find(|change| is(&change.key, &promise));
            let is_there = change.map_or(before.contains(&promise), |change| change.new.is_some());
            demand!(NAME, !is_there || !alone, "{promise:?} outlives its workflow");
            if !is_there {
                self.completed.remove(&promise);
            }
        }
        Ok(())
    }

    fn changed(
        &mut self,
        change: &Change,
        forgotten: &BTreeSet<Workflow>,
        coverage: &mut Coverage,
    ) -> Judged {
        if let RowKey::Owing(id) = &change.key {
            if let Some(Row::Owing(Owed::Promise { .. })) = &change.new {
                coverage.hit(Case::PromiseOwed);
                self.owing.insert(*id);
            } else {
                self.owing.remove(id);
            }
        }
        let RowKey::Promise { service, key, name } = &change.key else { return Ok(()) };
        let workflow = (service.clone(), key.clone());
        let lenient = forgotten.contains(&workflow);
        let promise = (workflow, name.clone());
        let found = match &change.new {
            Some(Row::Promise(outcome)) => Some(outcome.clone()),
            _ => None,
        };
        if lenient {
            match found {
                Some(outcome) => self.completed.insert(promise, outcome),
                None => self.completed.remove(&promise),
            };
            return Ok(());
        }
        let expected = self.completed.get(&promise);
        demand!(NAME, found.as_ref() == expected, "{promise:?} is {found:?}, not {expected:?}");
        Ok(())
    }

    /// Follows who waits: nobody who has ended, and nobody for what is completed but those whose
    /// answer found no room.
    fn wait(&mut self, recorded: &Recorded<'_>) -> Judged {
        for change in recorded.changes {
            if let RowKey::Waiting(id, life, completion) = &change.key {
                let waiting = self.waiting.entry(*id).or_default();
                let who = (life.invocation, *completion);
                let _ =
                    if change.new.is_some() { waiting.insert(who) } else { waiting.remove(&who) };
            }
        }
        for (promise, id) in &self.ids {
            let left = self.waiting.get(id).is_some_and(|waiting| !waiting.is_empty());
            let wrong = left && !self.owing.contains(id) && self.completed.contains_key(promise);
            demand!(NAME, !wrong, "some wait for {promise:?}, which is completed");
        }
        for change in recorded.changes {
            let (RowKey::Invocation(ended), Some(Row::Invocation(row))) =
                (&change.key, &change.new)
            else {
                continue;
            };
            if !matches!(row.status, Status::Completed { .. }) {
                continue;
            }
            let mut waits = self.ids.values().filter_map(|id| self.waiting.get(id)).flatten();
            let waits = waits.any(|(who, _)| who == ended);
            demand!(NAME, !waits, "{ended:?} has ended, and waits for a promise");
        }
        Ok(())
    }
}

fn told_as(outcome: &Outcome) -> NotificationResult {
    match outcome {
        Outcome::Success(value) => NotificationResult::Value(value.clone()),
        Outcome::Failure(failure) => NotificationResult::Failure(failure.clone()),
    }
}

fn is(key: &RowKey, ((service, of), name): &Promise) -> bool {
    *key == RowKey::Promise { service: service.clone(), key: of.clone(), name: name.clone() }
}
