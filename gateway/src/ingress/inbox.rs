//! Puts messages into the inboxes of the partitions.
//!
//! Its invariant: an unknown outcome is never taken for success or failure. A message whose append
//! may or may not have landed is sent again, byte for byte: the same invocation id and request id
//! tell the partition that it is a repeat.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::{AppendError, Appender, Appending, EventLog, LogError, Stream, Topic};
use everlog_log_schema::{InboxOffset, PartitionId};
use tokio::time::Instant;

use super::error::IngressError;
use crate::backoff::Backoff;
use crate::metrics::METRICS;

/// The appenders of this gateway, one per partition.
pub(crate) struct Inbox {
    log: Arc<dyn EventLog>,
    appenders: Vec<Mutex<Box<dyn Appender>>>,
    resend_max: Duration,
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

    /// Appends a message and tells where it stands. May be dropped at any time: the message is then
    /// in the inbox or not.
    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        message: Bytes,
    ) -> Result<InboxOffset, IngressError> {
        match self.append_once(partition, message.clone()).await {
            Ok(offset) => Ok(offset),
            Err(AppendError::Unknown(reason)) => self.resend(partition, message, reason).await,
            Err(AppendError::QueueFull) => Err(IngressError::LogBusy),
            Err(error @ AppendError::TooLarge { .. }) => {
                Err(IngressError::MessageTooLarge(error.to_string()))
            }
            Err(error @ (AppendError::Refused(_) | AppendError::Fenced)) => {
                Err(IngressError::LogRefused(error.to_string()))
            }
        }
    }

    /// Sends a message again whose first append may have landed, until one certainly has.
    async fn resend(
        &self,
        partition: PartitionId,
        message: Bytes,
        mut reason: String,
    ) -> Result<InboxOffset, IngressError> {
        let deadline = Instant::now() + self.resend_max;
        let mut backoff = Backoff::new();
        while Instant::now() < deadline {
            tracing::warn!(%partition, reason, "an append has an unknown outcome: sending it again");
            METRICS.resends.inc();
            backoff.pause().await;
            match self.append_once(partition, message.clone()).await {
                Ok(offset) => return Ok(offset),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(IngressError::OutcomeUnknown(reason))
    }

    async fn append_once(
        &self,
        partition: PartitionId,
        message: Bytes,
    ) -> Result<InboxOffset, AppendError> {
        self.queue(partition, message)?.await.map(InboxOffset)
    }

    fn queue(&self, partition: PartitionId, message: Bytes) -> Result<Appending, AppendError> {
        let slot = self.appenders.get(partition.0 as usize).expect("a partition is below N");
        let mut appender = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = appender.append(message);
        if matches!(queued, Err(AppendError::Refused(_)))
            && let Ok(fresh) = self.log.appender(stream(partition))
        {
            // An appender that refuses what it has not tried may be beyond repair.
            *appender = fresh;
        }
        queued
    }
}

fn stream(partition: PartitionId) -> Stream {
    Stream { topic: Topic::Invocations, partition }
}
