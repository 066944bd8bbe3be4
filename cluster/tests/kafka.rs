//! Members and the group on a real broker: they come, hold, leave and die, and the others see it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use everlog_cluster::{
    Answers, Cluster, Holding, Holdings, JoinOptions, Joined, Member, MemberId, OwnerServer, Peers,
    Role, StandingAnswer, StandingQuestion, Unreachable,
};
use everlog_connect::{Connector, TlsOptions};
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_schema::{Epoch, Level, LogOffset, PartitionId};
use everlog_test_kafka::KafkaBroker;
use tokio::net::TcpListener;

/// A bound for hangs only.
const SOON: Duration = Duration::from_mins(2);
const PARTITIONS: u32 = 6;
const SESSION: Duration = Duration::from_secs(6);
const MEMBER_TIMEOUT: Duration = Duration::from_secs(3);

/// A set of topics of its own.
async fn topics() -> KafkaOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let broker = tokio::task::spawn_blocking(KafkaBroker::shared).await.unwrap();
    let options = KafkaOptions {
        topic_prefix: format!("cluster-{}-{number}.", std::process::id()),
        partitions: PARTITIONS,
        delayed_partitions: 1,
        replication_factor: 1,
        ..KafkaOptions::new(broker.bootstrap_servers())
    };
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    options
}

fn peers() -> Peers {
    Peers::new(Connector::new(&TlsOptions::default()).unwrap(), None)
}

async fn join(kafka: &KafkaOptions, name: &str, address: &str, role: Role) -> Arc<Joined> {
    let member = Member {
        role,
        address: address.into(),
        version: "0.1.0".into(),
        level: Level(1),
        holdings: Holdings::new(),
    };
    let options = JoinOptions {
        kafka: kafka.clone(),
        me: MemberId(name.into()),
        member,
        session_timeout: (role != Role::Gateway).then_some(SESSION),
        member_timeout: MEMBER_TIMEOUT,
        say_every: Duration::from_millis(500),
        peers: peers(),
    };
    tokio::time::timeout(SOON, Joined::start(options)).await.unwrap().unwrap()
}

async fn executor(kafka: &KafkaOptions, name: &str) -> Arc<Joined> {
    join(kafka, name, "127.0.0.1:1", Role::Executor).await
}

/// Waits until exactly these live, as one of them sees it.
async fn until_living(seen_by: &Joined, names: &[&str]) {
    let mut members = seen_by.members();
    let wanted: BTreeSet<_> = names.iter().map(|name| MemberId((*name).into())).collect();
    let seen =
        members.wait_for(|members| members.keys().cloned().collect::<BTreeSet<_>>() == wanted);
    let seen = tokio::time::timeout(SOON, seen).await;
    assert!(seen.is_ok(), "{names:?}");
}

/// Waits until the partitions are spread over these, each once and evenly, and gives who has what.
async fn until_spread(over: &[&Arc<Joined>]) -> BTreeMap<String, BTreeSet<PartitionId>> {
    let deadline = Instant::now() + SOON;
    loop {
        let spread: BTreeMap<_, _> = over
            .iter()
            .map(|member| (member.me().0, BTreeSet::clone(&member.assigned().borrow())))
            .collect();
        let all: BTreeSet<_> = spread.values().flatten().copied().collect();
        let each = PARTITIONS as usize / over.len();
        if all.len() == PARTITIONS as usize && spread.values().all(|held| held.len() == each) {
            return spread;
        }
        assert!(Instant::now() < deadline, "{spread:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_hold_leave_and_die() {
    let kafka = topics().await;
    let first = join(&kafka, "g", "127.0.0.1:1", Role::Gateway).await;
    until_living(&first, &["g"]).await;
    let second = join(&kafka, "h", "127.0.0.1:2", Role::Gateway).await;
    until_living(&second, &["g", "h"]).await;
    until_living(&first, &["g", "h"]).await;

    let held = Holdings::from([
        (PartitionId(1), Holding::Owner(Epoch(4))),
        (PartitionId(2), Holding::Standby { next_log: LogOffset(17) }),
    ]);
    second.hold(Arc::new(held.clone()));
    let mut members = first.members();
    let told = members.wait_for(|members| {
        members.get(&MemberId("h".into())).is_some_and(|member| member.holdings == held)
    });
    tokio::time::timeout(SOON, told).await.unwrap().unwrap();

    second.leave().await;
    until_living(&first, &["g"]).await;
    let third = join(&kafka, "i", "127.0.0.1:3", Role::Gateway).await;
    until_living(&first, &["g", "i"]).await;
    // A crash: nobody says anything, and the rows end.
    drop(third);
    until_living(&first, &["g"]).await;
    // Who joins now does not take the dead for living either.
    let fourth = join(&kafka, "j", "127.0.0.1:4", Role::Gateway).await;
    until_living(&fourth, &["g", "j"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_spread_over_those_who_live() {
    let kafka = topics().await;
    let a = executor(&kafka, "a").await;
    until_spread(&[&a]).await;
    let b = executor(&kafka, "b").await;
    until_spread(&[&a, &b]).await;
    let c = executor(&kafka, "c").await;
    let before = until_spread(&[&a, &b, &c]).await;

    // Killed, and back before its session ends: it finds what it had.
    drop(c);
    let c = executor(&kafka, "c").await;
    assert_eq!(until_spread(&[&a, &b, &c]).await, before);

    // Killed, and not back: the others take over, and keep what they had.
    drop(c);
    let after = until_spread(&[&a, &b]).await;
    assert!(before["a"].is_subset(&after["a"]) && before["b"].is_subset(&after["b"]), "{after:?}");
    let c = executor(&kafka, "c").await;
    until_spread(&[&a, &b, &c]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_with_one_name_the_first_is_told() {
    let kafka = topics().await;
    let first = executor(&kafka, "twin").await;
    until_spread(&[&first]).await;
    let second = executor(&kafka, "twin").await;
    until_spread(&[&second]).await;
    let deadline = Instant::now() + SOON;
    while first.problem().is_none() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(first.problem().unwrap().contains("cluster.name"));
    assert!(first.assigned().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_ask_each_other_how_they_stand() {
    let kafka = topics().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let standing = StandingAnswer { owner: Some(Epoch(3)), next_log: LogOffset(9) };
    let answers = Answers { owner: None, standings: Some(Arc::new(move |_, _| standing)) };
    let server = OwnerServer::start(listener, None, answers).unwrap();
    let address = server.address().to_string();
    let a = join(&kafka, "a", &address, Role::Gateway).await;
    let asked = a.ask(&address, PartitionId(0), StandingQuestion::Ping).await;
    assert_eq!(asked, Ok(standing));
    drop(server);
    let asked = a.ask(&address, PartitionId(0), StandingQuestion::Ping).await;
    assert!(matches!(asked, Err(Unreachable::Gone { .. })), "{asked:?}");
}
