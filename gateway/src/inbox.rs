//! Puts messages into the inboxes of the partitions.
//!
//! Its invariant: an unknown outcome is never taken for success or failure. A call whose append may
//! or may not have landed is sent again, marked as a repeat: that, or the same request id, tells the
//! partition so. Nothing tells that of another message, so none is sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::{AppendError, Appender, Appending, EventLog, LogError, Stream, Topic};
use everlog_log_schema::{
    Envelope, InboxOffset, InvocationId, Invoke, Message, MetadataOffset, PartitionId, Source,
    codec, partition_of,
};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::metrics::METRICS;

/// The appenders of this gateway, one per partition.
pub(crate) struct Inbox {
    log: Arc<dyn EventLog>,
    appenders: Vec<Mutex<Box<dyn Appender>>>,
    resend_max: Duration,
}

/// Why a message has no place in an inbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InboxError {
    /// The queue is full. It is not in the log: try later.
    #[error("the log takes in no more for now")]
    Busy,
    /// It is larger than a message may be, and will never be in the log.
    #[error("{0}")]
    TooLarge(String),
    /// It is not in the log: its disk is full, say.
    #[error("{0}")]
    Refused(String),
    /// It may be in the log, now or later, or not.
    #[error("{0}")]
    Unknown(String),
}

impl From<AppendError> for InboxError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::QueueFull => Self::Busy,
            AppendError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            AppendError::Refused(_) | AppendError::Fenced => Self::Refused(error.to_string()),
            AppendError::Unknown(reason) => Self::Unknown(reason),
        }
    }
}

/// Writes a message of a gateway. `metadata` is how far what it was resolved by had been read.
pub(crate) fn encode(metadata: MetadataOffset, message: Message) -> Result<Bytes, InboxError> {
    let envelope = Envelope { level: codec::LEVEL_MAX, metadata, source: Source::Gateway, message };
    written(&envelope)
}

/// Marks a call that was written as sent again. It is read for that: nothing but its bytes is kept while
/// its append is pending.
fn repeat(call: &[u8]) -> Result<Bytes, InboxError> {
    let mut envelope = codec::decode_message(call).expect("what was written can be read");
    if let Message::Invoke(invoke) = &mut envelope.message {
        invoke.resent = true;
    }
    written(&envelope)
}

fn written(envelope: &Envelope) -> Result<Bytes, InboxError> {
    codec::encode_message(envelope).map_err(|error| InboxError::TooLarge(error.to_string()))
}

impl Inbox {
    /// Opens an appender per partition.
    pub(crate) fn open(log: Arc<dyn EventLog>, resend_max: Duration) -> Result<Self, LogError> {
        let appenders = (0..log.partitions())
            .map(|partition| Ok(Mutex::new(log.appender(stream(PartitionId(partition)))?)))
            .collect::<Result<_, LogError>>()?;
        Ok(Self { log, appenders, resend_max })
    }

    /// The number of partitions.
    pub(crate) fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    /// The partition of an invocation.
    pub(crate) fn partition(&self, id: InvocationId) -> PartitionId {
        partition_of(id.partition_key, self.partitions())
    }

    /// Appends a call and tells where it stands, after some repeats if need be. May be dropped at
    /// any time: the call is then in the inbox or not.
    pub(crate) async fn append_call(
        &self,
        metadata: MetadataOffset,
        invoke: Invoke,
    ) -> Result<InboxOffset, InboxError> {
        let partition = self.partition(invoke.id);
        let call = encode(metadata, Message::Invoke(Box::new(invoke)))?;
        match self.append(partition, call.clone()).await {
            Err(InboxError::Unknown(reason)) => {
                self.resend(partition, repeat(&call)?, reason).await
            }
            outcome => outcome,
        }
    }

    /// Appends a message once and tells where it stands.
    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        message: Bytes,
    ) -> Result<InboxOffset, InboxError> {
        Ok(InboxOffset(self.queue(partition, message)?.await?))
    }

    /// Sends a message again whose first append may have landed, until one certainly has.
    async fn resend(
        &self,
        partition: PartitionId,
        message: Bytes,
        mut reason: String,
    ) -> Result<InboxOffset, InboxError> {
        let deadline = Instant::now() + self.resend_max;
        let mut backoff = Backoff::new();
        while Instant::now() < deadline {
            tracing::warn!(%partition, reason, "an append has an unknown outcome: sending it again");
            METRICS.resends.inc();
            backoff.pause().await;
            match self.append(partition, message.clone()).await {
                Ok(offset) => return Ok(offset),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(InboxError::Unknown(reason))
    }

    /// Queues a message behind all that were queued before it.
    pub(crate) fn queue(
        &self,
        partition: PartitionId,
        message: Bytes,
    ) -> Result<Appending, InboxError> {
        let slot = self.appenders.get(partition.0 as usize).expect("a partition is below N");
        let mut appender = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queued = appender.append(message.clone());
        if matches!(queued, Err(AppendError::Refused(_)))
            && let Ok(fresh) = self.log.appender(stream(partition))
        {
            // An appender that refuses what it has not tried may be beyond repair, as one is whose
            // producer met a harm to another partition. Nothing is written that it refused.
            *appender = fresh;
            queued = appender.append(message);
        }
        Ok(queued?)
    }
}

fn stream(partition: PartitionId) -> Stream {
    Stream { topic: Topic::Invocations, partition }
}
