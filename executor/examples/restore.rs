//! Measures how fast tables are restored from the journal topic of a real Kafka.
//!
//! `restore [ROWS] [PARTITIONS]` starts a broker, fills its journal topic, starts an executor without
//! tables, and prints rows per second and the peak of its memory. Both share the machine.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everlog_cluster::Alone;
use everlog_executor::invoker::{AttemptHandle, AttemptStart, EventSender, Invoker};
use everlog_executor::{Executor, ExecutorConfig, ExecutorLimits, Standing};
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{EventLog, RowChange, Stream, Topic};
use everlog_log_schema::codec::{
    CHECKPOINT_KEY, encode_checkpoint, encode_record, encode_row, hash_of,
};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    CheckpointRow, Command, Epoch, InboxOffset, LogOffset, Millis, PartitionId, PartitionRow,
    Record, Row, RowKey, Seq, Term,
};
use everlog_test_kafka::KafkaBroker;
use tokio::sync::watch;

const PIECE: u64 = 1_000;

/// There is nothing to run.
struct Nobody;

impl Invoker for Nobody {
    fn start(&self, _: AttemptStart, _: EventSender) -> AttemptHandle {
        unreachable!("the rows are of objects' state alone")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (rows, partitions) = (next(2_000_000)?, u32::try_from(next(4)?)?);
    let broker = KafkaBroker::start();
    let options = KafkaOptions {
        partitions,
        replication_factor: 1,
        ..KafkaOptions::new(broker.bootstrap_servers())
    };
    KafkaLog::ensure_topics(options.clone()).await?;
    let log = KafkaLog::connect(options).await?;
    for partition in (0..partitions).map(PartitionId) {
        fill(&log, partition, rows / u64::from(partitions)).await?;
    }
    let directory = tempfile::tempdir()?;
    // From here on the peak counts.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let began = Instant::now();
    let executor = start(log, directory.path())?;
    loop {
        let health = executor.health();
        if let Some(Standing::Stopped(why)) =
            health.values().find(|standing| matches!(standing, Standing::Stopped(_)))
        {
            return Err(why.clone().into());
        }
        if health.values().all(|standing| matches!(standing, Standing::Owner { .. })) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "there are fewer rows than 2^52")]
    let rate = rows as f64 / seconds;
    println!("{rows} rows of {partitions} partitions in {seconds:.1} s: {rate:.0} rows/s");
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no peak"));
    executor.drain(Duration::ZERO).await?;
    Ok(())
}

fn start(log: Arc<KafkaLog>, tables: &std::path::Path) -> Result<Executor, Box<dyn Error>> {
    let (_metadata, follower) = watch::channel(Arc::new(Metadata::default()));
    let limits = ExecutorLimits { journal: true, ..ExecutorLimits::default() };
    Ok(Executor::start(ExecutorConfig {
        cluster: Arc::new(Alone::new(log.partitions())),
        log,
        metadata: follower,
        tables_dir: tables.to_owned(),
        invoker: Arc::new(Nobody),
        address: "in-process".into(),
        limits,
    })?)
}

/// Writes a checkpoint of so many rows, and the record that the tables end with.
async fn fill(
    log: &Arc<KafkaLog>,
    partition: PartitionId,
    rows: u64,
) -> Result<(), Box<dyn Error>> {
    let record = Record {
        epoch: Epoch(1),
        term: Term(1),
        seq: Seq(0),
        now: Millis(0),
        commands: vec![Command::Resign],
    };
    let payload = encode_record(&record)?;
    let last_hash = hash_of(&payload);
    log.appender(Stream { topic: Topic::Log, partition })?.append(payload)?.await?;
    let mut checkpointer = log.checkpointer(partition).await?;
    let change = |key: RowKey, row: &Row| {
        let value = encode_row(row, LogOffset(0))?;
        Ok::<_, Box<dyn Error>>(RowChange { key: key.to_bytes().into(), value: Some(value) })
    };
    let mut number = 0;
    while number < rows {
        let mut piece = Vec::new();
        for number in number..rows.min(number + PIECE) {
            // As keys come: in no order.
            let key = format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let key = RowKey::State { service: "Cart".into(), key, name: "items".into() };
            piece.push(change(key, &Row::State(vec![7; 100].into()))?);
        }
        number += PIECE;
        checkpointer.add(piece).await?;
    }
    let head = PartitionRow { next_log: LogOffset(1), last_hash, ..PartitionRow::default() };
    let stands_for =
        CheckpointRow { log: LogOffset(1), inbox: InboxOffset(0), epoch: Epoch(1), at: Millis(0) };
    let value = encode_checkpoint(&stands_for)?;
    let last = RowChange { key: CHECKPOINT_KEY.into(), value: Some(value) };
    checkpointer.commit(vec![change(RowKey::Partition, &Row::Partition(head))?, last]).await?;
    Ok(())
}
