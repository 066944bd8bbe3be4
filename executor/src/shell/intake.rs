//! Reads a partition's inbox and makes `Ingest` commands of it.
//!
//! **Invariant:** messages come out in order and none is left out. A message that was resolved
//! against metadata that this process has not folded yet holds up those behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use everlog_log_client::{EventLog, Logged, Reader, Stream, Topic};
use everlog_log_schema::codec::{MessageError, decode_message};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    Command, InboxOffset, Ingest, Intake as Taken, MetadataOffset, PartitionId,
};
use tokio::sync::watch;

use super::error::{Interruption, StopReason};
use crate::metrics;

const METADATA: Stream = Stream { topic: Topic::Metadata, partition: PartitionId(0) };

/// The inbox of one partition.
pub(crate) struct Intake {
    log: Arc<dyn EventLog>,
    reader: Box<dyn Reader>,
    metadata: watch::Receiver<Arc<Metadata>>,
    /// Read, but not taken yet.
    read: VecDeque<Logged>,
}

impl Intake {
    pub(crate) fn open(
        log: Arc<dyn EventLog>,
        partition: PartitionId,
        from: InboxOffset,
        metadata: watch::Receiver<Arc<Metadata>>,
    ) -> Result<Self, Interruption> {
        let reader = log.reader(Stream { topic: Topic::Invocations, partition }, from.0)?;
        Ok(Self { log, reader, metadata, read: VecDeque::new() })
    }

    /// Waits for the next messages: each as a command, with its size in bytes. May be dropped at
    /// any time: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Vec<(Command, usize)>, Interruption> {
        if self.read.is_empty() {
            self.read = self.reader.next().await?.into();
        }
        let mut taken = Vec::with_capacity(self.read.len());
        while let Some(logged) = self.read.front() {
            let (intake, needed) = decode(logged)?;
            let folded = self.metadata.borrow().next;
            let intake = if needed <= folded {
                intake
            } else if taken.is_empty() {
                self.await_metadata(intake, needed).await?
            } else {
                break;
            };
            if let Some(logged) = self.read.pop_front() {
                if let Taken::Rejected { reason, .. } = &intake {
                    metrics::MESSAGES_REJECTED.inc();
                    tracing::warn!(offset = logged.offset, reason, "an inbox message is rejected");
                }
                let ingest = Ingest { offset: InboxOffset(logged.offset), intake };
                taken.push((Command::Ingest(ingest), logged.payload.len()));
            }
        }
        Ok(taken)
    }

    /// Waits until metadata is folded up to `needed`; refuses a message that names an offset which
    /// the topic does not have, as it could never be judged.
    async fn await_metadata(
        &mut self,
        intake: Taken,
        needed: MetadataOffset,
    ) -> Result<Taken, Interruption> {
        let end = self.log.bounds(METADATA).await?.end;
        if needed.0 > end {
            let Taken::Message(envelope) = intake else { return Ok(intake) };
            let reason = format!("names metadata up to offset {needed}, but it ends at {end}");
            return Ok(Taken::Rejected { source: Some(envelope.source), reason });
        }
        self.metadata
            .wait_for(|metadata| metadata.next >= needed)
            .await
            .map_err(|_| StopReason::MetadataLost)?;
        Ok(intake)
    }
}

/// Reads a message, and up to where metadata must be folded to judge it.
fn decode(logged: &Logged) -> Result<(Taken, MetadataOffset), StopReason> {
    match decode_message(&logged.payload) {
        Ok(envelope) => {
            let needed = envelope.metadata;
            Ok((Taken::Message(envelope), needed))
        }
        Err(error @ MessageError::UnknownLevel { .. }) => {
            let reason = error.to_string();
            Err(StopReason::UndecodableMessage { offset: logged.offset, reason })
        }
        Err(error @ (MessageError::NoEnvelope(_) | MessageError::Body { .. })) => {
            let (source, reason) = (error.source_of_message(), error.to_string());
            Ok((Taken::Rejected { source, reason }, MetadataOffset::default()))
        }
    }
}
