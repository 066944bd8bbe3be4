//! Reads of the tables that are answered in pages.
//!
//! **Invariant:** no page costs more than its limits, however much the tables hold.

use bytes::Bytes;
use everlog_log_schema::limits::PAGE_ROWS_MAX;
use everlog_log_schema::owner_api::{
    InvocationPage, InvocationQuery, RowPage, RowRange, StatePage,
};
use everlog_log_schema::{InvocationId, JournalRow, PartitionId};
use everlog_partition::{Tables, TablesError, reads};

use crate::store::{PageLimits, Store};

/// How many invocations are looked at for one page.
const LOOKED_AT_MAX: usize = 10_000;
/// A page of a journal, in bytes. One entry alone may be larger.
const JOURNAL_BYTES_MAX: u64 = 1 << 20;
/// A page of state, in bytes. One key and its value alone may be larger.
const STATE_BYTES_MAX: usize = 1 << 20;
/// The keys of a page of state.
const STATE_KEYS_MAX: usize = 1_000;
/// A page of rows.
const ROWS: PageLimits = PageLimits { rows: PAGE_ROWS_MAX, bytes: 1 << 20 };

/// Looks for invocations.
pub(crate) fn invocations(
    tables: &impl Tables,
    query: &InvocationQuery,
) -> Result<InvocationPage, TablesError> {
    let mut page = InvocationPage { found: Vec::new(), next: query.after };
    for _ in 0..LOOKED_AT_MAX {
        if page.found.len() >= query.limit {
            return Ok(page);
        }
        let Some((id, row)) = reads::next_invocation(tables, page.next)? else {
            return Ok(InvocationPage { next: None, ..page });
        };
        page.next = Some(id);
        if query.matches(&row) && !row.has_expired() {
            page.found.push((id, row));
        }
    }
    Ok(page)
}

/// Reads a journal; none where the invocation is not known.
pub(crate) fn journal(
    tables: &impl Tables,
    id: InvocationId,
    from: u32,
) -> Result<Option<Vec<JournalRow>>, TablesError> {
    loop {
        let known = reads::invocation(tables, id)?.filter(|row| !row.has_expired());
        let Some(row) = known else { return Ok(None) };
        match reads::journal_from(tables, id, &row, from, JOURNAL_BYTES_MAX) {
            Ok(entries) => return Ok(Some(entries)),
            // The owner may have packed the journal, or forgotten it, since the row was read.
            Err(error) if reads::invocation(tables, id)?.as_ref() == Some(&row) => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
}

/// Reads an object's state.
pub(crate) fn state(
    tables: &impl Tables,
    service: &str,
    key: &str,
    after: Option<Bytes>,
) -> Result<StatePage, TablesError> {
    let mut page = StatePage { entries: Vec::new(), next: after };
    let mut bytes = 0;
    while page.entries.len() < STATE_KEYS_MAX && bytes < STATE_BYTES_MAX {
        let next = reads::next_state(tables, service, key, page.next.as_ref())?;
        let Some((name, value)) = next else {
            return Ok(StatePage { next: None, ..page });
        };
        bytes += name.len() + value.len();
        page.next = Some(name.clone());
        page.entries.push((name, value));
    }
    Ok(page)
}

/// Reads rows as they are stored.
pub(crate) fn rows(
    store: &Store,
    partition: PartitionId,
    ranges: &[RowRange],
) -> Result<RowPage, TablesError> {
    store.page(partition, ranges, ROWS)
}
