//! What is in the log: identifiers, messages, records, rows, metadata, and how each is written.
//!
//! Everything that two Everlog processes, or two versions of Everlog, must agree on is in this
//! crate and nowhere else.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness, no thread.

mod awakeable;
mod base62;
pub mod codec;
mod command;
mod effect;
mod entry;
mod future;
pub mod identity;
mod ids;
mod invoke;
pub mod kinds;
pub mod limits;
mod member;
mod message;
pub mod metadata;
pub mod owner_api;
mod partitioning;
mod record;
mod redaction;
mod rows;
mod scope;
mod state_edit;
mod status;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;

pub use awakeable::AwakeableId;
pub use command::{command_kind_name, command_name, notification_kind_name};
pub use effect::PromiseResult;
pub use entry::{
    Call, Effect, Entry, Failure, Header, NotificationId, NotificationResult, Outcome, SignalId,
    SignalResult, Span,
};
pub use future::{Awaited, Combinator, FutureNode, FutureTree, WaitSet};
pub use ids::{
    AttemptId, CompletionId, DeploymentId, Epoch, IdError, InboxOffset, Incarnation, InvocationId,
    Level, LogOffset, MetadataOffset, Millis, PartitionId, PartitionKey, RequestId, Seq, Term,
};
pub use invoke::{HandlerKind, Invoke, OnMaxAttempts, RetryPolicy, Target};
pub use member::{
    Holding, Holdings, Member, MemberId, Members, Role, StandingAnswer, StandingQuestion,
};
pub use message::{
    Attach, Caller, Complete, Envelope, Life, Message, Order, OrderAction, Restart, ResumeOn,
    Signal, Source,
};
pub use partitioning::{partition_key_of, partition_of};
pub use record::{
    AnnounceOwner, Append, AttemptError, AttemptFailed, Checkpointed, Command, End, Ingest, Intake,
    OutboxDelivered, Pin, Record, Suspend, Then, TimerFired,
};
pub use redaction::{REDACTED, REDACTED_LABEL, redacted};
pub use rows::{
    CheckpointRow, ExpiringRow, Expiry, InvocationRow, JournalRow, LockRow, ObjectRow, OpenKind,
    OpenRow, OutboxPlace, OutboxRow, Owed, PartitionRow, Row, RowKey, SentRow, Timer, TimerKind,
};
pub use scope::{ScopeError, check_scope};
pub use state_edit::{EDIT_STATE, OTHER_STATE_VERSION, StateEdit, VERSIONED_STATE_BYTES_MAX};
pub use status::{Status, StatusKind};
