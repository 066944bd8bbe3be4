//! Rows as they are stored, in pages: for those who read whole tables.
//!
//! **Invariant:** a page is one moment's, its rows are in order, and what it costs is limited. Where it
//! ends early it names the key that the next one begins with, so that no row is left out or told twice.

use bytes::Bytes;
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::{RowPage, RowRange};
use everlog_partition::TablesError;

use super::{Store, bounded_by, prefixed};

/// What a page takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLimits {
    /// Rows.
    pub(crate) rows: usize,
    /// Keys and values, in bytes. One row alone may be larger.
    pub(crate) bytes: usize,
}

impl Store {
    /// Reads the rows in these ranges, which follow each other.
    pub(crate) fn page(
        &self,
        partition: PartitionId,
        ranges: &[RowRange],
        limits: PageLimits,
    ) -> Result<RowPage, TablesError> {
        let snapshot = self.db.snapshot();
        let mut page = RowPage::default();
        let mut bytes = 0;
        for range in ranges {
            let bounds = bounded_by(prefixed(partition.0, &range.below));
            let mut rows = snapshot.raw_iterator_opt(bounds);
            rows.seek(prefixed(partition.0, &range.from));
            while let Some((key, value)) = rows.item() {
                let key = key.get(4..).ok_or_else(|| self.unread("a key is too short"))?;
                bytes += key.len() + value.len();
                let full = page.rows.len() >= limits.rows || bytes > limits.bytes;
                if full && !page.rows.is_empty() {
                    page.next = Some(Bytes::copy_from_slice(key));
                    return Ok(page);
                }
                page.rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                rows.next();
            }
            rows.status().map_err(|error| self.unread(error))?;
        }
        Ok(page)
    }
}
