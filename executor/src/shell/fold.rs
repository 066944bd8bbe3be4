//! The fold of one partition's log into its tables: apply, then commit.
//!
//! Owner and standby fold by the same code, from memory or from the log.
//!
//! **Invariant:** a batch of records is committed whole or not at all. A broken invariant in
//! `apply` discards the batch and stops this partition, naming the record; the others live.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use everlog_log_client::Logged;
use everlog_log_schema::codec::{decode_record, hash_of};
use everlog_log_schema::{Command, LogOffset, PartitionId, PartitionRow, Record};
use everlog_partition::{Acceptance, Action, Ignored, apply, reads};

use super::error::{Interruption, StopReason};
use crate::failpoints::crash_point;
use crate::metrics;
use crate::store::{Overlay, Store};

/// A record with its place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) offset: LogOffset,
    /// XXH3-64 of the record's bytes.
    pub(crate) hash: u64,
    /// The size of its bytes.
    pub(crate) bytes: usize,
    pub(crate) record: Record,
}

impl Step {
    /// Decodes a record that was read from the log. One that cannot be decoded stops the
    /// partition: skipping it would lose data.
    pub(crate) fn decode(logged: &Logged) -> Result<Self, StopReason> {
        let offset = LogOffset(logged.offset);
        let record = decode_record(&logged.payload)
            .map_err(|error| StopReason::Undecodable { offset, reason: error.to_string() })?;
        Ok(Self { offset, hash: hash_of(&logged.payload), bytes: logged.payload.len(), record })
    }

    /// Decodes records that were read from the log.
    pub(crate) fn decode_all(logged: &[Logged]) -> Result<Vec<Self>, StopReason> {
        logged.iter().map(Self::decode).collect()
    }

    /// A record that this executor wrote as `payload` and that the log acknowledged at `offset`.
    pub(crate) fn acknowledged(offset: u64, payload: &Bytes, record: Record) -> Self {
        Self { offset: LogOffset(offset), hash: hash_of(payload), bytes: payload.len(), record }
    }

    /// Below which offset the journal topic holds all, as this record says.
    fn checkpoint(&self) -> Option<LogOffset> {
        let mut below = None;
        for command in &self.record.commands {
            if let Command::Checkpointed(said) = command
                && said.journal
            {
                below = below.max(Some(said.log.min(self.offset)));
            }
        }
        below
    }

    /// Whether losing it from the tables would cost more than reading it again: a mark of a
    /// checkpoint must not bring about the next.
    pub(crate) fn is_substantial(&self) -> bool {
        let marks_checkpoint = |command: &Command| {
            matches!(command, Command::Checkpointed(_) | Command::CheckpointOpened)
        };
        !self.record.commands.iter().all(marks_checkpoint)
    }
}

/// What applying a batch of records came to.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// What is to be done, if this executor is the owner.
    pub(crate) actions: Vec<Action>,
    /// The first record that did not count, and why.
    pub(crate) ignored: Option<(LogOffset, Ignored)>,
}

/// The fold of one partition.
#[derive(Debug)]
pub(crate) struct Fold {
    store: Arc<Store>,
    partition: PartitionId,
    row: PartitionRow,
}

impl Fold {
    pub(crate) fn open(store: Arc<Store>, partition: PartitionId) -> Result<Self, StopReason> {
        let row = reads::partition(&store.tables(partition))?;
        Ok(Self { store, partition, row })
    }

    /// The partition row as of the last commit.
    pub(crate) fn row(&self) -> &PartitionRow {
        &self.row
    }

    /// The tables as of the last commit.
    pub(crate) fn tables(&self) -> Overlay<'_> {
        self.store.tables(self.partition)
    }

    /// Applies records in order and commits what they change.
    pub(crate) fn apply(&mut self, steps: &[Step]) -> Result<Folded, Interruption> {
        let mut folded = Folded::default();
        if steps.is_empty() {
            return Ok(folded);
        }
        let mut tables = self.store.tables(self.partition);
        let mut held_by_journal = None;
        for step in steps {
            tables.begin_record(step.offset);
            let acceptance = apply_guarded(&mut tables, step, &mut folded.actions)?;
            match acceptance {
                Acceptance::Accepted => held_by_journal = held_by_journal.max(step.checkpoint()),
                Acceptance::Ignored(why) => {
                    folded.ignored.get_or_insert((step.offset, why));
                }
            }
        }
        crash_point("executor::applied");
        let row = reads::partition(&tables)?;
        tables.commit(steps.iter().any(Step::is_substantial))?;
        self.row = row;
        if let Some(below) = held_by_journal {
            self.store.clear_dirty(self.partition, below)?;
        }
        metrics::RECORDS_APPLIED.inc_by(steps.len() as u64);
        crash_point("executor::committed");
        Ok(folded)
    }
}

fn apply_guarded(
    tables: &mut Overlay<'_>,
    step: &Step,
    actions: &mut Vec<Action>,
) -> Result<Acceptance, StopReason> {
    let logged =
        everlog_partition::Logged { offset: step.offset, hash: step.hash, record: &step.record };
    // What a panic leaves half-done is in `tables` and `actions` alone, and the caller drops both.
    let applied = catch_unwind(AssertUnwindSafe(|| apply(tables, logged, actions)));
    match applied {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            Err(StopReason::InvariantBroken { offset: step.offset, message: message.to_owned() })
        }
    }
}
