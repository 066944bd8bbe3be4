//! `AnnounceOwner`: a new epoch begins.
//!
//! **Invariant:** rewrites no rows but the partition's own, so that a takeover costs the same
//! however many invocations run. The new owner's shell starts the attempts that are
//! [running](crate::reads::next_running) and sets the [timers](crate::reads::next_timer) it reads.

use everlog_log_schema::{AnnounceOwner, Record};

use crate::Tables;
use crate::transition::Transition;

/// Lets the announcement reign.
pub(crate) fn on_announce(
    at: &mut Transition<'_, impl Tables>,
    record: &Record,
    announce: &AnnounceOwner,
) {
    at.partition.epoch = record.epoch;
    at.partition.term = record.term;
    at.partition.closed = false;
    at.partition.level = announce.level;
    at.partition.partitions = announce.partitions;
    at.partition.address.clone_from(&announce.address);
}
