//! The state of objects, as functions see it.

use std::sync::Arc;
use std::time::Duration;

use everlog_executor::ExecutorLimits;
use everlog_log_schema::identity::version_of_state;
use everlog_log_schema::metadata::EagerState;
use everlog_log_schema::{EDIT_STATE, HandlerKind};

use crate::house::{Call, House, answer, text};

fn with_eager(house: &House, eager: &EagerState) {
    house.metadata.send_modify(|metadata| {
        for deployment in Arc::make_mut(metadata).deployments.values_mut() {
            for service in &mut deployment.services {
                service.handlers.iter_mut().for_each(|of| of.eager_state = eager.clone());
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_beside_the_journal_is_answered_behind_the_steps_before_it() {
    let house = House::build();
    with_eager(&house, &EagerState::Nothing);
    let executor = house.start();
    house.call(&executor, &Call::new(1, "count").key("k")).await;
    let peeks = Call::new(2, "peeks").key("k");
    let said = text(&house.call(&executor, &peeks).await);
    assert_eq!(said, r#"b"1" b"9" None"#);
    // What it was told is nowhere.
    let journal = executor.owner_api().journal(peeks.id, 0).await.unwrap();
    assert_eq!(journal.len(), 3, "input, one value set, output: {journal:?}");
}

/// Counts to 20 on one key, with crashes between.
async fn counts(eager: &EagerState) {
    let house = House::build();
    with_eager(&house, eager);
    let mut executor = house.start();
    for uuid in 0..20 {
        if uuid % 5 == 4 {
            executor.abort().await;
            executor = house.start();
        }
        let call = Call::new(uuid, "count").key("k");
        assert_eq!(text(&house.call(&executor, &call).await), (uuid + 1).to_string());
    }
    let other = Call::new(100, "count").key("other");
    assert_eq!(text(&house.call(&executor, &other).await), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_comes_with_the_attempt_is_that_of_the_call_before() {
    counts(&EagerState::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_asked_for_is_that_of_the_call_before() {
    counts(&EagerState::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_and_crashes_count_each_call_once() {
    let house = House::build();
    let mut executor = house.start();
    let calls: Vec<Call> =
        (0..60).map(|uuid| Call::new(uuid, "count").key(&format!("k{}", uuid % 3))).collect();
    for calls in calls.chunks(20) {
        for call in calls {
            house.send(&call.envelope()).await;
        }
        answer(&executor, calls[3].id, None).await;
        executor.abort().await;
        executor = house.start();
    }
    let mut counts: Vec<Vec<u64>> = vec![Vec::new(); 3];
    for call in &calls {
        let count = text(&answer(&executor, call.id, None).await).parse().unwrap();
        counts[usize::try_from(call.id.uuid % 3).unwrap()].push(count);
    }
    for counts in counts {
        assert_eq!(counts, (1..=20).collect::<Vec<u64>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_begins_with_as_much_state_as_is_wanted_and_allowed() {
    let house = House::build();
    let limits = ExecutorLimits { eager_state_bytes_max: 250, ..ExecutorLimits::default() };
    let executor = house.start_in(&house.tables(), limits);
    let set = Call::new(1, "append").key("k").body("a=99,b=99,c=49");
    house.call(&executor, &set).await;
    let mut uuid = 1;
    let mut shown = async |eager: EagerState| {
        with_eager(&house, &eager);
        uuid += 1;
        let call = Call { kind: HandlerKind::Shared, ..Call::new(uuid, "show").key("k") };
        text(&house.call(&executor, &call).await)
    };
    assert_eq!(shown(EagerState::All).await, "a=99,b=99,c=49");
    assert_eq!(shown(EagerState::Nothing).await, "…");
    assert_eq!(shown(EagerState::Only(vec!["c".into(), "z".into()])).await, "c=49…");
    house.call(&executor, &Call::new(100, "append").key("k").body("c=50")).await;
    assert_eq!(shown(EagerState::All).await, "a=99,b=99…");
    executor.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_handler_runs_beside_an_exclusive_one_and_sees_what_is_stored() {
    let house = House::build();
    let executor = house.start();
    house.call(&executor, &Call::new(1, "append").key("k").body("a=1")).await;
    let exclusive = Call::new(2, "gated").key("k");
    house.send(&exclusive.envelope()).await;
    house.functions.at_the_gate(exclusive.id).await;
    let shared = Call { kind: HandlerKind::Shared, ..Call::new(3, "show").key("k") };
    assert_eq!(text(&house.call(&executor, &shared).await), "a=1");
    house.functions.open_gate();
    answer(&executor, exclusive.id, None).await;
}

/// Sets the count of an object to what `value` encodes in base64, where its state has a version.
fn edit(uuid: u128, value: &str, version: &str) -> Call {
    let body = format!(r#"{{"newState":{{"n":"{value}"}},"version":"{version}"}}"#);
    Call::new(uuid, EDIT_STATE).key("k").body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_replaced_once_and_only_that_version_whatever_fails() {
    let house = House::build();
    let mut executor = house.start();
    for round in 0..10 {
        let before = if round == 0 { "1" } else { "43" };
        let count = Call::new(10 * round, "count").key("k");
        assert_eq!(text(&house.call(&executor, &count).await), before, "round {round}");
        let version = version_of_state([(&b"n"[..], before.as_bytes())]);
        let set_41 = edit(10 * round + 1, "NDE=", &version);
        house.send(&set_41.envelope()).await;
        executor.abort().await;
        executor = house.start();
        assert_eq!(text(&answer(&executor, set_41.id, None).await), "");
        let stale = house.call(&executor, &edit(10 * round + 2, "MA==", &version)).await;
        assert!(text(&stale).starts_with("412: edit-state: the state has another version"));
        let count = Call::new(10 * round + 3, "count").key("k");
        assert_eq!(text(&house.call(&executor, &count).await), "42", "round {round}");
    }
    let malformed = Call::new(1_000, EDIT_STATE).key("k");
    let refused = text(&house.call(&executor, &malformed).await);
    assert!(refused.starts_with("400: edit-state: "), "{refused}");
}
