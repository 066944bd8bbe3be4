//! What a partition remembers: one row per key. The only seam of the core.

use std::collections::BTreeMap;

use everlog_log_schema::{Row, RowKey};

/// The tables of one partition, as the application of one record sees them.
///
/// A read sees the writes before it. Whoever calls `apply` commits all writes of a record, or none.
pub trait Tables {
    /// Reads a row.
    fn get(&self, key: &RowKey) -> Result<Option<Row>, TablesError>;
    /// Reads the first row at or above `from` and below `below`.
    fn first(&self, from: &RowKey, below: &RowKey) -> Result<Option<(RowKey, Row)>, TablesError>;
    /// Writes a row.
    fn put(&mut self, key: RowKey, row: Row);
    /// Removes a row, if it is there.
    fn delete(&mut self, key: &RowKey);
}

/// The tables could not be read: the disk, or what is on it, is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the tables: {0}")]
pub struct TablesError(pub String);

/// Tables in memory, for tests and simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTables {
    rows: BTreeMap<RowKey, Row>,
}

impl MemoryTables {
    /// All rows, in order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Row)> {
        self.rows.iter()
    }
}

impl Tables for MemoryTables {
    fn get(&self, key: &RowKey) -> Result<Option<Row>, TablesError> {
        Ok(self.rows.get(key).cloned())
    }

    fn first(&self, from: &RowKey, below: &RowKey) -> Result<Option<(RowKey, Row)>, TablesError> {
        if from >= below {
            return Ok(None);
        }
        Ok(self.rows.range(from..below).next().map(|(key, row)| (key.clone(), row.clone())))
    }

    fn put(&mut self, key: RowKey, row: Row) {
        self.rows.insert(key, row);
    }

    fn delete(&mut self, key: &RowKey) {
        self.rows.remove(key);
    }
}
