//! What follows a failed attempt, by the invocation's retry policy.
//!
//! The owner asks before it proposes: the answer travels in the record, `apply` does not judge.

use everlog_log_schema::{InvocationRow, Millis, OnMaxAttempts, RetryPolicy, Then};

/// The shortest delay that a function may ask for, in milliseconds: since it does not use the policy
/// up, a shorter one would keep the partition busy for ever.
const DELAY_BY_FUNCTION_MS_MIN: u64 = 50;

/// Decides what follows a failure of the invocation's current attempt at `now`.
///
/// `delay_by_function` is a delay that the function or its endpoint asked for: it replaces the
/// policy's for this once, and does not use the policy up. Delays have no jitter: attempts of
/// different invocations fail at different times already.
pub fn after_failure(row: &InvocationRow, now: Millis, delay_by_function: Option<Millis>) -> Then {
    if let Some(delay) = delay_by_function {
        return Then::RetryAt(later(now, delay.0.max(DELAY_BY_FUNCTION_MS_MIN)));
    }
    let failed = row.policy_attempts.saturating_add(1);
    if row.retry.max_attempts.is_some_and(|max| failed >= max) {
        return match row.retry.on_max_attempts {
            OnMaxAttempts::Pause => Then::Pause,
            OnMaxAttempts::Kill => Then::Kill,
        };
    }
    Then::RetryAt(later(now, delay_after(&row.retry, failed)))
}

/// The policy's delay after its `failed`th failed attempt, in milliseconds.
fn delay_after(policy: &RetryPolicy, failed: u32) -> u64 {
    let max = policy.max_interval.0;
    let mut delay = policy.initial_interval.0;
    for _ in 1..failed {
        let next = u128::from(delay) * u128::from(policy.factor_permille) / 1_000;
        let next = u64::try_from(next).unwrap_or(u64::MAX);
        if delay >= max || next == delay {
            break;
        }
        delay = next;
    }
    delay.min(max)
}

/// Adds a duration in milliseconds to a time, at most up to the highest that can be written.
pub(crate) fn later(now: Millis, duration: u64) -> Millis {
    Millis(now.0.saturating_add(duration)).min(Millis::MAX)
}
