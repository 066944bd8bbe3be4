//! `Checkpointed`: what the checkpoint holds need not be kept in the log.

use everlog_log_schema::Checkpointed;

use crate::transition::Transition;
use crate::{Action, Tables};

/// Lets log and inbox be trimmed, never beyond what is applied here.
pub(crate) fn on_checkpointed(at: &mut Transition<'_, impl Tables>, checkpoint: Checkpointed) {
    let log = checkpoint.log.min(at.partition.next_log);
    let inbox = checkpoint.inbox.min(at.partition.next_inbox);
    at.actions.push(Action::Trim { log, inbox });
}
