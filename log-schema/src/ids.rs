//! Identifiers. Each is a type of its own, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base62;
use crate::codec::adapt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty) as $adapter:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(#[serde(with = $adapter)] pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// One of the N partitions, counted from 0.
    PartitionId(u32) as "adapt::count");
number!(/// What decides the partition: XXH3-64 of the object key, else of the idempotency key, else random.
    PartitionKey(u64) as "adapt::hash");
number!(/// One life of an invocation id: the inbox offset of the message that created it.
    Incarnation(u64) as "adapt::long");
number!(/// The number of an ownership of a partition. Each announcement that reigns has the next one.
    Epoch(u64) as "adapt::long");
number!(/// The nonce of one announcement, which tells apart two that claim the same epoch. 63 bits.
    Term(u64) as "adapt::long");
number!(/// The place of a record within its term, counted from 0.
    Seq(u64) as "adapt::long");
number!(/// The version of behaviour and formats that a term, or a message, follows.
    Level(u32) as "adapt::count");
number!(/// A place in a partition's event log.
    LogOffset(u64) as "adapt::long");
number!(/// A place in a partition's inbox.
    InboxOffset(u64) as "adapt::long");
number!(/// A place in the metadata topic.
    MetadataOffset(u64) as "adapt::long");
number!(/// Milliseconds since the Unix epoch, as stamped by the owner; or a duration, where so named.
    Millis(u64) as "adapt::long");

impl Millis {
    /// The highest that can be written: formats hold times in 63 bits.
    pub const MAX: Self = Self(u64::MAX >> 1);
}

/// A duration; one that cannot be written becomes the longest that can.
impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        u64::try_from(duration.as_millis()).map_or(Self::MAX, |millis| Self(millis).min(Self::MAX))
    }
}

number!(/// The id a function gave to something it may wait for; counts from 1 within an invocation.
    CompletionId(u32) as "adapt::count");
number!(/// Names one request, so that its resend is known: of a gateway a random number, of a function a
/// hash of the caller and the place of the command.
    RequestId(u128) as "adapt::request_id");

/// The identity of one durable call. Carries its partition key, so that any id can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId {
    /// Decides the partition that the invocation lives on.
    pub partition_key: PartitionKey,
    /// Random, or a hash of what makes the call the same call (idempotency key, workflow key).
    pub uuid: u128,
}

const INVOCATION_PREFIX: &str = "inv_1";
const DEPLOYMENT_PREFIX: &str = "dp_";

impl InvocationId {
    /// The length of the byte form: partition key and uuid, both big-endian.
    pub const BYTES: usize = 24;
    /// The length of the byte form that also names the incarnation.
    pub const START_BYTES: usize = 32;

    /// Writes the byte form, which orders as the id does.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (key, uuid) = bytes.split_at_mut(8);
        key.copy_from_slice(&self.partition_key.0.to_be_bytes());
        uuid.copy_from_slice(&self.uuid.to_be_bytes());
        bytes
    }

    /// Reads the byte form. Any 24 bytes are an id.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (key, uuid) = bytes.split_first_chunk().expect("24 bytes hold 8");
        let uuid = uuid.first_chunk().expect("24 bytes hold 8 and 16");
        Self {
            partition_key: PartitionKey(u64::from_be_bytes(*key)),
            uuid: u128::from_be_bytes(*uuid),
        }
    }

    /// Writes the bytes that a function knows its invocation by (`Start.id` of the service
    /// protocol). An SDK builds awakeable ids from them: as they name the incarnation, what is
    /// meant for an earlier life of the id can be told.
    pub fn start_id(self, incarnation: Incarnation) -> [u8; Self::START_BYTES] {
        let mut bytes = [0; Self::START_BYTES];
        let (id, life) = bytes.split_at_mut(Self::BYTES);
        id.copy_from_slice(&self.to_bytes());
        life.copy_from_slice(&incarnation.0.to_be_bytes());
        bytes
    }

    /// Reads what [`InvocationId::start_id`] wrote.
    pub fn from_start_id(bytes: &[u8]) -> Result<(Self, Incarnation), IdError> {
        let wrong_length = || IdError::StartIdLength(bytes.len());
        let (id, rest) = bytes.split_first_chunk().ok_or_else(wrong_length)?;
        let life = <[u8; 8]>::try_from(rest).map_err(|_| wrong_length())?;
        // What no inbox has as an offset cannot be written to a log either.
        let life =
            u64::try_from(i64::from_be_bytes(life)).map_err(|_| IdError::StartIdIncarnation)?;
        Ok((Self::from_bytes(id), Incarnation(life)))
    }
}

/// The text form: `inv_1`, then the partition key in 11 and the uuid in 22 base62 digits.
impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INVOCATION_PREFIX)?;
        f.write_str(&base62::digits(u128::from(self.partition_key.0), base62::U64_DIGITS))?;
        f.write_str(&base62::digits(self.uuid, base62::U128_DIGITS))
    }
}

impl FromStr for InvocationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix(INVOCATION_PREFIX).ok_or(IdError::InvocationPrefix)?;
        if digits.len() != base62::U64_DIGITS + base62::U128_DIGITS {
            return Err(IdError::InvocationLength(text.len()));
        }
        let (key, uuid) =
            digits.split_at_checked(base62::U64_DIGITS).ok_or(IdError::InvocationDigits)?;
        let number = |digits| base62::number(digits).ok_or(IdError::InvocationDigits);
        let key = u64::try_from(number(key)?).map_err(|_| IdError::InvocationDigits)?;
        Ok(Self { partition_key: PartitionKey(key), uuid: number(uuid)? })
    }
}

impl Serialize for InvocationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for InvocationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_bytes(&adapt::fixed(deserializer)?))
    }
}

/// One try at running an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The life of the invocation that this attempt belongs to.
    pub incarnation: Incarnation,
    /// The epoch in which the attempt started.
    pub epoch: Epoch,
    /// Counts the attempts of one epoch from 0.
    pub counter: u32,
}

/// The identity of a registered, immutable version of handler code: `dp_…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub String);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeploymentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let rest = text.strip_prefix(DEPLOYMENT_PREFIX).ok_or(IdError::Deployment)?;
        let well_formed = (1..=DEPLOYMENT_CHARS_MAX).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if well_formed { Ok(Self(text.to_owned())) } else { Err(IdError::Deployment) }
    }
}

/// The characters of a deployment id behind its prefix.
const DEPLOYMENT_CHARS_MAX: usize = 64;

/// Why a text, or bytes, are no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not begin as an invocation id does.
    #[error("an invocation id begins with \"inv_1\"")]
    InvocationPrefix,
    /// The text is too short or too long, perhaps cut when it was copied.
    #[error("an invocation id has 38 characters, not {0}")]
    InvocationLength(usize),
    /// What follows the prefix is no base62 number, or one that is too large.
    #[error("an invocation id holds digits and letters of two base62 numbers only")]
    InvocationDigits,
    /// The bytes are not as many as `Start.id` has.
    #[error("a start id has 32 bytes, not {0}")]
    StartIdLength(usize),
    /// The bytes name a life of 2^63 or more.
    #[error("a start id ends in an incarnation below 2^63")]
    StartIdIncarnation,
    /// The text does not begin as an awakeable id does.
    #[error("an awakeable id begins with \"sign_1\"")]
    AwakeablePrefix,
    /// What follows the prefix is no base64 of 36 bytes, perhaps cut when it was copied.
    #[error("an awakeable id holds 48 characters of base64url behind \"sign_1\"")]
    AwakeableDigits,
    /// The number of the signal is reserved.
    #[error("an awakeable id ends in a signal number from 17 on")]
    AwakeableSignal,
    /// The text is no deployment id.
    #[error("a deployment id is \"dp_\" and 1 to 64 ascii letters or digits")]
    Deployment,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ID: InvocationId = InvocationId {
        partition_key: PartitionKey(0x0102_0304_0506_0708),
        uuid: 0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20,
    };

    #[test]
    fn a_duration_that_cannot_be_written_becomes_the_longest_that_can() {
        assert_eq!(Millis::from(Duration::from_micros(1_999)), Millis(1));
        assert_eq!(Millis::from(Duration::from_millis(Millis::MAX.0)), Millis::MAX);
        assert_eq!(Millis::from(Duration::from_millis(Millis::MAX.0 + 1)), Millis::MAX);
        assert_eq!(Millis::from(Duration::MAX), Millis::MAX);
    }

    #[test]
    fn the_text_of_an_invocation_id_never_changes() {
        assert_eq!(ID.to_string(), "inv_105McJmDgrvc0WD82KoFgALaufX7m9RJr6");
        let zero = InvocationId { partition_key: PartitionKey(0), uuid: 0 };
        assert_eq!(zero.to_string(), format!("inv_1{}", "0".repeat(33)));
        let most = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
        assert_eq!(most.to_string(), "inv_1LygHa16AHYF7n42DGM5Tflk9n8mt7Fhc7");
        for id in [ID, zero, most] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_text_that_is_no_invocation_id_is_refused_with_the_reason() {
        let parse = |text: &str| text.parse::<InvocationId>().unwrap_err();
        assert_eq!(parse("dp_1"), IdError::InvocationPrefix);
        assert_eq!(parse(""), IdError::InvocationPrefix);
        assert_eq!(parse("inv_1abc"), IdError::InvocationLength(8));
        let text = ID.to_string();
        assert_eq!(parse(&text[..37]), IdError::InvocationLength(37));
        assert_eq!(parse(&format!("{text}0")), IdError::InvocationLength(39));
        assert_eq!(parse(&text.replace('J', "-")), IdError::InvocationDigits);
        assert_eq!(
            parse(&format!("inv_1{}ü{}", "0".repeat(10), "0".repeat(21))),
            IdError::InvocationDigits
        );
        let beyond_u64 = format!("inv_1{}{}", "z".repeat(11), "0".repeat(22));
        assert_eq!(parse(&beyond_u64), IdError::InvocationDigits);
        let beyond_u128 = format!("inv_1{}{}", "0".repeat(11), "z".repeat(22));
        assert_eq!(parse(&beyond_u128), IdError::InvocationDigits);
    }

    #[test]
    fn a_start_id_names_the_invocation_and_its_life() {
        let bytes = ID.start_id(Incarnation(0x21));
        assert_eq!(bytes[..8], ID.partition_key.0.to_be_bytes());
        assert_eq!(bytes[8..24], ID.uuid.to_be_bytes());
        assert_eq!(bytes[24..], 0x21_u64.to_be_bytes());
        assert_eq!(InvocationId::from_start_id(&bytes), Ok((ID, Incarnation(0x21))));
        for length in [0, 24, 31] {
            let cut = InvocationId::from_start_id(&bytes[..length]);
            assert_eq!(cut, Err(IdError::StartIdLength(length)));
        }
        let beyond = InvocationId::from_start_id(&ID.start_id(Incarnation(1 << 63)));
        assert_eq!(beyond, Err(IdError::StartIdIncarnation));
        let long = InvocationId::from_start_id(&[0; 33]);
        assert_eq!(long, Err(IdError::StartIdLength(33)));
    }

    #[test]
    fn a_deployment_id_is_validated() {
        let parse = str::parse::<DeploymentId>;
        assert_eq!(
            parse("dp_17sztQp4gnEC1L0OCFM9aEh"),
            Ok(DeploymentId("dp_17sztQp4gnEC1L0OCFM9aEh".into()))
        );
        assert!(parse(&format!("dp_{}", "a".repeat(64))).is_ok());
        for wrong in ["", "dp_", "dp_a-b", "inv_1abc", "dp_ü", &format!("dp_{}", "a".repeat(65))] {
            assert_eq!(parse(wrong), Err(IdError::Deployment), "{wrong}");
        }
    }
}
