//! Awakeables: each is completed once, with what whoever resolved it first said. The outside world
//! resolves each of its own a second time, with something else: that must change nothing.

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::program::{Did, Op};

const NAME: &str = "awakeables";

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    for (id, planned) in &story.planned {
        let Some(digest) = story.outcome(id) else { continue };
        for (step, (op, did)) in planned.program.ops.iter().zip(&digest.did).enumerate() {
            let (Op::Await { helper }, Did::Woken { value }) = (op, did) else { continue };
            let first = match helper {
                Some(_) => Some(planned.program.wakes_with(step)),
                None => story.resolved.get(&(id.clone(), step)).cloned(),
            };
            let right = first.as_ref() == Some(value);
            demand!(
                violations,
                NAME,
                right,
                "{id} step {step} is woken with {value}, not {first:?}"
            );
        }
    }
}
