//! No lost invocation: what is acknowledged comes to exactly one end, which is stored once and told
//! the same on every asking, by every gateway. What is not happens once or not at all.

use std::collections::BTreeMap;

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::history::How;

const NAME: &str = "no lost invocation";

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    for (number, call) in &story.calls {
        let id = &call.id;
        let stored = story.stored.get(id).map(Vec::as_slice).unwrap_or_default();
        for (invocation, digest) in &call.answers {
            let same = stored.iter().any(|stored| stored.digest == *digest);
            demand!(violations, NAME, same, "call {number} is told what is not stored: {digest:?}");
            let own = stored.iter().any(|stored| stored.invocation == *invocation);
            demand!(
                violations,
                NAME,
                own,
                "call {number} is answered for {invocation}, not its own"
            );
        }
        if let Some(accepted) = &call.accepted {
            let own = stored.iter().any(|stored| stored.invocation == *accepted);
            demand!(
                violations,
                NAME,
                own,
                "{accepted} of call {number} was accepted and has no end"
            );
        }
        let open = call.how != How::Plain && call.answers.is_empty();
        demand!(violations, NAME, !open, "call {number} ({id}) was never answered");
        let left = call.answers.is_empty() && !call.unknown;
        demand!(violations, NAME, !left || open, "call {number} has neither answer nor error");
    }
    let mut programs: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, stored) in &story.stored {
        demand!(violations, NAME, stored.len() == 1, "{id} has {} ends", stored.len());
        for one in stored {
            let twin = programs.insert(&one.invocation, id);
            demand!(violations, NAME, twin.is_none(), "{} ran {id} and {twin:?}", one.invocation);
        }
    }
}
