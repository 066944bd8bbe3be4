//! Checkpoints: the tables go to the compacted topic, then the log below may go.
//!
//! **Invariant:** a commit begins only in a term that is known to reign after the checkpointer was
//! opened, and the log is trimmed only below what is certainly committed.

use std::rc::Rc;

use everlog_log_schema::{Checkpointed, Command};
use everlog_partition::reads;

use super::{Executor, Role};
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::{Crashed, Env};
use crate::inbox::Checkpointer;
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
                let checkpointer = env.checkpoints.open();
                self.commit(env, checkpointer)
            }
            Checkpoint::Idle => {
                let checkpointer = env.checkpoints.open();
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
        let offset = self.position;
        let inbox = reads::partition(&self.tables).unwrap_or_default().next_inbox;
        let unknown = env.rng.chance(env.faults.unknown_commit);
        if unknown {
            env.coverage.hit(Case::UnknownCommit);
        }
        if !unknown || env.rng.chance(500) {
            let snapshot = Rc::new(self.tables.clone());
            if env.checkpoints.commit(checkpointer, offset, snapshot).is_err() {
                env.coverage.hit(Case::FencedCheckpoint);
                self.checkpoint = Checkpoint::Idle;
                return Ok(());
            }
            let start = env.log.start();
            if offset < start {
                let what = format!("log starts at {start}, the new checkpoint is at {offset}");
                env.violate(Violation::new("the log below a checkpoint is kept", what));
            }
        }
        let id = self.id;
        env.note(|| format!("x{id} commits a checkpoint at {offset}"));
        env.crash_point(Case::CrashBehindCommit)?;
        if unknown && !env.is(ShellBug::CommitAssumed) {
            self.checkpoint = Checkpoint::Idle;
            return Ok(());
        }
        let ahead = env.is(ShellBug::CheckpointAhead);
        let log = if ahead { env.log.end() } else { offset };
        self.outgoing.push(Command::Checkpointed(Checkpointed { log, inbox, journal: true }));
        debug_assert!(matches!(self.role, Role::Owner(_)), "only an owner checkpoints");
        Ok(())
    }
}
