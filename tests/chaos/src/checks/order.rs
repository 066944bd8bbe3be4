//! Per-key linearizability: the order of a key's chain agrees with what happened before what. A call
//! that was answered before another was made stands in front of it, and a shared read tells no less
//! than what was answered before it was asked, and no more than what had been asked for.

use std::collections::BTreeMap;

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::program::{Chain, Place};

const NAME: &str = "per-key order";

/// One call of a key as its caller saw it.
struct Seen<'a> {
    begun: u64,
    ended: u64,
    place: &'a Place,
}

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    let mut keys: BTreeMap<u32, Vec<Seen<'_>>> = BTreeMap::new();
    for call in story.calls.values() {
        // What has no answer may end at any time.
        let ended = call.ended.unwrap_or(u64::MAX);
        if let Some(digest) = story.outcome(&call.id) {
            let seen = Seen { begun: call.begun, ended, place: &digest.place };
            keys.entry(call.key).or_default().push(seen);
        }
    }
    for (key, calls) in &mut keys {
        calls.sort_by_key(|seen| seen.place.position);
        let mut latest: Option<&Seen<'_>> = None;
        for seen in calls.iter() {
            let fits = latest.is_none_or(|latest| seen.ended >= latest.begun);
            demand!(
                violations,
                NAME,
                fits,
                "key {key}: {} was answered before {:?} was called, and stands behind it",
                seen.place.id,
                latest.map(|latest| &latest.place.id)
            );
            latest = latest.into_iter().chain([seen]).max_by_key(|seen| seen.begun);
        }
    }
    check_reads(story, &keys, violations);
}

fn check_reads(
    story: &Story,
    keys: &BTreeMap<u32, Vec<Seen<'_>>>,
    violations: &mut Vec<Violation>,
) {
    let chains = chains(story);
    for read in &story.reads {
        let (key, length) = (read.key, read.chain.length);
        let calls = keys.get(&key).map(Vec::as_slice).unwrap_or_default();
        let before = calls.iter().filter(|seen| seen.ended < read.asked);
        let least = before.map(|seen| seen.place.position + 1).max().unwrap_or_default();
        demand!(
            violations,
            NAME,
            length >= least,
            "a read of key {key} tells {length}, though {least} were answered before"
        );
        let real = read.chain == Chain::default()
            || chains.get(&(key, length)).is_some_and(|hash| **hash == read.chain.hash);
        demand!(
            violations,
            NAME,
            real,
            "a read of key {key} tells what never was: {:?}",
            read.chain
        );
        // Its caller made the call before it was taken in, however it was answered.
        let early =
            calls.iter().find(|seen| seen.place.position + 1 == length && seen.begun > read.told);
        let early = early.map(|seen| &seen.place.id);
        demand!(violations, NAME, early.is_none(), "a read of key {key} tells {early:?} too early");
    }
}

/// The hash of each key's chain at each length.
fn chains(story: &Story) -> BTreeMap<(u32, u64), &String> {
    let mut chains = BTreeMap::new();
    for (id, stored) in &story.stored {
        let Some(planned) = story.planned.get(id) else { continue };
        for one in stored {
            let place = &one.digest.place;
            chains.insert((planned.key, place.position + 1), &place.hash);
        }
    }
    chains
}
