//! Inbox messages: a header whose format is frozen, and a body in Avro.
//!
//! The header tells what a partition must know even of a message that it cannot read: at which
//! level it is written, and who sent it as which number. **Invariant:** the header's 30 bytes mean
//! the same for ever.
//!
//! | bytes | what |
//! |---|---|
//! | 0–3 | `EVLM` |
//! | 4 | version of the header: 1 |
//! | 5–8 | level, big-endian |
//! | 9–16 | metadata offset, big-endian |
//! | 17 | source: 0 a gateway, 1 a partition |
//! | 18–21 | the sending partition, big-endian; 0 for a gateway |
//! | 22–29 | the number of the message, big-endian; 0 for a gateway |

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EncodeError, LEVEL_MAX, avro};
use crate::limits::{self, MESSAGE_BYTES_MAX};
use crate::{Envelope, Level, Message, MetadataOffset, PartitionId, Seq, Source};

const MAGIC: [u8; 4] = *b"EVLM";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 30;
const FROM_GATEWAY: u8 = 0;
const FROM_PARTITION: u8 = 1;

/// What the envelope says beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeHeader {
    /// The level that the message is written at.
    pub level: Level,
    /// How far its sender had read the metadata that it was resolved against (exclusive).
    pub metadata: MetadataOffset,
    /// Who sent it.
    pub source: Source,
}

/// Why bytes of an inbox are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A newer version wrote them: the reader gives the partition up, and skips nothing.
    #[error("message is written at level {level}, above {LEVEL_MAX}")]
    UnknownLevel {
        /// The level they are written at.
        level: Level,
    },
    /// Not even the envelope can be read: reject them, the sender is not known.
    #[error("message has no envelope: {0}")]
    NoEnvelope(String),
    /// The envelope can be read and the message cannot: reject them as the sender's.
    #[error("{reason}")]
    Body {
        /// The envelope.
        header: EnvelopeHeader,
        /// What is wrong with the message.
        reason: String,
    },
}

impl MessageError {
    /// Who sent the message, where that is known.
    pub fn source_of_message(&self) -> Option<Source> {
        match self {
            Self::UnknownLevel { .. } | Self::NoEnvelope(_) => None,
            Self::Body { header, .. } => Some(header.source),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MessageBody<M> {
    message: M,
}

/// Writes a message of the inbox, with its envelope.
pub fn encode_message(envelope: &Envelope) -> Result<Bytes, EncodeError> {
    envelope.message.check_limits()?;
    encode_unchecked(envelope)
}

/// Writes a message whose parts may be beyond their limits.
pub(super) fn encode_unchecked(envelope: &Envelope) -> Result<Bytes, EncodeError> {
    let header = EnvelopeHeader {
        level: envelope.level,
        metadata: envelope.metadata,
        source: envelope.source,
    };
    avro::MESSAGE.encode_behind(&header.to_bytes()?, &MessageBody { message: &envelope.message })
}

/// Reads a message of the inbox.
pub fn decode_message(bytes: &[u8]) -> Result<Envelope, MessageError> {
    let header = EnvelopeHeader::from_bytes(bytes)?;
    let rejected = |reason| MessageError::Body { header, reason };
    limits::check("message", bytes.len(), MESSAGE_BYTES_MAX)
        .map_err(|error| rejected(error.to_string()))?;
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    // At a known level every schema is known, so an unknown one is damage too.
    let MessageBody::<Message> { message } =
        avro::MESSAGE.decode(body).map_err(|error| rejected(error.to_string()))?;
    message.check_limits().map_err(|error| rejected(error.to_string()))?;
    let EnvelopeHeader { level, metadata, source } = header;
    Ok(Envelope { level, metadata, source, message })
}

impl EnvelopeHeader {
    fn to_bytes(self) -> Result<[u8; HEADER_BYTES], EncodeError> {
        let (tag, partition, seq) = match self.source {
            Source::Gateway => (FROM_GATEWAY, 0, 0),
            Source::Partition { partition, seq } => (FROM_PARTITION, partition.0, seq.0),
        };
        let known_level = (1..=LEVEL_MAX.0).contains(&self.level.0);
        if !known_level || !is_long(self.metadata.0) || !is_long(seq) {
            return Err(EncodeError::Unwritable(format!("envelope out of range: {self:?}")));
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.level.0.to_be_bytes());
        bytes.extend_from_slice(&self.metadata.0.to_be_bytes());
        bytes.push(tag);
        bytes.extend_from_slice(&partition.to_be_bytes());
        bytes.extend_from_slice(&seq.to_be_bytes());
        Ok(bytes.try_into().expect("the parts add up to the header"))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let fields = Fields::read(bytes).ok_or_else(|| {
            MessageError::NoEnvelope(format!("{} bytes are too few", bytes.len()))
        })?;
        if fields.magic != MAGIC || fields.version != VERSION || fields.level == 0 {
            let text = "it does not begin as an envelope of version 1 does";
            return Err(MessageError::NoEnvelope(text.into()));
        }
        let level = Level(fields.level);
        if level > LEVEL_MAX {
            return Err(MessageError::UnknownLevel { level });
        }
        let source = match (fields.tag, fields.partition, fields.seq) {
            (FROM_GATEWAY, 0, 0) => Source::Gateway,
            (FROM_PARTITION, partition, seq) if is_long(seq) => {
                Source::Partition { partition: PartitionId(partition), seq: Seq(seq) }
            }
            _ => return Err(MessageError::NoEnvelope("its source is malformed".into())),
        };
        if !is_long(fields.metadata) {
            return Err(MessageError::NoEnvelope("its metadata offset is 2^63 or more".into()));
        }
        Ok(Self { level, metadata: MetadataOffset(fields.metadata), source })
    }
}

struct Fields {
    magic: [u8; 4],
    version: u8,
    level: u32,
    metadata: u64,
    tag: u8,
    partition: u32,
    seq: u64,
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            magic: take(&mut bytes)?,
            version: u8::from_be_bytes(take(&mut bytes)?),
            level: u32::from_be_bytes(take(&mut bytes)?),
            metadata: u64::from_be_bytes(take(&mut bytes)?),
            tag: u8::from_be_bytes(take(&mut bytes)?),
            partition: u32::from_be_bytes(take(&mut bytes)?),
            seq: u64::from_be_bytes(take(&mut bytes)?),
        })
    }
}

/// Takes the next N bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Whether a record can hold the number: there it is an Avro `long`.
fn is_long(number: u64) -> bool {
    i64::try_from(number).is_ok()
}
