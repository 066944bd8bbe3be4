//! Awakeable ids: how somebody outside names a signal that a function waits for.
//!
//! The SDK builds them from the bytes that its invocation is known to it by, and they are only read
//! here. **Invariant:** what is meant for one life of an invocation names that life.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{IdError, InvocationId, Life};

const PREFIX: &str = "sign_1";
const BYTES: usize = InvocationId::START_BYTES + 4;

/// The identity of an awakeable: a numbered signal of one life of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwakeableId {
    /// Whose signal it is.
    pub life: Life,
    /// Which of its numbered signals; from [`AwakeableId::FIRST_SIGNAL`] on.
    pub signal: u32,
}

impl AwakeableId {
    /// The lowest number: those below mean something else, such as to cancel.
    pub const FIRST_SIGNAL: u32 = 17;
}

/// The text form: `sign_1`, then the bytes of `Start.id` and the signal's number (4, big-endian) in
/// base64 of the alphabet for URLs, without padding.
impl fmt::Display for AwakeableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; BYTES];
        let (start_id, signal) = bytes.split_at_mut(InvocationId::START_BYTES);
        start_id.copy_from_slice(&self.life.invocation.start_id(self.life.incarnation));
        signal.copy_from_slice(&self.signal.to_be_bytes());
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for AwakeableId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix(PREFIX).ok_or(IdError::AwakeablePrefix)?;
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD
            .decode_slice(digits, &mut bytes)
            .map_err(|_| IdError::AwakeableDigits)?;
        if length != BYTES {
            return Err(IdError::AwakeableDigits);
        }
        let (start_id, signal) = bytes.split_at(InvocationId::START_BYTES);
        let (invocation, incarnation) = InvocationId::from_start_id(start_id)?;
        let signal = signal.first_chunk().copied().map(u32::from_be_bytes);
        let signal = signal.filter(|signal| *signal >= Self::FIRST_SIGNAL);
        let signal = signal.ok_or(IdError::AwakeableSignal)?;
        Ok(Self { life: Life { invocation, incarnation }, signal })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Incarnation, PartitionKey};

    const ID: AwakeableId = AwakeableId {
        life: Life {
            invocation: InvocationId {
                partition_key: PartitionKey(0x0102_0304_0506_0708),
                uuid: 0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20,
            },
            incarnation: Incarnation(0x21),
        },
        signal: 17,
    };
    const TEXT: &str = "sign_1AQIDBAUGBwgREhMUFRYXGBkaGxwdHh8gAAAAAAAAACEAAAAR";

    fn parse(text: &str) -> Result<AwakeableId, IdError> {
        text.parse()
    }

    #[test]
    fn the_text_of_an_awakeable_id_never_changes() {
        assert_eq!(ID.to_string(), TEXT);
        assert_eq!(parse(TEXT), Ok(ID));
    }

    #[test]
    fn a_text_that_is_no_awakeable_id_is_refused_with_the_reason() {
        for wrong in ["", "inv_1abc", "prom_1abc", "SIGN_1"] {
            assert_eq!(parse(wrong), Err(IdError::AwakeablePrefix), "{wrong}");
        }
        let cut = &TEXT[..TEXT.len() - 1];
        let shorter = &TEXT[..TEXT.len() - 4];
        let longer = format!("{TEXT}AAAA");
        let other_alphabet = TEXT.replace('Q', "+");
        for wrong in ["sign_1", cut, shorter, &longer, &other_alphabet, &format!("{TEXT}=")] {
            assert_eq!(parse(wrong), Err(IdError::AwakeableDigits), "{wrong}");
        }
    }

    #[test]
    fn no_awakeable_is_a_reserved_signal() {
        let to_cancel = AwakeableId { signal: 1, ..ID }.to_string();
        assert_eq!(parse(&to_cancel), Err(IdError::AwakeableSignal));
        let below = AwakeableId { signal: AwakeableId::FIRST_SIGNAL - 1, ..ID }.to_string();
        assert_eq!(parse(&below), Err(IdError::AwakeableSignal));
    }

    #[test]
    fn a_life_that_no_inbox_has_is_refused() {
        let of = |incarnation| {
            let life = Life { incarnation: Incarnation(incarnation), ..ID.life };
            AwakeableId { life, ..ID }
        };
        let last = of(i64::MAX as u64);
        assert_eq!(parse(&last.to_string()), Ok(last));
        let beyond = of(i64::MAX as u64 + 1);
        assert_eq!(parse(&beyond.to_string()), Err(IdError::StartIdIncarnation));
    }

    proptest! {
        #[test]
        fn every_text_that_is_read_is_the_only_one_of_its_id(
            text in prop_oneof!["(sign_1)?\\PC{0,60}", "sign_1[A-Za-z0-9_-]{48}"]
        ) {
            if let Ok(id) = parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
