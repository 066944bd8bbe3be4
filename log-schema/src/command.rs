//! What a stored command is called: its kind and the name that the function gave it, for people who
//! look at a journal.
//!
//! A command's bytes are the function's own and are kept as they came. **Invariant:** no bytes make
//! the reader of names panic, or take memory beyond the name.

use crate::kinds;

/// The number of the field that holds the name, in every command of the service protocol.
const NAME_FIELD: u64 = 12;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

/// Reads the name that a function gave to a command. None where it gave none, or where the bytes
/// are no command.
#[must_use]
pub fn command_name(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    let mut name = None;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            VARINT => drop(varint(&mut rest)?),
            FIXED_64 => drop(take(&mut rest, 8)?),
            FIXED_32 => drop(take(&mut rest, 4)?),
            LENGTH_DELIMITED => {
                let length = varint(&mut rest)?;
                let value = take(&mut rest, usize::try_from(length).ok()?)?;
                if tag >> 3 == NAME_FIELD {
                    name = Some(value);
                }
            }
            _ => return None,
        }
    }
    let name = str::from_utf8(name?).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Takes a number of up to 64 bits, 7 to a byte, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(bytes)?;
    *rest = behind;
    Some(taken)
}

/// The name of a kind of command, from its message type in the service protocol.
#[must_use]
pub fn command_kind_name(kind: u16) -> &'static str {
    match kind {
        0x0200 => "GetStateEphemeral",
        0x0400 => "Input",
        0x0401 => "Output",
        0x0402 => "GetLazyState",
        0x0403 => "SetState",
        0x0404 => "ClearState",
        0x0405 => "ClearAllState",
        0x0406 => "GetLazyStateKeys",
        0x0407 => "GetEagerState",
        0x0408 => "GetEagerStateKeys",
        0x0409 => "GetPromise",
        0x040A => "PeekPromise",
        0x040B => "CompletePromise",
        0x040C => "Sleep",
        0x040D => "Call",
        0x040E => "OneWayCall",
        0x0410 => "SendSignal",
        0x0411 => "Run",
        0x0412 => "AttachInvocation",
        0x0413 => "GetInvocationOutput",
        0x0414 => "CompleteAwakeable",
        _ => "Unknown",
    }
}

/// The name of a kind of notification, from its message type in the service protocol.
#[must_use]
pub fn notification_kind_name(kind: u16) -> &'static str {
    match kind {
        kinds::GET_STATE_COMPLETION => "GetLazyState",
        kinds::GET_STATE_KEYS_COMPLETION => "GetLazyStateKeys",
        kinds::GET_PROMISE_COMPLETION => "GetPromise",
        kinds::PEEK_PROMISE_COMPLETION => "PeekPromise",
        kinds::COMPLETE_PROMISE_COMPLETION => "CompletePromise",
        kinds::SLEEP_COMPLETION => "Sleep",
        kinds::CALL_COMPLETION => "Call",
        kinds::CALL_ID_COMPLETION => "CallInvocationId",
        kinds::RUN_COMPLETION => "Run",
        kinds::ATTACH_COMPLETION => "AttachInvocation",
        kinds::OUTPUT_COMPLETION => "GetInvocationOutput",
        kinds::SIGNAL => "Signal",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A run with the result's number 300 in field 11.
    const NUMBERED: [u8; 3] = [0x58, 0xAC, 0x02];
    const NAMED: [u8; 8] = [0x62, 6, b'c', b'h', b'a', b'r', b'g', b'e'];

    fn name(parts: &[&[u8]]) -> Option<String> {
        command_name(&parts.concat())
    }

    #[test]
    fn the_name_of_a_command_is_found_among_all_kinds_of_fields() {
        let charge = Some("charge".to_owned());
        assert_eq!(name(&[&NAMED]), charge);
        assert_eq!(name(&[&NUMBERED, &NAMED]), charge);
        assert_eq!(name(&[&NAMED, &NUMBERED]), charge);
        // Of a value of 3 bytes, a number of 8 bytes, and one of 4, all of other fields.
        let others: [&[u8]; 3] = [&[0x72, 3, 0x62, 1, b'x'], &[0x09; 9], &[0x15; 5]];
        assert_eq!(name(&[others[0], others[1], others[2], &NAMED]), charge);
        assert_eq!(name(&[&[0x62, 1, b'x'], &NAMED]), charge, "the last one counts");
    }

    #[test]
    fn a_command_without_a_name_has_none() {
        assert_eq!(name(&[]), None);
        assert_eq!(name(&[&NUMBERED]), None);
        assert_eq!(name(&[&[0x62, 0]]), None);
        assert_eq!(name(&[&[0x60, 6]]), None, "field 12 as a number");
    }

    #[test]
    fn bytes_that_are_no_command_have_no_name() {
        let overlong = [&[0x58][..], &[0x80; 10], &[0]].concat();
        let beyond = [0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        for damage in
            [&[0x58][..], &[0x72, 2, 0], &[0x09, 0], &[0x15], &[0x5B], &overlong[..], &beyond]
        {
            assert_eq!(name(&[&NAMED, damage]), None, "{damage:x?}");
        }
        assert_eq!(name(&[&[0x62, 2, 0xC3, 0x28]]), None, "no utf-8");
    }

    #[test]
    fn kinds_are_named_as_the_protocol_names_them() {
        assert_eq!([0x0411, 0x040D, 0x0410].map(command_kind_name), ["Run", "Call", "SendSignal"]);
        assert_eq!([0x040F, 0x8011, 0].map(command_kind_name), ["Unknown"; 3]);
        let notifications = [0x8011, 0x800E, 0xFBFF, 0x0411].map(notification_kind_name);
        assert_eq!(notifications, ["Run", "CallInvocationId", "Signal", "Unknown"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_of_names_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(command_name(&bytes));
        }
    }
}
