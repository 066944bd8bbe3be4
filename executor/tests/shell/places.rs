//! Attempts that need much memory, and attempts that wait for each other.

use bytes::Bytes;
use everlog_executor::{Executor, ExecutorLimits};
use everlog_log_schema::{NotificationResult, OrderAction, SignalId, StatusKind};

use crate::house::{Call, House, answer, status, text};

/// More than a small attempt begins with.
const LARGE: usize = 100 << 10;

fn large() -> Bytes {
    vec![b'x'; LARGE].into()
}

/// Callers whose callees fall under the same limits, on both partitions.
async fn all_complete(house: &House, executor: &Executor) {
    let callers: Vec<Call> = (0..20)
        .map(|uuid| {
            let body = if uuid % 4 < 2 { "0:echo:hello" } else { "1:echo:hello" };
            let call = Call::new(uuid, "calls").body(body);
            if uuid % 2 == 0 { call } else { call.on_partition_1() }
        })
        .collect();
    for call in &callers {
        house.send(&call.envelope()).await;
    }
    for call in &callers {
        assert_eq!(text(&answer(executor, call.id, None).await), "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_leave_their_places_to_callees_of_the_same_deployment() {
    let house = House::build();
    let limits = ExecutorLimits { deployment_concurrency_max: 2, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    all_complete(&house, &executor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_leave_their_places_to_callees_of_the_same_executor() {
    let house = House::build();
    let limits = ExecutorLimits { open_attempts_max: 1, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    all_complete(&house, &executor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_keeps_its_place_where_nobody_needs_it() {
    let house = House::build();
    let limits = ExecutorLimits { deployment_concurrency_max: 2, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let caller = Call::new(1, "calls").body("0:gated:hello");
    house.send(&caller.envelope()).await;
    house.functions.open_attempts(2).await;
    house.functions.open_gate();
    answer(&executor, caller.id, None).await;
    assert_eq!(house.functions.attempts(caller.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_journal_and_a_large_state_are_what_an_attempt_begins_with() {
    let house = House::build();
    let executor = house.start();
    let echoed = text(&house.call(&executor, &Call::new(1, "echo").body(large())).await);
    assert_eq!(echoed.len(), LARGE);
    let set = Call::new(2, "append").key("k").body(format!("a={LARGE},b=7"));
    house.call(&executor, &set).await;
    let show = Call::new(3, "show").key("k");
    assert_eq!(text(&house.call(&executor, &show).await), format!("a={LARGE},b=7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_large_journal_is_read_is_told() {
    let house = House::build();
    let executor = house.start();
    for uuid in 0..20 {
        let call = Call::new(uuid, "hears").body(vec![b'x'; 8 << 20]);
        house.send(&call.envelope()).await;
        let value = NotificationResult::Value("heard".into());
        house.signal(call.id, SignalId::Index(17), value).await;
        assert_eq!(text(&answer(&executor, call.id, None).await), "heard");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_attempts_wait_for_memory_and_small_ones_do_not() {
    let house = House::build();
    // Room for one, with what its journal takes beside the body.
    let attempt_memory_max = 3 * LARGE as u64 / 2;
    let limits = ExecutorLimits { attempt_memory_max, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let calls: Vec<Call> = (0..5).map(|uuid| Call::new(uuid, "gated").body(large())).collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    status(&executor, calls[4].id, StatusKind::Running).await;
    house.functions.at_the_gate(calls[0].id).await;
    assert_eq!(text(&house.call(&executor, &Call::new(9, "echo")).await), "hello");
    house.functions.open_attempts(1).await;
    // Who is killed while it waits makes way.
    house.order(calls[1].id, OrderAction::Kill).await;
    answer(&executor, calls[1].id, None).await;
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
    }
    assert_eq!(house.functions.attempts(calls[1].id), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_needs_more_memory_than_there_is_runs() {
    let house = House::build();
    let limits = ExecutorLimits { attempt_memory_max: 1, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let calls: Vec<Call> = (0..5).map(|uuid| Call::new(uuid, "echo").body(large())).collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    for call in &calls {
        assert_eq!(text(&answer(&executor, call.id, None).await).len(), LARGE);
    }
}
