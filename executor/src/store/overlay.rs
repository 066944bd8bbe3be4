//! One partition's tables with the changes of a batch of records on top.
//!
//! **Invariant:** nothing reaches the database but by [`Overlay::commit`]. Whoever drops an
//! overlay, after a panic or an error, leaves the tables as they were.

use std::collections::BTreeMap;

use everlog_log_schema::{LogOffset, PartitionId, Row, RowKey};
use everlog_partition::{Tables, TablesError, reads};
use rocksdb::Snapshot;

use super::{Position, Store, StoreError};

/// A row's new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The value; none removes the row.
    pub(super) row: Option<Row>,
    /// The record that changed it last.
    pub(super) at: LogOffset,
}

/// The tables of one partition as a batch of records sees them: reads see its own writes.
pub struct Overlay<'s> {
    store: &'s Store,
    partition: PartitionId,
    /// What lies below the changes, if not the rows as they are at each read.
    snapshot: Option<Snapshot<'s>>,
    changes: BTreeMap<RowKey, Change>,
    at: LogOffset,
}

impl<'s> Overlay<'s> {
    pub(super) fn new(
        store: &'s Store,
        partition: PartitionId,
        snapshot: Option<Snapshot<'s>>,
    ) -> Self {
        Self { store, partition, snapshot, changes: BTreeMap::new(), at: LogOffset::default() }
    }

    /// Says which record the next changes come from.
    pub fn begin_record(&mut self, offset: LogOffset) {
        self.at = offset;
    }

    /// Writes all changes, or none. `worth_flushing` tells whether losing them at a crash would
    /// cost more than reading them from the log again.
    pub fn commit(self, worth_flushing: bool) -> Result<(), StoreError> {
        let row = reads::partition(&self).map_err(|error| StoreError::Write {
            path: self.store.path.clone(),
            reason: error.0,
        })?;
        let position = Position { log: row.next_log, inbox: row.next_inbox };
        self.store.commit(self.partition, &self.changes, position, worth_flushing)
    }

    /// What lies below the changes, if that is one moment.
    pub(super) fn below(&self) -> Option<&Snapshot<'s>> {
        self.snapshot.as_ref()
    }

    fn change(&mut self, key: RowKey, row: Option<Row>) {
        self.changes.insert(key, Change { row, at: self.at });
    }
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("store", &self.store)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

impl Tables for Overlay<'_> {
    fn get(&self, key: &RowKey) -> Result<Option<Row>, TablesError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.row.clone()),
            None => self.store.get(self.partition, key, self.snapshot.as_ref()),
        }
    }

    fn first(&self, from: &RowKey, below: &RowKey) -> Result<Option<(RowKey, Row)>, TablesError> {
        if from >= below {
            return Ok(None);
        }
        let changed = self
            .changes
            .range(from..below)
            .find_map(|(key, change)| change.row.as_ref().map(|row| (key, row)));
        let (range, snapshot) = ((from, below), self.snapshot.as_ref());
        let stored = self.store.first(self.partition, range, &self.changes, snapshot)?;
        Ok(match (changed, stored) {
            (Some((key, _)), Some(stored)) if stored.0 < *key => Some(stored),
            (Some((key, row)), _) => Some((key.clone(), row.clone())),
            (None, stored) => stored,
        })
    }

    fn put(&mut self, key: RowKey, row: Row) {
        self.change(key, Some(row));
    }

    fn delete(&mut self, key: &RowKey) {
        self.change(key.clone(), None);
    }
}
