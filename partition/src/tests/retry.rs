//! Retry policies: what follows a failure.

use everlog_log_schema::*;

use super::script::Log;
use super::words::id;
use crate::{after_failure, reads};

/// A row whose policy is 500 ms, doubled, at most 60 s, and so many attempts.
fn row(policy_attempts: u32, max_attempts: Option<u32>, last: OnMaxAttempts) -> InvocationRow {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    let mut row = reads::invocation(&log.tables, id(7)).unwrap().unwrap();
    row.policy_attempts = policy_attempts;
    row.retry.max_attempts = max_attempts;
    row.retry.on_max_attempts = last;
    row
}

#[test]
fn each_delay_exceeds_the_one_before_up_to_the_longest() {
    let delays = (0..10).map(|failed| {
        let row = row(failed, None, OnMaxAttempts::Pause);
        let then = after_failure(&row, Millis(1_000_000), None);
        let Then::RetryAt(at) = then else { panic!("{then:?}") };
        at.0 - 1_000_000
    });
    let want = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000];
    assert_eq!(delays.collect::<Vec<_>>(), want);
}

#[test]
fn the_last_attempt_pauses_or_kills() {
    let last = |failed, then| after_failure(&row(failed, Some(70), then), Millis(0), None);
    assert_eq!(last(68, OnMaxAttempts::Pause), Then::RetryAt(Millis(60_000)));
    assert_eq!(last(69, OnMaxAttempts::Pause), Then::Pause);
    assert_eq!(last(70, OnMaxAttempts::Pause), Then::Pause);
    assert_eq!(last(69, OnMaxAttempts::Kill), Then::Kill);
}

#[test]
fn a_policy_of_one_attempt_never_retries() {
    let row = row(0, Some(1), OnMaxAttempts::Kill);
    assert_eq!(after_failure(&row, Millis(0), None), Then::Kill);
}

#[test]
fn a_delay_chosen_by_the_function_overrides_the_policy() {
    let row = row(69, Some(70), OnMaxAttempts::Kill);
    assert_eq!(after_failure(&row, Millis(5), Some(Millis(51))), Then::RetryAt(Millis(56)));
    assert_eq!(
        after_failure(&row, Millis(5), Some(Millis(0))),
        Then::RetryAt(Millis(55)),
        "at least"
    );
}

#[test]
fn no_policy_overflows() {
    let mut row = row(u32::MAX, None, OnMaxAttempts::Pause);
    let latest = Then::RetryAt(Millis(u64::MAX >> 1));
    row.retry.max_interval = Millis(u64::MAX);
    row.retry.initial_interval = Millis(u64::MAX);
    row.retry.factor_permille = u32::MAX;
    assert_eq!(after_failure(&row, Millis(5), None), latest);
    assert_eq!(after_failure(&row, Millis(5), Some(Millis(u64::MAX))), latest);
}

#[test]
fn a_policy_whose_delay_does_not_grow_is_quickly_decided() {
    let mut row = row(u32::MAX - 1, None, OnMaxAttempts::Pause);
    for (initial, factor, want) in [(500, 1_000, 500), (0, 2_000, 0), (3, 1_100, 3), (8, 500, 0)] {
        row.retry.initial_interval = Millis(initial);
        row.retry.factor_permille = factor;
        assert_eq!(after_failure(&row, Millis(0), None), Then::RetryAt(Millis(want)));
    }
}
