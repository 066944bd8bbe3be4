//! Who may act for a partition, and who takes over when an owner is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use everlog_cluster::{Holding, Members};
use everlog_executor::{Executor, ExecutorLimits, STANDBYS_MAX, Standing, StartError};
use everlog_log_client::Topic;
use everlog_log_schema::InboxOffset;
use tokio::time::Instant;

use crate::house::{Call, House, PARTITIONS, answer, owned, standing, text, within};
use crate::logs::Line;
use crate::switchboard::{Way, holding};

pub(crate) fn owns(standing: &Standing) -> bool {
    matches!(standing, Standing::Owner { .. })
}

/// Waits until an executor does not own a partition.
pub(crate) async fn not_owned(executor: &Executor, partition: u32) -> Standing {
    standing(executor, partition, |standing| !owns(standing)).await
}

/// Waits until an executor owns all partitions of a usual house.
pub(crate) async fn owns_all(executor: &Executor) {
    for partition in 0..PARTITIONS {
        owned(executor, partition).await;
    }
}

/// Limits in which nobody gives up an owner for not answering.
pub(crate) fn patient() -> ExecutorLimits {
    ExecutorLimits { ping_interval: Duration::from_hours(1), ..ExecutorLimits::default() }
}

/// Sends calls of `steps`, one after the other, until it is told to stop; then each must have an
/// answer, and each of its steps one result.
pub(crate) struct Traffic {
    stop: tokio::sync::oneshot::Sender<()>,
    sent: tokio::task::JoinHandle<Vec<(Call, InboxOffset)>>,
    house: Arc<House>,
}

impl Traffic {
    pub(crate) fn start(house: &Arc<House>, partitions: u32) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let sender = Arc::clone(house);
        let sent = tokio::spawn(async move {
            let mut sent = Vec::new();
            while stopped.try_recv().is_err() {
                let count = sent.len() as u64;
                let mut call = Call::new(u128::from(count) + 1_000, "steps");
                let width = u64::MAX / u64::from(partitions);
                call.id.partition_key.0 = width * (count % u64::from(partitions)) + 1;
                let offset = sender.send(&call.envelope()).await;
                sent.push((call, offset));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            sent
        });
        Self { stop, sent, house: Arc::clone(house) }
    }

    /// Tells how many calls were made, each of them answered.
    pub(crate) async fn end(self) -> usize {
        self.stop.send(()).unwrap();
        let sent = self.sent.await.unwrap();
        for (call, offset) in &sent {
            let text = text(&self.house.answer_of(call.id, Some(*offset)).await);
            let steps: Vec<&str> =
                text.split(',').map(|step| step.split('-').next().unwrap()).collect();
            assert_eq!(steps, ["reserve", "charge", "ship"]);
        }
        sent.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_an_owner_that_dies_and_loses_no_call_in_flight() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let first = house.start_as("first", ExecutorLimits::default());
    owns_all(&first).await;
    let second = house.start_as("second", ExecutorLimits::default());
    house.switchboard.follows("second", 0).await;
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;

    first.abort().await;
    house.switchboard.disconnect("first");
    owned(&second, 0).await;
    house.functions.open_gate();
    assert_eq!(text(&answer(&second, call.id, None).await), "after-2");
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
    assert_eq!(house.announced(0).await, ["first", "second"]);
    house
        .switchboard
        .told("ownership", |members| {
            matches!(holding(members, "second", 0), Some(Holding::Owner(_)))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_answers_late_is_not_deposed() {
    let house = Arc::new(House::build());
    house.switchboard.assign("second", []);
    house.switchboard.way("second", "first", Some(Way::Slow(Duration::from_millis(200))));
    let first = house.start_as("first", ExecutorLimits::default());
    owns_all(&first).await;
    let _second = house.start_as("second", ExecutorLimits::default());
    house.switchboard.follows("second", 0).await;
    let traffic = Traffic::start(&house, PARTITIONS);
    tokio::time::sleep(Duration::from_secs(2)).await;
    traffic.end().await;
    assert_eq!(house.announced(0).await, ["first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_drains_is_followed_at_once() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let first = house.start_as("first", ExecutorLimits::default());
    owns_all(&first).await;
    // The standby would wait for hours for the owner to answer.
    let second = house.start_as("second", patient());
    house.switchboard.follows("second", 0).await;
    house.switchboard.follows("second", 1).await;
    let call = Call::new(1, "echo");
    house.call(&first, &call).await;
    first.drain(Duration::from_secs(5)).await.unwrap();
    owns_all(&second).await;
    assert_eq!(text(&answer(&second, call.id, None).await), "hello");
    house
        .switchboard
        .told("a drained executor", |members| holding(members, "first", 0).is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_neither_asked_nor_chosen_reads_nothing() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let none = || ExecutorLimits { standbys: 0, ..ExecutorLimits::default() };
    let first = house.start_as("first", none());
    owns_all(&first).await;
    let second = house.start_as("second", none());
    let says = |standing: &Standing| matches!(standing, Standing::Standby(why) if why == "first at first owns the partition");
    standing(&second, 0, says).await;
    // Asked, it takes over once the other lets go.
    house.switchboard.assign("first", []);
    house.switchboard.assign("second", 0..PARTITIONS);
    owns_all(&second).await;
    assert_eq!(house.announced(0).await, ["first", "second"]);
    standing(
        &first,
        0,
        |standing| matches!(standing, Standing::Standby(why) if why.contains("second")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_standbys_the_assignee_takes_over_from_a_dead_owner() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let none = || ExecutorLimits { standbys: 0, ..ExecutorLimits::default() };
    let first = house.start_as("first", none());
    owns_all(&first).await;
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let second = house.start_as("second", none());
    first.abort().await;
    house.switchboard.disconnect("first");
    house.switchboard.assign("second", 0..PARTITIONS);
    owns_all(&second).await;
    house.functions.open_gate();
    assert_eq!(text(&answer(&second, call.id, None).await), "after-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_assignee_leaves_a_dead_owners_partition_to_the_warm_standby() {
    let house = House::build();
    let (switchboard, limits) = (&house.switchboard, ExecutorLimits::default());
    let first = house.start_as("first", limits.clone());
    owns_all(&first).await;
    house.call(&first, &Call::new(1, "steps")).await;
    let mut others = ["second", "third"].map(|name| {
        switchboard.assign(name, []);
        let (line, tables) = (Line::new(&house.log), house.directory.path().join(name));
        (name, house.start_on(Arc::clone(&line) as _, &tables, limits.clone()), line)
    });
    // One of them is chosen to stand by; the other has read nothing yet.
    let mut members = switchboard.members();
    let standby = |members: &Members, name| holding(members, name, 0).is_some();
    let chosen = |members: &Members| {
        standby(members, "second") != standby(members, "third")
            && holding(members, "first", 0).is_some()
    };
    within("a standby", members.wait_for(|members| chosen(members))).await.unwrap();
    if standby(&members.borrow(), "third") {
        others.swap(0, 1);
    }
    let [(warm, standby, _), (cold, assignee, line)] = &others;
    line.hold_up(Topic::Log);
    switchboard.assign("first", []);
    switchboard.assign(cold, 0..PARTITIONS);
    switchboard.follows(cold, 0).await;
    first.abort().await;
    switchboard.disconnect("first");
    owned(standby, 0).await;
    assert_eq!(house.announced(0).await, ["first", *warm]);
    // Once it has caught up, it is given what it is asked to own.
    line.let_go();
    owned(assignee, 0).await;
    assert_eq!(house.announced(0).await, ["first", *warm, *cold]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_cannot_be_asked_is_deposed_once_and_nothing_is_lost() {
    let house = Arc::new(House::build());
    house.switchboard.assign("second", []);
    let first = house.start_as("first", ExecutorLimits::default());
    owns_all(&first).await;
    house.switchboard.way("second", "first", Some(Way::Cut));
    let traffic = Traffic::start(&house, PARTITIONS);
    let second = house.start_as("second", ExecutorLimits::default());
    owns_all(&second).await;
    let deposed = not_owned(&first, 0).await;
    assert!(matches!(deposed, Standing::Standby(_)), "{deposed:?}");
    // The first reaches the second, and believes still that it is asked to own everything.
    tokio::time::sleep(Duration::from_secs(2)).await;
    traffic.end().await;
    for partition in 0..PARTITIONS {
        assert_eq!(house.announced(partition).await, ["first", "second"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_are_asked_to_own_the_same_settle() {
    let house = House::build();
    let executors = ["first", "second"].map(|name| house.start_as(name, ExecutorLimits::default()));
    let calls: Vec<Call> = (0..10).map(|uuid| Call::new(uuid, "steps")).collect();
    let mut last = None;
    for call in &calls {
        last = Some(house.send(&call.envelope()).await);
    }
    for call in &calls {
        let answered = house.answer_of(call.id, last).await;
        assert_eq!(text(&answered).split(',').count(), 3);
    }
    // Whoever does not own it has asked for it many times.
    within("questions", async {
        while house.switchboard.wanted.load(Ordering::Relaxed) < 40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for partition in 0..PARTITIONS {
        let mut owners = 0;
        for executor in &executors {
            owners += usize::from(owns(&standing(executor, partition, |_| true).await));
        }
        let announced = house.announced(partition).await;
        assert_eq!((owners, announced.len() <= 2), (1, true), "{announced:?}");
    }
}

/// Each believes the other dead. They take the partition from each other, but ever more seldom.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_do_not_reach_each_other_depose_each_other_ever_more_seldom() {
    let house = House::build();
    house.switchboard.assign("second", []);
    let limits =
        ExecutorLimits { ping_interval: Duration::from_millis(10), ..ExecutorLimits::default() };
    let first = house.start_as("first", limits.clone());
    owns_all(&first).await;
    house.switchboard.way("first", "second", Some(Way::Cut));
    house.switchboard.way("second", "first", Some(Way::Cut));
    let second = house.start_as("second", limits);
    let announced = async |count: usize| {
        within("announcements", async {
            while house.announced(0).await.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        Instant::now()
    };
    let second_deposes = announced(2).await;
    // Each waits for a second at least, the first for two when it was deposed again.
    let again = announced(5).await;
    assert!(again - second_deposes > Duration::from_millis(3_900), "{:?}", again - second_deposes);
    // One that was deposed lets go by itself, though nobody calls.
    house.switchboard.way("first", "second", None);
    house.switchboard.way("second", "first", None);
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standbys_are_limited() {
    let house = House::build();
    let limits = |standbys| ExecutorLimits { standbys, ..ExecutorLimits::default() };
    let start = |standbys| {
        Executor::start(everlog_executor::ExecutorConfig {
            log: Arc::clone(&house.log) as _,
            cluster: house.switchboard.seat("one"),
            metadata: house.metadata.subscribe(),
            tables_dir: house.tables(),
            invoker: Arc::new(crate::functions::TestInvoker(Arc::clone(&house.functions))),
            address: "one".into(),
            limits: limits(standbys),
        })
    };
    let refused = start(STANDBYS_MAX + 1).map(drop);
    assert_eq!(refused, Err(StartError::Standbys { found: 3 }));
    start(STANDBYS_MAX).unwrap().abort().await;
}

/// Three executors share eight partitions. Each of them leaves and comes back, while calls run.
#[tokio::test(flavor = "multi_thread")]
async fn executors_that_leave_and_return_keep_every_partition_owned_by_exactly_one() {
    const PARTITIONS: u32 = 8;
    let house = Arc::new(House::of(PARTITIONS));
    let names = ["first", "second", "third"];
    let spread = |live: &[&str]| {
        for (place, name) in live.iter().enumerate() {
            let own = (0..PARTITIONS).filter(|partition| *partition as usize % live.len() == place);
            house.switchboard.assign(name, own);
        }
    };
    spread(&names);
    let mut executors = names.map(|name| Some(house.start_as(name, ExecutorLimits::default())));
    let traffic = Traffic::start(&house, PARTITIONS);
    for (index, leaver) in names.iter().enumerate() {
        let left = executors[index].take().unwrap();
        // The group learns of a drained member when it is gone, and of a dead one later.
        if index == 1 {
            left.abort().await;
            house.switchboard.disconnect(leaver);
        } else {
            left.drain(Duration::from_secs(5)).await.unwrap();
        }
        house.switchboard.leave(leaver);
        house.switchboard.assign(leaver, []);
        spread(&names.iter().copied().filter(|name| name != leaver).collect::<Vec<_>>());
        all_owned_by_one(&house, &executors, PARTITIONS).await;
        executors[index] = Some(house.start_as(leaver, ExecutorLimits::default()));
        spread(&names);
        for partition in 0..PARTITIONS {
            let owner = executors[partition as usize % names.len()].as_ref().unwrap();
            owned(owner, partition).await;
        }
        all_owned_by_one(&house, &executors, PARTITIONS).await;
    }
    assert!(traffic.end().await > 20);
    all_owned_by_one(&house, &executors, PARTITIONS).await;
}

/// Waits until each partition has an owner, and only one says so.
async fn all_owned_by_one(house: &House, executors: &[Option<Executor>], partitions: u32) {
    within("one owner for each partition", async {
        for partition in 0..partitions {
            loop {
                let standings = executors.iter().flatten().filter_map(|executor| {
                    executor.health().remove(&everlog_log_schema::PartitionId(partition))
                });
                let standings: Vec<Standing> = standings.collect();
                let stopped = |standing: &Standing| matches!(standing, Standing::Stopped(_));
                assert!(!standings.iter().any(stopped), "{standings:?}");
                if standings.iter().filter(|standing| owns(standing)).count() == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    assert!(house.announced(0).await.len() < 50);
}
