//! Identifiers. Each is a type of its own, so that one cannot be passed for another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// One of the N partitions, counted from 0.
    PartitionId(u32));
number!(/// What decides the partition: XXH3-64 of the object key, else of the idempotency key, else random.
    PartitionKey(u64));
number!(/// One life of an invocation id: the inbox offset of the message that created it.
    Incarnation(u64));
number!(/// The number of an ownership of a partition. Each announcement that reigns has the next one.
    Epoch(u64));
number!(/// The nonce of one announcement, which tells apart two that claim the same epoch. 63 bits.
    Term(u64));
number!(/// The place of a record within its term, counted from 0.
    Seq(u64));
number!(/// The version of behaviour and formats that a term, or a message, follows.
    Level(u32));
number!(/// A place in a partition's event log.
    LogOffset(u64));
number!(/// A place in a partition's inbox.
    InboxOffset(u64));
number!(/// A place in the metadata topic.
    MetadataOffset(u64));
number!(/// Milliseconds since the Unix epoch, as stamped by the owner; or a duration, where so named.
    Millis(u64));
number!(/// The id a function gave to something it may wait for; counts from 1 within an invocation.
    CompletionId(u32));
number!(/// A random number that names one request of a gateway, so that its resend is known.
    RequestId(u128));

/// The identity of one durable call. Carries its partition key, so that any id can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId {
    /// Decides the partition that the invocation lives on.
    pub partition_key: PartitionKey,
    /// Random, or a hash of what makes the call the same call (idempotency key, workflow key).
    pub uuid: u128,
}

/// One try at running an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The life of the invocation that this attempt belongs to.
    pub incarnation: Incarnation,
    /// The epoch in which the attempt started.
    pub epoch: Epoch,
    /// Counts the attempts of one epoch from 0.
    pub counter: u32,
}

/// The identity of a registered, immutable version of handler code: `dp_…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(pub String);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
