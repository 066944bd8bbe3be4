//! Avro single-object encoding: `C3 01`, the CRC-64-AVRO fingerprint of the schema (8 bytes,
//! little-endian), and the value in Avro's binary form.
//!
//! The schemas are files, written by hand, and the truth; the types of this crate follow them.
//! Each file lies in the folder of the level that brought it. **Invariant:** a file that was ever
//! released never changes, as its fingerprint would.

use std::sync::LazyLock;

use apache_avro::error::Details;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Error, Schema};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, EncodeError};
use crate::limits;

const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER_BYTES: usize = 10;
/// Room for a record with a few small entries, so that most values are written without growing.
const CAPACITY: usize = 512;

const REASON_BYTES_MAX: usize = 256;

/// One schema, ready to write and to read.
pub(super) struct Format {
    header: [u8; HEADER_BYTES],
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
    /// What it describes, and the most bytes that may be, the header included.
    what: &'static str,
    bytes_max: usize,
}

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $file:literal, $max:expr;)*) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Format> = LazyLock::new(|| {
            Format::new($what, include_str!(concat!("../../schemas/", $file, ".avsc")), $max)
        });
    )*};
}

formats! {
    RECORD = "record", "level-1/record", limits::RECORD_BYTES_MAX;
    MESSAGE = "message", "level-1/message", limits::MESSAGE_BYTES_MAX;
    METADATA_CHANGE = "metadata change", "level-1/metadata-change",
        limits::METADATA_CHANGE_BYTES_MAX;
    OWNER_QUESTION = "question", "level-1/owner-question", limits::QUESTION_BYTES_MAX;
    OWNER_REPLY = "answer", "level-1/owner-reply", limits::REPLY_BYTES_MAX;
    MEMBER = "member", "level-1/member", limits::MEMBER_BYTES_MAX;
    ROW_PARTITION = "partition row", "level-1/row-partition", limits::ROW_BYTES_MAX;
    ROW_INVOCATION = "invocation row", "level-1/row-invocation", limits::ROW_BYTES_MAX;
    ROW_JOURNAL = "journal entry", "level-1/row-journal", limits::ROW_BYTES_MAX;
    ROW_OPEN = "open completion", "level-1/row-open", limits::ROW_BYTES_MAX;
    ROW_RUNNING = "running row", "level-1/row-running", limits::ROW_BYTES_MAX;
    ROW_TIMER = "timer row", "level-1/row-timer", limits::ROW_BYTES_MAX;
    ROW_LOCK = "lock row", "level-1/row-lock", limits::ROW_BYTES_MAX;
    ROW_QUEUE = "queue row", "level-1/row-queue", limits::ROW_BYTES_MAX;
    ROW_SENDER = "sender row", "level-1/row-sender", limits::ROW_BYTES_MAX;
    ROW_PACKED = "packed journal", "level-1/row-packed", limits::ROW_BYTES_MAX;
    ROW_OBJECT = "object row", "level-1/row-object", limits::ROW_BYTES_MAX;
    ROW_STATE = "state row", "level-1/row-state", limits::ROW_BYTES_MAX;
    ROW_OUTBOX = "outbox row", "level-1/row-outbox", limits::ROW_BYTES_MAX;
    ROW_SENT = "sent row", "level-1/row-sent", limits::ROW_BYTES_MAX;
    ROW_WAITING = "waiting row", "level-1/row-waiting", limits::ROW_BYTES_MAX;
    ROW_OWING = "owing row", "level-1/row-owing", limits::ROW_BYTES_MAX;
    ROW_PROMISE = "promise row", "level-1/row-promise", limits::ROW_BYTES_MAX;
    ROW_EXPIRING = "expiring row", "level-1/row-expiring", limits::ROW_BYTES_MAX;
    ROW_CHECKPOINT = "checkpoint row", "level-1/row-checkpoint", limits::ROW_BYTES_MAX;
}

impl Format {
    fn new(what: &'static str, schema: &str, bytes_max: usize) -> Self {
        // The Avro library asks this before it allocates for a length that it has read.
        apache_avro::util::max_allocation_bytes(limits::RECORD_BYTES_MAX);
        let schema = Schema::parse_str(schema).expect("a schema of this crate is valid");
        // There is one for each file, for as long as the process lives.
        let schema: &'static Schema = Box::leak(Box::new(schema));
        let fingerprint = schema.fingerprint::<Rabin>().bytes;
        let mut header = [0; HEADER_BYTES];
        let (marker, rest) = header.split_at_mut(MARKER.len());
        marker.copy_from_slice(&MARKER);
        rest.copy_from_slice(&fingerprint);
        Self {
            header,
            writer: GenericDatumWriter::builder(schema)
                .human_readable(false)
                .build()
                .expect("a schema of this crate names only its own types"),
            reader: GenericDatumReader::builder(schema)
                .human_readable(false)
                .build()
                .expect("a schema of this crate names only its own types"),
            what,
            bytes_max,
        }
    }

    pub(super) fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, EncodeError> {
        self.encode_behind(&[], value)
    }

    /// Writes `prefix`, and the value behind it.
    pub(super) fn encode_behind<T: Serialize>(
        &self,
        prefix: &[u8],
        value: &T,
    ) -> Result<Bytes, EncodeError> {
        let mut bytes = Vec::with_capacity(CAPACITY);
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&self.header);
        self.writer
            .write_ser(&mut bytes, value)
            .map_err(|error| EncodeError::Unwritable(reason_of(error)))?;
        limits::check(self.what, bytes.len(), self.bytes_max)?;
        Ok(bytes.into())
    }

    pub(super) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let mut body = self.body(bytes)?;
        let value =
            self.reader.read_deser(&mut body).map_err(|error| self.malformed(reason_of(error)))?;
        if !body.is_empty() {
            return Err(self.malformed(format!("{} bytes follow its end", body.len())));
        }
        Ok(value)
    }

    /// Reads the first field of a value, which must be a number that is not negative, and nothing else.
    pub(super) fn first_long(&self, bytes: &[u8]) -> Result<u64, DecodeError> {
        let body = self.body(bytes)?;
        let number = zigzag(body)
            .ok_or_else(|| self.malformed("its first number is cut short or too large".into()))?;
        u64::try_from(number)
            .map_err(|_| self.malformed(format!("its first number is negative: {number}")))
    }

    /// What follows the header.
    fn body<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        limits::check(self.what, bytes.len(), self.bytes_max)?;
        let (header, body) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .filter(|(header, _)| header.starts_with(&MARKER))
            .ok_or_else(|| {
                self.malformed("the marker of avro's single-object encoding is missing".into())
            })?;
        if *header != self.header {
            let fingerprint = header.last_chunk().copied().expect("the header ends in 8 bytes");
            let fingerprint = u64::from_le_bytes(fingerprint);
            return Err(DecodeError::UnknownSchema { what: self.what, fingerprint });
        }
        Ok(body)
    }

    fn malformed(&self, reason: String) -> DecodeError {
        DecodeError::Malformed { what: self.what, reason }
    }
}

/// Reads an Avro `long`: 7 bits to a byte, the lowest first, the sign in the lowest bit.
fn zigzag(bytes: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (byte, shift) in bytes.iter().zip((0..u64::BITS).step_by(7)) {
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let magnitude = i64::try_from(number >> 1).ok()?;
            return Some(if number & 1 == 0 { magnitude } else { -magnitude - 1 });
        }
    }
    None
}

/// Says what went wrong in a few words: the Avro library would print the whole schema with it, and
/// what is said of a rejected message is kept in the log.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has 180 more, all of them short")]
fn reason_of(error: Error) -> String {
    let mut reason = match error.into_details() {
        Details::DeserializeSchemaAware { value_type, value, .. }
        | Details::SerializeValueWithSchema { value_type, value, .. } => {
            format!("{value_type}: {value}")
        }
        Details::SerializeRecordFieldWithSchema { field_name, error, .. } => {
            format!("field {field_name}: {error}")
        }
        details => details.to_string(),
    };
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}
