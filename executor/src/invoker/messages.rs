//! Turns journal entries into messages of the service protocol, and back.
//!
//! **Invariant:** a command leaves with the very bytes it came with.

mod calls;
mod futures;
mod incoming;
mod outgoing;
mod promises;
mod traceparent;

use bytes::Bytes;
use everlog_log_schema::{Failure, Header};

pub(crate) use futures::{FUTURE_BYTES_MAX, FUTURE_DEPTH_MAX, awaiting_on, suspension};
pub(crate) use incoming::{CommandPlace, Function, decode, output_command, run_proposal};
pub(crate) use outgoing::Outgoing;

/// From this version of the protocol on a function waits for trees of futures, says what its code
/// waits for, is told in short that what it has proposed is durable, and chooses what follows a failure.
pub(crate) const TREES_VERSION: u32 = 7;

/// From this version of the protocol on a function may ask for state in a way that the journal does not
/// keep.
pub(crate) const STATE_READS_VERSION: u32 = 8;

/// The messages as `proto/protocol.proto` describes them.
#[allow(
    clippy::enum_variant_names,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "generated code"
)]
pub(crate) mod pb {
    include!(concat!(env!("OUT_DIR"), "/dev.restate.service.protocol.rs"));
}

impl From<Bytes> for pb::Value {
    fn from(content: Bytes) -> Self {
        Self { content }
    }
}

impl From<Header> for pb::Header {
    fn from(Header { key, value }: Header) -> Self {
        Self { key, value }
    }
}

impl From<pb::Header> for Header {
    fn from(pb::Header { key, value }: pb::Header) -> Self {
        Self { key, value }
    }
}

impl From<Failure> for pb::Failure {
    fn from(Failure { code, message, metadata }: Failure) -> Self {
        let metadata = metadata
            .into_iter()
            .map(|Header { key, value }| pb::FailureMetadata { key, value })
            .collect();
        Self { code, message, metadata }
    }
}

impl From<pb::Failure> for Failure {
    fn from(pb::Failure { code, message, metadata }: pb::Failure) -> Self {
        let metadata = metadata
            .into_iter()
            .map(|pb::FailureMetadata { key, value }| Header { key, value })
            .collect();
        Self { code, message, metadata }
    }
}
