//! How partitions go from one living executor to another.

use std::sync::Arc;
use std::time::Duration;

use everlog_cluster::Holding;
use everlog_executor::ExecutorLimits;
use everlog_log_schema::StatusKind;

use crate::house::{Call, House, PARTITIONS, answer, owned, status, text, within};
use crate::ownership::{Traffic, not_owned, owns_all, patient};
use crate::switchboard::{Way, holding};

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_goes_to_its_new_assignee_while_calls_run() {
    let house = Arc::new(House::build());
    house.switchboard.assign("second", []);
    let first = house.start_as("first", ExecutorLimits::default());
    owns_all(&first).await;
    let traffic = Traffic::start(&house, PARTITIONS);
    // This one runs for longer than the hand-over waits.
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;

    let second = house.start_as("second", ExecutorLimits::default());
    house.switchboard.assign("first", []);
    house.switchboard.assign("second", 0..PARTITIONS);
    owns_all(&second).await;
    not_owned(&first, 0).await;
    house.functions.open_gate();
    answer(&second, call.id, None).await;
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
    assert_eq!(house.functions.attempts(call.id), 2);
    traffic.end().await;
    for partition in 0..PARTITIONS {
        assert_eq!(house.announced(partition).await, ["first", "second"]);
    }
    // The first stands by now, and takes over when the second dies.
    house.switchboard.follows("first", 0).await;
    second.abort().await;
    house.switchboard.disconnect("second");
    owns_all(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_ends_within_the_grace_is_not_repeated_by_a_hand_over() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let limits = || ExecutorLimits { hand_over_grace: Duration::from_mins(2), ..patient() };
    let first = house.start_as("first", limits());
    owns_all(&first).await;
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let second = house.start_as("second", ExecutorLimits::default());
    house.switchboard.assign("first", []);
    house.switchboard.assign("second", 0..PARTITIONS);
    // The other partition has nothing to wait for.
    owned(&second, 1).await;
    assert_eq!(house.announced(0).await, ["first"]);
    house.functions.open_gate();
    owned(&second, 0).await;
    assert_eq!(text(&answer(&second, call.id, None).await), "after-2");
    assert_eq!(house.functions.attempts(call.id), 1);
}

/// Three executors, so that a standby watches while the partition goes from one to another: it must
/// leave the resignation to the heir.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_leaves_a_hand_over_to_the_heir() {
    let house = House::build();
    let board = &house.switchboard;
    for name in ["second", "third"] {
        board.assign(name, []);
    }
    let names = ["first", "second", "third"];
    let executors = names.map(|name| house.start_as(name, ExecutorLimits::default()));
    for round in 1..=6 {
        let (from, to) = (names[(round + 2) % 3], names[round % 3]);
        board.assign(from, []);
        board.assign(to, 0..PARTITIONS);
        owns_all(&executors[round % 3]).await;
        board
            .told("a standby", |members| {
                let follows = |name: &&&str| {
                    matches!(holding(members, name, 0), Some(Holding::Standby { .. }))
                };
                names.iter().filter(follows).count() == 1
                    && matches!(holding(members, to, 0), Some(Holding::Owner(_)))
            })
            .await;
    }
    let announced = house.announced(0).await;
    assert_eq!(announced, ["first", "second", "third", "first", "second", "third", "first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignee_takes_over_from_an_owner_that_it_alone_does_not_reach() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let limits = || ExecutorLimits {
        standbys: 0,
        standby_wait: Duration::from_millis(500),
        ..ExecutorLimits::default()
    };
    let first = house.start_as("first", limits());
    owns_all(&first).await;
    let call = Call::new(1, "awaits");
    house.send(&call.envelope()).await;
    status(&first, call.id, StatusKind::Suspended).await;
    house.switchboard.way("second", "first", Some(Way::Cut));
    let second = house.start_as("second", limits());
    house.switchboard.assign("first", []);
    house.switchboard.assign("second", 0..PARTITIONS);
    owns_all(&second).await;
    // Nobody has written to the first's log but the second: it finds out by itself.
    not_owned(&first, 0).await;
    not_owned(&first, 1).await;
    within("the first to be idle", async {
        while !matches!(
            first.health().get(&everlog_log_schema::PartitionId(0)),
            Some(everlog_executor::Standing::Standby(why)) if why.contains("second at second")
        ) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
