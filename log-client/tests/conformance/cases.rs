//! The cases. Each gets an empty log of its own with [`PARTITIONS`] partitions.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use everlog_log_client::{AppendError, EventLog, LogError};
use everlog_log_schema::{PartitionId, limits};

use crate::support::{
    METADATA, PARTITIONS, append_all, inbox_of, log_of, numbered, read, resolve_all, row, rows,
    soon, text, texts, tombstone,
};

type Log = Arc<dyn EventLog>;

/// Runs a macro once per case, to make a test of each on a backend.
macro_rules! for_each_case {
    ($make:ident) => {
        $make! {
            records_come_back_in_order_with_offset_and_time,
            pipelined_appends_keep_their_order,
            each_appender_keeps_its_own_order,
            streams_are_apart,
            a_reader_waits_and_is_woken,
            a_reader_starts_in_the_middle,
            readers_of_one_stream_go_their_own_ways,
            a_dropped_read_loses_nothing,
            outside_the_log_is_an_error,
            bounds_tell_the_extent,
            trimmed_records_are_gone_and_offsets_go_on,
            a_reader_that_a_trim_overtakes_skips_nothing,
            a_record_that_is_too_large_harms_no_other,
            the_largest_record_fits,
            batches_are_bounded,
            an_unknown_partition_is_refused,
            a_checkpoint_replaces_rows,
            a_checkpoint_is_empty_at_first,
            checkpoints_of_partitions_are_apart,
            a_later_checkpointer_fences,
            a_refused_checkpoint_writes_nothing,
            rows_that_were_not_committed_leave_the_journal_empty,
            many_rows_come_back,
        }
    };
}
pub(crate) use for_each_case;

pub(crate) async fn records_come_back_in_order_with_offset_and_time(log: Log) {
    assert_eq!(log.partitions(), PARTITIONS);
    let before = now_ms();
    let offsets = append_all(&log, log_of(1), numbered("record", 5)).await;
    let mut reader = log.reader(log_of(1), offsets[0]).unwrap();
    let records = read(reader.as_mut(), 5).await;
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), numbered("record", 5));
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), offsets);
    for record in records {
        let slack_ms = 2_000;
        assert!(record.appended_at_ms + slack_ms >= before, "{} < {before}", record.appended_at_ms);
        assert!(record.appended_at_ms <= now_ms() + slack_ms);
    }
}

pub(crate) async fn pipelined_appends_keep_their_order(log: Log) {
    let offsets = append_all(&log, log_of(0), numbered("record", 2_000)).await;
    assert!(offsets.is_sorted_by(|earlier, later| earlier < later), "offsets rise");
    assert_eq!(texts(&log, log_of(0), offsets[0], 2_000).await, numbered("record", 2_000));
}

pub(crate) async fn each_appender_keeps_its_own_order(log: Log) {
    let (mut left, mut right) =
        (log.appender(inbox_of(0)).unwrap(), log.appender(inbox_of(0)).unwrap());
    let mut appends = Vec::new();
    for number in 0..100 {
        appends.push(left.append(format!("left {number}").into()).unwrap());
        appends.push(right.append(format!("right {number}").into()).unwrap());
    }
    let outcomes = resolve_all(appends).await;
    let first = *outcomes.iter().flatten().min().unwrap();
    let records = texts(&log, inbox_of(0), first, 200).await;
    for name in ["left", "right"] {
        let own: Vec<_> = records.iter().filter(|text| text.starts_with(name)).cloned().collect();
        assert_eq!(own, numbered(name, 100));
    }
}

pub(crate) async fn streams_are_apart(log: Log) {
    let mut streams = vec![METADATA];
    for partition in 0..PARTITIONS {
        streams.extend([log_of(partition), inbox_of(partition)]);
    }
    let mut firsts = Vec::new();
    for stream in &streams {
        firsts.push(append_all(&log, *stream, numbered(&format!("{stream:?}"), 3)).await[0]);
    }
    for (stream, first) in streams.iter().zip(firsts) {
        assert_eq!(texts(&log, *stream, first, 3).await, numbered(&format!("{stream:?}"), 3));
    }
}

pub(crate) async fn a_reader_waits_and_is_woken(log: Log) {
    let mut reader = log.reader(log_of(2), 0).unwrap();
    let mut appender = log.appender(log_of(2)).unwrap();
    for number in 0..20 {
        let wanted = format!("record {number}");
        let waiting = tokio::spawn(async move {
            let records = soon(reader.next()).await.unwrap();
            (reader, records)
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "there is nothing to read yet");
        soon(appender.append(wanted.clone().into()).unwrap()).await.unwrap();
        let records;
        (reader, records) = waiting.await.unwrap();
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), [wanted]);
    }
}

pub(crate) async fn a_reader_starts_in_the_middle(log: Log) {
    let offsets = append_all(&log, log_of(0), numbered("record", 50)).await;
    assert_eq!(texts(&log, log_of(0), offsets[30], 20).await, numbered("record", 50)[30..]);
    let mut reader = log.reader(log_of(0), offsets[49] + 1).unwrap();
    append_all(&log, log_of(0), ["the next".to_owned()]).await;
    assert_eq!(text(&read(reader.as_mut(), 1).await[0]), "the next");
}

pub(crate) async fn readers_of_one_stream_go_their_own_ways(log: Log) {
    append_all(&log, log_of(0), numbered("record", 50)).await;
    let mut first = log.reader(log_of(0), 0).unwrap();
    let mut second = log.reader(log_of(0), 0).unwrap();
    assert_eq!(read(first.as_mut(), 50).await.len(), 50);
    drop(first);
    // Whatever the two share outlives the first, and a third takes its place.
    let mut third = log.reader(log_of(0), 0).unwrap();
    assert_eq!(read(second.as_mut(), 50).await.len(), 50);
    assert_eq!(read(third.as_mut(), 50).await.len(), 50);
    append_all(&log, log_of(0), ["the next".to_owned()]).await;
    for reader in [&mut second, &mut third] {
        assert_eq!(text(&read(reader.as_mut(), 1).await[0]), "the next");
    }
}

pub(crate) async fn a_dropped_read_loses_nothing(log: Log) {
    let mut reader = log.reader(log_of(0), 0).unwrap();
    let mut seen = Vec::new();
    let mut appender = log.appender(log_of(0)).unwrap();
    let mut appends = Vec::new();
    for number in 0..200 {
        appends.push(appender.append(format!("record {number}").into()).unwrap());
        let brief = Duration::from_micros(number % 7 * 100);
        if let Ok(batch) = tokio::time::timeout(brief, reader.next()).await {
            seen.extend(batch.unwrap());
        }
    }
    resolve_all(appends).await;
    let missing = 200 - seen.len();
    seen.extend(read(reader.as_mut(), missing).await);
    assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), numbered("record", 200));
}

pub(crate) async fn outside_the_log_is_an_error(log: Log) {
    let offsets = append_all(&log, log_of(0), numbered("record", 10)).await;
    let end = offsets[9] + 1;
    soon(log.trim(log_of(0), offsets[4])).await.unwrap();
    for wanted in [offsets[3], end + 1, end + 1_000] {
        let error = read_error(&log, wanted).await;
        assert_eq!(error, LogError::OutOfRange { wanted, start: offsets[4], end });
    }
}

async fn read_error(log: &Log, from: u64) -> LogError {
    match log.reader(log_of(0), from) {
        Ok(mut reader) => soon(reader.next()).await.unwrap_err(),
        Err(error) => error,
    }
}

pub(crate) async fn bounds_tell_the_extent(log: Log) {
    let empty = soon(log.bounds(log_of(1))).await.unwrap();
    assert_eq!(empty.start, empty.end);
    let offsets = append_all(&log, log_of(1), numbered("record", 4)).await;
    assert_eq!(offsets[0], empty.end);
    let full = soon(log.bounds(log_of(1))).await.unwrap();
    assert_eq!((full.start, full.end), (offsets[0], offsets[3] + 1));
}

pub(crate) async fn trimmed_records_are_gone_and_offsets_go_on(log: Log) {
    let offsets = append_all(&log, log_of(1), numbered("record", 100)).await;
    let end = offsets[99] + 1;
    for (below, start) in [
        (offsets[10], offsets[10]),
        (offsets[10], offsets[10]),
        (offsets[2], offsets[10]),
        (end, end),
    ] {
        soon(log.trim(log_of(1), below)).await.unwrap();
        let bounds = soon(log.bounds(log_of(1))).await.unwrap();
        assert_eq!((bounds.start, bounds.end), (start, end));
    }
    let beyond = soon(log.trim(log_of(1), end + 5)).await.unwrap_err();
    assert_eq!(beyond, LogError::OutOfRange { wanted: end + 5, start: end, end });
    let next = append_all(&log, log_of(1), ["after".to_owned()]).await;
    assert!(next[0] >= end);
    assert_eq!(texts(&log, log_of(1), end, 1).await, ["after"]);
}

/// What a reader fetched before the trim it may still return; it must not skip in silence.
pub(crate) async fn a_reader_that_a_trim_overtakes_skips_nothing(log: Log) {
    let offsets = append_all(&log, log_of(0), numbered("record", 10)).await;
    let mut reader = log.reader(log_of(0), offsets[0]).unwrap();
    soon(log.trim(log_of(0), offsets[5])).await.unwrap();
    match soon(reader.next()).await {
        Ok(records) => assert_eq!(records[0].offset, offsets[0]),
        Err(error) => assert!(matches!(error, LogError::OutOfRange { .. }), "{error}"),
    }
}

pub(crate) async fn a_record_that_is_too_large_harms_no_other(log: Log) {
    let mut appender = log.appender(log_of(0)).unwrap();
    let mut outcomes = Vec::new();
    for bytes in [10, limits::RECORD_BYTES_MAX + 1, 20] {
        match appender.append(Bytes::from(vec![7; bytes])) {
            Ok(append) => outcomes.push(soon(append).await),
            Err(error) => outcomes.push(Err(error)),
        }
    }
    let (bytes, max) = (limits::RECORD_BYTES_MAX + 1, limits::RECORD_BYTES_MAX);
    assert_eq!(outcomes[1], Err(AppendError::TooLarge { bytes, max }));
    let first = *outcomes[0].as_ref().unwrap();
    assert!(first < *outcomes[2].as_ref().unwrap());
    let mut reader = log.reader(log_of(0), first).unwrap();
    let sizes: Vec<_> =
        read(reader.as_mut(), 2).await.iter().map(|record| record.payload.len()).collect();
    assert_eq!(sizes, [10, 20]);
}

pub(crate) async fn the_largest_record_fits(log: Log) {
    let mut appender = log.appender(log_of(0)).unwrap();
    let largest = Bytes::from(vec![9; limits::RECORD_BYTES_MAX]);
    let offset = soon(appender.append(largest.clone()).unwrap()).await.unwrap();
    let mut reader = log.reader(log_of(0), offset).unwrap();
    assert!(read(reader.as_mut(), 1).await[0].payload == largest);
}

pub(crate) async fn batches_are_bounded(log: Log) {
    let mut appender = log.appender(log_of(0)).unwrap();
    let record = Bytes::from(vec![5; 1 << 20]);
    let appends = (0..24).map(|_| appender.append(record.clone()).unwrap()).collect();
    let first = *resolve_all(appends).await[0].as_ref().unwrap();
    let mut reader = log.reader(log_of(0), first).unwrap();
    let mut records = 0;
    while records < 24 {
        let batch = soon(reader.next()).await.unwrap();
        assert!(batch.len() <= 8, "a batch of {} MiB", batch.len());
        records += batch.len();
    }
    assert_eq!(records, 24);
}

pub(crate) async fn an_unknown_partition_is_refused(log: Log) {
    let unknown = log_of(PARTITIONS);
    assert!(matches!(log.appender(unknown), Err(LogError::Setup(_))));
    assert!(matches!(log.reader(unknown, 0), Err(LogError::Setup(_))));
    assert!(matches!(soon(log.bounds(unknown)).await, Err(LogError::Setup(_))));
    assert!(matches!(soon(log.trim(unknown, 0)).await, Err(LogError::Setup(_))));
    let partition = PartitionId(PARTITIONS);
    assert!(matches!(soon(log.checkpointer(partition)).await, Err(LogError::Setup(_))));
    assert!(matches!(soon(log.checkpoint(partition)).await, Err(LogError::Setup(_))));
}

pub(crate) async fn a_checkpoint_replaces_rows(log: Log) {
    let mut checkpointer = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    soon(checkpointer.commit(vec![row("a", "1"), row("b", "1"), row("c", "1")])).await.unwrap();
    soon(checkpointer.commit(vec![row("b", "2"), tombstone("c"), row("d", "2")])).await.unwrap();
    assert_eq!(rows(&log, 0).await, ["a=1", "b=2", "d=2"]);
    soon(checkpointer.commit(vec![row("c", "3"), tombstone("never there")])).await.unwrap();
    soon(checkpointer.commit(Vec::new())).await.unwrap();
    assert_eq!(rows(&log, 0).await, ["a=1", "b=2", "c=3", "d=2"]);
}

pub(crate) async fn a_checkpoint_is_empty_at_first(log: Log) {
    assert!(rows(&log, 2).await.is_empty());
}

pub(crate) async fn checkpoints_of_partitions_are_apart(log: Log) {
    for partition in 0..PARTITIONS {
        let mut checkpointer = soon(log.checkpointer(PartitionId(partition))).await.unwrap();
        soon(checkpointer.commit(vec![row("key", &partition.to_string())])).await.unwrap();
    }
    for partition in 0..PARTITIONS {
        assert_eq!(rows(&log, partition).await, [format!("key={partition}")]);
    }
}

pub(crate) async fn a_later_checkpointer_fences(log: Log) {
    let mut earlier = soon(log.checkpointer(PartitionId(1))).await.unwrap();
    let mut other = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    soon(earlier.commit(vec![row("key", "earlier")])).await.unwrap();
    let mut later = soon(log.checkpointer(PartitionId(1))).await.unwrap();
    for _ in 0..2 {
        let fenced = soon(earlier.commit(vec![row("key", "too late")])).await;
        assert_eq!(fenced, Err(AppendError::Fenced));
    }
    soon(later.commit(vec![row("key", "later")])).await.unwrap();
    assert_eq!(rows(&log, 1).await, ["key=later"]);
    soon(other.commit(vec![row("key", "of another partition")])).await.unwrap();
}

pub(crate) async fn a_refused_checkpoint_writes_nothing(log: Log) {
    let mut checkpointer = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    soon(checkpointer.commit(vec![row("key", "1")])).await.unwrap();
    let large = "x".repeat(limits::ROW_BYTES_MAX);
    let refused = soon(checkpointer.commit(vec![row("key", "2"), row("large", &large)])).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    assert_eq!(rows(&log, 0).await, ["key=1"]);
    soon(checkpointer.commit(vec![row("key", "3")])).await.unwrap();
    assert_eq!(rows(&log, 0).await, ["key=3"]);
}

pub(crate) async fn rows_that_were_not_committed_leave_the_journal_empty(log: Log) {
    let partition = PartitionId(0);
    let mut dropped = soon(log.checkpointer(partition)).await.unwrap();
    assert!(dropped.began_empty());
    soon(dropped.add(vec![row("key", "never committed")])).await.unwrap();
    drop(dropped);
    let mut owner = soon(log.checkpointer(partition)).await.unwrap();
    assert!(owner.began_empty());
    soon(owner.commit(vec![row("key", "1")])).await.unwrap();
    assert!(!soon(log.checkpointer(partition)).await.unwrap().began_empty());
}

pub(crate) async fn many_rows_come_back(log: Log) {
    let mut checkpointer = soon(log.checkpointer(PartitionId(0))).await.unwrap();
    let value = "v".repeat(1_000);
    let all = (0..5_000).map(|number| row(&format!("{number:05}"), &value)).collect();
    soon(checkpointer.commit(all)).await.unwrap();
    let stored = rows(&log, 0).await;
    assert_eq!(stored.len(), 5_000);
    assert_eq!(stored[4_999], format!("04999={value}"));
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
