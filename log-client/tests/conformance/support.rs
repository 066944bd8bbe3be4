//! What the cases share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::{
    AppendError, Appending, EventLog, Logged, Reader, RowChange, Stream, Topic,
};
use everlog_log_schema::PartitionId;

/// The partitions of every log under test.
pub(crate) const PARTITIONS: u32 = 3;

/// The event log of a partition.
pub(crate) fn log_of(partition: u32) -> Stream {
    Stream { topic: Topic::Log, partition: PartitionId(partition) }
}

/// The inbox of a partition.
pub(crate) fn inbox_of(partition: u32) -> Stream {
    Stream { topic: Topic::Invocations, partition: PartitionId(partition) }
}

/// The only stream of metadata.
pub(crate) const METADATA: Stream = Stream { topic: Topic::Metadata, partition: PartitionId(0) };

/// Waits for something that must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it did not happen in time")
}

/// Appends records, pipelined, and returns their offsets.
pub(crate) async fn append_all(
    log: &Arc<dyn EventLog>,
    stream: Stream,
    records: impl IntoIterator<Item = String>,
) -> Vec<u64> {
    let mut appender = log.appender(stream).unwrap();
    let appends: Vec<_> =
        records.into_iter().map(|record| appender.append(record.into()).unwrap()).collect();
    resolve_all(appends).await.into_iter().map(Result::unwrap).collect()
}

/// Waits for the outcome of each append.
pub(crate) async fn resolve_all(appends: Vec<Appending>) -> Vec<Result<u64, AppendError>> {
    let mut outcomes = Vec::new();
    for append in appends {
        outcomes.push(soon(append).await);
    }
    outcomes
}

/// Reads exactly `count` records; more in the last batch are a failure.
pub(crate) async fn read(reader: &mut dyn Reader, count: usize) -> Vec<Logged> {
    let mut records = Vec::new();
    while records.len() < count {
        let batch = soon(reader.next()).await.unwrap();
        assert!(!batch.is_empty(), "a batch has at least one record");
        records.extend(batch);
    }
    assert_eq!(records.len(), count);
    records
}

/// Reads `count` records of a stream from an offset on, as text.
pub(crate) async fn texts(
    log: &Arc<dyn EventLog>,
    stream: Stream,
    from: u64,
    count: usize,
) -> Vec<String> {
    let mut reader = log.reader(stream, from).unwrap();
    read(reader.as_mut(), count).await.iter().map(text).collect()
}

/// A record's payload as text.
pub(crate) fn text(record: &Logged) -> String {
    String::from_utf8(record.payload.to_vec()).unwrap()
}

/// Numbered records.
pub(crate) fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name} {number}")).collect()
}

/// A row with a value.
pub(crate) fn row(key: &str, value: &str) -> RowChange {
    RowChange { key: key.to_owned().into(), value: Some(value.to_owned().into()) }
}

/// A row that is gone.
pub(crate) fn tombstone(key: &str) -> RowChange {
    RowChange { key: key.to_owned().into(), value: None }
}

/// A partition's rows as they stand at the end of its checkpoint, as `key=value`, in order.
pub(crate) async fn rows(log: &Arc<dyn EventLog>, partition: u32) -> Vec<String> {
    let mut newest = std::collections::BTreeMap::<Bytes, Option<Bytes>>::new();
    let mut reader = soon(log.checkpoint(PartitionId(partition))).await.unwrap();
    loop {
        let batch = soon(reader.next()).await.unwrap();
        if batch.is_empty() {
            break;
        }
        newest.extend(batch.into_iter().map(|row| (row.key, row.value)));
    }
    let shown = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    newest
        .iter()
        .filter_map(|(key, value)| Some(format!("{}={}", shown(key), shown(value.as_ref()?))))
        .collect()
}
