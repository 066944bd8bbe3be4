//! Signals, and what whoever runs the functions may order.

use std::time::Duration;

use everlog_executor::Executor;
use everlog_log_schema::owner_api::OwnerError;
use everlog_log_schema::{
    InvocationId, NotificationResult, OnMaxAttempts, OrderAction, PartitionKey, SignalId,
    StatusKind,
};

use crate::function::callee_of;
use crate::house::{Call, House, answer, status, text, within};

async fn kind(executor: &Executor, id: InvocationId) -> StatusKind {
    crate::house::row(executor, id).await.status.kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_wakes_whoever_waits_for_it() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "awaits");
    house.send(&call.envelope()).await;
    status(&executor, call.id, StatusKind::Suspended).await;
    // It waits for another one.
    let named = SignalId::Name("other".into());
    let at = house.signal(call.id, named, NotificationResult::Void).await;
    let owner = executor.owner_api();
    let row = within("the intake", owner.invocation(call.id, Some(at))).await.unwrap();
    assert_eq!((row.status.kind(), row.signals), (StatusKind::Suspended, 1));
    let value = NotificationResult::Value("done".into());
    house.signal(call.id, SignalId::Index(17), value).await;
    assert_eq!(text(&answer(&executor, call.id, None).await), "done");
    assert_eq!(house.functions.attempts(call.id), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_first_is_not_waited_for() {
    let house = House::build();
    let executor = house.start();
    let gate = Call::new(1, "gated").key("k");
    house.send(&gate.envelope()).await;
    house.functions.at_the_gate(gate.id).await;
    let call = Call::new(2, "awaits").key("k");
    house.send(&call.envelope()).await;
    house.signal(call.id, SignalId::Index(17), NotificationResult::Value("early".into())).await;
    house.functions.open_gate();
    assert_eq!(text(&answer(&executor, call.id, None).await), "early");
    assert_eq!(house.functions.attempts(call.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_signals_another_on_another_partition() {
    let house = House::build();
    let executor = house.start();
    let waits = Call::new(1, "awaits").on_partition_1();
    house.send(&waits.envelope()).await;
    status(&executor, waits.id, StatusKind::Suspended).await;
    house.call(&executor, &Call::new(2, "signals").body(waits.id.to_string())).await;
    assert_eq!(text(&answer(&executor, waits.id, None).await), "from a function");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_invocation_stops_with_all_that_it_calls() {
    let house = House::build();
    let executor = house.start();
    // A call of a call, and a one-way call beside.
    let call = Call::new(1, "calls").body("1:calls-and-leaves:0:gated:");
    let child = callee_of(call.id, PartitionKey(u64::MAX));
    let grandchild = callee_of(child, PartitionKey(0));
    let bystander = Call::new(2, "sends").body("1:gated:");
    let one_way = callee_of(bystander.id, PartitionKey(u64::MAX));
    for call in [&call, &bystander] {
        house.send(&call.envelope()).await;
    }
    for id in [grandchild, one_way] {
        house.functions.at_the_gate(id).await;
    }
    status(&executor, child, StatusKind::Suspended).await;
    house.order(call.id, OrderAction::Kill).await;
    house.order(bystander.id, OrderAction::Kill).await;
    for id in [call.id, child, grandchild] {
        assert_eq!(text(&answer(&executor, id, None).await), "409: killed");
    }
    // Only the one-way call's attempt is left, though nobody has opened the gate.
    house.functions.open_attempts(1).await;
    house.functions.open_gate();
    answer(&executor, one_way, None).await;
    assert_eq!(house.functions.steps(grandchild), ["before"]);
    assert_eq!(house.functions.steps(one_way), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_killed_invocation_is_free_for_the_next() {
    let house = House::build();
    let executor = house.start();
    let (first, second) = (Call::new(1, "gated").key("k"), Call::new(2, "echo").key("k"));
    house.send(&first.envelope()).await;
    house.functions.at_the_gate(first.id).await;
    house.send(&second.envelope()).await;
    status(&executor, second.id, StatusKind::Pending).await;
    house.order(first.id, OrderAction::Kill).await;
    assert_eq!(text(&answer(&executor, second.id, None).await), "hello");
    house.functions.open_attempts(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_invocation_stops_until_it_is_resumed() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    house.order(call.id, OrderAction::Pause).await;
    status(&executor, call.id, StatusKind::Paused).await;
    house.functions.open_attempts(0).await;
    house.functions.open_gate();
    assert_eq!(kind(&executor, call.id).await, StatusKind::Paused);
    house.order(call.id, OrderAction::Resume).await;
    assert_eq!(text(&answer(&executor, call.id, None).await), "after-2");
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
}

/// All orders are taken in at once: only what they come to is started.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_the_past_is_not_started() {
    let house = House::build();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    for action in [OrderAction::Pause, OrderAction::Resume, OrderAction::Pause, OrderAction::Resume]
    {
        house.order(call.id, action).await;
    }
    let executor = house.start();
    house.functions.at_the_gate(call.id).await;
    house.functions.open_gate();
    answer(&executor, call.id, None).await;
    assert_eq!(house.functions.attempts(call.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_invocation_that_backs_off_is_tried_at_once() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "flaky");
    call.retry.initial_interval = everlog_log_schema::Millis(3_600_000);
    call.retry.max_interval = call.retry.initial_interval;
    house.send(&call.envelope()).await;
    for attempts in 1..3 {
        house.functions.attempted(attempts).await;
        status(&executor, call.id, StatusKind::BackingOff).await;
        house.order(call.id, OrderAction::Resume).await;
    }
    assert_eq!(text(&answer(&executor, call.id, None).await), "at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_has_used_up_its_retries_waits_paused_and_can_be_resumed() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "flaky");
    call.retry.max_attempts = Some(1);
    call.retry.on_max_attempts = OnMaxAttempts::Pause;
    house.send(&call.envelope()).await;
    for _ in 1..3 {
        status(&executor, call.id, StatusKind::Paused).await;
        house.order(call.id, OrderAction::Resume).await;
    }
    assert_eq!(text(&answer(&executor, call.id, None).await), "at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_invocation_is_told_and_decides_itself() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "awaits");
    house.send(&call.envelope()).await;
    status(&executor, call.id, StatusKind::Suspended).await;
    house.cancel(call.id).await;
    assert_eq!(text(&answer(&executor, call.id, None).await), "409: canceled");
    assert_eq!(house.functions.attempts(call.id), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_begun_is_cancelled_at_once() {
    let house = House::build();
    let executor = house.start();
    let gate = Call::new(1, "gated").key("k");
    house.send(&gate.envelope()).await;
    house.functions.at_the_gate(gate.id).await;
    let queued = Call::new(2, "echo").key("k");
    let mut scheduled = Call::new(3, "echo");
    scheduled.start_at = Some(everlog_log_schema::Millis(crate::functions::now().0 + 3_600_000));
    for call in [&queued, &scheduled] {
        house.send(&call.envelope()).await;
        house.cancel(call.id).await;
        assert_eq!(text(&answer(&executor, call.id, None).await), "409: canceled");
        assert_eq!(house.functions.attempts(call.id), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_invocation_is_forgotten_and_a_live_one_is_not_purged() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let at = house.order(call.id, OrderAction::Purge).await;
    let owner = executor.owner_api();
    let row = within("the intake", owner.invocation(call.id, Some(at))).await.unwrap();
    assert_eq!(row.status.kind(), StatusKind::Running);
    house.functions.open_gate();
    answer(&executor, call.id, None).await;
    let at = house.order(call.id, OrderAction::Purge).await;
    let asked = within("an answer", owner.invocation(call.id, Some(at))).await;
    assert_eq!(asked, Err(OwnerError::NotFound));
    drop(owner);
    executor.drain(Duration::from_secs(5)).await.unwrap();
}
