//! Calls between programs: each is made once, whoever dies, and its caller is told what it came to.
//! One-way calls run exactly once; nothing runs that its caller did not ask for.

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::program::{Did, Op};

const NAME: &str = "calls";

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    for (id, planned) in &story.planned {
        let Some((parent, step)) = &planned.parent else { continue };
        let ran = story.outcome(id);
        let Some(caller) = story.outcome(parent) else {
            // Its caller's own call has an unknown end, or somebody else complains.
            demand!(
                violations,
                NAME,
                ran.is_none(),
                "{id} ran, but its caller {parent} has no end"
            );
            continue;
        };
        let Some(ran) = ran else {
            demand!(violations, NAME, false, "{parent} has ended, but {id} that it called has not");
            continue;
        };
        let op = story.planned.get(parent).and_then(|parent| parent.program.ops.get(*step));
        let told = caller.did.get(*step);
        if let (Some(Op::Call { .. }), Some(Did::Called { place })) = (op, told) {
            demand!(violations, NAME, *place == ran.place, "{parent} is told {place:?} of {ran:?}");
        }
    }
}
