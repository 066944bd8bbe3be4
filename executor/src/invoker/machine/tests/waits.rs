//! When a function may be taken for one that only waits.

use everlog_log_schema::metadata::ProtocolMode;

use super::script::{input, message, notification, start};
use crate::invoker::machine::Machine;
use crate::invoker::{AttemptStart, Notice};

/// Tells whether a function may only wait once it has said something and is told all else.
fn may_only_wait(machine: &mut Machine, said: &str) -> bool {
    machine.receive(&message(said));
    while machine.take_bytes().is_some() {}
    machine.may_only_wait()
}

fn begin() -> Machine {
    let mut machine = Machine::new(start(6, vec![input("in")]));
    assert!(!machine.may_only_wait(), "it has been told nothing");
    while machine.take_bytes().is_some() {}
    assert!(machine.may_only_wait());
    machine
}

#[test]
fn a_function_waits_for_others() {
    let mut machine = begin();
    assert!(may_only_wait(&mut machine, "sleep 1 5000"));
    machine.notify(Notice { index: 2, entry: notification("fired 1").unwrap() });
    assert!(!machine.may_only_wait(), "it has not heard of it");
    while machine.take_bytes().is_some() {}
    assert!(machine.may_only_wait());
}

#[test]
fn a_function_that_runs_something_does_not_only_wait() {
    let mut machine = begin();
    assert!(!may_only_wait(&mut machine, "run 1"));
    assert!(!may_only_wait(&mut machine, "propose 1 ok"), "its result comes soon");
    machine.notify(Notice { index: 2, entry: notification("durable 1").unwrap() });
    while machine.take_bytes().is_some() {}
    assert!(machine.may_only_wait());
}

#[test]
fn what_follows_at_once_is_not_waited_for() {
    let mut machine = begin();
    assert!(!may_only_wait(&mut machine, "get-lazy 1 cart"));
    let mut machine = begin();
    assert!(!may_only_wait(&mut machine, "get-lazy-keys 1"));
}

#[test]
fn a_function_whose_input_is_closed_is_asked_nothing_more() {
    let mut machine = begin();
    machine.close();
    assert!(!machine.may_only_wait());
    let mut start = start(6, vec![input("in")]);
    let mut deployment = (*start.deployment).clone();
    deployment.mode = ProtocolMode::RequestResponse;
    start = AttemptStart { deployment: deployment.into(), ..start };
    let mut machine = Machine::new(start);
    while machine.take_bytes().is_some() {}
    assert!(!machine.may_only_wait());
}
