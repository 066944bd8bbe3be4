//! What the tables keep, and when.

mod journal;
mod pages;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use everlog_log_schema::{InvocationId, PartitionKey, PartitionRow, Seq};
use everlog_partition::Tables;
use tempfile::TempDir;

use super::*;

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

fn open(directory: &Path) -> Store {
    Store::open(directory, StoreOptions::default()).unwrap()
}

fn sender(number: u32) -> RowKey {
    RowKey::Sender(PartitionId(number))
}

fn running(uuid: u128) -> RowKey {
    RowKey::Running(InvocationId { partition_key: PartitionKey(7), uuid })
}

/// Writes rows as the record at `offset` would.
fn write(store: &Store, partition: PartitionId, offset: u64, rows: &[(RowKey, Option<Row>)]) {
    let mut tables = store.tables(partition);
    tables.begin_record(LogOffset(offset));
    for (key, row) in rows {
        match row {
            Some(row) => tables.put(key.clone(), row.clone()),
            None => tables.delete(key),
        }
    }
    let row = PartitionRow {
        next_log: LogOffset(offset + 1),
        next_inbox: InboxOffset(offset + 100),
        ..PartitionRow::default()
    };
    tables.put(RowKey::Partition, Row::Partition(row));
    tables.commit(true).unwrap();
}

fn next_log(store: &Store, partition: PartitionId) -> LogOffset {
    match store.tables(partition).get(&RowKey::Partition).unwrap() {
        Some(Row::Partition(row)) => row.next_log,
        other => panic!("partition row is {other:?}"),
    }
}

/// The files as a kill at this moment would leave them. A flush removes files after it has told of
/// its end, so what was copied counts only if nothing came, went or grew meanwhile.
fn killed(directory: &Path) -> TempDir {
    loop {
        let copy = tempfile::tempdir().unwrap();
        let before = files(directory);
        let copied =
            before.keys().map(|name| fs::copy(directory.join(name), copy.path().join(name)));
        match copied.collect::<io::Result<Vec<_>>>() {
            Ok(_) if files(directory) == before => return copy,
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}

/// Names and lengths of the files that are there.
fn files(directory: &Path) -> BTreeMap<OsString, u64> {
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let is_there = |file: DirEntry| Some((file.file_name(), file.metadata().ok()?.len()));
    files.filter_map(is_there).collect()
}

#[test]
fn what_was_flushed_survives_a_kill_and_the_rest_is_gone_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 0, &[(sender(1), Some(Row::Sender(Seq(1))))]);
    store.flush().unwrap();
    let second = [(sender(1), Some(Row::Sender(Seq(2)))), (sender(2), Some(Row::Sender(Seq(9))))];
    write(&store, P0, 1, &second);

    let copy = killed(directory.path());
    let survivor = open(copy.path());
    assert_eq!(next_log(&survivor, P0), LogOffset(1));
    let tables = survivor.tables(P0);
    assert_eq!(tables.get(&sender(1)).unwrap(), Some(Row::Sender(Seq(1))));
    assert_eq!(tables.get(&sender(2)).unwrap(), None);
    // The living one has it all.
    assert_eq!(store.tables(P0).get(&sender(2)).unwrap(), Some(Row::Sender(Seq(9))));
}

#[test]
fn a_flush_tells_how_far_each_partition_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 4, &[]);
    write(&store, P1, 8, &[]);
    let durable = store.flush().unwrap();
    let position = |log, inbox| Position { log: LogOffset(log), inbox: InboxOffset(inbox) };
    assert_eq!(durable, Positions::from([(P0, position(5, 104)), (P1, position(9, 108))]));
    let survivor = killed(directory.path());
    let survivor = open(survivor.path());
    assert_eq!((next_log(&survivor, P0), next_log(&survivor, P1)), (LogOffset(5), LogOffset(9)));
}

#[test]
fn an_overlay_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 0, &[]);
    let mut tables = store.tables(P0);
    tables.put(sender(1), Row::Sender(Seq(1)));
    assert_eq!(tables.get(&sender(1)).unwrap(), Some(Row::Sender(Seq(1))));
    drop(tables);
    assert_eq!(store.tables(P0).get(&sender(1)).unwrap(), None);
}

#[test]
fn reads_and_searches_see_the_changes_before_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let stored = [2, 4, 6].map(|uuid| (running(uuid), Some(Row::Running)));
    write(&store, P0, 0, &stored);
    let mut tables = store.tables(P0);
    let first = |tables: &Overlay<'_>, from| {
        tables.first(&running(from), &running(100)).unwrap().map(|(key, _)| key)
    };
    assert_eq!(first(&tables, 0), Some(running(2)));
    tables.put(running(1), Row::Running);
    assert_eq!(first(&tables, 0), Some(running(1)));
    tables.delete(&running(1));
    tables.delete(&running(2));
    assert_eq!(first(&tables, 0), Some(running(4)));
    tables.put(running(5), Row::Running);
    assert_eq!(first(&tables, 5), Some(running(5)));
    tables.put(running(2), Row::Running);
    assert_eq!(first(&tables, 0), Some(running(2)));
    assert_eq!(tables.first(&running(7), &running(100)).unwrap(), None);
    assert_eq!(tables.first(&running(6), &running(6)).unwrap(), None);
}

#[test]
fn partitions_do_not_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 0, &[(running(1), Some(Row::Running))]);
    write(&store, P1, 0, &[(running(2), Some(Row::Running))]);
    let last = sender(u32::MAX);
    let first = |partition| store.tables(partition).first(&running(0), &last).unwrap().unwrap().0;
    assert_eq!((first(P0), first(P1)), (running(1), running(2)));
    // A search does not run over into the next partition.
    assert_eq!(store.tables(P0).first(&running(2), &last).unwrap(), None);

    store.drop_partition(P0).unwrap();
    assert_eq!(store.rows(P0, None, 10).unwrap(), []);
    assert_eq!(store.rows(P1, None, 10).unwrap().len(), 2);
}

#[test]
fn rows_are_read_in_order_and_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let written = [3, 1, 2].map(|uuid| (running(uuid), Some(Row::Running)));
    write(&store, P0, 0, &written);
    let keys = |after: Option<&RowKey>, limit| {
        let rows = store.rows(P0, after, limit).unwrap();
        rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, 2), [RowKey::Partition, running(1)]);
    assert_eq!(keys(Some(&running(1)), 9), [running(2), running(3)]);
}

#[test]
fn tables_that_are_open_elsewhere_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _open = open(directory.path());
    let second = Store::open(directory.path(), StoreOptions::default());
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
}

#[test]
fn damaged_tables_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 0, &[]);
    store.flush().unwrap();
    drop(store);
    let manifest = fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST"))
        .unwrap();
    let mut bytes = fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(manifest, bytes).unwrap();
    let damaged = Store::open(directory.path(), StoreOptions::default());
    assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
}

#[test]
fn tables_of_a_newer_format_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.db.put_opt(FORMAT_KEY, 3_u32.to_be_bytes(), &without_wal()).unwrap();
    store.flush().unwrap();
    drop(store);
    let newer = Store::open(directory.path(), StoreOptions::default());
    assert!(matches!(newer, Err(StoreError::Format { found: 3, .. })), "{newer:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = Store::open(file.join("tables"), StoreOptions::default());
    assert!(matches!(refused, Err(StoreError::Directory { .. })), "{refused:?}");
}

#[test]
fn a_snapshot_does_not_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 1, &[(running(1), Some(Row::Running)), (running(3), Some(Row::Running))]);
    let before = store.snapshot(P0);
    write(&store, P0, 2, &[(running(1), None), (running(2), Some(Row::Running))]);
    assert_eq!(before.get(&running(1)).unwrap(), Some(Row::Running));
    assert_eq!(before.get(&running(2)).unwrap(), None);
    let first = |of: &Overlay<'_>, uuid| of.first(&running(uuid), &running(9)).unwrap().unwrap().0;
    assert_eq!((first(&before, 0), first(&before, 2)), (running(1), running(3)));
    let now = store.tables(P0);
    assert_eq!(now.get(&running(1)).unwrap(), None);
    assert_eq!((first(&now, 0), first(&now, 2)), (running(2), running(2)));
}
