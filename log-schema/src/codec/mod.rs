//! How messages, records, rows and changes of metadata are written, and read back; and likewise what
//! processes say to each other.
//!
//! Reading is strict. What is larger than its limit is refused before memory is taken for it, what
//! follows a value's end is an error, and bytes of an unknown format are told apart from damaged
//! ones. **Invariant:** no input makes a decoder panic, and what a decoder refuses, the encoder
//! refuses to write.

pub(crate) mod adapt;
mod avro;
mod envelope;
pub(crate) mod list;
mod row;
mod row_key;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

pub use envelope::{EnvelopeHeader, MessageError, decode_message, encode_message};
pub use row::{
    CHECKPOINT_KEY, decode_checkpoint, decode_row, encode_checkpoint, encode_row, row_changed_at,
};
pub use row_key::RowKeyError;
pub use wire::{
    decode_member, decode_question, decode_reply, encode_member, encode_question, encode_reply,
};

use crate::limits::LimitExceeded;
use crate::metadata::MetadataChange;
use crate::{Level, Record};

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

/// Hashes a record's bytes (XXH3-64, seed 0), for `PartitionRow::last_hash`.
pub fn hash_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
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
