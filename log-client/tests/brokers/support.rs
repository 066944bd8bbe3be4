//! What the tests share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{AppendError, Appender, EventLog, LogError, Stream, Topic};
use everlog_log_schema::PartitionId;

/// What the tests append to.
pub(crate) const STREAM: Stream = Stream { topic: Topic::Log, partition: PartitionId(0) };
/// The inbox beside it.
pub(crate) const INBOX: Stream = Stream { topic: Topic::Invocations, partition: PartitionId(0) };

/// A log of two partitions, on so many brokers.
pub(crate) fn options(prefix: &str, servers: &str, replication_factor: u16) -> KafkaOptions {
    KafkaOptions {
        topic_prefix: format!("{prefix}."),
        partitions: 2,
        delayed_partitions: 1,
        replication_factor,
        ..KafkaOptions::new(servers)
    }
}

/// Makes the topics and connects.
pub(crate) async fn log(options: KafkaOptions) -> Arc<KafkaLog> {
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    KafkaLog::connect(options).await.unwrap()
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), future).await.expect("it did not happen in time")
}

/// Appends one record and waits for its outcome.
pub(crate) async fn append(appender: &mut dyn Appender, text: &str) -> Result<u64, AppendError> {
    let appending = appender.append(Bytes::from(text.to_owned()))?;
    soon(appending).await
}

/// Does what an owner does: opens an appender and appends, again and again until it succeeds.
/// Anything but an error that may pass is a failure.
pub(crate) async fn append_at_last(log: &KafkaLog, stream: Stream, text: &str) -> u64 {
    let attempts = async {
        loop {
            match log.appender(stream) {
                Ok(mut appender) => {
                    if let Ok(offset) = append(appender.as_mut(), text).await {
                        return offset;
                    }
                }
                Err(LogError::Unavailable(_)) => {}
                Err(error) => panic!("it would stop for good: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(attempts).await
}

/// Reads records until there are so many.
pub(crate) async fn read(log: &KafkaLog, stream: Stream, count: usize) -> Vec<String> {
    let mut records = Vec::new();
    let reading = async {
        let mut reader = log.reader(stream, 0).unwrap();
        while records.len() < count {
            records.extend(reader.next().await.unwrap());
        }
    };
    soon(reading).await;
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}
