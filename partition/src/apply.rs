//! The transition function.

use everlog_log_schema::{Command, Intake, Level, LogOffset, Record, Seq};

use crate::acceptance::judge;
use crate::on_announce::on_announce;
use crate::on_append::on_append;
use crate::on_attempt_failed::on_attempt_failed;
use crate::on_checkpointed::on_checkpointed;
use crate::on_end::on_end;
use crate::on_ingest::on_ingest;
use crate::on_outbox_delivered::on_outbox_delivered;
use crate::on_suspend::on_suspend;
use crate::on_timer_fired::on_timer_fired;
use crate::transition::Transition;
use crate::{Acceptance, Action, ApplyError, Ignored, Tables, TablesError, answers, reads};

/// The highest level that this program can apply.
pub const SUPPORTED_LEVEL: Level = Level(1);

/// A record with its place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    /// Where it stands.
    pub offset: LogOffset,
    /// XXH3-64 of its bytes.
    pub hash: u64,
    /// What it says.
    pub record: &'a Record,
}

/// Applies one record to `tables` and pushes what must happen next onto `actions`.
///
/// Offsets may leave gaps (Kafka spends some on markers) but never go back. After an error the
/// caller discards what was written and pushed: the partition stops at this record.
pub fn apply(
    tables: &mut impl Tables,
    logged: Logged<'_>,
    actions: &mut Vec<Action>,
) -> Result<Acceptance, ApplyError> {
    let Logged { offset, hash, record } = logged;
    let mut partition = reads::partition(tables)?;
    if offset < partition.next_log {
        return Err(ApplyError::Rewound { next: partition.next_log, got: offset });
    }
    let acceptance = judge(&partition, record);
    if acceptance == Acceptance::Accepted {
        let level = level_needed(record).max(partition.level);
        if level > SUPPORTED_LEVEL {
            return Err(ApplyError::LevelTooHigh { offset, level, supported: SUPPORTED_LEVEL });
        }
    }

    partition.next_log = LogOffset(offset.0 + 1);
    partition.last_hash = hash;
    let mut transition = Transition {
        tables,
        actions,
        partition,
        answer_bytes_left: answers::ROOM_BYTES,
        last_sent: None,
    };
    match acceptance {
        Acceptance::Accepted => {
            transition.partition.next_seq = Seq(record.seq.0 + 1);
            transition.partition.now = transition.partition.now.max(record.now);
            for command in &record.commands {
                dispatch(&mut transition, record, command)?;
            }
        }
        Acceptance::Ignored(Ignored::Gap) => transition.partition.closed = true,
        Acceptance::Ignored(Ignored::NotReigning | Ignored::Duplicate | Ignored::Closed) => {}
    }
    transition.put_partition();
    Ok(acceptance)
}

fn dispatch(
    transition: &mut Transition<'_, impl Tables>,
    record: &Record,
    command: &Command,
) -> Result<(), TablesError> {
    match command {
        Command::AnnounceOwner(announce) => on_announce(transition, record, announce),
        Command::Resign => transition.partition.closed = true,
        Command::Ingest(ingest) => on_ingest(transition, ingest)?,
        Command::Append(append) => on_append(transition, append)?,
        Command::Suspend(suspend) => on_suspend(transition, suspend)?,
        Command::AttemptFailed(failed) => on_attempt_failed(transition, failed)?,
        Command::End(end) => on_end(transition, end)?,
        Command::TimerFired(fired) => on_timer_fired(transition, fired)?,
        Command::OutboxDelivered(delivered) => on_outbox_delivered(transition, *delivered)?,
        Command::CheckpointOpened => {}
        Command::Checkpointed(checkpoint) => on_checkpointed(transition, *checkpoint),
    }
    Ok(())
}

/// The lowest level that knows all that the record says.
fn level_needed(record: &Record) -> Level {
    let levels = record.commands.iter().filter_map(|command| match command {
        Command::AnnounceOwner(announce) => Some(announce.level),
        Command::Ingest(ingest) => match &ingest.intake {
            Intake::Message(envelope) => Some(envelope.level),
            Intake::Rejected { .. } => None,
        },
        Command::Resign
        | Command::Append(_)
        | Command::Suspend(_)
        | Command::AttemptFailed(_)
        | Command::End(_)
        | Command::TimerFired(_)
        | Command::OutboxDelivered(_)
        | Command::CheckpointOpened
        | Command::Checkpointed(_) => None,
    });
    levels.max().unwrap_or_default()
}
