//! Journals of completed invocations: few rows in place of one per entry, since most of what a
//! partition remembers has completed.
//!
//! **Invariant:** a completed invocation has the rows of its parts and no journal row; the output
//! is the last entry of the last part.

use everlog_log_schema::limits::PACKED_BYTES_AIM;
use everlog_log_schema::{Entry, InvocationId, InvocationRow, JournalRow, Outcome, Row, RowKey};

use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// A packed journal.
pub(crate) struct Packed {
    /// How many parts it has.
    pub(crate) parts: u32,
    /// How the invocation ended.
    pub(crate) outcome: Outcome,
}

/// Packs the journal of an invocation that has its output.
pub(crate) fn pack(
    at: &mut Transition<'_, impl Tables>,
    id: InvocationId,
    row: &InvocationRow,
) -> Result<Packed, TablesError> {
    let mut parts = 0;
    let mut part = Vec::new();
    let mut bytes = 0;
    for index in 0..row.entries {
        let entry = reads::journal_row(at.tables, id, index)?;
        at.tables.delete(&RowKey::Journal(id, index));
        let more = entry.entry.payload_bytes();
        if !part.is_empty() && bytes + more > PACKED_BYTES_AIM {
            at.tables.put(RowKey::Packed(id, parts), Row::Packed(std::mem::take(&mut part)));
            parts += 1;
            bytes = 0;
        }
        bytes += more;
        part.push(entry);
    }
    let outcome = outcome_in(id, &part)?;
    at.tables.put(RowKey::Packed(id, parts), Row::Packed(part));
    Ok(Packed { parts: parts + 1, outcome })
}

/// Reads the outcome in the last part of a journal.
pub(crate) fn outcome_in(id: InvocationId, part: &[JournalRow]) -> Result<Outcome, TablesError> {
    match part.last().map(|row| &row.entry) {
        Some(Entry::Output { outcome, .. }) => Ok(outcome.clone()),
        Some(Entry::Input { .. } | Entry::Command { .. } | Entry::Notification { .. }) | None => {
            Err(TablesError(format!("completed invocation {id:?} has no output")))
        }
    }
}
