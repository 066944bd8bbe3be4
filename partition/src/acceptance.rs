//! Which records count: the one rule that owner, standby and restore share.
//!
//! **Invariant:** of all records of one epoch, those that are accepted were written by one owner,
//! in order, without a gap.

use everlog_log_schema::{Command, Epoch, PartitionRow, Record, Seq};

use crate::planted::{self, Bug};

/// Whether a record counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It took effect.
    Accepted,
    /// It had no effect but to be passed.
    Ignored(Ignored),
}

/// Why a record had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Its epoch or term does not reign. Also an announcement that does not follow the reigning
    /// epoch, is not alone in its record, or has a `seq` other than 0.
    NotReigning,
    /// Its `seq` was seen before.
    Duplicate,
    /// Its `seq` leaves a gap, which closes its term.
    Gap,
    /// Its term is closed.
    Closed,
}

/// Judges a record by the reigning announcement.
pub(crate) fn judge(reigning: &PartitionRow, record: &Record) -> Acceptance {
    let announces =
        record.commands.iter().any(|command| matches!(command, Command::AnnounceOwner(_)));
    if announces && follows(reigning, record) {
        return Acceptance::Accepted;
    }
    let somebody = reigning.epoch != Epoch(0);
    let reigns = somebody && (record.epoch, record.term) == (reigning.epoch, reigning.term);
    if !reigns && !announces && planted::is(Bug::SkipFence) {
        return Acceptance::Accepted;
    }
    if !reigns {
        return Acceptance::Ignored(Ignored::NotReigning);
    }
    if reigning.closed {
        return Acceptance::Ignored(Ignored::Closed);
    }
    if record.seq < reigning.next_seq && !planted::is(Bug::AcceptDuplicateSeq) {
        return Acceptance::Ignored(Ignored::Duplicate);
    }
    if record.seq > reigning.next_seq && !planted::is(Bug::AcceptGap) {
        return Acceptance::Ignored(Ignored::Gap);
    }
    if announces {
        return Acceptance::Ignored(Ignored::NotReigning);
    }
    Acceptance::Accepted
}

/// Tells whether the record is an announcement, alone in its record, of the next epoch.
fn follows(reigning: &PartitionRow, record: &Record) -> bool {
    record.commands.len() == 1
        && record.seq == Seq(0)
        && record.epoch.0.checked_sub(1) == Some(reigning.epoch.0)
}
