//! Rows: which schema the value of each kind of row has.
//!
//! **Invariant:** the key tells the schema, so that a value under another kind of key is refused.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, EncodeError, avro, list};
use crate::{InvocationId, JournalRow, Row, RowKey, Seq};

/// Writes a row's value. It is never empty: on a compacted topic that would delete the row.
pub fn encode_row(row: &Row) -> Result<Bytes, EncodeError> {
    match row {
        Row::Partition(row) => avro::ROW_PARTITION.encode(row),
        Row::Invocation(row) => avro::ROW_INVOCATION.encode(row),
        Row::Journal(row) => avro::ROW_JOURNAL.encode(row),
        Row::Open(row) => avro::ROW_OPEN.encode(row),
        Row::Running => avro::ROW_RUNNING.encode(&RunningRow {}),
        Row::Timer => avro::ROW_TIMER.encode(&TimerRow {}),
        Row::Lock(row) => avro::ROW_LOCK.encode(row),
        Row::Queue(invocation) => avro::ROW_QUEUE.encode(&QueueRow { invocation: *invocation }),
        Row::Sender(seq) => avro::ROW_SENDER.encode(&SenderRow { seq: *seq }),
        Row::Packed(entries) => avro::ROW_PACKED.encode(&BorrowedPackedRow { entries }),
        Row::Object(row) => avro::ROW_OBJECT.encode(row),
        Row::State(value) => avro::ROW_STATE.encode(&StateRow { value }),
        Row::Outbox(row) => avro::ROW_OUTBOX.encode(row),
        Row::Sent(row) => avro::ROW_SENT.encode(row),
        Row::Waiting => avro::ROW_WAITING.encode(&WaitingRow {}),
        Row::Owing => avro::ROW_OWING.encode(&OwingRow {}),
    }
}

/// Reads the value of the row that `key` names.
pub fn decode_row(key: &RowKey, bytes: &[u8]) -> Result<Row, DecodeError> {
    Ok(match key {
        RowKey::Partition => Row::Partition(avro::ROW_PARTITION.decode(bytes)?),
        RowKey::Invocation(_) => Row::Invocation(avro::ROW_INVOCATION.decode(bytes)?),
        RowKey::Journal(..) => Row::Journal(avro::ROW_JOURNAL.decode(bytes)?),
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
        RowKey::Packed(..) => {
            let PackedRow { entries } = avro::ROW_PACKED.decode(bytes)?;
            Row::Packed(entries)
        }
        RowKey::Object { .. } => Row::Object(avro::ROW_OBJECT.decode(bytes)?),
        RowKey::State { .. } => {
            let StateRow::<Bytes> { value } = avro::ROW_STATE.decode(bytes)?;
            Row::State(value)
        }
        RowKey::Outbox(..) => Row::Outbox(avro::ROW_OUTBOX.decode(bytes)?),
        RowKey::Sent(_) => Row::Sent(avro::ROW_SENT.decode(bytes)?),
        RowKey::Waiting(..) => {
            let WaitingRow {} = avro::ROW_WAITING.decode(bytes)?;
            Row::Waiting
        }
        RowKey::Owing(_) => {
            let OwingRow {} = avro::ROW_OWING.decode(bytes)?;
            Row::Owing
        }
    })
}

#[derive(Serialize, Deserialize)]
struct RunningRow {}

#[derive(Serialize, Deserialize)]
struct TimerRow {}

#[derive(Serialize, Deserialize)]
struct WaitingRow {}

#[derive(Serialize, Deserialize)]
struct OwingRow {}

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
