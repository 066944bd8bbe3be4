//! What only a real Kafka does: refuse, go away and come back, leave transactions open.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{AppendError, EventLog, LogError, RowChange, Stream, Topic};
use everlog_log_schema::PartitionId;
use everlog_test_kafka::KafkaBroker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::{Pid, Signal, kill_process};

const STREAM: Stream = Stream { topic: Topic::Log, partition: PartitionId(0) };
const WAIT: Duration = Duration::from_mins(1);

fn options(prefix: &str, servers: &str) -> KafkaOptions {
    KafkaOptions {
        topic_prefix: format!("{prefix}."),
        partitions: 2,
        replication_factor: 1,
        // What waits for a broker that starts again must not be given up.
        append_stall_max: WAIT,
        ..KafkaOptions::new(servers)
    }
}

async fn log(prefix: &str, servers: &str) -> Arc<KafkaLog> {
    KafkaLog::ensure_topics(options(prefix, servers)).await.unwrap();
    KafkaLog::connect(options(prefix, servers)).await.unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.expect("it did not happen in time")
}

async fn read(log: &KafkaLog, from: u64, count: usize) -> Vec<String> {
    let mut reader = log.reader(STREAM, from).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(soon(reader.next()).await.unwrap());
    }
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

fn row(key: &'static str, value: &'static str) -> RowChange {
    RowChange { key: Bytes::from_static(key.as_bytes()), value: Some(value.into()) }
}

async fn rows(log: &KafkaLog) -> Vec<RowChange> {
    let mut reader = soon(log.checkpoint(PartitionId(0))).await.unwrap();
    let mut rows = Vec::new();
    loop {
        let batch = soon(reader.next()).await.unwrap();
        if batch.is_empty() {
            return rows;
        }
        rows.extend(batch);
    }
}

/// A log whose topic takes less than Everlog believes.
async fn log_with_small_records(options: KafkaOptions) -> Arc<KafkaLog> {
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    let log = KafkaLog::connect(options.clone()).await.unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &options.bootstrap_servers).create().unwrap();
    let topic = format!("{}log", options.topic_prefix);
    let smaller = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("max.message.bytes", "100000")
        .set("message.timestamp.type", "LogAppendTime");
    for altered in admin.alter_configs(&[smaller], &AdminOptions::new()).await.unwrap() {
        altered.unwrap();
    }
    log
}

/// Thirty pipelined records, of which the topic does not take one.
async fn pipeline_with_a_large_record(log: &KafkaLog) -> Vec<Result<u64, AppendError>> {
    let mut appender = log.appender(STREAM).unwrap();
    let mut pipeline = Vec::new();
    for number in 0..30 {
        let large = if number == 10 { 200_000 } else { 0 };
        let payload = format!("{number} {}", "x".repeat(large));
        pipeline.push(appender.append(payload.into()).unwrap());
    }
    let mut outcomes = Vec::new();
    for append in pipeline {
        outcomes.push(soon(append).await);
    }
    outcomes
}

#[tokio::test]
async fn a_batch_that_the_broker_refuses_leaves_the_others_in_order() {
    let mut options = options("refused", KafkaBroker::shared().bootstrap_servers());
    options.properties.insert("batch.num.messages".into(), "1".into());
    let log = log_with_small_records(options).await;
    let outcomes = pipeline_with_a_large_record(&log).await;
    assert!(matches!(outcomes[10], Err(AppendError::Refused(_))), "{:?}", outcomes[10]);
    let written: Vec<_> = outcomes.iter().flatten().copied().collect();
    assert_eq!(written, (0..29).collect::<Vec<_>>(), "{outcomes:?}");
    let expected: Vec<_> =
        (0..30).filter(|number| *number != 10).map(|number| format!("{number} ")).collect();
    assert_eq!(read(&log, 0, 29).await, expected);
}

/// Kafka refuses batches, not records: an append may be refused for its neighbour's size. What it
/// says is true all the same.
#[tokio::test]
async fn every_append_of_a_refused_batch_says_so_and_is_not_in_the_log() {
    let options = options("neighbours", KafkaBroker::shared().bootstrap_servers());
    let log = log_with_small_records(options).await;
    let outcomes = pipeline_with_a_large_record(&log).await;
    assert!(matches!(outcomes[10], Err(AppendError::Refused(_))), "{:?}", outcomes[10]);
    let mut appender = log.appender(STREAM).unwrap();
    let next = soon(appender.append("after".into()).unwrap()).await.unwrap();
    let mut expected = Vec::new();
    for (outcome, number) in outcomes.iter().zip(0..) {
        match outcome {
            Ok(offset) => {
                assert_eq!(*offset, expected.len() as u64);
                expected.push(format!("{number} "));
            }
            Err(error) => assert!(matches!(error, AppendError::Refused(_)), "{error}"),
        }
    }
    assert_eq!(next, expected.len() as u64);
    expected.push("after".into());
    assert_eq!(read(&log, 0, expected.len()).await, expected);
}

#[tokio::test]
async fn a_broker_killed_and_started_again_gets_every_record_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let broker = KafkaBroker::start_in(directory.path());
    let log = log("restarted", broker.bootstrap_servers()).await;
    let mut appender = log.appender(STREAM).unwrap();
    let mut reader = log.reader(STREAM, 0).unwrap();
    let mut checkpointer = log.checkpointer(PartitionId(0)).await.unwrap();
    soon(checkpointer.commit(vec![row("key", "before")])).await.unwrap();
    let mut appends = Vec::new();
    for number in 0..600 {
        appends.push(appender.append(format!("{number}").into()).unwrap());
        if number == 200 {
            soon(&mut appends[0]).await.unwrap();
            kill(directory.path());
        }
        tokio::task::yield_now().await;
    }
    drop(broker);
    let broker = KafkaBroker::start_in(directory.path());
    let mut offsets = vec![0];
    for append in appends.drain(1..) {
        offsets.push(soon(append).await.unwrap());
    }
    assert_eq!(offsets, (0..600).collect::<Vec<_>>(), "none is lost, none is there twice");
    let mut records = Vec::new();
    while records.len() < 600 {
        records.extend(soon(reader.next()).await.unwrap());
    }
    let texts: Vec<_> = records.iter().map(|record| record.payload.clone()).collect();
    assert_eq!(texts, (0..600).map(|number| Bytes::from(format!("{number}"))).collect::<Vec<_>>());
    soon(checkpointer.commit(vec![row("key", "after")])).await.unwrap();
    assert_eq!(rows(&log).await.last(), Some(&row("key", "after")));
    drop(broker);
}

fn kill(broker: &Path) {
    let pid = fs::read_to_string(broker.join("pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn an_append_given_up_while_the_broker_is_away_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let broker = KafkaBroker::start_in(directory.path());
    let log = log("away", broker.bootstrap_servers()).await;
    let mut appender = log.appender(STREAM).unwrap();
    soon(appender.append("there".into()).unwrap()).await.unwrap();
    kill(directory.path());
    let append = appender.append("lost?".into()).unwrap();
    drop((appender, log));
    let outcome = soon(append).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
}

#[tokio::test]
async fn an_open_or_aborted_transaction_is_not_part_of_a_checkpoint() {
    let servers = KafkaBroker::shared().bootstrap_servers();
    let log = log("open", servers).await;
    let mut checkpointer = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    soon(checkpointer.commit(vec![row("key", "committed")])).await.unwrap();
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", "another")
        .create()
        .unwrap();
    let write = |value: &str| {
        other.begin_transaction().unwrap();
        let record = BaseRecord::to("open.journal").partition(0).key("key").payload(value);
        other.send(record).unwrap();
        other.flush(WAIT).unwrap();
    };
    other.init_transactions(WAIT).unwrap();
    write("aborted");
    other.abort_transaction(WAIT).unwrap();
    assert_eq!(rows(&log).await, [row("key", "committed")], "ends behind an abort marker");
    write("open");
    assert_eq!(rows(&log).await, [row("key", "committed")], "ends before an open transaction");
    soon(checkpointer.commit(vec![row("other", "committed")])).await.unwrap();
    assert_eq!(rows(&log).await, [row("key", "committed")], "what follows it must wait for it");
    other.abort_transaction(WAIT).unwrap();
    assert_eq!(rows(&log).await, [row("key", "committed"), row("other", "committed")]);
}

#[tokio::test]
async fn opening_a_checkpointer_ends_the_open_transaction_of_the_one_before() {
    let servers = KafkaBroker::shared().bootstrap_servers();
    let log = log("paused", servers).await;
    let paused: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", "paused.journal-0")
        .create()
        .unwrap();
    paused.init_transactions(WAIT).unwrap();
    paused.begin_transaction().unwrap();
    let late = BaseRecord::to("paused.journal").partition(0).key("key").payload("of the zombie");
    paused.send(late).unwrap();
    paused.flush(WAIT).unwrap();
    let mut checkpointer = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    soon(checkpointer.commit(vec![row("key", "of the owner")])).await.unwrap();
    let fenced = paused.commit_transaction(WAIT).unwrap_err();
    assert_eq!(rows(&log).await, [row("key", "of the owner")], "{fenced}");
}

#[tokio::test]
async fn what_is_wrong_with_the_topics_is_said() {
    let servers = KafkaBroker::shared().bootstrap_servers();
    let missing = KafkaLog::connect(options("missing", servers)).await.unwrap_err();
    let LogError::Setup(text) = &missing else { panic!("{missing:?}") };
    assert!(text.contains("missing.invocations does not exist"), "{text}");
    drop(log("counted", servers).await);
    let other = KafkaOptions { partitions: 5, ..options("counted", servers) };
    let counted = KafkaLog::connect(other).await.unwrap_err();
    let LogError::Setup(text) = &counted else { panic!("{counted:?}") };
    assert!(text.contains("counted.log has 2 partitions and needs 5"), "{text}");
}

#[tokio::test]
async fn no_broker_is_unavailable_and_not_for_ever() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = soon(KafkaLog::connect(options("nobody", &nobody.to_string()))).await.unwrap_err();
    assert!(matches!(error, LogError::Unavailable(_)), "{error:?}");
}
