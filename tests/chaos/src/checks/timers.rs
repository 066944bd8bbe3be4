//! Timers are never early: a sleep lasts as long as it says, and a delayed call begins no sooner.

use everlog_simulation::properties::Violation;

use super::{Story, demand};
use crate::program::{Did, Op};

const NAME: &str = "timers";

pub(super) fn check(story: &Story, violations: &mut Vec<Violation>) {
    for (id, planned) in &story.planned {
        let Some(digest) = story.outcome(id) else { continue };
        for (op, did) in planned.program.ops.iter().zip(&digest.did) {
            match (op, did) {
                (Op::Sleep { millis }, Did::Slept { from, to }) => {
                    let slept = to.saturating_sub(*from);
                    demand!(
                        violations,
                        NAME,
                        slept >= *millis,
                        "{id} slept {slept} of {millis} ms"
                    );
                }
                (Op::SendLater { program, millis, .. }, Did::Sent { at }) => {
                    let Some(sent) = story.outcome(&program.id) else { continue };
                    let after = sent.began.saturating_sub(*at);
                    demand!(
                        violations,
                        NAME,
                        after >= *millis,
                        "{} began {after} ms after it was sent, not {millis}",
                        program.id
                    );
                }
                _ => {}
            }
        }
    }
}
