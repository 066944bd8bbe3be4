//! Which rows have changed since the last checkpoint on the journal topic: dirty marks.
//!
//! A mark is written together with the change, so that it survives with it. Marks are kept by the
//! offset of the change, a bucket of offsets after the other, so that what a checkpoint holds is
//! forgotten by removing a range, while others are written. A row may be marked in several buckets; a
//! checkpoint writes it for the last one.
//!
//! **Invariant:** a row that differs from what the journal topic holds has a mark. A mark too many is
//! harmless: the row is written again.

use everlog_log_client::RowChange;
use everlog_log_schema::codec::row_changed_at;
use everlog_log_schema::{CheckpointRow, LogOffset, PartitionId, RowKey};
use everlog_partition::reads;
use rocksdb::WriteBatch;

use super::{DIRTY, Store, StoreError, bounded_by, key_bytes, without_wal};

/// Offsets that share a bucket, as a power of two: those below a checkpoint that is in the middle of one
/// are written again.
const BUCKET_BITS: u32 = 6;
/// Where the row's own key begins in the key of its mark: behind the partition and the bucket.
const ROW_KEY_AT: usize = 12;
/// The rows of a checkpoint are handed over in pieces of so many rows, or bytes, whichever is less.
const PIECE_ROWS_MAX: usize = 1_024;
const PIECE_BYTES_MAX: usize = 1 << 20;
/// Marks that are written at once where all rows are marked.
const MARKS_BATCH_MAX: usize = 10_000;
/// Above every row and mark. Behind it stands a partition all of whose changes are marked.
const COMPLETE_KEY: &[u8] = b"\xff\xff\xff\xffmarked";
const COMPLETE_KEY_END: &[u8] = b"\xff\xff\xff\xffmarkee";

impl Store {
    /// How many changes of rows the partition has seen since the tables were opened. A row that
    /// changes in two commits counts twice.
    pub(crate) fn changes(&self, partition: PartitionId) -> u64 {
        let changes = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        changes.get(&partition).copied().unwrap_or_default()
    }

    pub(super) fn count_changes(&self, partition: PartitionId, count: usize) {
        let mut changes = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *changes.entry(partition).or_default() += count as u64;
    }

    /// Hands all marked rows, as they are at one moment, to `take`, in pieces, until that wants no more.
    /// Tells what they stand for together with all rows handed over before. Rows that are gone are
    /// tombstones.
    pub(crate) fn checkpoint(
        &self,
        partition: PartitionId,
        mut take: impl FnMut(Vec<RowChange>) -> bool,
    ) -> Result<CheckpointRow, StoreError> {
        let snapshot = self.snapshot(partition);
        let row = reads::partition(&snapshot).map_err(|error| self.corrupt(error.0))?;
        let stands_for = CheckpointRow {
            log: row.next_log,
            inbox: row.next_inbox,
            epoch: row.epoch,
            at: row.now,
        };
        let snapshot = snapshot.below().expect("a snapshot was taken");
        let prefix = partition.0 | DIRTY;
        let mut marks = snapshot.raw_iterator_opt(bounded_by((prefix + 1).to_be_bytes()));
        marks.seek(prefix.to_be_bytes());
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while let Some(mark) = marks.key() {
            if let Some(change) = self.marked_row(partition, snapshot, mark)? {
                bytes += change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len);
                piece.push(change);
            }
            if piece.len() >= PIECE_ROWS_MAX || bytes >= PIECE_BYTES_MAX {
                bytes = 0;
                if !take(std::mem::take(&mut piece)) {
                    return Ok(stands_for);
                }
            }
            marks.next();
        }
        marks.status().map_err(|error| self.failed("read", &error))?;
        if !piece.is_empty() {
            take(piece);
        }
        Ok(stands_for)
    }

    /// The row that a mark is for; none where a later mark is for it too.
    fn marked_row(
        &self,
        partition: PartitionId,
        snapshot: &rocksdb::Snapshot<'_>,
        mark: &[u8],
    ) -> Result<Option<RowChange>, StoreError> {
        let (bucket, key) = self.read_mark(mark)?;
        let mut stored = partition.0.to_be_bytes().to_vec();
        stored.extend_from_slice(key);
        let value = snapshot.get_pinned(&stored).map_err(|error| self.failed("read", &error))?;
        let value = match value {
            None => None,
            Some(value) => {
                let at = row_changed_at(key, &value).map_err(|error| self.corrupt(error))?;
                if bucket_of(at) > bucket {
                    return Ok(None);
                }
                Some(bytes::Bytes::copy_from_slice(&value))
            }
        };
        Ok(Some(RowChange { key: bytes::Bytes::copy_from_slice(key), value }))
    }

    /// The bucket and the row's key of a mark.
    fn read_mark<'a>(&self, mark: &'a [u8]) -> Result<(u64, &'a [u8]), StoreError> {
        let read = mark.split_at_checked(ROW_KEY_AT).and_then(|(head, key)| {
            let bucket = head.last_chunk().copied().map(u64::from_be_bytes)?;
            Some((bucket, key))
        });
        read.ok_or_else(|| self.corrupt("a dirty mark is cut short"))
    }

    /// Removes the marks of changes below `below`: a checkpoint holds them. Some of them may stay.
    pub(crate) fn clear_dirty(
        &self,
        partition: PartitionId,
        below: LogOffset,
    ) -> Result<(), StoreError> {
        let prefix = (partition.0 | DIRTY).to_be_bytes();
        let end = [&prefix[..], &bucket_of(below).to_be_bytes()[..]].concat();
        let mut batch = WriteBatch::default();
        batch.delete_range(&prefix[..], &end[..]);
        self.db.write_opt(batch, &without_wal()).map_err(|error| self.failed("write", &error))
    }

    /// Whether every row that the journal topic may not hold is marked: not where tables were written
    /// without marks.
    pub(crate) fn marks_are_complete(&self, partition: PartitionId) -> Result<bool, StoreError> {
        let found = self.db.get(complete_key(partition));
        Ok(found.map_err(|error| self.failed("read", &error))?.is_some())
    }

    /// Marks every row, so that the next checkpoint writes all, and takes note that the marks are complete
    /// from here on.
    pub(crate) fn mark_all(&self, partition: PartitionId) -> Result<(), StoreError> {
        let mut rows = self.db.raw_iterator_opt(bounded_by((partition.0 + 1).to_be_bytes()));
        rows.seek(partition.0.to_be_bytes());
        let mut batch = WriteBatch::default();
        while let Some((key, value)) = rows.item() {
            let row_key = key.get(4..).unwrap_or_default();
            let at = row_changed_at(row_key, value).map_err(|error| self.corrupt(error))?;
            batch.put(mark_of(key, at), []);
            if batch.len() >= MARKS_BATCH_MAX {
                self.write_marks(std::mem::take(&mut batch))?;
            }
            rows.next();
        }
        rows.status().map_err(|error| self.failed("read", &error))?;
        batch.put(complete_key(partition), []);
        self.write_marks(batch)
    }

    /// Marks keys that the journal topic holds: those that have no row any more become tombstones there.
    pub(crate) fn mark_keys<'k>(
        &self,
        partition: PartitionId,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for key in keys {
            let stored = [&partition.0.to_be_bytes()[..], key].concat();
            batch.put(mark_of(&stored, LogOffset(0)), []);
        }
        self.write_marks(batch)
    }

    fn write_marks(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write_opt(batch, &without_wal()).map_err(|error| self.failed("write", &error))
    }

    /// Takes note that rows will change without marks.
    pub(super) fn give_up_marks(&self) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete_range(COMPLETE_KEY, COMPLETE_KEY_END);
        self.write_marks(batch)
    }

    /// Whether the partition has rows but no partition row: what a restore that did not end leaves.
    pub(crate) fn is_unfinished(&self, partition: PartitionId) -> Result<bool, StoreError> {
        let head = key_bytes(partition.0, &RowKey::Partition);
        let mut rows = self.db.raw_iterator_opt(bounded_by((partition.0 + 1).to_be_bytes()));
        rows.seek(partition.0.to_be_bytes());
        let unfinished = rows.key().is_some_and(|first| first != head);
        rows.status().map_err(|error| self.failed("read", &error))?;
        Ok(unfinished)
    }
}

/// The key of the mark of the row with this key, partition included, for a change at `at`.
pub(super) fn mark_of(key: &[u8], at: LogOffset) -> Vec<u8> {
    let (partition, row) = key.split_at(4);
    let mut mark = Vec::with_capacity(key.len() + 8);
    mark.extend_from_slice(partition);
    if let Some(first) = mark.first_mut() {
        *first |= 0x80;
    }
    mark.extend_from_slice(&bucket_of(at).to_be_bytes());
    mark.extend_from_slice(row);
    mark
}

pub(super) fn complete_key(partition: PartitionId) -> Vec<u8> {
    [COMPLETE_KEY, &partition.0.to_be_bytes()[..]].concat()
}

fn bucket_of(at: LogOffset) -> u64 {
    at.0 >> BUCKET_BITS
}
