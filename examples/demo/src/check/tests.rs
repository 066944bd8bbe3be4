//! Two orders, the second declined; then each thing that may go wrong.

use super::*;
use crate::orders::Step;

const RESTARTED_MS: u64 = 1_000;

fn facts() -> Facts {
    Facts {
        orders: 2,
        declined: BTreeSet::from([order_name(2)]),
        in_flight: 2,
        restarted_ms: RESTARTED_MS,
    }
}

/// Runs the steps in a world where each gives a token, and notes both sides.
fn world() -> (Vec<Receipt>, Vec<Effect>) {
    let mut effects = Vec::new();
    let mut receipts = Vec::new();
    let orders = [
        (1, "shipped", ["reserve-stock", "charge", "ship", "mail"].as_slice()),
        (2, "declined", ["reserve-stock", "release-stock"].as_slice()),
    ];
    for (number, outcome, steps) in orders {
        let receipt_steps = steps
            .iter()
            .map(|step| {
                let token = run(&mut effects, number, step, 500);
                Step { step: (*step).to_owned(), token }
            })
            .collect();
        receipts.push(Receipt {
            order: order_name(number),
            invocation: format!("inv_{number}"),
            outcome: outcome.to_owned(),
            steps: receipt_steps,
        });
    }
    (receipts, effects)
}

fn run(effects: &mut Vec<Effect>, number: u32, step: &str, time_ms: u64) -> String {
    let sequence = effects.len() as u64;
    let token = format!("{step}-{sequence}");
    effects.push(Effect {
        sequence,
        time_ms,
        token: token.clone(),
        invocation: format!("inv_{number}"),
        step: step.to_owned(),
        subject: order_name(number),
    });
    token
}

fn broken(receipts: &[Receipt], effects: &[Effect]) -> Vec<&'static str> {
    let findings = findings(&facts(), receipts, effects);
    findings.into_iter().filter(|finding| !finding.holds).map(|finding| finding.claim).collect()
}

#[test]
fn a_good_run_holds_with_repeats_of_what_was_in_flight() {
    let (receipts, mut effects) = world();
    run(&mut effects, 1, "charge", RESTARTED_MS);
    assert_eq!(broken(&receipts, &effects), Vec::<&str>::new());
}

#[test]
fn a_missing_order_is_found() {
    let (mut receipts, mut effects) = world();
    receipts.pop();
    effects.truncate(4);
    assert_eq!(broken(&receipts, &effects), ["every order finished"]);
}

#[test]
fn a_wrong_outcome_is_found() {
    let (mut receipts, effects) = world();
    receipts[1].outcome = "shipped".to_owned();
    assert_eq!(broken(&receipts, &effects), ["every order finished"]);
}

#[test]
fn a_result_recorded_for_two_steps_is_found() {
    let (mut receipts, effects) = world();
    receipts[0].steps[1].token = receipts[0].steps[0].token.clone();
    assert!(broken(&receipts, &effects).contains(&"each step's result is recorded once"));
}

#[test]
fn a_result_that_nobody_gave_is_found() {
    let (mut receipts, effects) = world();
    receipts[0].steps[0].token = "reserve-stock-99".to_owned();
    assert!(broken(&receipts, &effects).contains(&"each step's result is recorded once"));
}

#[test]
fn a_repeat_after_the_restart_is_found() {
    let (receipts, mut effects) = world();
    run(&mut effects, 1, "charge", RESTARTED_MS + 1);
    assert_eq!(broken(&receipts, &effects), ["only steps in flight at the kill ran again"]);
}

#[test]
fn two_repeats_of_one_order_are_found() {
    let (receipts, mut effects) = world();
    run(&mut effects, 1, "charge", 600);
    run(&mut effects, 1, "ship", 700);
    assert_eq!(broken(&receipts, &effects), ["only steps in flight at the kill ran again"]);
}
