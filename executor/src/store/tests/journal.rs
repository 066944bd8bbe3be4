//! Dirty marks, and rows that come from the journal topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use everlog_log_client::RowChange;
use everlog_log_schema::CheckpointRow;
use everlog_log_schema::codec::{CHECKPOINT_KEY, encode_checkpoint};

use super::*;
use crate::store::{BulkError, BulkLoad};

fn marking(directory: &Path) -> Store {
    Store::open(directory, StoreOptions { dirty_marks: true }).unwrap()
}

/// What a checkpoint would write now, and what it would stand for.
fn changed(store: &Store, partition: PartitionId) -> (Vec<RowChange>, CheckpointRow) {
    let mut all = Vec::new();
    let stands_for = store.checkpoint(partition, |piece| {
        all.extend(piece);
        true
    });
    (all, stands_for.unwrap())
}

/// The keys that a checkpoint would write now: with `true` those that have a row.
fn dirty(store: &Store, partition: PartitionId) -> BTreeMap<RowKey, bool> {
    let (rows, _) = changed(store, partition);
    let keys = rows.iter().map(|row| (RowKey::from_bytes(&row.key).unwrap(), row.value.is_some()));
    let dirty: BTreeMap<_, _> = keys.collect();
    assert_eq!(dirty.len(), rows.len(), "a row is written twice");
    dirty
}

fn put(uuid: u128) -> (RowKey, Option<Row>) {
    (running(uuid), Some(Row::Running))
}

#[test]
fn changed_rows_are_written_once_and_gone_ones_as_tombstones() {
    let directory = tempfile::tempdir().unwrap();
    let store = marking(directory.path());
    write(&store, P0, 3, &[put(1), put(2)]);
    write(&store, P0, 70, &[(running(1), None)]);
    write(&store, P0, 200, &[put(3)]);
    let expected = BTreeMap::from([
        (RowKey::Partition, true),
        (running(1), false),
        (running(2), true),
        (running(3), true),
    ]);
    let tombstones_may_repeat = |store: &Store| {
        let rows = changed(store, P0).0;
        rows.into_iter()
            .map(|row| (RowKey::from_bytes(&row.key).unwrap(), row.value.is_some()))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(tombstones_may_repeat(&store), expected);
    let (_, stands_for) = changed(&store, P0);
    assert_eq!((stands_for.log, stands_for.inbox), (LogOffset(201), InboxOffset(300)));
    assert_eq!(store.changes(P0), 7);
    // Marks are no rows, and survive with them.
    assert_eq!(store.rows(P0, None, 10).unwrap().len(), 3);
    store.flush().unwrap();
    let survivor = killed(directory.path());
    assert_eq!(tombstones_may_repeat(&marking(survivor.path())), expected);
}

#[test]
fn what_a_checkpoint_holds_is_not_written_again_but_what_came_after_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = marking(directory.path());
    write(&store, P0, 3, &[put(1), put(2)]);
    write(&store, P1, 3, &[put(9)]);
    write(&store, P0, 100, &[put(2)]);
    store.clear_dirty(P0, LogOffset(90)).unwrap();
    assert_eq!(dirty(&store, P0).into_keys().collect::<Vec<_>>(), [RowKey::Partition, running(2)]);
    store.clear_dirty(P0, LogOffset(u64::MAX)).unwrap();
    assert_eq!(dirty(&store, P0), BTreeMap::new());
    assert_eq!(dirty(&store, P1).len(), 2, "the other partition's marks stay");
}

#[test]
fn without_need_no_marks_are_kept_and_later_all_rows_are_marked() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, P0, 3, &[put(1)]);
    assert_eq!(dirty(&store, P0), BTreeMap::new());
    drop(store);
    let store = marking(directory.path());
    assert!(!store.marks_are_complete(P0).unwrap());
    store.mark_keys(P0, [&running(7).to_bytes()[..]]).unwrap();
    store.mark_all(P0).unwrap();
    let all = [(RowKey::Partition, true), (running(1), true), (running(7), false)];
    assert_eq!(dirty(&store, P0), BTreeMap::from(all));
    assert!(store.marks_are_complete(P0).unwrap());
    drop(store);
    drop(open(directory.path()));
    assert!(!marking(directory.path()).marks_are_complete(P0).unwrap());
}

/// A checkpoint of a partition, as the journal topic has it: older rows of the same keys first.
fn from_journal(store: &Store) -> Vec<RowChange> {
    let mut rows = Vec::new();
    for offset in 0..20 {
        let gone = (running(u128::from(offset) / 2), None);
        write(store, P0, offset, &[put(u128::from(offset)), gone]);
        let (changed, stands_for) = changed(store, P0);
        rows.extend(changed);
        let value = Some(encode_checkpoint(&stands_for).unwrap());
        rows.push(RowChange { key: CHECKPOINT_KEY.into(), value });
    }
    rows
}

fn load(store: &Arc<Store>, rows: Vec<RowChange>) -> Result<u64, BulkError> {
    let mut load = BulkLoad::begin(Arc::clone(store), P0).unwrap();
    for row in rows {
        load.add(vec![row])?;
    }
    load.finish()
}

#[test]
fn rows_of_the_journal_replace_those_of_the_tables() {
    let source = tempfile::tempdir().unwrap();
    let source = marking(source.path());
    let rows = from_journal(&source);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(marking(directory.path()));
    write(&store, P0, 5, &[put(1_000)]);
    write(&store, P1, 5, &[put(2_000)]);
    let others = store.rows(P1, None, 99).unwrap();
    load(&store, rows).unwrap();
    assert_eq!(store.rows(P0, None, 99).unwrap(), source.rows(P0, None, 99).unwrap());
    assert_eq!(store.rows(P1, None, 99).unwrap(), others);
    assert_eq!(dirty(&store, P0), BTreeMap::new());
    assert!(store.marks_are_complete(P0).unwrap());
    let survivor = killed(directory.path());
    let survivor = marking(survivor.path());
    assert_eq!(survivor.rows(P0, None, 99).unwrap(), source.rows(P0, None, 99).unwrap());
}

#[test]
fn rows_that_do_not_fit_together_change_nothing() {
    let source = tempfile::tempdir().unwrap();
    let whole = from_journal(&marking(source.path()));
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(marking(directory.path()));
    write(&store, P0, 5, &[put(1_000)]);
    let before = store.rows(P0, None, 99).unwrap();

    let is_checkpoint = |row: &RowChange| row.key == CHECKPOINT_KEY;
    let last = whole.iter().rposition(is_checkpoint).unwrap();
    let mut ahead = whole.clone();
    ahead.remove(last);
    let refused = load(&store, ahead).unwrap_err();
    assert!(matches!(refused, BulkError::Ahead { row: LogOffset(19), .. }), "{refused}");
    let without: Vec<_> = whole.iter().filter(|row| !is_checkpoint(row)).cloned().collect();
    assert_eq!(load(&store, without).unwrap_err(), BulkError::NoCheckpoint);
    let head = RowKey::Partition.to_bytes();
    let at = whole.iter().rposition(|row| row.key == head).unwrap();
    let mut torn = whole.clone();
    torn.remove(at);
    assert!(matches!(load(&store, torn), Err(BulkError::Torn { .. })));
    let mut damaged = whole;
    damaged[0].value = Some("no row".into());
    assert!(matches!(load(&store, damaged), Err(BulkError::Row(_))));
    assert_eq!(store.rows(P0, None, 99).unwrap(), before);
    assert!(!directory.path().join("restore-0").exists());
}

#[test]
fn tables_without_their_partition_row_are_known_as_unfinished() {
    let directory = tempfile::tempdir().unwrap();
    let store = marking(directory.path());
    assert!(!store.is_unfinished(P0).unwrap());
    write(&store, P0, 3, &[put(1)]);
    write(&store, P1, 3, &[put(1)]);
    assert!(!store.is_unfinished(P0).unwrap());
    store.remove(P0, &RowKey::Partition).unwrap();
    assert!(store.is_unfinished(P0).unwrap());
    assert!(!store.is_unfinished(P1).unwrap());
}
