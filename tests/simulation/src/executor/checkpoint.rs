//! Checkpoints: the rows that have changed go to the journal topic, then the log below may go.
//!
//! **Invariant:** a commit begins only in a term that is known to reign after the checkpointer was
//! opened, and the log is trimmed only below what is certainly committed.

use everlog_log_schema::{Checkpointed, Command, LogOffset, Record, RowKey};
use everlog_partition::{MemoryTables, Tables, reads};

use super::{Executor, Role};
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::{Crashed, Env};
use crate::journal::{Changed, Checkpointer, Held};
use crate::properties::Violation;

/// How far a checkpoint has come.
#[derive(Debug)]
pub(super) enum Checkpoint {
    /// None is under way, and no checkpointer is open.
    Idle,
    /// The checkpointer is open, its announcement appended.
    Opening(Checkpointer),
    /// The announcement is accepted: commits may begin.
    Open(Checkpointer),
}

impl Executor {
    /// Takes a checkpoint one step further.
    pub(super) fn checkpoint(&mut self, env: &mut Env) -> Result<(), Crashed> {
        match self.checkpoint {
            Checkpoint::Idle if env.is(ShellBug::CheckpointUnopened) => {
                let checkpointer = env.journal.open();
                self.commit(env, checkpointer)
            }
            Checkpoint::Idle => {
                let checkpointer = env.journal.open();
                self.checkpoint = Checkpoint::Opening(checkpointer);
                self.outgoing.push(Command::CheckpointOpened);
                Ok(())
            }
            Checkpoint::Opening(_) => Ok(()),
            Checkpoint::Open(checkpointer) => self.commit(env, checkpointer),
        }
    }

    /// Notes that `CheckpointOpened` is accepted.
    pub(super) fn checkpoint_opened(&mut self) {
        if let Checkpoint::Opening(checkpointer) = self.checkpoint {
            self.checkpoint = Checkpoint::Open(checkpointer);
        }
    }

    fn commit(&mut self, env: &mut Env, checkpointer: Checkpointer) -> Result<(), Crashed> {
        if env.rng.chance(300) {
            env.coverage.hit(Case::Compacted);
            let tombstones_too = env.rng.chance(500);
            env.journal.compact(tombstones_too);
        }
        let held = Held {
            log: self.position,
            inbox: reads::partition(&self.tables).unwrap_or_default().next_inbox,
        };
        let unknown = env.rng.chance(env.faults.unknown_commit);
        if unknown {
            env.coverage.hit(Case::UnknownCommit);
        }
        if !unknown || env.rng.chance(500) {
            let rows = self.changed_rows(env);
            if env.journal.commit(checkpointer, rows, held).is_err() {
                env.coverage.hit(Case::FencedCheckpoint);
                self.checkpoint = Checkpoint::Idle;
                return Ok(());
            }
            self.check_journal(env, held.log);
        }
        if env.is(ShellBug::MarksClearedAtCommit) {
            self.dirty.clear();
        }
        let id = self.id;
        env.note(|| format!("x{id} commits a checkpoint at {}", held.log));
        env.crash_point(Case::CrashBehindCommit)?;
        if unknown && !env.is(ShellBug::CommitAssumed) {
            self.checkpoint = Checkpoint::Idle;
            return Ok(());
        }
        let ahead = env.is(ShellBug::CheckpointAhead);
        let log = if ahead { env.log.end() } else { held.log };
        let inbox = held.inbox;
        self.outgoing.push(Command::Checkpointed(Checkpointed { log, inbox, journal: true }));
        debug_assert!(matches!(self.role, Role::Owner(_)), "only an owner checkpoints");
        Ok(())
    }

    /// All rows with a mark, as they are now.
    fn changed_rows(&self, env: &mut Env) -> Vec<Changed> {
        let mut rows = Vec::new();
        for (key, at) in &self.dirty {
            let row = self.tables.get(key).unwrap_or_default();
            if row.is_none() {
                if !env.journal.has_seen(key) {
                    env.coverage.hit(Case::BornAndGone);
                }
                if env.is(ShellBug::TombstonesLeftOut) {
                    continue;
                }
            }
            rows.push((key.clone(), row.map(|row| (row, *at))));
        }
        rows
    }

    /// A restore from here must come to what this owner has, from which the log goes on.
    fn check_journal(&self, env: &mut Env, offset: LogOffset) {
        let start = env.log.start();
        if offset < start {
            let what = format!("log starts at {start}, the new checkpoint is at {offset}");
            env.violate(Violation::new("the log below a checkpoint is kept", what));
        }
        let what = match env.journal.read(MemoryTables::default()) {
            Ok(Some((_, tables))) if tables == self.tables => return,
            Ok(_) => format!("the rows at {offset} are not those of the tables"),
            Err(error) => error,
        };
        env.violate(Violation::new("the journal holds the tables", what));
    }

    /// Takes note of what a record has changed.
    pub(super) fn mark(&mut self, env: &Env, offset: LogOffset, written: Vec<RowKey>) {
        if env.is(ShellBug::StandbyMarksNothing) && !self.is_owner() {
            return;
        }
        self.dirty.extend(written.into_iter().map(|key| (key, offset)));
    }

    /// Forgets the marks of what an accepted record says that the journal holds.
    pub(super) fn forget_marks(&mut self, env: &Env, record: &Record) {
        for command in &record.commands {
            let Command::Checkpointed(Checkpointed { log, .. }) = command else { continue };
            let all = env.is(ShellBug::MarksClearedWhole);
            self.dirty.retain(|_, at| *at >= *log && !all);
        }
    }

    /// Replaces its tables by the rows of the journal, if that has any.
    pub(super) fn load_journal(&mut self, env: &mut Env) -> Option<LogOffset> {
        let kept = env.is(ShellBug::OldRowsKept);
        let onto = if kept { self.tables.clone() } else { MemoryTables::default() };
        match env.journal.read(onto) {
            Ok(None) => None,
            Ok(Some((held, tables))) => {
                self.tables = tables;
                self.dirty.clear();
                Some(held.log)
            }
            Err(error) => {
                env.violate(Violation::new("a restore comes to an end", error));
                None
            }
        }
    }
}
