//! Who may act for a partition.

use std::time::Duration;

use everlog_executor::{ExecutorLimits, Standing};

use crate::house::{Call, House, answer, standing, text};

fn owns(standing: &Standing) -> bool {
    matches!(standing, Standing::Owner { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_executor_steps_down_when_a_second_announces_itself() {
    let house = House::build();
    let first = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;

    let tables = house.directory.path().join("second");
    let second = house.start_in(&tables, ExecutorLimits::default());
    standing(&second, 0, owns).await;
    let deposed = standing(&first, 0, |standing| !owns(standing)).await;
    assert!(matches!(deposed, Standing::Standby(_)), "{deposed:?}");
    // The attempt of the first is ended, the second's has taken its place.
    house.functions.open_attempts(1).await;

    house.functions.open_gate();
    assert_eq!(text(&answer(&second, call.id, None).await), "after-2");
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
    // The deposed one does not come back by itself.
    let (one, other) = (standing(&first, 0, |_| true).await, standing(&second, 0, |_| true).await);
    assert!(!owns(&one) && owns(&other), "{one:?}, {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_executor_takes_over_again_once_the_other_has_resigned() {
    let house = House::build();
    let first = house.start();
    standing(&first, 0, owns).await;
    let tables = house.directory.path().join("second");
    let second = house.start_in(&tables, ExecutorLimits::default());
    standing(&second, 0, owns).await;
    standing(&first, 0, |standing| !owns(standing)).await;
    house.call(&second, &Call::new(1, "steps")).await;
    second.drain(Duration::from_secs(5)).await.unwrap();

    standing(&first, 0, owns).await;
    assert_eq!(text(&answer(&first, Call::new(1, "").id, None).await).split(',').count(), 3);
    assert_eq!(text(&house.call(&first, &Call::new(2, "echo")).await), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executors_that_start_at_once_agree_on_one_owner() {
    let house = House::build();
    let tables = house.directory.path().join("second");
    let executors = [house.start(), house.start_in(&tables, ExecutorLimits::default())];
    let calls: Vec<Call> = (0..10).map(|uuid| Call::new(uuid, "steps")).collect();
    let mut last = None;
    for call in &calls {
        last = Some(house.send(&call.envelope()).await);
    }
    for call in &calls {
        let answered = tokio::select! {
            answer = answer(&executors[0], call.id, last) => answer,
            answer = answer(&executors[1], call.id, last) => answer,
        };
        assert_eq!(text(&answered).split(',').count(), 3);
    }
    let mut owners = 0;
    for executor in &executors {
        owners += usize::from(owns(&standing(executor, 0, |_| true).await));
    }
    assert_eq!(owners, 1);
}
