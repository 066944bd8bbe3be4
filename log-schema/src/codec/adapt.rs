//! How the types of this crate meet the types of Avro, which has no unsigned numbers.
//!
//! **Invariant:** what one of these refuses to read, it refuses to write.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "serde hands a field over as a reference to just its type"
)]

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Offsets, epochs, times: a `long`, of which the negative half is refused.
pub(crate) mod long {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;
    use serde::ser::Error as _;

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let value = i64::try_from(*value)
            .map_err(|_| S::Error::custom(format_args!("number {value} is 2^63 or more")))?;
        serializer.serialize_i64(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let value = i64::deserialize(deserializer)?;
        u64::try_from(value)
            .map_err(|_| D::Error::custom(format_args!("number {value} is negative")))
    }
}

/// Numbers of 32 bits: a `long` too, as `int` is signed.
pub(crate) mod count {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(*value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer)
    }
}

/// Hashes, which use all 64 bits: 8 bytes, big-endian.
pub(crate) mod hash {
    use super::{Deserializer, Serializer, fixed};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&value.to_be_bytes())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok(u64::from_be_bytes(fixed(deserializer)?))
    }
}

/// Request ids: 16 bytes, big-endian.
pub(crate) mod request_id {
    use super::{Deserializer, Serializer, fixed};

    pub(crate) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&value.to_be_bytes())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        Ok(u128::from_be_bytes(fixed(deserializer)?))
    }
}

/// Reads a `fixed` of N bytes.
pub(crate) fn fixed<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    struct Fixed<const N: usize>;

    impl<const N: usize> Visitor<'_> for Fixed<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
        }
    }

    deserializer.deserialize_byte_buf(Fixed)
}

/// The sender of a message that could not be read, where it is known: as a union of null and the
/// senders, for Avro has no union within a union.
pub(crate) mod optional_source {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use crate::{PartitionId, Seq, Source};

    #[derive(Serialize, Deserialize)]
    enum OptionalSource {
        Unknown,
        Gateway,
        Partition { partition: PartitionId, seq: Seq },
    }

    pub(crate) fn serialize<S: Serializer>(
        source: &Option<Source>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let source = match *source {
            None => OptionalSource::Unknown,
            Some(Source::Gateway) => OptionalSource::Gateway,
            Some(Source::Partition { partition, seq }) => {
                OptionalSource::Partition { partition, seq }
            }
        };
        source.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Source>, D::Error> {
        Ok(match OptionalSource::deserialize(deserializer)? {
            OptionalSource::Unknown => None,
            OptionalSource::Gateway => Some(Source::Gateway),
            OptionalSource::Partition { partition, seq } => {
                Some(Source::Partition { partition, seq })
            }
        })
    }
}
