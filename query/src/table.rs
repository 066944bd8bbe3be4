//! What makes a table of rows that are read of partitions.

use everlog_log_schema::owner_api::RowRange;
use everlog_log_schema::{Row, RowKey};

use crate::cell::Column;
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::Reach;

/// A table over rows of all partitions.
pub(crate) trait Table: Send + Sync + 'static {
    /// What one row of the table is made of.
    type Record: Send + Sync;
    /// What it remembers of the rows before, within one partition.
    type Memory: Default + Send;

    /// Its name, as tools of the service protocol know it.
    const NAME: &'static str;
    /// Whether each stored row is one of the table, so that they can be counted unread.
    const COUNTABLE: bool = true;
    /// The columns that need [`Table::late`].
    const LATE: &'static [&'static str] = &[];

    /// Its columns.
    fn columns() -> &'static [Column<Self::Record>];

    /// Which rows answer a query with these conditions.
    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach>;

    /// Reads a stored row; they come in order of their keys.
    fn read(
        hidden: &mut Hidden,
        memory: &mut Self::Memory,
        stored: (RowKey, Row),
        records: &mut Vec<Self::Record>,
    );

    /// What is remembered, in bytes.
    fn remembered_bytes(_: &Self::Memory) -> usize {
        0
    }

    /// Another row that belongs to a record: the range that holds it alone.
    fn late(_: &Self::Record) -> Option<RowRange> {
        None
    }

    /// Takes in what is asked for of that row, and tells its bytes.
    fn take_late(_: &mut Self::Record, _: Row) -> usize {
        0
    }
}
