//! Compares what was promised with what the outside world saw. Pure: it is given both.
//!
//! Invariant: a run of a step whose token is in no receipt is a *repeat*, and is excused only if it
//! began before everlog was started again and is the only one of its order: steps of one order
//! follow each other, so at most one was in flight at the kill.

use std::collections::{BTreeMap, BTreeSet};

use counter::Effect;

use crate::orders::{Receipt, order_name};

/// How many repeats are listed one by one.
const REPEATS_SHOWN: usize = 5;

/// What the check needs to know about the run.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Orders that were placed, 1 to this number.
    pub(crate) orders: u32,
    /// Orders whose charge the outside world refuses.
    pub(crate) declined: BTreeSet<String>,
    /// Orders without an answer when everlog was killed.
    pub(crate) in_flight: u32,
    /// When everlog was started again, in milliseconds of Unix time.
    pub(crate) restarted_ms: u64,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What is claimed.
    pub(crate) claim: &'static str,
    /// The figures, and what is wrong where something is.
    pub(crate) details: Vec<String>,
    /// Whether the claim holds.
    pub(crate) holds: bool,
}

/// Checks the claims one by one.
pub(crate) fn findings(facts: &Facts, receipts: &[Receipt], effects: &[Effect]) -> Vec<Finding> {
    vec![
        every_order_finished(facts, receipts),
        each_result_is_recorded_once(receipts, effects),
        only_what_was_in_flight_ran_again(facts, receipts, effects),
    ]
}

fn every_order_finished(facts: &Facts, receipts: &[Receipt]) -> Finding {
    let by_order: BTreeMap<&str, &Receipt> =
        receipts.iter().map(|receipt| (receipt.order.as_str(), receipt)).collect();
    let mut wrong = Vec::new();
    for order in (1..=facts.orders).map(order_name) {
        let (outcome, steps) = if facts.declined.contains(&order) {
            ("declined", ["reserve-stock", "release-stock"].as_slice())
        } else {
            ("shipped", ["reserve-stock", "charge", "ship", "mail"].as_slice())
        };
        let fits = by_order.get(order.as_str()).is_some_and(|receipt| {
            receipt.outcome == outcome && receipt.steps.iter().map(|step| &step.step).eq(steps)
        });
        if !fits {
            wrong.push(format!("{order} should be {outcome} by {steps:?}"));
        }
    }
    let declined = facts.declined.len();
    let shipped = receipts.len().saturating_sub(declined);
    let figures =
        format!("{shipped} shipped, {declined} declined by the bank, their stock released");
    finding("every order finished", figures, wrong)
}

fn each_result_is_recorded_once(receipts: &[Receipt], effects: &[Effect]) -> Finding {
    let by_token: BTreeMap<&str, &Effect> =
        effects.iter().map(|effect| (effect.token.as_str(), effect)).collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for receipt in receipts {
        for step in &receipt.steps {
            if !seen.insert(step.token.as_str()) {
                wrong.push(format!("{}: token {} is recorded twice", receipt.order, step.token));
            }
            let fits = by_token.get(step.token.as_str()).is_some_and(|effect| {
                effect.invocation == receipt.invocation && effect.step == step.step
            });
            if !fits {
                wrong.push(format!("{}: nobody gave out token {}", receipt.order, step.token));
            }
        }
    }
    let figures =
        format!("{} results, {} different tokens, each seen outside", seen.len(), seen.len());
    finding("each step's result is recorded once", figures, wrong)
}

fn only_what_was_in_flight_ran_again(
    facts: &Facts,
    receipts: &[Receipt],
    effects: &[Effect],
) -> Finding {
    let recorded: BTreeSet<&str> =
        receipts.iter().flat_map(|r| &r.steps).map(|step| step.token.as_str()).collect();
    let repeats: Vec<&Effect> =
        effects.iter().filter(|effect| !recorded.contains(effect.token.as_str())).collect();
    let mut orders = BTreeSet::new();
    let mut wrong = Vec::new();
    for repeat in &repeats {
        if repeat.time_ms > facts.restarted_ms {
            wrong.push(format!("{} {} ran again later on", repeat.subject, repeat.step));
        }
        if !orders.insert(repeat.invocation.as_str()) {
            wrong.push(format!("{}: more than one step ran again", repeat.subject));
        }
    }
    if repeats.len() > facts.in_flight as usize {
        wrong.push(format!("only {} orders were in flight at the kill", facts.in_flight));
    }
    let figures = format!(
        "{} of {} runs were repeats; {} orders were in flight at the kill",
        repeats.len(),
        effects.len(),
        facts.in_flight
    );
    let mut finding = finding("only steps in flight at the kill ran again", figures, wrong);
    for repeat in repeats.iter().take(REPEATS_SHOWN) {
        finding.details.push(format!("{} {}", repeat.subject, repeat.step));
    }
    if repeats.len() > REPEATS_SHOWN {
        finding.details.push(format!("and {} more", repeats.len() - REPEATS_SHOWN));
    }
    finding
}

fn finding(claim: &'static str, figures: String, wrong: Vec<String>) -> Finding {
    let holds = wrong.is_empty();
    Finding { claim, details: std::iter::once(figures).chain(wrong).collect(), holds }
}

#[cfg(test)]
mod tests;
