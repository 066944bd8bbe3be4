//! Exactly-once state: the programs of a key stand one behind the other in one chain, without a hole
//! and without a twin; each answers what the objects are by those in front of it; the end is what all
//! of them make; and no two of a key ran at the same time.

use std::collections::BTreeMap;

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::model::Object;
use crate::program::Digest;

const NAME: &str = "exactly-once state";

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    for (key, digests) in by_key(story) {
        let mut object = Object::default();
        let mut last: Option<&Digest> = None;
        for digest in digests {
            let id = &digest.place.id;
            let Some(planned) = story.planned.get(id) else {
                demand!(violations, NAME, false, "nobody asked for {id}");
                continue;
            };
            demand!(violations, NAME, planned.key == key, "{id} ran on key {key}");
            let (place, did) = object.run(&planned.program);
            demand!(
                violations,
                NAME,
                place == digest.place,
                "key {key}: {place:?} was told {digest:?}"
            );
            demand!(violations, NAME, did.len() == digest.did.len(), "{id} did {:?}", digest.did);
            for (step, (expected, did)) in did.iter().zip(&digest.did).enumerate() {
                let fits = expected.as_ref().is_none_or(|expected| expected == did);
                demand!(
                    violations,
                    NAME,
                    fits,
                    "{id} step {step} came to {did:?}, not {expected:?}"
                );
            }
            let after = last.is_none_or(|last| last.ended <= digest.began);
            demand!(
                violations,
                NAME,
                after,
                "{id} began before the one in front of it ended: {last:?}"
            );
            demand!(violations, NAME, digest.began <= digest.ended, "{id} ended before it began");
            last = Some(digest);
        }
        let end = story.ended.get(&key);
        let made = (object.chain, object.sum);
        demand!(
            violations,
            NAME,
            end == Some(&made),
            "key {key} is {end:?}, its programs make {made:?}"
        );
    }
}

/// The stored programs of each key, by their places. Their keys are where they were meant to run.
fn by_key(story: &Story) -> BTreeMap<u32, Vec<&Digest>> {
    let mut keys: BTreeMap<u32, Vec<&Digest>> = BTreeMap::new();
    for (id, stored) in &story.stored {
        let key = story.planned.get(id).map(|planned| planned.key).unwrap_or_default();
        keys.entry(key).or_default().extend(stored.iter().map(|stored| &stored.digest));
    }
    for key in story.ended.keys() {
        keys.entry(*key).or_default();
    }
    for digests in keys.values_mut() {
        digests.sort_by_key(|digest| digest.place.position);
    }
    keys
}
