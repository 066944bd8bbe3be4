//! Exactly-once state: an object's state is what the stored commands make of it, one after the
//! other, and whoever counts finds what the one before left.

use std::collections::BTreeMap;

use bytes::Bytes;
use everlog_log_schema::{
    CompletionId, Effect as Asks, Entry, NotificationId, NotificationResult, ObjectRow, Row,
    RowKey, Target, kinds,
};

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
    targets: BTreeMap<Life, Target>,
    asked: BTreeMap<(Life, CompletionId), Bytes>,
}

impl State {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for change in recorded.changes {
            if let (RowKey::Invocation(id), Some(Row::Invocation(row))) = (&change.key, &change.new)
            {
                let life = Life { id: *id, incarnation: row.incarnation };
                self.targets.entry(life).or_insert_with(|| row.target.clone());
            }
        }
        for added in recorded.added {
            self.added(added, coverage)?;
        }
        recorded.changes.iter().try_for_each(|change| self.changed(change))
    }

    fn added(&mut self, added: &Added, coverage: &mut Coverage) -> Judged {
        let life = added.life;
        let Some(target) = self.targets.get(&life) else { return Ok(()) };
        let Some(key) = target.key.clone() else { return Ok(()) };
        let object = self.objects.entry((target.service.clone(), key)).or_default();
        match &added.entry {
            Entry::Command { effect, bytes, .. } => match effect {
                Asks::GetState { completion, key } => {
                    self.asked.insert((life, *completion), key.clone());
                }
                Asks::SetState { key, value } => {
                    let value = value.slice(bytes).unwrap_or_default();
                    let before = object.get(key).map_or(0, number);
                    let counts = *key == COUNTER;
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
                | Asks::GetOutput { .. } => {}
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
                demand!(NAME, *result == expected, "{life:?} reads {result:?}, not {expected:?}");
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
            object(service, key).map(counted)
        } else {
            return Ok(());
        };
        demand!(NAME, change.new == expected, "{:?} is {:?}", change.key, change.new);
        Ok(())
    }
}

fn counted(object: &Object) -> Row {
    let bytes = object.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    Row::Object(ObjectRow { keys: u32::try_from(object.len()).unwrap_or(u32::MAX), bytes })
}

fn number(value: &Bytes) -> u64 {
    value.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default()
}
