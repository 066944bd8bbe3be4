//! Row keys as bytes: one byte for the kind of row, then the parts of the key.
//!
//! Numbers are big-endian. A text, or a state key, has each zero byte written as `00 FF` and ends in
//! `00 00`, so that none is a prefix of another. **Invariant:** bytes order as [`RowKey`] does, so that a
//! range of keys is a range of bytes in every store.

use bytes::Bytes;

use crate::{
    CompletionId, Incarnation, InvocationId, Life, Millis, PartitionId, RowKey, Seq, Timer,
    TimerKind,
};

pub(super) const PARTITION: u8 = 0x01;
pub(super) const INVOCATION: u8 = 0x02;
pub(super) const JOURNAL: u8 = 0x03;
pub(super) const OPEN: u8 = 0x04;
pub(super) const RUNNING: u8 = 0x05;
pub(super) const TIMER: u8 = 0x06;
pub(super) const LOCK: u8 = 0x07;
pub(super) const QUEUE: u8 = 0x08;
pub(super) const SENDER: u8 = 0x09;
pub(super) const PACKED: u8 = 0x0A;
pub(super) const OBJECT: u8 = 0x0B;
pub(super) const STATE: u8 = 0x0C;
pub(super) const OUTBOX: u8 = 0x0D;
pub(super) const SENT: u8 = 0x0E;
pub(super) const OWING: u8 = 0x0F;
pub(super) const WAITING: u8 = 0x10;
pub(super) const PROMISE: u8 = 0x11;
pub(super) const EXPIRING: u8 = 0x12;

const TIMER_START: u8 = 0x01;
const TIMER_RETRY: u8 = 0x02;
const TIMER_SLEEP: u8 = 0x03;
const TIMER_PURGE: u8 = 0x04;
const TIMER_PURGE_JOURNAL: u8 = 0x05;
const TIMER_EXPIRE: u8 = 0x06;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xFF;
const END: u8 = 0x00;

/// Why bytes are no row key: the table they are from is damaged, or of a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowKeyError {
    /// The kind of row, or of timer, is not known.
    #[error("row key has an unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// The bytes end within the key.
    #[error("row key is cut short")]
    Cut,
    /// Bytes follow the key's end.
    #[error("row key is followed by {0} bytes")]
    Trailing(usize),
    /// A text in it is not UTF-8, or not escaped as it must be.
    #[error("row key holds a malformed text")]
    Text,
}

impl RowKey {
    /// Writes the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match self {
            Self::Partition => bytes.push(PARTITION),
            Self::Invocation(id) => put_id(&mut bytes, INVOCATION, id),
            Self::Journal(id, index) => {
                put_id(&mut bytes, JOURNAL, id);
                bytes.extend_from_slice(&index.to_be_bytes());
            }
            Self::Open(id, completion) => {
                put_id(&mut bytes, OPEN, id);
                bytes.extend_from_slice(&completion.0.to_be_bytes());
            }
            Self::Running(id) => put_id(&mut bytes, RUNNING, id),
            Self::Timer(timer) => put_timer(&mut bytes, timer),
            Self::Lock { service, key } => put_object(&mut bytes, LOCK, service, key),
            Self::Queue { service, key, place } => {
                put_object(&mut bytes, QUEUE, service, key);
                bytes.extend_from_slice(&place.to_be_bytes());
            }
            Self::Sender(partition) => put_partition(&mut bytes, SENDER, *partition),
            Self::Packed(id, part) => {
                put_id(&mut bytes, PACKED, id);
                bytes.extend_from_slice(&part.to_be_bytes());
            }
            Self::Object { service, key } => put_object(&mut bytes, OBJECT, service, key),
            Self::State { service, key, name } => {
                put_object(&mut bytes, STATE, service, key);
                put_escaped(&mut bytes, name);
            }
            Self::Outbox(partition, seq) => {
                put_partition(&mut bytes, OUTBOX, *partition);
                bytes.extend_from_slice(&seq.0.to_be_bytes());
            }
            Self::Sent(partition) => put_partition(&mut bytes, SENT, *partition),
            Self::Waiting(id, caller, completion) => {
                put_id(&mut bytes, WAITING, id);
                bytes.extend_from_slice(&caller.invocation.start_id(caller.incarnation));
                bytes.extend_from_slice(&completion.0.to_be_bytes());
            }
            Self::Owing(id) => put_id(&mut bytes, OWING, id),
            Self::Expiring(id) => put_id(&mut bytes, EXPIRING, id),
            Self::Promise { service, key, name } => {
                put_object(&mut bytes, PROMISE, service, key);
                put_escaped(&mut bytes, name.as_bytes());
            }
        }
        bytes
    }

    /// Reads a key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RowKeyError> {
        let mut rest = Rest(bytes);
        let key = match rest.byte()? {
            PARTITION => Self::Partition,
            INVOCATION => Self::Invocation(rest.id()?),
            JOURNAL => Self::Journal(rest.id()?, rest.u32()?),
            OPEN => Self::Open(rest.id()?, CompletionId(rest.u32()?)),
            RUNNING => Self::Running(rest.id()?),
            TIMER => Self::Timer(rest.timer()?),
            LOCK => Self::Lock { service: rest.text()?, key: rest.text()? },
            QUEUE => Self::Queue { service: rest.text()?, key: rest.text()?, place: rest.u64()? },
            SENDER => Self::Sender(PartitionId(rest.u32()?)),
            PACKED => Self::Packed(rest.id()?, rest.u32()?),
            OBJECT => Self::Object { service: rest.text()?, key: rest.text()? },
            STATE => Self::State {
                service: rest.text()?,
                key: rest.text()?,
                name: Bytes::from(rest.unescaped()?),
            },
            OUTBOX => Self::Outbox(PartitionId(rest.u32()?), Seq(rest.u64()?)),
            SENT => Self::Sent(PartitionId(rest.u32()?)),
            WAITING => Self::Waiting(rest.id()?, rest.life()?, CompletionId(rest.u32()?)),
            OWING => Self::Owing(rest.id()?),
            EXPIRING => Self::Expiring(rest.id()?),
            PROMISE => {
                Self::Promise { service: rest.text()?, key: rest.text()?, name: rest.text()? }
            }
            kind => return Err(RowKeyError::UnknownKind(kind)),
        };
        if rest.0.is_empty() { Ok(key) } else { Err(RowKeyError::Trailing(rest.0.len())) }
    }
}

fn put_id(bytes: &mut Vec<u8>, kind: u8, id: &InvocationId) {
    bytes.push(kind);
    bytes.extend_from_slice(&id.to_bytes());
}

fn put_timer(bytes: &mut Vec<u8>, timer: &Timer) {
    bytes.push(TIMER);
    bytes.extend_from_slice(&timer.due.0.to_be_bytes());
    bytes.extend_from_slice(&timer.invocation.to_bytes());
    bytes.extend_from_slice(&timer.incarnation.0.to_be_bytes());
    match timer.kind {
        TimerKind::Start => bytes.push(TIMER_START),
        TimerKind::Retry => bytes.push(TIMER_RETRY),
        TimerKind::Sleep(completion) => {
            bytes.push(TIMER_SLEEP);
            bytes.extend_from_slice(&completion.0.to_be_bytes());
        }
        TimerKind::Purge => bytes.push(TIMER_PURGE),
        TimerKind::PurgeJournal => bytes.push(TIMER_PURGE_JOURNAL),
        TimerKind::Expire => bytes.push(TIMER_EXPIRE),
    }
}

fn put_partition(bytes: &mut Vec<u8>, kind: u8, partition: PartitionId) {
    bytes.push(kind);
    bytes.extend_from_slice(&partition.0.to_be_bytes());
}

fn put_object(bytes: &mut Vec<u8>, kind: u8, service: &str, key: &str) {
    bytes.push(kind);
    put_escaped(bytes, service.as_bytes());
    put_escaped(bytes, key.as_bytes());
}

fn put_escaped(bytes: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        bytes.push(*byte);
        if *byte == ESCAPE {
            bytes.push(ESCAPED_ZERO);
        }
    }
    bytes.extend_from_slice(&[ESCAPE, END]);
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RowKeyError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RowKeyError::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, RowKeyError> {
        self.take().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, RowKeyError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RowKeyError> {
        self.take().map(u64::from_be_bytes)
    }

    fn id(&mut self) -> Result<InvocationId, RowKeyError> {
        self.take().map(|bytes| InvocationId::from_bytes(&bytes))
    }

    fn life(&mut self) -> Result<Life, RowKeyError> {
        Ok(Life { invocation: self.id()?, incarnation: Incarnation(self.u64()?) })
    }

    fn timer(&mut self) -> Result<Timer, RowKeyError> {
        Ok(Timer {
            due: Millis(self.u64()?),
            invocation: self.id()?,
            incarnation: Incarnation(self.u64()?),
            kind: match self.byte()? {
                TIMER_START => TimerKind::Start,
                TIMER_RETRY => TimerKind::Retry,
                TIMER_SLEEP => TimerKind::Sleep(CompletionId(self.u32()?)),
                TIMER_PURGE => TimerKind::Purge,
                TIMER_PURGE_JOURNAL => TimerKind::PurgeJournal,
                TIMER_EXPIRE => TimerKind::Expire,
                kind => return Err(RowKeyError::UnknownKind(kind)),
            },
        })
    }

    fn text(&mut self) -> Result<String, RowKeyError> {
        String::from_utf8(self.unescaped()?).map_err(|_| RowKeyError::Text)
    }

    fn unescaped(&mut self) -> Result<Vec<u8>, RowKeyError> {
        let mut text = Vec::new();
        loop {
            let byte = self.byte()?;
            if byte != ESCAPE {
                text.push(byte);
                continue;
            }
            match self.byte()? {
                ESCAPED_ZERO => text.push(ESCAPE),
                END => return Ok(text),
                _ => return Err(RowKeyError::Text),
            }
        }
    }
}
