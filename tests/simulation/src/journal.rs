//! A model of the journal topic: rows in the order in which they were committed, and a cleaner.
//!
//! A transaction is committed whole or not at all, and only by the checkpointer that was opened last: that
//! is the broker's fence, which follows the order of opening and knows no epochs. The cleaner keeps
//! of each key what was written last, whoever wrote it.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{InboxOffset, LogOffset, Row, RowKey};
use everlog_partition::{MemoryTables, Tables, reads};

/// The right to commit checkpoints, until a later one is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointer(u64);

/// A later checkpointer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

/// What the rows of the topic stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// All records below are in them.
    pub log: LogOffset,
    /// All messages below are taken in.
    pub inbox: InboxOffset,
}

/// A row that has changed: its value and the offset of the change, or a tombstone.
pub type Changed = (RowKey, Option<(Row, LogOffset)>);

/// One partition's part of the topic.
#[derive(Debug, Default)]
pub struct Journal {
    rows: Vec<Changed>,
    held: Option<Held>,
    keys: BTreeSet<RowKey>,
    opened: u64,
}

impl Journal {
    /// Opens the only checkpointer: one opened before can commit nothing any more.
    pub fn open(&mut self) -> Checkpointer {
        self.opened += 1;
        Checkpointer(self.opened)
    }

    /// Commits rows and what all of them stand for.
    pub fn commit(
        &mut self,
        by: Checkpointer,
        rows: Vec<Changed>,
        held: Held,
    ) -> Result<(), Fenced> {
        if by.0 != self.opened {
            return Err(Fenced);
        }
        self.write(rows, held);
        Ok(())
    }

    fn write(&mut self, rows: Vec<Changed>, held: Held) {
        self.keys.extend(rows.iter().map(|(key, _)| key.clone()));
        self.rows.extend(rows);
        self.held = Some(held);
    }

    /// Whether a row with this key was ever written.
    pub fn has_seen(&self, key: &RowKey) -> bool {
        self.keys.contains(key)
    }

    /// What the rows stand for.
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// Lets the cleaner pass: of each key the last row stays, and tombstones go if they have been kept long
    /// enough for every reader.
    pub fn compact(&mut self, tombstones_too: bool) {
        let mut last = BTreeMap::new();
        for (at, (key, _)) in self.rows.iter().enumerate() {
            last.insert(key.clone(), at);
        }
        let mut at = 0;
        self.rows.retain(|(key, value)| {
            let is_last = last.get(key) == Some(&at);
            at += 1;
            is_last && (value.is_some() || !tombstones_too)
        });
    }

    /// Reads the rows to the end, as a restore does: on top of `onto`, which is empty where it is done right.
    pub fn read(&self, onto: MemoryTables) -> Result<Option<(Held, MemoryTables)>, String> {
        let Some(held) = self.held else { return Ok(None) };
        let mut tables = onto;
        for (key, value) in &self.rows {
            match value {
                Some((_, at)) if *at >= held.log => {
                    return Err(format!("a row of {at} is newer than the checkpoint at {held:?}"));
                }
                Some((row, _)) => tables.put(key.clone(), row.clone()),
                None => tables.delete(key),
            }
        }
        let next = reads::partition(&tables).map_err(|error| error.0)?.next_log;
        if next != held.log {
            return Err(format!("the partition row is at {next}, the checkpoint at {held:?}"));
        }
        Ok(Some((held, tables)))
    }
}

/// Tables that take note of which rows are written.
#[derive(Debug)]
pub struct Noting<'t> {
    /// The tables.
    pub tables: &'t mut MemoryTables,
    /// The rows written, in order.
    pub written: Vec<RowKey>,
}

impl Tables for Noting<'_> {
    fn get(&self, key: &RowKey) -> Result<Option<Row>, everlog_partition::TablesError> {
        self.tables.get(key)
    }

    fn first(
        &self,
        from: &RowKey,
        below: &RowKey,
    ) -> Result<Option<(RowKey, Row)>, everlog_partition::TablesError> {
        self.tables.first(from, below)
    }

    fn put(&mut self, key: RowKey, row: Row) {
        self.written.push(key.clone());
        self.tables.put(key, row);
    }

    fn delete(&mut self, key: &RowKey) {
        self.written.push(key.clone());
        self.tables.delete(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

    use everlog_log_schema::{PartitionId, PartitionRow, Seq};

    use super::*;

    fn sender(seq: u64, at: u64) -> Changed {
        let row = Row::Sender(Seq(seq));
        (RowKey::Sender(PartitionId(1)), Some((row, LogOffset(at))))
    }

    fn head(next: u64) -> Changed {
        let row = PartitionRow { next_log: LogOffset(next), ..PartitionRow::default() };
        (RowKey::Partition, Some((Row::Partition(row), LogOffset(next - 1))))
    }

    fn held(next: u64) -> Held {
        Held { log: LogOffset(next), inbox: InboxOffset(0) }
    }

    fn seq(journal: &Journal) -> Option<Row> {
        let (_, tables) = journal.read(MemoryTables::default()).unwrap().unwrap();
        tables.get(&RowKey::Sender(PartitionId(1))).unwrap()
    }

    /// An owner paused in the middle of a checkpoint wakes after its successor's.
    #[test]
    fn a_late_commit_is_fenced() {
        let mut journal = Journal::default();
        let deposed = journal.open();
        let owner = journal.open();
        journal.commit(owner, vec![sender(2, 8), head(9)], held(9)).unwrap();
        assert_eq!(journal.commit(deposed, vec![sender(1, 4), head(5)], held(5)), Err(Fenced));
        journal.compact(true);
        assert_eq!(seq(&journal), Some(Row::Sender(Seq(2))));
    }

    /// Without the broker's fence nothing else would save the rows: the late commit deletes newer ones,
    /// and the owner's next checkpoint, of what has changed since its last, hides it. Hence transactions.
    #[test]
    fn without_the_fence_a_late_commit_destroys_rows_and_nobody_sees_it() {
        let mut journal = Journal::default();
        let owner = journal.open();
        journal.commit(owner, vec![sender(2, 8), head(9)], held(9)).unwrap();
        journal.write(vec![sender(1, 4), head(5)], held(5));
        journal.commit(owner, vec![head(12)], held(12)).unwrap();
        journal.compact(true);
        assert_eq!(seq(&journal), Some(Row::Sender(Seq(1))), "a row of the deposed owner");
    }

    #[test]
    fn a_row_newer_than_the_checkpoint_stops_a_restore() {
        let mut journal = Journal::default();
        journal.write(vec![sender(2, 8), head(9)], held(9));
        journal.write(vec![head(5)], held(5));
        let stopped = journal.read(MemoryTables::default()).unwrap_err();
        assert!(stopped.contains("is newer than the checkpoint"), "{stopped}");
    }
}
