//! Rows: which schema the value of each kind of row has.
//!
//! A value begins with the offset of the record that changed the row last. The same bytes are in the
//! tables of an executor and on the journal topic.
//!
//! **Invariant:** the key tells the schema, so that a value under another kind of key is refused.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::avro::{self, Format};
use super::{DecodeError, EncodeError, list, row_key};
use crate::{CheckpointRow, InvocationId, JournalRow, LogOffset, Row, RowKey, Seq};

/// The key of the checkpoint row on the journal topic, which is no row of the tables. It is below
/// every row key.
pub const CHECKPOINT_KEY: &[u8] = &[0x00];

/// Writes a row's value, with the offset of the record that changed it. It is never empty: on a
/// compacted topic that would delete the row.
pub fn encode_row(row: &Row, changed_at: LogOffset) -> Result<Bytes, EncodeError> {
    let at = changed_at;
    match row {
        Row::Partition(row) => encode(&avro::ROW_PARTITION, at, row),
        Row::Invocation(row) => encode(&avro::ROW_INVOCATION, at, row),
        Row::Journal(row) => encode(&avro::ROW_JOURNAL, at, row),
        Row::Open(row) => encode(&avro::ROW_OPEN, at, row),
        Row::Running => encode(&avro::ROW_RUNNING, at, &RunningRow {}),
        Row::Timer => encode(&avro::ROW_TIMER, at, &TimerRow {}),
        Row::Lock(row) => encode(&avro::ROW_LOCK, at, row),
        Row::Queue(invocation) => {
            encode(&avro::ROW_QUEUE, at, &QueueRow { invocation: *invocation })
        }
        Row::Sender(seq) => encode(&avro::ROW_SENDER, at, &SenderRow { seq: *seq }),
        Row::Packed(entries) => encode(&avro::ROW_PACKED, at, &BorrowedPackedRow { entries }),
        Row::Object(row) => encode(&avro::ROW_OBJECT, at, row),
        Row::State(value) => encode(&avro::ROW_STATE, at, &StateRow { value }),
        Row::Outbox(row) => encode(&avro::ROW_OUTBOX, at, row),
        Row::Sent(row) => encode(&avro::ROW_SENT, at, row),
        Row::Waiting => encode(&avro::ROW_WAITING, at, &WaitingRow {}),
        Row::Owing(owed) => encode(&avro::ROW_OWING, at, &OwingRow { owed }),
        Row::Expiring(row) => encode(&avro::ROW_EXPIRING, at, row),
        Row::Promise(outcome) => encode(&avro::ROW_PROMISE, at, &PromiseRow { outcome }),
    }
}

/// Reads the value of the row that `key` names.
pub fn decode_row(key: &RowKey, bytes: &[u8]) -> Result<Row, DecodeError> {
    Ok(match key {
        RowKey::Partition => Row::Partition(decode(&avro::ROW_PARTITION, bytes)?),
        RowKey::Invocation(_) => Row::Invocation(decode(&avro::ROW_INVOCATION, bytes)?),
        RowKey::Journal(..) => Row::Journal(decode(&avro::ROW_JOURNAL, bytes)?),
        RowKey::Open(..) => Row::Open(decode(&avro::ROW_OPEN, bytes)?),
        RowKey::Running(_) => {
            let RunningRow {} = decode(&avro::ROW_RUNNING, bytes)?;
            Row::Running
        }
        RowKey::Timer(_) => {
            let TimerRow {} = decode(&avro::ROW_TIMER, bytes)?;
            Row::Timer
        }
        RowKey::Lock { .. } => Row::Lock(decode(&avro::ROW_LOCK, bytes)?),
        RowKey::Queue { .. } => {
            let QueueRow { invocation } = decode(&avro::ROW_QUEUE, bytes)?;
            Row::Queue(invocation)
        }
        RowKey::Sender(_) => {
            let SenderRow { seq } = decode(&avro::ROW_SENDER, bytes)?;
            Row::Sender(seq)
        }
        RowKey::Packed(..) => {
            let PackedRow { entries } = decode(&avro::ROW_PACKED, bytes)?;
            Row::Packed(entries)
        }
        RowKey::Object { .. } => Row::Object(decode(&avro::ROW_OBJECT, bytes)?),
        RowKey::State { .. } => {
            let StateRow::<Bytes> { value } = decode(&avro::ROW_STATE, bytes)?;
            Row::State(value)
        }
        RowKey::Outbox(..) => Row::Outbox(decode(&avro::ROW_OUTBOX, bytes)?),
        RowKey::Sent(_) => Row::Sent(decode(&avro::ROW_SENT, bytes)?),
        RowKey::Waiting(..) => {
            let WaitingRow {} = decode(&avro::ROW_WAITING, bytes)?;
            Row::Waiting
        }
        RowKey::Owing(_) => {
            let OwingRow { owed } = decode(&avro::ROW_OWING, bytes)?;
            Row::Owing(owed)
        }
        RowKey::Expiring(_) => Row::Expiring(decode(&avro::ROW_EXPIRING, bytes)?),
        RowKey::Promise { .. } => {
            let PromiseRow { outcome } = decode(&avro::ROW_PROMISE, bytes)?;
            Row::Promise(outcome)
        }
    })
}

/// Reads the offset of the record that changed a row last, from the bytes of its key and value, without
/// reading the row.
pub fn row_changed_at(key: &[u8], value: &[u8]) -> Result<LogOffset, DecodeError> {
    let kind = key.first().copied();
    let format = kind.and_then(format_of_kind).ok_or_else(|| DecodeError::Malformed {
        what: "row",
        reason: format!("its key has an unknown kind ({key:02x?})"),
    })?;
    format.first_long(value).map(LogOffset)
}

/// Writes the checkpoint row's value.
pub fn encode_checkpoint(row: &CheckpointRow) -> Result<Bytes, EncodeError> {
    avro::ROW_CHECKPOINT.encode(row)
}

/// Reads the checkpoint row's value.
pub fn decode_checkpoint(bytes: &[u8]) -> Result<CheckpointRow, DecodeError> {
    avro::ROW_CHECKPOINT.decode(bytes)
}

fn encode<T: Serialize>(
    format: &Format,
    changed_at: LogOffset,
    row: &T,
) -> Result<Bytes, EncodeError> {
    format.encode(&Changed { changed_at, row })
}

fn decode<T: DeserializeOwned>(format: &Format, bytes: &[u8]) -> Result<T, DecodeError> {
    let Changed { row, .. } = format.decode(bytes)?;
    Ok(row)
}

fn format_of_kind(kind: u8) -> Option<&'static Format> {
    Some(match kind {
        row_key::PARTITION => &avro::ROW_PARTITION,
        row_key::INVOCATION => &avro::ROW_INVOCATION,
        row_key::JOURNAL => &avro::ROW_JOURNAL,
        row_key::OPEN => &avro::ROW_OPEN,
        row_key::RUNNING => &avro::ROW_RUNNING,
        row_key::TIMER => &avro::ROW_TIMER,
        row_key::LOCK => &avro::ROW_LOCK,
        row_key::QUEUE => &avro::ROW_QUEUE,
        row_key::SENDER => &avro::ROW_SENDER,
        row_key::PACKED => &avro::ROW_PACKED,
        row_key::OBJECT => &avro::ROW_OBJECT,
        row_key::STATE => &avro::ROW_STATE,
        row_key::OUTBOX => &avro::ROW_OUTBOX,
        row_key::SENT => &avro::ROW_SENT,
        row_key::OWING => &avro::ROW_OWING,
        row_key::WAITING => &avro::ROW_WAITING,
        row_key::PROMISE => &avro::ROW_PROMISE,
        row_key::EXPIRING => &avro::ROW_EXPIRING,
        _ => return None,
    })
}

/// A row with the offset of its last change. The reader compares its name with the schema's.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Row")]
struct Changed<T> {
    changed_at: LogOffset,
    row: T,
}

#[derive(Serialize, Deserialize)]
struct RunningRow {}

#[derive(Serialize, Deserialize)]
struct TimerRow {}

#[derive(Serialize, Deserialize)]
struct WaitingRow {}

#[derive(Serialize, Deserialize)]
struct OwingRow<O> {
    owed: O,
}

#[derive(Serialize, Deserialize)]
struct PromiseRow<O> {
    outcome: O,
}

#[derive(Serialize, Deserialize)]
struct QueueRow {
    invocation: InvocationId,
}

#[derive(Serialize, Deserialize)]
struct SenderRow {
    seq: Seq,
}

#[derive(Serialize)]
struct BorrowedPackedRow<'a> {
    #[serde(serialize_with = "list::entries::serialize")]
    entries: &'a [JournalRow],
}

#[derive(Deserialize)]
struct PackedRow {
    #[serde(deserialize_with = "list::entries::deserialize")]
    entries: Vec<JournalRow>,
}

#[derive(Serialize, Deserialize)]
struct StateRow<B> {
    value: B,
}
