//! Messages to other partitions, and to this one.
//!
//! **Invariant:** the messages to one partition are numbered without a hole, in the order of the
//! commands that sent them, and each has a row until it is delivered. A row is written by the same
//! record as what it follows from, so that neither is there without the other.

use everlog_log_schema::{
    Message, MetadataOffset, OutboxPlace, OutboxRow, PartitionKey, Row, RowKey, Seq, partition_of,
};

use crate::transition::Transition;
use crate::{Action, Tables, TablesError, reads};

/// Sends a message to the partition of `key`.
///
/// `metadata` is how far it was folded when the message was resolved; 0 where nothing was.
pub(crate) fn send(
    at: &mut Transition<'_, impl Tables>,
    key: PartitionKey,
    metadata: MetadataOffset,
    message: Message,
) -> Result<(), TablesError> {
    let to = partition_of(key, at.partition.partitions);
    let mut sent = reads::sent(at.tables, to)?;
    sent.last = Seq(sent.last.0 + 1);
    let seq = sent.last;
    let row = Box::new(OutboxRow { metadata, message });
    at.tables.put(RowKey::Sent(to), Row::Sent(sent));
    at.tables.put(RowKey::Outbox(to, seq), Row::Outbox(row.clone()));
    at.actions.push(Action::Send { to, seq, row });
    at.last_sent = Some(OutboxPlace { to, seq });
    Ok(())
}
