//! What only the embedded log does: it keeps everything in a directory, and says what is wrong with
//! that directory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{AppendError, Bounds, EventLog, LogError, RowChange, Stream, Topic};
use everlog_log_schema::PartitionId;

const PARTITIONS: u32 = 2;

fn log_of(partition: u32) -> Stream {
    Stream { topic: Topic::Log, partition: PartitionId(partition) }
}

fn open(directory: &Path) -> Result<Arc<EmbeddedLog>, LogError> {
    EmbeddedLog::open(directory, EmbeddedOptions { partitions: PARTITIONS, fsync: true })
}

fn refusal(directory: &Path) -> LogError {
    open(directory).expect_err("it must be refused")
}

async fn append(log: &EmbeddedLog, stream: Stream, payload: impl Into<Bytes>) -> u64 {
    log.appender(stream).unwrap().append(payload.into()).unwrap().await.unwrap()
}

async fn read(log: &EmbeddedLog, stream: Stream, from: u64, count: usize) -> Vec<Bytes> {
    let mut reader = log.reader(stream, from).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let batch = tokio::time::timeout(Duration::from_mins(1), reader.next()).await;
        records.extend(batch.unwrap().unwrap());
    }
    for (record, offset) in records.iter().zip(from..) {
        assert_eq!(record.offset, offset, "the embedded log's offsets have no gap");
    }
    records.into_iter().map(|record| record.payload).collect()
}

async fn write_and_close(directory: &Path, records: std::ops::Range<u64>) {
    let log = open(directory).unwrap();
    for number in records {
        assert_eq!(append(&log, log_of(0), format!("record {number}")).await, number);
    }
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// The file that the newest records are in, though it may not be the newest file.
fn newest_log_file(directory: &Path) -> PathBuf {
    let written = |path: &PathBuf| fs::metadata(path).unwrap().len() > 0;
    files(directory, "log").into_iter().rfind(written).unwrap()
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let large = Bytes::from(vec![3; 3 << 20]);
    {
        let log = open(directory.path()).unwrap();
        for number in 0..50 {
            append(&log, log_of(0), format!("record {number}")).await;
        }
        append(&log, log_of(1), large.clone()).await;
        log.trim(log_of(0), 20).await.unwrap();
        let row = |key: &'static str, value: Option<&'static str>| RowChange {
            key: Bytes::from_static(key.as_bytes()),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
        };
        let mut checkpointer = log.checkpointer(PartitionId(1)).await.unwrap();
        checkpointer.commit(vec![row("a", Some("1")), row("b", Some("1"))]).await.unwrap();
        checkpointer.commit(vec![row("a", None)]).await.unwrap();
    }
    for _ in 0..2 {
        let log = open(directory.path()).unwrap();
        assert_eq!(log.bounds(log_of(0)).await.unwrap(), Bounds { start: 20, end: 50 });
        let records = read(&log, log_of(0), 20, 30).await;
        assert_eq!((&records[0], &records[29]), (&"record 20".into(), &"record 49".into()));
        assert!(read(&log, log_of(1), 0, 1).await == [large.clone()]);
        let mut rows = log.checkpoint(PartitionId(1)).await.unwrap();
        let stored = rows.next().await.unwrap();
        assert_eq!(stored, [RowChange { key: "b".into(), value: Some("1".into()) }]);
        assert!(rows.next().await.unwrap().is_empty());
    }
    let log = open(directory.path()).unwrap();
    assert_eq!(append(&log, log_of(0), "the next").await, 50);
}

#[tokio::test]
async fn offsets_go_on_after_all_was_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    {
        let log = open(directory.path()).unwrap();
        append(&log, log_of(0), "only").await;
        log.trim(log_of(0), 1).await.unwrap();
    }
    let log = open(directory.path()).unwrap();
    assert_eq!(log.bounds(log_of(0)).await.unwrap(), Bounds { start: 1, end: 1 });
    assert_eq!(append(&log, log_of(0), "the next").await, 1);
}

#[tokio::test]
async fn an_old_reader_gets_what_memory_no_longer_holds() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    let mut reader = log.reader(log_of(0), 0).unwrap();
    let payload = Bytes::from(vec![1; 100 << 10]);
    for _ in 0..40 {
        append(&log, log_of(0), payload.clone()).await;
    }
    let mut next = 0;
    while next < 40 {
        for record in reader.next().await.unwrap() {
            assert_eq!(record.offset, next);
            assert!(record.payload == payload);
            next += 1;
        }
    }
    log.trim(log_of(0), 30).await.unwrap();
    let gone = log.reader(log_of(0), 29).err();
    assert_eq!(gone, Some(LogError::OutOfRange { wanted: 29, start: 30, end: 40 }));
    assert_eq!(read(&log, log_of(0), 30, 10).await.len(), 10);
}

#[tokio::test]
async fn trimmed_space_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { partitions: PARTITIONS, fsync: false };
    let log = EmbeddedLog::open(directory.path(), options).unwrap();
    let payload = Bytes::from(vec![1; 1 << 20]);
    append(&log, log_of(1), payload.clone()).await;
    for number in 0..1_024 {
        append(&log, log_of(0), payload.clone()).await;
        if number % 64 == 63 {
            log.trim(log_of(0), number).await.unwrap();
        }
    }
    let used = || -> u64 {
        let files = fs::read_dir(directory.path()).unwrap();
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum::<u64>() >> 20
    };
    let small_again = async {
        while used() > 512 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), small_again).await;
    assert!(waited.is_ok(), "{} MiB are used for two records", used());
    assert!(read(&log, log_of(1), 0, 1).await == [payload]);
}

#[tokio::test]
async fn a_queue_that_is_full_says_so_and_queues_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    let mut appender = log.appender(log_of(0)).unwrap();
    let payload = Bytes::from(vec![1; 30 << 20]);
    let mut queued = Vec::new();
    let mut refused = 0;
    for _ in 0..24 {
        match appender.append(payload.clone()) {
            Ok(append) => queued.push(append),
            Err(error) => {
                assert_eq!(error, AppendError::QueueFull);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "720 MiB are more than the queue takes before the disk has them");
    let mut expected = 0;
    for append in queued {
        assert_eq!(append.await, Ok(expected));
        expected += 1;
    }
    assert_eq!(log.bounds(log_of(0)).await.unwrap().end, expected);
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_ends_readers_and_appenders() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    let mut appender = log.appender(log_of(0)).unwrap();
    let mut reader = log.reader(log_of(1), 0).unwrap();
    let queued: Vec<_> =
        (0..100).map(|number| appender.append(format!("{number}").into()).unwrap()).collect();
    drop(log);
    for (append, offset) in queued.into_iter().zip(0..) {
        assert_eq!(append.await, Ok(offset));
    }
    assert!(matches!(appender.append(Bytes::new()), Err(AppendError::Refused(_))));
    let ended = tokio::time::timeout(Duration::from_mins(1), reader.next()).await.unwrap();
    assert!(matches!(ended, Err(LogError::Unavailable(_))), "{ended:?}");
    assert_eq!(read(&open(directory.path()).unwrap(), log_of(0), 0, 100).await.len(), 100);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(&error, LogError::Setup(text) if text.contains("in use")), "{error}");
    drop(log);
    open(directory.path()).unwrap();
}

#[test]
fn another_number_of_partitions_is_refused_naming_both() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let options = EmbeddedOptions { partitions: 7, fsync: true };
    let error = EmbeddedLog::open(directory.path(), options).unwrap_err();
    let LogError::Setup(text) = &error else { panic!("{error}") };
    assert!(text.contains("has 2 partitions and 7 are asked for"), "{text}");
    drop(open(directory.path()).unwrap());
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "not a directory").unwrap();
    assert!(matches!(refusal(&path), LogError::Setup(_)));
}

#[tokio::test]
async fn a_torn_last_write_is_dropped_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let start = round * 10;
        write_and_close(directory.path(), start..start + 10).await;
        // As a crash leaves it that comes while one more record is being written: the end of the
        // file is a part of that record. Which part varies.
        let torn = newest_log_file(directory.path());
        let written = fs::read(&torn).unwrap();
        write_and_close_unacknowledged(directory.path(), &torn, &written, round).await;
        let log = open(directory.path()).unwrap();
        let end = log.bounds(log_of(0)).await.unwrap().end;
        assert_eq!(end, start + 10, "all that was acknowledged, and nothing of the torn record");
        let records = read(&log, log_of(0), 0, usize::try_from(end).unwrap()).await;
        for (record, number) in records.iter().zip(0..) {
            assert_eq!(record, &format!("record {number}"));
        }
    }
}

/// Puts the log file back as it was, with a part of a further record at its end.
async fn write_and_close_unacknowledged(directory: &Path, file: &Path, before: &[u8], round: u64) {
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("copy");
    copy_directory(directory, &copied);
    let log = open(&copied).unwrap();
    append(&log, log_of(0), vec![b'x'; 100]).await;
    drop(log);
    let one_more = fs::read(newest_log_file(&copied)).unwrap();
    let part = usize::try_from([1, 7, 8, 60, 100, 130][usize::try_from(round).unwrap()]).unwrap();
    assert!(part < one_more.len(), "only a part of the record");
    let torn = [before, &one_more[..part]].concat();
    fs::write(file, torn).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn cutting_the_log_file_anywhere_keeps_a_prefix() {
    let directory = tempfile::tempdir().unwrap();
    write_and_close(directory.path(), 0..20).await;
    let file = newest_log_file(directory.path());
    let whole = fs::read(&file).unwrap();
    let mut ends = Vec::new();
    for cut in (0..whole.len()).rev().step_by(37) {
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("copy");
        copy_directory(directory.path(), &copied);
        fs::write(copied.join(file.file_name().unwrap()), &whole[..cut]).unwrap();
        // The first write of all, which says what the directory is, may be cut as well.
        let log = open(&copied).unwrap();
        let end = log.bounds(log_of(0)).await.unwrap().end;
        let records = read(&log, log_of(0), 0, usize::try_from(end).unwrap()).await;
        for (record, number) in records.iter().zip(0..) {
            assert_eq!(record, &format!("record {number}"));
        }
        ends.push(end);
    }
    assert!(ends.is_sorted_by(|longer, shorter| longer >= shorter));
    assert_eq!((ends.first(), ends.last()), (Some(&19), Some(&0)));
}

#[tokio::test]
async fn damage_before_the_end_is_refused_and_not_skipped() {
    let directory = tempfile::tempdir().unwrap();
    write_and_close(directory.path(), 0..20).await;
    let file = newest_log_file(directory.path());
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&file, bytes).unwrap();
    assert_damaged(directory.path());
}

fn assert_damaged(directory: &Path) {
    let error = refusal(directory);
    let LogError::Corrupt(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("put back a copy of the whole data directory"), "{text}");
}

/// Breaks something in a directory.
type Damage = fn(&Path);

#[tokio::test]
async fn a_directory_with_parts_missing_or_overwritten_is_refused() {
    let pristine = tempfile::tempdir().unwrap();
    write_and_close(pristine.path(), 0..20).await;
    drop(open(pristine.path()).unwrap());
    assert!(!files(pristine.path(), "sst").is_empty(), "reopening moves records to tables");
    let damages: [(&str, Damage); 4] = [
        ("CURRENT is gone", |path| fs::remove_file(path.join("CURRENT")).unwrap()),
        ("CURRENT is empty", |path| fs::write(path.join("CURRENT"), "").unwrap()),
        ("a table is gone", |path| fs::remove_file(&files(path, "sst")[0]).unwrap()),
        ("a table is overwritten", |path| {
            let table = &files(path, "sst")[0];
            let garbage = vec![0xa5; usize::try_from(fs::metadata(table).unwrap().len()).unwrap()];
            fs::write(table, garbage).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let copied = directory.path().join("copy");
        copy_directory(pristine.path(), &copied);
        damage(&copied);
        match open(&copied) {
            Err(LogError::Corrupt(text)) => {
                assert!(text.contains("is damaged"), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Runs a test of this file again, in a process whose files cannot grow past a limit that the test
/// sets with `prlimit`. Such a write fails half-way, as on a full disk.
fn with_limited_files(test: &str) -> bool {
    const INSIDE: &str = "EVERLOG_TEST_LIMITED_FILES";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // A write past the limit must fail, not kill: the shell hands its ignored signals down.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its own process");
    false
}

/// Limits the size of the files that this process writes, in bytes.
fn limit_files(bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let status = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), &format!("--fsize={soft}:unlimited")])
        .status()
        .unwrap();
    assert!(status.success(), "prlimit failed");
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_uses_no_offset_twice() {
    if with_limited_files("a_full_disk_loses_nothing_acknowledged_and_uses_no_offset_twice") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(fill_the_disk_again_and_again());
    }
}

async fn fill_the_disk_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    let mut reader = log.reader(log_of(0), 0).unwrap();
    let followed = tokio::spawn(async move {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|record: &everlog_log_client::Logged| {
            record.payload == Bytes::from_static(b"the end")
        }) {
            match reader.next().await {
                Ok(records) => seen.extend(records),
                Err(LogError::Unavailable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
        seen
    });
    let mut acknowledged = Vec::new();
    let mut unknown = Vec::new();
    for round in 0..5 {
        // The disk has room for some of the records of this round; what did not fit is unknown.
        limit_files(Some(200 << 10));
        let failed = append_until_failure(&log, round, &mut acknowledged).await;
        unknown.push(failed);
        // Nothing can be written for a while: the log refuses, and reading what is in memory goes on.
        limit_files(Some(0));
        let refused = log.appender(log_of(1)).unwrap().append(Bytes::from_static(b"x"));
        match refused {
            Err(AppendError::Refused(_)) => {}
            Ok(append) => assert!(append.await.is_err()),
            Err(error) => panic!("{error}"),
        }
        limit_files(None);
        writable_again(&log).await;
    }
    assert!(write_failures() >= 5, "each round's failure is counted");
    append(&log, log_of(0), "the end").await;
    let seen = tokio::time::timeout(Duration::from_mins(1), followed).await.unwrap().unwrap();
    for (record, offset) in seen.iter().zip(0..) {
        assert_eq!(record.offset, offset);
    }
    for (offset, payload) in &acknowledged {
        let found = &seen[usize::try_from(*offset).unwrap()].payload;
        assert!(found == payload, "record {offset} is not what was acknowledged");
    }
    let found = |payload: &Bytes| seen.iter().filter(|record| record.payload == *payload).count();
    assert!(unknown.iter().all(|payload| found(payload) <= 1), "an unknown record is there twice");
    drop(log);
    let log = open(directory.path()).unwrap();
    let stored = read(&log, log_of(0), 0, seen.len()).await;
    assert!(stored.iter().eq(seen.iter().map(|record| &record.payload)), "readers saw the log");
}

fn write_failures() -> u64 {
    let name = "everlog_log_write_failures_total";
    let families = prometheus::default_registry().gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let counted = family.get_metric()[0].get_counter().get_value();
    format!("{counted}").parse().unwrap()
}

/// Appends until the disk is full; returns the record whose outcome is unknown.
async fn append_until_failure(
    log: &EmbeddedLog,
    round: u64,
    acknowledged: &mut Vec<(u64, Bytes)>,
) -> Bytes {
    let mut appender = log.appender(log_of(0)).unwrap();
    for number in 0_u64.. {
        let payload = Bytes::from(format!("{round} {number} {}", "x".repeat(10_000)));
        match appender.append(payload.clone()).unwrap().await {
            Ok(offset) => acknowledged.push((offset, payload)),
            Err(AppendError::Unknown(_)) => {
                assert!(number > 0, "there was room for one at least");
                return payload;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("no disk is endless")
}

async fn writable_again(log: &EmbeddedLog) {
    let mut appender = log.appender(log_of(1)).unwrap();
    let written = async {
        loop {
            match appender.append(Bytes::from_static(b"again")) {
                Ok(append) => match append.await {
                    Ok(_) => return,
                    Err(AppendError::Unknown(_) | AppendError::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                },
                Err(AppendError::Refused(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), written).await.expect("there is room again");
}
