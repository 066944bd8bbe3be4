//! Messages to an inbox: in order, until they have certainly arrived.
//!
//! **Invariant:** what is reported as delivered stands in the inbox, and all before it does. After
//! a send that failed, or whose outcome is unknown, everything from that message on is sent again.

use std::collections::BTreeMap;
use std::rc::Rc;

use everlog_log_schema::{Command, Envelope, OutboxDelivered, OutboxRow, PartitionId, Seq, Source};
use everlog_partition::{SUPPORTED_LEVEL, reads};

use super::Executor;
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::Env;
use crate::inbox::Item;
use crate::observer::describe_message;

/// The only partition there is.
const OWN: PartitionId = PartitionId(0);

/// What an owner has to send.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// All that is not acknowledged.
    rows: BTreeMap<Seq, OutboxRow>,
    /// The last that was sent; what is sent again is above it.
    sent: Seq,
    /// All up to this one is acknowledged.
    acknowledged: Seq,
}

impl Outbox {
    pub(super) fn push(&mut self, seq: Seq, row: OutboxRow) {
        if seq > self.acknowledged {
            self.rows.insert(seq, row);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Executor {
    /// Finds what an owner before has not delivered.
    pub(super) fn find_outbox(&mut self, env: &mut Env) {
        let sent = reads::sent(&self.tables, OWN).unwrap_or_default();
        self.outbox =
            Outbox { acknowledged: sent.delivered, sent: sent.delivered, ..Outbox::default() };
        if env.is(ShellBug::ForgetOutbox) {
            self.outbox.acknowledged = sent.last;
            self.outbox.sent = sent.last;
            return;
        }
        for seq in (sent.delivered.0 + 1..=sent.last.0).map(Seq) {
            env.coverage.hit(Case::FoundOutbox);
            if let Ok(Some(row)) = reads::outbox(&self.tables, OWN, seq) {
                self.outbox.push(seq, row);
            }
        }
    }

    /// Sends the next few messages.
    pub(super) fn send(&mut self, env: &mut Env) {
        let before = self.outbox.acknowledged;
        for _ in 0..=env.rng.below(3) {
            let seq = Seq(self.outbox.sent.0 + 1);
            let Some(row) = self.outbox.rows.get(&seq) else { break };
            let lost = env.rng.chance(env.faults.loss);
            if !lost {
                let source = Source::Partition { partition: OWN, seq };
                let OutboxRow { metadata, message } = row.clone();
                let (level, text) = (SUPPORTED_LEVEL, describe_message(&message));
                let envelope = Envelope { level, metadata, source, message };
                let offset = env.inbox.append(Rc::new(Item::Message(envelope)));
                env.note(|| format!("inbox {offset} <- own {seq}: {text}"));
            }
            let unknown = lost || env.rng.chance(env.faults.loss);
            if unknown && !env.is(ShellBug::DeliveryAssumed) {
                env.coverage.hit(Case::Resend);
                self.outbox.sent = self.outbox.acknowledged;
                break;
            }
            self.outbox.sent = seq;
            self.outbox.acknowledged = seq;
            self.outbox.rows.remove(&seq);
        }
        if self.outbox.acknowledged > before {
            let up_to = self.outbox.acknowledged;
            let delivered = OutboxDelivered { to: OWN, up_to };
            self.outgoing.push(Command::OutboxDelivered(delivered));
        }
    }
}
