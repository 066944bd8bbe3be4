//! Cuts the byte stream of an attempt into messages: an 8-byte header (type, flags, length, all
//! big-endian) and a payload.
//!
//! **Invariant:** never holds more than one unfinished message and the chunk that was pushed last;
//! a message above [`FRAME_BYTES_MAX`] is refused on sight of its header.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use everlog_log_schema::limits::BODY_BYTES_MAX;

use super::error::Failure;

/// The payload of one message from a function, in bytes.
pub const FRAME_BYTES_MAX: usize = BODY_BYTES_MAX;

const HEADER_BYTES: usize = 8;
/// The sender of a run's result wants to know when it is durable, and need not be told the result
/// again. Before version 7 it is told that anyway.
pub(crate) const FLAG_REQUESTED_ACK: u16 = 0x8000;

/// The types of messages that Everlog reads or writes.
pub(crate) mod kind {
    pub(crate) const START: u16 = 0x0000;
    pub(crate) const SUSPENSION: u16 = 0x0001;
    pub(crate) const ERROR: u16 = 0x0002;
    pub(crate) const END: u16 = 0x0003;
    pub(crate) const PROPOSE_RUN_COMPLETION: u16 = 0x0005;
    pub(crate) const AWAITING_ON: u16 = 0x0006;
    pub(crate) const PROPOSE_RUN_COMPLETION_ACK: u16 = 0x0007;
    pub(crate) const GET_STATE_EPHEMERAL: u16 = 0x0200;
    pub(crate) const GET_STATE_EPHEMERAL_NOTIFICATION: u16 = 0x0300;
    pub(crate) const INPUT: u16 = 0x0400;
    pub(crate) const OUTPUT: u16 = 0x0401;
    pub(crate) const GET_LAZY_STATE: u16 = 0x0402;
    pub(crate) const SET_STATE: u16 = 0x0403;
    pub(crate) const CLEAR_STATE: u16 = 0x0404;
    pub(crate) const CLEAR_ALL_STATE: u16 = 0x0405;
    pub(crate) const GET_LAZY_STATE_KEYS: u16 = 0x0406;
    pub(crate) const GET_EAGER_STATE: u16 = 0x0407;
    pub(crate) const GET_EAGER_STATE_KEYS: u16 = 0x0408;
    pub(crate) const GET_PROMISE: u16 = 0x0409;
    pub(crate) const PEEK_PROMISE: u16 = 0x040A;
    pub(crate) const COMPLETE_PROMISE: u16 = 0x040B;
    pub(crate) const SLEEP: u16 = 0x040C;
    pub(crate) const CALL: u16 = 0x040D;
    pub(crate) const ONE_WAY_CALL: u16 = 0x040E;
    pub(crate) const SEND_SIGNAL: u16 = 0x0410;
    pub(crate) const RUN: u16 = 0x0411;
    pub(crate) const ATTACH_INVOCATION: u16 = 0x0412;
    pub(crate) const GET_INVOCATION_OUTPUT: u16 = 0x0413;
    pub(crate) const COMPLETE_AWAKEABLE: u16 = 0x0414;
    pub(crate) use everlog_log_schema::kinds::{RUN_COMPLETION, SIGNAL};
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The type of the message.
    pub(crate) kind: u16,
    /// What the sender asks for beside it.
    pub(crate) flags: u16,
    /// The message, encoded with protobuf.
    pub(crate) payload: Bytes,
}

/// Cuts bytes into messages, however they arrive.
#[derive(Debug, Default)]
pub(crate) struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Takes the next whole message out, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Failure> {
        let mut header = &self.buffer[..];
        let (Ok(kind), Ok(flags), Ok(length)) =
            (header.try_get_u16(), header.try_get_u16(), header.try_get_u32())
        else {
            return Ok(None);
        };
        let length_bytes = length as usize;
        if length_bytes > FRAME_BYTES_MAX {
            return Err(Failure::FrameTooLarge(length));
        }
        if header.len() < length_bytes {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let payload = self.buffer.split_to(length_bytes).freeze();
        Ok(Some(Frame { kind, flags, payload }))
    }

    /// How many bytes are in memory.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the stream stopped in the middle of a message.
    pub(crate) fn is_cut(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// Writes the header of a message to a function.
pub(crate) fn put_header(buffer: &mut BytesMut, kind: u16, payload_bytes: usize) {
    let length = u32::try_from(payload_bytes).expect("messages are bounded far below 4 GiB");
    buffer.put_u16(kind);
    buffer.put_u16(0);
    buffer.put_u32(length);
}

/// Says what a message is that a function sent and that has no meaning for Everlog.
pub(crate) fn refuse(kind: u16) -> Failure {
    let what = match kind {
        kind::START
        | 0x0004
        | kind::PROPOSE_RUN_COMPLETION_ACK
        | 0x0300..=0x03FF
        | kind::INPUT
        | 0x8000..=0xFBFF => "which only a server sends",
        kind::AWAITING_ON | 0x0200..=0x02FF => "which belongs to a later version of the protocol",
        0xFC00..=0xFFFF => "a custom entry, which is not part of the protocol",
        _ => "which is not part of the protocol",
    };
    Failure::Violation(format!("it sent a message of type {kind:#06x}, {what}"))
}
