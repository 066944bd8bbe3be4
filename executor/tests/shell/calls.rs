//! What becomes of a call.

use std::time::Duration;

use everlog_executor::ExecutorLimits;
use everlog_log_schema::{Millis, PartitionId};

use crate::functions::now;
use crate::house::{Call, House, answer, owned, text, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_completes_with_what_its_function_returned() {
    let house = House::build();
    let executor = house.start();
    let answer = house.call(&executor, &Call::new(1, "echo")).await;
    assert_eq!(text(&answer), "hello");
    assert_eq!(answer.target.handler, "echo");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_done_once_and_its_result_recorded() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "steps");
    let answer = house.call(&executor, &call).await;
    assert_eq!(text(&answer), "reserve-1,charge-2,ship-3");
    assert_eq!(house.functions.steps(call.id), ["reserve", "charge", "ship"]);
    assert_eq!(house.functions.attempts(call.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_at_once_all_complete() {
    let house = House::build();
    let limits = ExecutorLimits { open_attempts_max: 8, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let mut offsets = Vec::new();
    for uuid in 0..100 {
        let call = Call::new(uuid, "steps");
        let call = if uuid % 2 == 0 { call } else { call.on_partition_1() };
        offsets.push((call.id, house.send(&call.envelope()).await));
    }
    for (id, offset) in offsets {
        assert_eq!(text(&answer(&executor, id, Some(offset)).await).split(',').count(), 3);
        assert_eq!(house.functions.steps(id).len(), 3);
        assert_eq!(house.functions.attempts(id), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_limit_of_open_attempts_wait_for_a_place() {
    let house = House::build();
    let limits = ExecutorLimits { open_attempts_max: 2, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    owned(&executor, 0).await;
    let calls: Vec<Call> = (0..5).map(|uuid| Call::new(uuid, "gated")).collect();
    let mut last = None;
    for call in &calls {
        last = Some(house.send(&call.envelope()).await);
    }
    // All are taken in: messages do not wait for places.
    let owner = executor.owner_api();
    let verdict = owner.verdict(calls[4].id, calls[4].request, last.unwrap());
    within("the last call's intake", verdict).await.unwrap();
    house.functions.open_attempts(2).await;
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
        assert_eq!(house.functions.attempts(call.id), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_retried_until_it_succeeds() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "flaky");
    assert_eq!(text(&house.call(&executor, &call).await), "at last");
    assert_eq!(house.functions.attempts(call.id), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_that_the_function_asks_for_does_not_use_up_its_retries() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "asks");
    call.retry.max_attempts = Some(1);
    let begun = now();
    assert_eq!(text(&house.call(&executor, &call).await), "free");
    assert!(now().0 - begun.0 >= 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_has_used_up_its_retries_ends_with_the_last_error() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "flaky");
    call.retry.max_attempts = Some(2);
    assert_eq!(text(&house.call(&executor, &call).await), "500: not yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_beyond_the_size_limit_fails_its_attempt_with_a_sentence() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "huge");
    call.retry.max_attempts = Some(1);
    let text = text(&house.call(&executor, &call).await);
    assert!(text.contains("[RT0003]") && text.contains("exceeds the limit"), "{text}");
    // The partition goes on.
    assert_eq!(house.call(&executor, &Call::new(2, "echo")).await.target.handler, "echo");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_key_run_one_at_a_time_in_order() {
    let house = House::build();
    let executor = house.start();
    let calls: Vec<Call> = (0..6).map(|uuid| Call::new(uuid, "steps").key("k")).collect();
    let mut last = None;
    for call in &calls {
        last = Some(house.send(&call.envelope()).await);
    }
    for call in &calls {
        answer(&executor, call.id, last).await;
    }
    let order: Vec<u128> =
        house.functions.deeds().iter().map(|deed| deed.invocation.uuid).collect();
    let expected: Vec<u128> = (0..6).flat_map(|uuid| [uuid; 3]).collect();
    assert_eq!(order, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_call_starts_at_its_time_and_not_before() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "steps");
    let due = Millis(now().0 + 300);
    call.start_at = Some(due);
    house.call(&executor, &call).await;
    assert!(house.functions.deeds()[0].at >= due);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_call_is_woken_at_its_time_and_not_before() {
    let house = House::build();
    let executor = house.start();
    let begun = now();
    let call = Call::new(1, "sleep").body("300");
    house.call(&executor, &call).await;
    assert!(house.functions.deeds()[0].at.0 >= begun.0 + 300);
    assert_eq!(house.functions.attempts(call.id), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_executor_appends_nothing() {
    let house = House::build();
    let limits =
        ExecutorLimits { flush_interval: Duration::from_millis(20), ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    house.call(&executor, &Call::new(1, "echo")).await;
    // Announcement, call and checkpoint are all there will be; then it stays so.
    let settled = within("a quiet log", async {
        loop {
            let before = house.log_end(PartitionId(0)).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if house.log_end(PartitionId(0)).await == before {
                return before;
            }
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.log_end(PartitionId(0)).await, settled);
    owned(&executor, 0).await;
}
