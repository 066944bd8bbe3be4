//! What anybody sends to a partition's inbox.

use serde::{Deserialize, Serialize};

use crate::{Invoke, Level, MetadataOffset, PartitionId, Seq};

/// A message with what must be readable whatever its own format: the envelope's format is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The level that the message is written at.
    pub level: Level,
    /// How far its sender had read the metadata that it was resolved against (exclusive).
    pub metadata: MetadataOffset,
    /// Who sent it.
    pub source: Source,
    /// What it says.
    pub message: Message,
}

/// Who sent a message, which decides how its repeats are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A gateway: repeats have the same invocation id and request id.
    Gateway,
    /// Another partition: messages are numbered from 1 per pair of partitions.
    Partition {
        /// The sender.
        partition: PartitionId,
        /// The number.
        seq: Seq,
    },
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A call.
    Invoke(Box<Invoke>),
}
