//! `OutboxDelivered`: messages have arrived in another inbox.
//!
//! **Invariant:** a message keeps its row until it, and all before it, have arrived. With the one
//! that makes room for answers goes the next slice of them.

use everlog_log_schema::{OutboxDelivered, Row, RowKey, Seq};

use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, answers, reads};

/// Forgets the messages that have arrived. What was said before has no effect.
pub(crate) fn on_outbox_delivered(
    at: &mut Transition<'_, impl Tables>,
    delivered: OutboxDelivered,
) -> Result<(), TablesError> {
    let OutboxDelivered { to, up_to } = delivered;
    let mut sent = reads::sent(at.tables, to)?;
    let up_to = if planted::is(Bug::DropUndelivered) { Seq(up_to.0 + 1) } else { up_to };
    let up_to = up_to.min(sent.last);
    if up_to <= sent.delivered {
        return Ok(());
    }
    for seq in sent.delivered.0 + 1..=up_to.0 {
        at.tables.delete(&RowKey::Outbox(to, Seq(seq)));
    }
    sent.delivered = up_to;
    at.tables.put(RowKey::Sent(to), Row::Sent(sent));
    match at.partition.room_behind {
        Some(place) if place.to == to && place.seq <= up_to => answers::go_on(at),
        Some(_) | None => Ok(()),
    }
}
