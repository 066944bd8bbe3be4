//! Outside effects: every attempt names the same invocation; what a program answers is one of the acts
//! of its own step; and once the result of an act is stored the step acts again only for a deposed
//! owner that has not learnt it yet.
//!
//! Nobody outside can tell which owner an attempt belongs to. So a repeat after the result was stored is
//! excused where its partition got a new owner shortly before it, or since the beginning of a fault that
//! was in force then, or shortly before; all of them are counted.

use std::collections::BTreeMap;

use everlog_log_schema::{InvocationId, partition_of};
use everlog_simulation::properties::Violation;

use super::story::Act;
use super::{Story, demand};
use crate::program::{Did, Op};

const NAME: &str = "outside effects";
/// How long a deposed owner may be before it knows, in microseconds: from the announcement, or from the
/// end of the fault that kept it from hearing of it.
const UNAWARE_MICROS_MAX: u64 = 15_000_000;
/// By how much the log's clock may be behind that of the history: its times are cut to milliseconds.
const CLOCKS_DIFFER_MICROS: u64 = 2_000;

/// How often the outside world was acted on again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Before the step's result was stored: allowed to all.
    pub before_stored: usize,
    /// After it: by deposed owners only.
    pub after_stored: usize,
}

pub(super) fn check(story: &Story, partitions: u32, violations: &mut Vec<Violation>) -> Repeats {
    let mut steps: BTreeMap<&(String, usize), Vec<&Act>> = BTreeMap::new();
    for act in &story.acts {
        steps.entry(&act.step).or_default().push(act);
    }
    check_answers(story, &steps, violations);
    let mut repeats = Repeats::default();
    for ((id, step), acts) in &steps {
        let own = acts.first().map(|act| &act.invocation);
        let same = acts.iter().all(|act| Some(&act.invocation) == own);
        demand!(violations, NAME, same, "{id} step {step} names several invocations: {acts:?}");
        let stored = acts.iter().filter_map(|act| story.runs_stored.get(&act.token)).min();
        for act in acts.iter().skip(1) {
            let after = stored.is_some_and(|stored| act.at > stored + CLOCKS_DIFFER_MICROS);
            if !after {
                repeats.before_stored += 1;
                continue;
            }
            repeats.after_stored += 1;
            let excused = may_be_unaware(story, act, partitions);
            demand!(
                violations,
                NAME,
                excused,
                "{id} step {step} acts again though its result is stored"
            );
        }
    }
    repeats
}

fn check_answers(
    story: &Story,
    steps: &BTreeMap<&(String, usize), Vec<&Act>>,
    violations: &mut Vec<Violation>,
) {
    for (id, planned) in &story.planned {
        let Some(digest) = story.outcome(id) else { continue };
        for (step, (op, did)) in planned.program.ops.iter().zip(&digest.did).enumerate() {
            let (Op::Effect, Did::Had { token }) = (op, did) else { continue };
            let acts = steps.get(&(id.clone(), step)).map(Vec::as_slice).unwrap_or_default();
            let real = acts.iter().any(|act| act.token == *token);
            demand!(
                violations,
                NAME,
                real,
                "{id} step {step} has {token}, which is no act of its own"
            );
            let stored = story.runs_stored.contains_key(token);
            demand!(violations, NAME, stored, "{id} step {step} has {token}, which is not stored");
        }
    }
}

/// Whether the owner for whom this was done may have been deposed without knowing.
fn may_be_unaware(story: &Story, act: &Act, partitions: u32) -> bool {
    let Ok(id) = act.invocation.parse::<InvocationId>() else { return false };
    let partition = partition_of(id.partition_key, partitions).0;
    let taken_over = |since: u64, until: u64| {
        story.announced.iter().any(|&(at, whose)| whose == partition && at >= since && at <= until)
    };
    let recent =
        taken_over(act.at.saturating_sub(UNAWARE_MICROS_MAX), act.at + CLOCKS_DIFFER_MICROS);
    recent
        || story.faults.values().any(|&(began, healed)| {
            let over = healed.map_or(u64::MAX, |healed| healed + UNAWARE_MICROS_MAX);
            began <= act.at && act.at <= over && taken_over(began, act.at + CLOCKS_DIFFER_MICROS)
        })
}
