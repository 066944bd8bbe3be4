//! Brokers that are away, too few or paused: appends wait, then their outcome is unknown, and all
//! goes on by itself once the brokers are back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{AppendError, EventLog, LogError, Stream};
use everlog_log_schema::PartitionId;
use everlog_test_kafka::{ClusterOptions, KafkaCluster};

use crate::support::{INBOX, STREAM, append, append_at_last, log, options, read, soon};

const STALL_MAX: Duration = Duration::from_secs(2);

fn impatient(prefix: &str, servers: &str, replication: u16) -> KafkaOptions {
    KafkaOptions {
        append_stall_max: STALL_MAX,
        producers: 2,
        ..options(prefix, servers, replication)
    }
}

/// Stalls an appender of the stream, and checks that what was queued is unknown and that it takes no
/// more.
async fn stall(log: &Arc<KafkaLog>, stream: Stream, texts: [&str; 2]) {
    let mut appender = soon(async {
        loop {
            match log.appender(stream) {
                Ok(appender) => return appender,
                Err(LogError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let began = Instant::now();
    let appends = texts.map(|text| appender.append(text.to_owned().into()).unwrap());
    for appending in appends {
        let outcome = soon(appending).await;
        assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    }
    assert!(began.elapsed() >= STALL_MAX, "too early: {:?}", began.elapsed());
    let refused = appender.append("late".into());
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
}

/// Every producer holds records that nobody tells of: the next appender would only add to them.
fn is_closed(log: &KafkaLog, stream: Stream) {
    match log.appender(stream).map(drop) {
        Err(LogError::Unavailable(reason)) => {
            assert!(reason.contains("no broker has told of earlier appends"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_a_broker_that_is_away_stalls_and_the_next_goes_on_when_it_is_back() {
    let cluster = KafkaCluster::start(1);
    let log = log(impatient("away", &cluster.bootstrap_servers(), 1)).await;
    let mut appender = log.appender(STREAM).unwrap();
    append(appender.as_mut(), "before").await.unwrap();
    cluster.kill(0);
    stall(&log, STREAM, ["a 1", "a 2"]).await;
    stall(&log, STREAM, ["b 1", "b 2"]).await;
    is_closed(&log, STREAM);
    // The older appender is none of those that stalled, but its records would wait behind theirs.
    let waiting = appender.append("older".into()).unwrap();
    assert!(log.appender(INBOX).is_ok(), "other streams are not closed");
    tokio::task::block_in_place(|| cluster.restart(0));
    append_at_last(&log, STREAM, "after").await;
    let older = soon(waiting).await;
    assert!(matches!(older, Err(AppendError::Unknown(_)) | Ok(_)), "{older:?}");
    // What was abandoned is written all the same, once and in the order of each appender.
    let records = read_all(&log, &["before", "a 1", "a 2", "b 1", "b 2", "older", "after"]).await;
    let of = |letter: &str| {
        let mut texts = records.iter().filter(|text| text.starts_with(letter));
        [texts.next(), texts.next(), texts.next()].map(|text| text.map(String::as_str))
    };
    assert_eq!(of("a "), [Some("a 1"), Some("a 2"), None]);
    assert_eq!(of("b "), [Some("b 1"), Some("b 2"), None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_a_broker_stalls_appends_and_they_go_on_when_there_is_room() {
    let cluster = KafkaCluster::start(1);
    let log = log(impatient("full", &cluster.bootstrap_servers(), 1)).await;
    let mut appender = log.appender(STREAM).unwrap();
    append(appender.as_mut(), "before").await.unwrap();
    cluster.fill_disk(0);
    stall(&log, STREAM, ["no room 1", "no room 2"]).await;
    tokio::task::block_in_place(|| cluster.restart(0));
    append_at_last(&log, STREAM, "after").await;
    let end = soon(end_at_last(&log)).await;
    let records = read(&log, STREAM, usize::try_from(end).unwrap()).await;
    let count = |text: &str| records.iter().filter(|record| *record == text).count();
    assert_eq!((count("before"), count("after")), (1, 1), "{records:?}");
    assert!(count("no room 1") <= 1 && count("no room 2") <= 1, "{records:?}");
}

/// Asks where the log ends until a leader answers.
async fn end_at_last(log: &KafkaLog) -> u64 {
    loop {
        match log.bounds(STREAM).await {
            Ok(bounds) => return bounds.end,
            Err(LogError::Unavailable(_)) => {}
            Err(error) => panic!("it would stop for good: {error}"),
        }
    }
}

/// Reads until each of these was there.
async fn read_all(log: &KafkaLog, wanted: &[&str]) -> Vec<String> {
    let mut reader = log.reader(STREAM, 0).unwrap();
    let mut records = Vec::new();
    while !wanted.iter().all(|text| records.iter().any(|record| record == text)) {
        let batch = soon(reader.next()).await.unwrap();
        records.extend(
            batch.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()),
        );
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_replicas_in_sync_appends_stall_and_go_on_when_there_are_enough() {
    // The controllers must have a majority: it is the replicas that are too few.
    let cluster =
        KafkaCluster::with(&ClusterOptions::new(3).property("broker.session.timeout.ms", "6000"));
    let options = impatient("insync", &cluster.bootstrap_servers(), 3);
    let log = log(options.clone()).await;
    let mut appender = log.appender(STREAM).unwrap();
    append(appender.as_mut(), "before").await.unwrap();
    cluster.kill(1);
    append_at_last(&log, STREAM, "two of three are enough").await;
    cluster.kill(2);
    stall(&log, STREAM, ["too few 1", "too few 2"]).await;
    tokio::task::block_in_place(|| cluster.start_again(&[1, 2]));
    append_at_last(&log, STREAM, "after").await;
    let end = soon(end_at_last(&log)).await;
    let records = read(&log, STREAM, usize::try_from(end).unwrap()).await;
    let count = |text: &str| records.iter().filter(|record| *record == text).count();
    assert_eq!((count("before"), count("after")), (1, 1), "{records:?}");
    assert!(count("too few 1") <= 1 && count("too few 2") <= 1, "{records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_broker_keeps_only_its_own_partitions_waiting() {
    const PAUSED: usize = 1;
    let cluster = KafkaCluster::start(3);
    let options = KafkaOptions {
        partitions: 6,
        producers: 1,
        append_stall_max: Duration::from_secs(3),
        ..options("paused", &cluster.bootstrap_servers(), 1)
    };
    let log = log(options).await;
    let topics = ["--describe", "--topic", "paused.log"];
    let described = cluster.tool("org.apache.kafka.tools.TopicCommand", &topics);
    let led = |partition: u32, broker: usize| {
        let line =
            described.lines().find(|line| line.contains(&format!("Partition: {partition}\t")));
        line.unwrap().contains(&format!("Leader: {}\t", broker + 1))
    };
    let stream = |partition| Stream { partition: PartitionId(partition), ..STREAM };
    let (waiting, others): (Vec<u32>, Vec<u32>) = (0..6).partition(|number| led(*number, PAUSED));
    assert!(!waiting.is_empty() && !others.is_empty(), "{described}");
    for partition in 0..6 {
        append_at_last(&log, stream(partition), "before").await;
    }
    cluster.pause(PAUSED);
    let mut appender = log.appender(stream(waiting[0])).unwrap();
    let mut appends = Vec::new();
    let full = loop {
        // Without a limit for each stream this one would fill the only producer.
        match appender.append(vec![b'x'; 1 << 20].into()) {
            Ok(appending) => appends.push(appending),
            Err(error) => break error,
        }
    };
    assert_eq!(full, AppendError::QueueFull);
    for partition in others {
        append(log.appender(stream(partition)).unwrap().as_mut(), "meanwhile").await.unwrap();
    }
    for appending in appends {
        let outcome = soon(appending).await;
        assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    }
    cluster.resume(PAUSED);
    append_at_last(&log, stream(waiting[0]), "after").await;
}
