//! `Ingest`: a message of the inbox is taken in, once.
//!
//! **Invariant:** an inbox offset, and a number of a sending partition, take effect at most once.

use everlog_log_schema::{InboxOffset, Ingest, Intake, Message, Row, RowKey, Seq, Source};

use crate::on_attach::on_attach;
use crate::on_complete::on_complete;
use crate::on_invoke::on_invoke;
use crate::on_order::{on_order, on_resume};
use crate::on_restart::on_restart;
use crate::on_signal::on_signal;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Takes in one message, unless it was taken in before.
pub(crate) fn on_ingest(
    at: &mut Transition<'_, impl Tables>,
    ingest: &Ingest,
) -> Result<(), TablesError> {
    if ingest.offset < at.partition.next_inbox && !planted::is(Bug::NoInboxDedup) {
        return Ok(());
    }
    at.partition.next_inbox = InboxOffset(ingest.offset.0 + 1);
    match &ingest.intake {
        Intake::Rejected { source, .. } => {
            if let Some(source) = source {
                advance(at, *source)?;
            }
        }
        Intake::Message(envelope) => {
            if advance(at, envelope.source)? {
                match &envelope.message {
                    Message::Invoke(invoke) => on_invoke(at, ingest.offset, invoke)?,
                    Message::Attach(question) => on_attach(at, question)?,
                    Message::Complete(answer) => on_complete(at, answer)?,
                    Message::Signal(signal) => on_signal(at, signal)?,
                    Message::Order(order) => on_order(at, order)?,
                    Message::Restart(restart) => on_restart(at, ingest.offset, restart)?,
                    Message::ResumeOn(resume) => on_resume(at, resume)?,
                }
            }
        }
    }
    Ok(())
}

/// Advances a sending partition's mark; tells whether the message is the next one.
///
/// A lower number is a repeat. A higher one means that the sender left a hole, which it resends
/// from: taking it in now would lose the order, and the missing one.
fn advance(at: &mut Transition<'_, impl Tables>, source: Source) -> Result<bool, TablesError> {
    let Source::Partition { partition, seq } = source else { return Ok(true) };
    let taken = reads::taken_from(at.tables, partition)?;
    if seq.0.checked_sub(1) != Some(taken.0) && !planted::is(Bug::NoInboxDedup) {
        return Ok(false);
    }
    at.tables.put(RowKey::Sender(partition), Row::Sender(Seq(seq.0)));
    Ok(true)
}
