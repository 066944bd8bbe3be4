//! The journal topic on a real Kafka: why it is written in transactions, and who can read it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use bytes::Bytes;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{AppendError, EventLog, RowChange, Stream, Topic};
use everlog_log_schema::codec::{CHECKPOINT_KEY, encode_checkpoint, encode_row};
use everlog_log_schema::{
    CheckpointRow, Epoch, InboxOffset, InvocationId, LogOffset, Millis, PartitionId, PartitionKey,
    Row, RowKey,
};
use everlog_test_kafka::KafkaBroker;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const P0: PartitionId = PartitionId(0);
/// A bound for hangs only.
const WAIT: Duration = Duration::from_mins(2);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.expect("it did not happen in time")
}

async fn open(prefix: &str) -> std::sync::Arc<KafkaLog> {
    let servers = KafkaBroker::shared().bootstrap_servers();
    let options = KafkaOptions {
        topic_prefix: format!("{prefix}."),
        partitions: 1,
        replication_factor: 1,
        ..KafkaOptions::new(servers)
    };
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    KafkaLog::connect(options).await.unwrap()
}

fn producer(properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KafkaBroker::shared().bootstrap_servers());
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: &str, key: &str, value: &str) {
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).unwrap();
    producer.flush(WAIT).unwrap();
}

/// All that a plain consumer is given of partition 0 of a topic.
fn consume(topic: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", KafkaBroker::shared().bootstrap_servers())
        .set("group.id", "anybody")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut found = Vec::new();
    loop {
        match consumer.poll(WAIT).expect("the end is told") {
            Ok(message) => found.push((
                message.key().unwrap_or_default().to_vec(),
                message.payload().map(<[u8]>::to_vec),
            )),
            Err(KafkaError::PartitionEOF(_)) => return found,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A compacted topic of tiny segments, which the cleaner takes up at once.
async fn scratch_topic(name: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", KafkaBroker::shared().bootstrap_servers())
        .create()
        .unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", "1048576")
        .set("segment.ms", "100")
        .set("min.cleanable.dirty.ratio", "0.001")
        .set("min.compaction.lag.ms", "0")
        .set("max.compaction.lag.ms", "100");
    for made in admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}

/// Kafka's cleaner knows nothing of epochs: it keeps the record with the highest offset. So a topic
/// whose writers are told apart by what they write, as the event log's are, must not be compacted.
#[tokio::test]
async fn a_late_record_of_a_deposed_owner_deletes_a_valid_one_on_a_compacted_topic() {
    scratch_topic("trap").await;
    let (deposed, owner) = (producer(&[]), producer(&[]));
    send(&owner, "trap", "row", "of epoch 2");
    send(&deposed, "trap", "row", "of epoch 1");
    let valid = || consume("trap").into_iter().any(|(_, value)| value.unwrap() == b"of epoch 2");
    assert!(valid());
    soon(async {
        while valid() {
            // The cleaner leaves the segment that is written to alone.
            send(&owner, "trap", "other", &"x".repeat(100_000));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    assert!(consume("trap").into_iter().any(|(_, value)| value.unwrap() == b"of epoch 1"));
}

/// The event log keeps both records, and the reader's rule decides; the journal refuses the late one.
#[tokio::test]
async fn everlog_s_own_topics_are_not_touched_by_a_late_record() {
    let log = open("own").await;
    let stream = Stream { topic: Topic::Log, partition: P0 };
    let (mut deposed, mut owner) = (log.appender(stream).unwrap(), log.appender(stream).unwrap());
    soon(owner.append("of epoch 2".into()).unwrap()).await.unwrap();
    soon(deposed.append("of epoch 1".into()).unwrap()).await.unwrap();
    let policy = everlog_test_kafka::tool(
        KafkaBroker::shared().bootstrap_servers(),
        "kafka.admin.ConfigCommand",
        &["--describe", "--entity-type", "topics", "--entity-name", "own.log", "--all"],
    );
    assert!(policy.contains("cleanup.policy=delete"), "{policy}");
    assert!(policy.contains("retention.ms=-1"), "{policy}");

    let row = |value: &'static str| RowChange { key: "row".into(), value: Some(value.into()) };
    let mut deposed = soon(log.checkpointer(P0)).await.unwrap();
    soon(deposed.add(vec![row("of epoch 1")])).await.unwrap();
    let mut owner = soon(log.checkpointer(P0)).await.unwrap();
    soon(owner.commit(vec![row("of epoch 2")])).await.unwrap();
    assert_eq!(soon(deposed.commit(Vec::new())).await, Err(AppendError::Fenced));
    let values: Vec<_> =
        consume("own.journal").into_iter().filter_map(|(_, value)| value).collect();
    assert_eq!(values, [b"of epoch 2"]);
}

#[tokio::test]
async fn a_large_transaction_goes_in_pieces_and_counts_as_a_whole() {
    let log = open("pieces").await;
    let mut checkpointer = soon(log.checkpointer(P0)).await.unwrap();
    let piece = |number: u32| -> Vec<RowChange> {
        (0..1_000)
            .map(|row| RowChange {
                key: format!("{number}-{row}").into(),
                value: Some(Bytes::from(vec![7; 1_000])),
            })
            .collect()
    };
    // More than the client's queue holds.
    for number in 0..60 {
        soon(checkpointer.add(piece(number))).await.unwrap();
    }
    assert!(consume("pieces.journal").is_empty(), "rows are visible before the commit");
    soon(checkpointer.commit(Vec::new())).await.unwrap();
    assert_eq!(consume("pieces.journal").len(), 60_000);
    soon(checkpointer.add(piece(100))).await.unwrap();
    let large = RowChange { key: "large".into(), value: Some(vec![0; 36 << 20].into()) };
    let refused = soon(checkpointer.add(vec![large])).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    soon(checkpointer.commit(piece(0))).await.unwrap();
    assert_eq!(consume("pieces.journal").len(), 61_000, "the refused transaction left rows");
}

/// The published schemas, by fingerprint, as the bytes have it.
fn schemas() -> BTreeMap<Vec<u8>, Schema> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../log-schema/schemas/level-1");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| {
            let schema = Schema::parse_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            (schema.fingerprint::<Rabin>().bytes.clone(), schema)
        })
        .collect()
}

fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    let Value::Record(fields) = value else { panic!("{value:?} is no record") };
    &fields.iter().find(|(field, _)| field == name).unwrap().1
}

/// A reader that knows Kafka, Avro and the schema files, and nothing of this project's code.
#[tokio::test]
async fn anybody_can_read_the_journal_with_the_published_schemas_alone() {
    let log = open("public").await;
    let mut checkpointer = soon(log.checkpointer(P0)).await.unwrap();
    let state = RowKey::State { service: "Cart".into(), key: "k".into(), name: "items".into() };
    let id = InvocationId { partition_key: PartitionKey(1), uuid: 2 };
    let value = encode_row(&Row::State("three".into()), LogOffset(41)).unwrap();
    let rows = vec![
        RowChange { key: state.to_bytes().into(), value: Some(value) },
        RowChange { key: RowKey::Running(id).to_bytes().into(), value: None },
    ];
    soon(checkpointer.add(rows)).await.unwrap();
    let checkpoint = CheckpointRow {
        log: LogOffset(42),
        inbox: InboxOffset(7),
        epoch: Epoch(3),
        at: Millis(1_000),
    };
    let value = encode_checkpoint(&checkpoint).unwrap();
    let last = RowChange { key: CHECKPOINT_KEY.into(), value: Some(value) };
    soon(checkpointer.commit(vec![last])).await.unwrap();

    let schemas = schemas();
    let mut read = Vec::new();
    for (key, value) in consume("public.journal") {
        let value = value.map(|value| {
            assert_eq!(value[..2], [0xC3, 0x01]);
            let schema = &schemas[&value[2..10]];
            let reader = GenericDatumReader::builder(schema).build().unwrap();
            reader.read_value(&mut &value[10..]).unwrap()
        });
        read.push((key, value));
    }
    assert_eq!(read.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), [0x0C, 0x05, 0x00]);
    assert_eq!(read[1].1, None, "a row that is gone");
    let state = read[0].1.as_ref().unwrap();
    assert_eq!(*field(state, "changed_at"), Value::Long(41));
    assert_eq!(*field(field(state, "row"), "value"), Value::Bytes(b"three".to_vec()));
    let checkpoint = read[2].1.as_ref().unwrap();
    assert_eq!(*field(checkpoint, "log"), Value::Long(42));
    assert_eq!(*field(checkpoint, "epoch"), Value::Long(3));
}
