//! How messages, records, rows and changes of metadata are written, and read back.
//!
//! Reading is strict. What is larger than its limit is refused before memory is taken for it, what
//! follows a value's end is an error, and bytes of an unknown format are told apart from damaged
//! ones. **Invariant:** no input makes a decoder panic, and what a decoder refuses, the encoder
//! refuses to write.

pub(crate) mod adapt;
mod avro;
mod envelope;
pub(crate) mod list;
mod row_key;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub use envelope::{EnvelopeHeader, MessageError, decode_message, encode_message};
pub use row_key::RowKeyError;

use crate::limits::LimitExceeded;
use crate::metadata::MetadataChange;
use crate::{Entry, InvocationId, Level, Record, Row, RowKey, Seq};

/// The highest level that this code reads, and the one that it writes.
pub const LEVEL_MAX: Level = Level(1);

/// Writes a record of the event log.
pub fn encode_record(record: &Record) -> Result<Bytes, EncodeError> {
    avro::RECORD.encode(record)
}

/// Reads a record of the event log.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    avro::RECORD.decode(bytes)
}

/// Writes a change of metadata.
pub fn encode_metadata_change(change: &MetadataChange) -> Result<Bytes, EncodeError> {
    avro::METADATA_CHANGE.encode(change)
}

/// Reads a change of metadata.
pub fn decode_metadata_change(bytes: &[u8]) -> Result<MetadataChange, DecodeError> {
    avro::METADATA_CHANGE.decode(bytes)
}

/// Writes a row's value. It is never empty: on a compacted topic that would delete the row.
pub fn encode_row(row: &Row) -> Result<Bytes, EncodeError> {
    match row {
        Row::Partition(row) => avro::ROW_PARTITION.encode(row),
        Row::Invocation(row) => avro::ROW_INVOCATION.encode(row),
        Row::Journal(entry) => avro::ROW_JOURNAL.encode(&JournalRow { entry }),
        Row::Open(row) => avro::ROW_OPEN.encode(row),
        Row::Running => avro::ROW_RUNNING.encode(&RunningRow {}),
        Row::Timer => avro::ROW_TIMER.encode(&TimerRow {}),
        Row::Lock(row) => avro::ROW_LOCK.encode(row),
        Row::Queue(invocation) => avro::ROW_QUEUE.encode(&QueueRow { invocation: *invocation }),
        Row::Sender(seq) => avro::ROW_SENDER.encode(&SenderRow { seq: *seq }),
    }
}

/// Reads the value of the row that `key` names.
pub fn decode_row(key: &RowKey, bytes: &[u8]) -> Result<Row, DecodeError> {
    Ok(match key {
        RowKey::Partition => Row::Partition(avro::ROW_PARTITION.decode(bytes)?),
        RowKey::Invocation(_) => Row::Invocation(avro::ROW_INVOCATION.decode(bytes)?),
        RowKey::Journal(..) => {
            let JournalRow::<Entry> { entry } = avro::ROW_JOURNAL.decode(bytes)?;
            Row::Journal(entry)
        }
        RowKey::Open(..) => Row::Open(avro::ROW_OPEN.decode(bytes)?),
        RowKey::Running(_) => {
            let RunningRow {} = avro::ROW_RUNNING.decode(bytes)?;
            Row::Running
        }
        RowKey::Timer(_) => {
            let TimerRow {} = avro::ROW_TIMER.decode(bytes)?;
            Row::Timer
        }
        RowKey::Lock { .. } => Row::Lock(avro::ROW_LOCK.decode(bytes)?),
        RowKey::Queue { .. } => {
            let QueueRow { invocation } = avro::ROW_QUEUE.decode(bytes)?;
            Row::Queue(invocation)
        }
        RowKey::Sender(_) => {
            let SenderRow { seq } = avro::ROW_SENDER.decode(bytes)?;
            Row::Sender(seq)
        }
    })
}

/// Hashes a record's bytes (XXH3-64, seed 0), for `PartitionRow::last_hash`.
pub fn hash_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[derive(Serialize, Deserialize)]
struct JournalRow<E> {
    entry: E,
}

#[derive(Serialize, Deserialize)]
struct RunningRow {}

#[derive(Serialize, Deserialize)]
struct TimerRow {}

#[derive(Serialize, Deserialize)]
struct QueueRow {
    invocation: InvocationId,
}

#[derive(Serialize, Deserialize)]
struct SenderRow {
    seq: Seq,
}

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It, or a part of it, is too large: refuse what it came from.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It holds a number of 2^63 or more, or a list with too many elements: refuse likewise.
    #[error("failed to encode: {0}")]
    Unwritable(String),
}

/// Why bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are more of them than may ever be written.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A schema that this code does not know, perhaps of a newer version: stop, never skip.
    #[error("{what} has an unknown schema, fingerprint {fingerprint:016x}")]
    UnknownSchema {
        /// What was to be read.
        what: &'static str,
        /// The CRC-64-AVRO fingerprint of its schema.
        fingerprint: u64,
    },
    /// They are not what their schema says.
    #[error("failed to decode {what}: {reason}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
        /// Where it went wrong.
        reason: String,
    },
}
