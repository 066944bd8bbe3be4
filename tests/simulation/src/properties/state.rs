//! Exactly-once state: an object's state is what the stored commands make of it, one after the
//! other, and whoever counts finds what the one before left.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use everlog_log_schema::{
    Command, CompletionId, Effect as Asks, Entry, Millis, NotificationId, NotificationResult,
    ObjectRow, Outcome, Row, RowKey, Target, Timer, TimerKind, identity, kinds,
};

use super::promises::forgotten;
use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Added, Change, Life, Recorded};
use crate::program::COUNTER;

const NAME: &str = "exactly-once state";

type Object = BTreeMap<Bytes, Bytes>;

/// The fold: all objects as the stored commands make them.
#[derive(Debug, Default)]
pub(super) struct State {
    objects: BTreeMap<(String, String), Object>,
    targets: BTreeMap<Life, (Target, Option<Millis>)>,
    /// When each object was written last, and after how long it is to be reset.
    written: BTreeMap<(String, String), (Millis, Option<Millis>)>,
    /// The objects whose key is held.
    held: BTreeSet<(String, String)>,
    /// Who began like another: what it counts on from was read by that one.
    restarted: BTreeSet<Life>,
    /// The timers of objects that are set: another may be proposed late.
    timers: BTreeSet<Timer>,
    now: Millis,
    asked: BTreeMap<(Life, CompletionId), Bytes>,
    /// What the promises of each workflow take: they are counted with its state.
    promised: BTreeMap<(String, String), BTreeMap<String, u64>>,
}

impl State {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for change in recorded.changes {
            if let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            {
                let life = Life { id: *id, incarnation: row.incarnation };
                let target = || (row.target.clone(), row.state_ttl);
                if row.restarted_from.is_some() {
                    self.restarted.insert(life);
                }
                self.targets.entry(life).or_insert_with(target);
            }
        }
        self.now = self.now.max(recorded.record.now);
        let forgotten = forgotten(recorded);
        for added in recorded.own_entries() {
            self.added(added, &forgotten, coverage)?;
        }
        for workflow in forgotten {
            let object = self.objects.remove(&workflow).unwrap_or_default();
            for name in object.into_keys() {
                let (service, key) = workflow.clone();
                let row = RowKey::State { service, key, name };
                let gone = recorded.changes.iter().any(|change| change.key == row);
                demand!(NAME, gone, "{row:?} outlives its workflow");
            }
        }
        self.expired(recorded, coverage)?;
        recorded.changes.iter().for_each(|change| self.promised(change));
        recorded.changes.iter().try_for_each(|change| self.changed(change))
    }

    /// State is reset when nobody has written it for as long as its last writer wants, then for
    /// certain, and never under a handler that holds its key.
    fn expired(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        let resets = |command: &Command| matches!(command, Command::TimerFired(fired) if fired.timer.kind == TimerKind::Expire);
        let any_resets = recorded.record.commands.iter().any(resets);
        let before = any_resets.then(|| (self.held.clone(), self.timers.clone()));
        for change in recorded.changes {
            if let RowKey::Timer(timer) = &change.key
                && timer.kind == TimerKind::Expire
            {
                let _ = if change.new.is_some() {
                    self.timers.insert(*timer)
                } else {
                    self.timers.remove(timer)
                };
            }
            if let RowKey::Lock { service, key } = &change.key {
                let object = (service.clone(), key.clone());
                let _ = if change.new.is_some() {
                    self.held.insert(object)
                } else {
                    self.held.remove(&object)
                };
            }
        }
        let Some((held_before, set_before)) = before else { return Ok(()) };
        for command in &recorded.record.commands {
            let Command::TimerFired(fired) = command else { continue };
            if fired.timer.kind != TimerKind::Expire {
                continue;
            }
            let mut objects = self.objects.iter().filter(|(_, object)| !object.is_empty());
            let object = objects.find(|((service, key), _)| {
                identity::of_object(service, key) == fired.timer.invocation
            });
            let Some((of, _)) = object else { continue };
            let of = of.clone();
            let row = RowKey::Object { service: of.0.clone(), key: of.1.clone() };
            let reset = recorded.changes.iter().any(|change| {
                change.key == row && !matches!(&change.new, Some(Row::Object(row)) if row.keys > 0)
            });
            let (written_at, ttl) = self.written.get(&of).copied().unwrap_or_default();
            let due = ttl.is_some_and(|ttl| self.now.0 >= written_at.0 + ttl.0);
            let held = (held_before.contains(&of), self.held.contains(&of));
            demand!(NAME, !reset || due, "{of:?} is reset {ttl:?} after {written_at}");
            demand!(NAME, !reset || held != (true, true), "{of:?} is reset under a handler");
            let due_now = set_before.contains(&fired.timer) && fired.timer.due <= self.now;
            let must = due && held == (false, false) && due_now;
            let alone = recorded.record.commands.len() == 1;
            demand!(NAME, reset || !must || !alone, "{of:?} is not reset");
            if reset {
                coverage.hit(Case::StateExpired);
                self.objects.remove(&of);
            }
        }
        Ok(())
    }

    fn promised(&mut self, change: &Change) {
        let RowKey::Promise { service, key, name } = &change.key else { return };
        let promises = self.promised.entry((service.clone(), key.clone())).or_default();
        if let Some(Row::Promise(outcome)) = &change.new {
            let value = match outcome {
                Outcome::Success(value) => value.len(),
                Outcome::Failure(failure) => failure.payload_bytes(),
            };
            promises.insert(name.clone(), (name.len() + value) as u64);
        } else {
            promises.remove(name);
        }
    }

    fn added(
        &mut self,
        added: &Added,
        forgotten: &BTreeSet<(String, String)>,
        coverage: &mut Coverage,
    ) -> Judged {
        let life = added.life;
        let Some((target, ttl)) = self.targets.get(&life) else { return Ok(()) };
        let Some(key) = target.key.clone() else { return Ok(()) };
        let object = (target.service.clone(), key);
        // It may be read before it is forgotten by the same record, or after.
        let lenient = forgotten.contains(&object);
        let state = self.objects.entry(object.clone()).or_default();
        let writes = match &added.entry {
            Entry::Command { effect: Asks::SetState { .. } | Asks::ClearAllState, .. } => true,
            // What is not there is not written.
            Entry::Command { effect: Asks::ClearState { key }, .. } => state.contains_key(key),
            Entry::Command { .. }
            | Entry::Input { .. }
            | Entry::Output { .. }
            | Entry::Notification { .. } => false,
        };
        if writes {
            self.written.insert(object, (self.now, *ttl));
        }
        let object = state;
        match &added.entry {
            Entry::Command { effect, bytes, .. } => match effect {
                Asks::GetState { completion, key } => {
                    self.asked.insert((life, *completion), key.clone());
                }
                Asks::SetState { key, value } => {
                    let value = value.slice(bytes).unwrap_or_default();
                    let before = object.get(key).map_or(0, number);
                    let counts = *key == COUNTER && !self.restarted.contains(&life);
                    demand!(
                        NAME,
                        !counts || number(&value) == before + 1,
                        "{life:?} counts {} after {before}",
                        number(&value)
                    );
                    object.insert(key.clone(), value);
                }
                Asks::ClearState { key } => {
                    object.remove(key);
                }
                Asks::ClearAllState => {
                    coverage.hit(Case::StateCleared);
                    object.clear();
                }
                Asks::None
                | Asks::Run { .. }
                | Asks::Sleep { .. }
                | Asks::GetStateKeys { .. }
                | Asks::Call(_)
                | Asks::SendSignal { .. }
                | Asks::Attach { .. }
                | Asks::GetOutput { .. }
                | Asks::GetPromise { .. }
                | Asks::PeekPromise { .. }
                | Asks::CompletePromise { .. } => {}
            },
            Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
                let expected = match *kind {
                    kinds::GET_STATE_COMPLETION => {
                        let asked = self.asked.get(&(life, *id));
                        let value = asked.and_then(|key| object.get(key));
                        value.map_or(NotificationResult::Void, |value| {
                            coverage.hit(Case::StateRead);
                            NotificationResult::Value(value.clone())
                        })
                    }
                    kinds::GET_STATE_KEYS_COMPLETION => {
                        NotificationResult::StateKeys(object.keys().cloned().collect())
                    }
                    _ => return Ok(()),
                };
                let right = *result == expected || lenient;
                demand!(NAME, right, "{life:?} reads {result:?}, not {expected:?}");
            }
            Entry::Input { .. } | Entry::Output { .. } | Entry::Notification { .. } => {}
        }
        Ok(())
    }

    fn changed(&self, change: &Change) -> Judged {
        let object = |service: &String, key: &String| {
            self.objects.get(&(service.clone(), key.clone())).filter(|object| !object.is_empty())
        };
        let expected = if let RowKey::State { service, key, name } = &change.key {
            let value = object(service, key).and_then(|object| object.get(name));
            value.cloned().map(Row::State)
        } else if let RowKey::Object { service, key } = &change.key {
            self.counted(service, key)
        } else {
            return Ok(());
        };
        let mut found = change.new.clone();
        if let Some(Row::Object(object)) = &mut found {
            object.expiry = None;
        }
        demand!(NAME, found == expected, "{:?} is {:?}", change.key, change.new);
        Ok(())
    }

    /// What is counted of an object, if it holds anything.
    fn counted(&self, service: &str, key: &str) -> Option<Row> {
        let of = (service.to_owned(), key.to_owned());
        let state = self.objects.get(&of).into_iter().flatten();
        let sizes = state.map(|(key, value)| (key.len() + value.len()) as u64);
        let (state, promises): (Vec<_>, Vec<_>) = (
            sizes.collect(),
            self.promised.get(&of).into_iter().flatten().map(|of| *of.1).collect(),
        );
        let count = |sizes: &[u64]| u32::try_from(sizes.len()).unwrap_or(u32::MAX);
        let row = ObjectRow {
            keys: count(&state),
            promises: count(&promises),
            bytes: state.iter().chain(&promises).sum(),
            expiry: None,
        };
        (row != ObjectRow::default()).then_some(Row::Object(row))
    }
}

fn number(value: &Bytes) -> u64 {
    value.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default()
}
