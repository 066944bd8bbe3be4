//! Who waits for whom where attempts are limited.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use everlog_executor::{Executor, ExecutorLimits, ServiceConcurrency};
use everlog_log_schema::owner_api::InvocationQuery;
use everlog_log_schema::{HandlerKind, NotificationResult, PartitionId, SignalId, StatusKind};

use crate::house::{Call, House, answer, deployment, register, row, status, text, within};

fn limited(service: Option<usize>, handlers: &[(&str, usize)]) -> ExecutorLimits {
    let handlers = handlers
        .iter()
        .map(|(name, max)| ((*name).to_owned(), NonZeroUsize::new(*max).unwrap()))
        .collect();
    let plain = ServiceConcurrency { concurrency: service.and_then(NonZeroUsize::new), handlers };
    let concurrency = BTreeMap::from([("Plain".to_owned(), plain)]);
    ExecutorLimits { concurrency, ..ExecutorLimits::default() }
}

/// Sends calls of `gated` and waits until the last is taken in.
async fn send_gated(house: &House, executor: &Executor, calls: &[Call]) {
    for call in calls {
        house.send(&call.envelope()).await;
    }
    let last = calls.last().unwrap().id;
    status(executor, last, StatusKind::Running).await;
}

fn gated(count: u128) -> Vec<Call> {
    let spread = |uuid| {
        if uuid % 2 == 0 {
            Call::new(uuid, "gated").on_partition_1()
        } else {
            Call::new(uuid, "gated")
        }
    };
    (0..count).map(spread).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_service_holds_up_no_other_and_all_its_calls_complete() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), limited(Some(3), &[]));
    let calls = gated(40);
    send_gated(&house, &executor, &calls).await;
    house.functions.open_attempts(3).await;
    // Another service of the same deployment.
    let other = Call::new(1_000, "steps").key("k");
    assert_eq!(text(&house.call(&executor, &other).await).split(',').count(), 3);
    house.functions.open_attempts(3).await;
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
        assert_eq!(house.functions.attempts(call.id), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_handler_holds_up_no_other_of_its_service() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), limited(Some(10), &[("gated", 2)]));
    let calls = gated(20);
    send_gated(&house, &executor, &calls).await;
    house.functions.open_attempts(2).await;
    assert_eq!(text(&house.call(&executor, &Call::new(1_000, "echo")).await), "hello");
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_deployment_leaves_places_to_others() {
    let house = House::build();
    house.metadata.send_modify(|metadata| {
        register(Arc::make_mut(metadata), deployment("dp_fast", &["PlainFast"]));
    });
    let limits = ExecutorLimits {
        open_attempts_max: 8,
        deployment_concurrency_max: 6,
        ..ExecutorLimits::default()
    };
    let executor = house.start_in(&house.tables(), limits);
    let slow = gated(50);
    send_gated(&house, &executor, &slow).await;
    house.functions.open_attempts(6).await;
    for uuid in 1_000..1_020 {
        let fast = Call { service: Some("PlainFast"), ..Call::new(uuid, "steps") };
        assert_eq!(text(&house.call(&executor, &fast).await).split(',').count(), 3);
    }
    house.functions.open_attempts(6).await;
    house.functions.open_gate();
    for call in &slow {
        answer(&executor, call.id, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_holds_up_no_other_key() {
    let house = House::build();
    let limits = ExecutorLimits { open_attempts_max: 2, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let hot: Vec<Call> = (0..200).map(|uuid| Call::new(uuid, "gated").key("hot")).collect();
    for call in &hot {
        house.send(&call.envelope()).await;
    }
    house.functions.at_the_gate(hot[0].id).await;
    for uuid in 1_000..1_010 {
        let other = Call::new(uuid, "count").key(&format!("cold{uuid}"));
        assert_eq!(text(&house.call(&executor, &other).await), "1");
    }
    assert_eq!(row(&executor, hot[1].id).await.status.kind(), StatusKind::Pending);
    house.functions.open_gate();
    answer(&executor, hot[199].id, None).await;
}

/// More calls wait than a line in memory takes: the rest is found on the disk, and each runs once,
/// those of a service without limit at once.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_what_waits_in_memory_are_found_on_the_disk() {
    const CALLS: u128 = 10_000;
    let house = House::build();
    let executor = house.start_in(&house.tables(), limited(None, &[("echo", 1), ("gated", 1)]));
    let gate = Call::new(CALLS, "gated");
    send_gated(&house, &executor, std::slice::from_ref(&gate)).await;
    let calls: Vec<Call> = (0..CALLS)
        .map(|uuid| Call::new(uuid, if uuid % 2 == 0 { "gated" } else { "echo" }))
        .collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    house.functions.at_the_gate(gate.id).await;
    let other = Call::new(CALLS + 1, "steps");
    assert_eq!(text(&house.call(&executor, &other).await).split(',').count(), 3);
    house.functions.open_gate();
    within("all of them", async {
        house.functions.attempted(calls.len() + 2).await;
    })
    .await;
    for call in &calls {
        answer(&executor, call.id, None).await;
        assert_eq!(house.functions.attempts(call.id), 1, "{}", call.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_a_place_waits_again_after_a_crash() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), limited(Some(2), &[]));
    let calls = gated(30);
    send_gated(&house, &executor, &calls).await;
    house.functions.open_attempts(2).await;
    executor.abort().await;
    let executor = house.start_in(&house.tables(), limited(Some(4), &[]));
    house.functions.open_attempts(4).await;
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_paused_while_it_waits_for_a_place_is_not_started() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), limited(Some(1), &[]));
    let calls = [Call::new(1, "gated"), Call::new(2, "echo"), Call::new(3, "echo")];
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    house.functions.at_the_gate(calls[0].id).await;
    house.order(calls[1].id, everlog_log_schema::OrderAction::Pause).await;
    status(&executor, calls[1].id, StatusKind::Paused).await;
    house.functions.open_gate();
    answer(&executor, calls[2].id, None).await;
    assert_eq!(house.functions.attempts(calls[1].id), 0);
    house.order(calls[1].id, everlog_log_schema::OrderAction::Resume).await;
    answer(&executor, calls[1].id, None).await;
    assert_eq!(house.functions.attempts(calls[1].id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_suspended_invocations_hold_no_place_and_all_wake() {
    const CALLS: u128 = 10_000;
    let house = House::build();
    let limits = ExecutorLimits { open_attempts_max: 50, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits.clone());
    let calls: Vec<Call> = (0..CALLS).map(|uuid| Call::new(uuid, "awaits")).collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    house.functions.attempted(calls.len()).await;
    house.functions.open_attempts(0).await;
    executor.abort().await;
    let executor = house.start_in(&house.tables(), limits);
    assert_eq!(text(&house.call(&executor, &Call::new(CALLS, "echo")).await), "hello");
    let owner = executor.owner_api();
    let statuses = vec![StatusKind::Suspended];
    let query = InvocationQuery { statuses, limit: usize::MAX, ..InvocationQuery::default() };
    let page = within("a page", owner.invocations(PartitionId(0), query)).await.unwrap();
    assert_eq!(page.found.len(), calls.len());
    for call in &calls {
        let value = NotificationResult::Value(call.id.uuid.to_string().into());
        house.signal(call.id, SignalId::Index(17), value).await;
    }
    for call in &calls {
        assert_eq!(text(&answer(&executor, call.id, None).await), call.id.uuid.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_attempts_are_open_at_once() {
    let house = House::build();
    let executor = house.start();
    let calls = gated(1_000);
    send_gated(&house, &executor, &calls).await;
    house.functions.open_attempts(1_000).await;
    house.functions.open_gate();
    for call in &calls {
        answer(&executor, call.id, None).await;
    }
    assert!(calls.iter().all(|call| call.kind == HandlerKind::Plain));
}
