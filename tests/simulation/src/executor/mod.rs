//! A model of the executor's shell for one partition: read, apply, commit, act.
//!
//! It keeps the owner's rules (the design's ownership and fencing) step by step, so that a process
//! can die between any two of them.
//!
//! **Invariant:** it acts on a record only once that is durable, applied in log order, and accepted
//! in its own term.

mod act;
mod checkpoint;
mod outbox;
mod owner;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use everlog_log_schema::{
    AnnounceOwner, Command, Epoch, InboxOffset, InvocationId, LogOffset, Millis, Record, Row,
    RowKey, Seq, Term, Timer,
};
use everlog_partition::{
    Acceptance, Action, Ignored, Logged, MemoryTables, SUPPORTED_LEVEL, Tables, apply, reads,
};

use crate::attempt::Attempt;
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::{Crashed, Env};
use crate::history::Event;
use crate::journal::Noting;
use crate::log::{AppenderId, Outcome, Stored, Ticket};
use crate::properties::Violation;

pub use act::Waiter;
use checkpoint::Checkpoint;
use outbox::Outbox;

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Up,
    /// It is stopped, and will go on as if nothing had been.
    Paused,
    /// It is dead.
    Down,
}

/// What a process is to the partition.
#[derive(Debug)]
enum Role {
    /// It folds the log and does nothing else.
    Standby,
    /// It has appended its announcement and waits to read it back.
    Candidate(Tenure),
    /// It acts.
    Owner(Tenure),
}

/// An ownership, announced or held.
#[derive(Debug)]
struct Tenure {
    epoch: Epoch,
    term: Term,
    next_seq: Seq,
    last_now: Millis,
    appender: AppenderId,
    pending: VecDeque<Pending>,
}

/// An append whose outcome is not dealt with yet.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    hash: u64,
    record: Rc<Record>,
    outcome: Option<Outcome>,
}

/// One process.
#[derive(Debug)]
pub struct Executor {
    /// Its number.
    pub id: usize,
    /// Whether it runs.
    pub process: Process,
    /// Whether it believes that it should own the partition. A hint, and often wrong.
    pub assigned: bool,
    /// How far its clock is ahead of the true time, or behind.
    pub skew_ms: i64,
    /// By how much somebody has set it back.
    pub set_back_ms: u64,
    /// What its disk holds: the tables as of the last flush.
    disk: MemoryTables,
    tables: MemoryTables,
    position: LogOffset,
    /// Which rows the journal may not hold, with the record that changed them last.
    dirty: BTreeMap<RowKey, LogOffset>,
    /// The same, as of the last flush.
    disk_dirty: BTreeMap<RowKey, LogOffset>,
    role: Role,
    inbox_next: InboxOffset,
    attempts: BTreeMap<InvocationId, Attempt>,
    /// Attempts that were given up, with what they said before and nobody has heard yet.
    ghosts: Vec<Attempt>,
    armed: BTreeSet<Timer>,
    outgoing: Vec<Command>,
    waiters: Vec<Waiter>,
    outbox: Outbox,
    checkpoint: Checkpoint,
}

impl Executor {
    /// Starts a process with an empty disk.
    pub fn new(id: usize, skew_ms: i64) -> Self {
        Self {
            id,
            process: Process::Up,
            assigned: false,
            skew_ms,
            set_back_ms: 0,
            disk: MemoryTables::default(),
            tables: MemoryTables::default(),
            position: LogOffset(0),
            dirty: BTreeMap::new(),
            disk_dirty: BTreeMap::new(),
            role: Role::Standby,
            inbox_next: InboxOffset(0),
            attempts: BTreeMap::new(),
            ghosts: Vec::new(),
            armed: BTreeSet::new(),
            outgoing: Vec::new(),
            waiters: Vec::new(),
            outbox: Outbox::default(),
            checkpoint: Checkpoint::Idle,
        }
    }

    /// Whether it believes to own the partition.
    pub fn is_owner(&self) -> bool {
        matches!(self.role, Role::Owner(_))
    }

    /// Whether it does not even try to own the partition.
    pub fn is_standby(&self) -> bool {
        matches!(self.role, Role::Standby)
    }

    /// What it appends through, as owner or candidate.
    #[cfg(test)]
    pub(crate) fn appender(&self) -> Option<AppenderId> {
        match &self.role {
            Role::Standby => None,
            Role::Candidate(tenure) | Role::Owner(tenure) => Some(tenure.appender),
        }
    }

    /// Its rows.
    pub fn tables(&self) -> &MemoryTables {
        &self.tables
    }

    /// The next offset it will apply.
    pub fn position(&self) -> LogOffset {
        self.position
    }

    /// Whether it has nothing left to say or to hear.
    pub fn is_idle(&self) -> bool {
        let pending = match &self.role {
            Role::Standby => 0,
            Role::Candidate(tenure) | Role::Owner(tenure) => tenure.pending.len(),
        };
        pending == 0 && self.outgoing.is_empty() && self.outbox.is_empty()
    }

    /// What it is and how far it has come, in a few words.
    pub fn describe(&self) -> String {
        let (role, pending) = match &self.role {
            Role::Standby => ("standby", 0),
            Role::Candidate(tenure) => ("candidate", tenure.pending.len()),
            Role::Owner(tenure) => ("owner", tenure.pending.len()),
        };
        let (id, process, outgoing) = (self.id, self.process, self.outgoing.len());
        let position = self.position;
        format!("x{id} {process:?} {role} at {position}, {pending} pending, {outgoing} outgoing")
    }

    /// Its clock.
    pub fn clock(&self, env: &Env) -> Millis {
        let skewed = env.now.0.saturating_add_signed(self.skew_ms);
        Millis(skewed.saturating_sub(self.set_back_ms))
    }

    /// Does one thing.
    pub fn step(&mut self, env: &mut Env) -> Result<(), Crashed> {
        match &self.role {
            Role::Standby => {
                let caught_up = self.read_some(env)?;
                if caught_up && self.assigned {
                    self.announce(env);
                }
            }
            Role::Candidate(_) => {
                self.read_some(env)?;
                self.hear_outcomes(env)?;
            }
            Role::Owner(_) => {
                for _ in 0..=env.rng.below(4) {
                    if self.is_owner() {
                        self.own(env)?;
                    }
                }
            }
        }
        if env.rng.chance(40) {
            self.flush(env);
        }
        Ok(())
    }

    /// Lets one of its functions do something. They run elsewhere, even while it is paused.
    pub fn poll_function(&mut self, env: &mut Env) {
        let chosen = env.rng.index(self.attempts.len());
        if let Some(attempt) = self.attempts.values_mut().nth(chosen) {
            if env.rng.chance(env.faults.suspend) {
                attempt.ask_to_suspend();
            }
            attempt.poll(env);
        }
    }

    /// Reads and applies a few records. Says whether the end of the log is reached.
    pub(crate) fn read_some(&mut self, env: &mut Env) -> Result<bool, Crashed> {
        for _ in 0..=env.rng.below(6) {
            let Some(stored) = self.next_record(env) else { return Ok(true) };
            self.apply(env, stored.offset, stored.hash, &stored.record)?;
        }
        Ok(false)
    }

    fn next_record(&mut self, env: &mut Env) -> Option<Stored> {
        if let Ok(found) = env.log.read(self.position) {
            return found.cloned();
        }
        if env.is(ShellBug::ReaderJumps) {
            return env.log.read_from_start().cloned();
        }
        self.restore(env);
        env.log.read(self.position).ok().flatten().cloned()
    }

    /// Starts again from the last checkpoint: what the log no longer holds must be in there.
    fn restore(&mut self, env: &mut Env) {
        let start = env.log.start();
        match self.load_journal(env) {
            Some(held) if held >= start => env.coverage.hit(Case::Restored),
            held => {
                let what = format!("log starts at {start}, last checkpoint is at {held:?}");
                env.violate(Violation::new("the log below a checkpoint is kept", what));
            }
        }
        self.become_standby(env);
        self.read_position(env);
        let (id, position) = (self.id, self.position);
        env.note(|| format!("x{id} restores the checkpoint and goes on at {position}"));
    }

    fn read_position(&mut self, env: &mut Env) {
        match reads::partition(&self.tables) {
            Ok(row) => self.position = row.next_log,
            Err(error) => env.violate(Violation::new("tables can be read", error.to_string())),
        }
    }

    /// Applies one record, commits its rows, and acts where it may.
    fn apply(
        &mut self,
        env: &mut Env,
        offset: LogOffset,
        hash: u64,
        record: &Rc<Record>,
    ) -> Result<(), Crashed> {
        env.crash_point(Case::CrashBeforeApply)?;
        let mut actions = Vec::new();
        let mut tables = Noting { tables: &mut self.tables, written: Vec::new() };
        let applied = apply(&mut tables, Logged { offset, hash, record }, &mut actions);
        let written = tables.written;
        self.mark(env, offset, written);
        let acceptance = match applied {
            Ok(acceptance) => acceptance,
            Err(error) => {
                env.violate(Violation::new("the partition goes on", error.to_string()));
                return Err(Crashed);
            }
        };
        // With its write-ahead log off, a store that dies here is back at its last flush.
        env.crash_point(Case::CrashBeforeCommit)?;
        self.position = LogOffset(offset.0 + 1);
        let accepted = acceptance == Acceptance::Accepted;
        if accepted {
            self.forget_marks(env, record);
        }
        env.observe(&Event::Applied { executor: self.id, offset, accepted });
        env.crash_point(Case::CrashBeforeAct)?;
        self.after_commit(env, record, acceptance, actions)
    }

    fn after_commit(
        &mut self,
        env: &mut Env,
        record: &Record,
        acceptance: Acceptance,
        actions: Vec<Action>,
    ) -> Result<(), Crashed> {
        let (Role::Candidate(tenure) | Role::Owner(tenure)) = &self.role else { return Ok(()) };
        let mine = (record.epoch, record.term) == (tenure.epoch, tenure.term);
        let announces = matches!(record.commands.first(), Some(Command::AnnounceOwner(_)));
        let owner = self.is_owner();
        let accepted = acceptance == Acceptance::Accepted;
        let duplicate = acceptance == Acceptance::Ignored(Ignored::Duplicate);
        match (accepted, announces) {
            (true, true) if mine && !owner => self.take_office(env),
            (true, true) if !mine && !env.is(ShellBug::DepositionIgnored) => {
                self.depose(env, "another reigns");
                self.assigned = false;
                Ok(())
            }
            (true, _) if owner => self.act_on(env, record, actions),
            // A record that stands in the log twice counted the first time.
            (false, _) if mine && !duplicate && !env.is(ShellBug::DepositionIgnored) => {
                self.depose(env, "its record is ignored");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Appends an announcement, and nothing behind it.
    pub(crate) fn announce(&mut self, env: &mut Env) {
        let row = reads::partition(&self.tables).unwrap_or_default();
        let epoch = Epoch(row.epoch.0 + 1);
        let term = Term(env.rng.draw() >> 1);
        let appender = env.log.open();
        let last_now = row.now;
        let (next_seq, pending) = (Seq(0), VecDeque::new());
        let mut tenure = Tenure { epoch, term, next_seq, last_now, appender, pending };
        let address = format!("http://x{}", self.id);
        let announce = AnnounceOwner { address, level: SUPPORTED_LEVEL, partitions: 1 };
        let clock = self.clock(env);
        tenure.append(env, clock, vec![Command::AnnounceOwner(announce)]);
        let id = self.id;
        env.note(|| format!("x{id} announces epoch {epoch}"));
        self.role = Role::Candidate(tenure);
        if env.is(ShellBug::ActBeforeReadBack) && self.take_office(env).is_err() {
            self.crash(env);
        }
    }

    /// Gives its ownership up: its attempts end, and what it still has in the pipeline may land.
    fn depose(&mut self, env: &mut Env, why: &str) {
        let id = self.id;
        env.note(|| format!("x{id} steps down: {why}"));
        self.become_standby(env);
    }

    fn become_standby(&mut self, env: &mut Env) {
        if let Role::Candidate(tenure) | Role::Owner(tenure) = &self.role {
            env.log.abandon(tenure.appender);
        }
        self.role = Role::Standby;
        if !env.is(ShellBug::OldStreamKept) {
            for attempt in std::mem::take(&mut self.attempts).into_values() {
                self.give_up(env, attempt);
            }
        }
        self.armed.clear();
        self.outgoing.clear();
        self.waiters.clear();
        self.outbox = Outbox::default();
        self.checkpoint = Checkpoint::Idle;
    }

    /// Ends an attempt. What it has said already may still be in the channel to the shell.
    pub(crate) fn give_up(&mut self, env: &mut Env, attempt: Attempt) {
        if !attempt.frames.is_empty() && env.rng.chance(env.faults.ghost) {
            self.ghosts.push(attempt);
        }
    }

    /// Writes the tables to the disk, whole.
    pub(crate) fn flush(&mut self, env: &mut Env) {
        if env.rng.chance(env.faults.no_flush) {
            return;
        }
        if env.is(ShellBug::TornFlush) {
            let row = reads::partition(&self.tables).unwrap_or_default();
            self.disk.put(RowKey::Partition, Row::Partition(row));
        } else {
            self.disk = self.tables.clone();
            self.disk_dirty = self.dirty.clone();
        }
    }

    /// Dies. Effects that its functions were about to cause may still happen.
    pub fn crash(&mut self, env: &mut Env) {
        let id = self.id;
        env.note(|| format!("x{id} dies"));
        env.coverage.hit(Case::Crash);
        for attempt in self.attempts.values_mut() {
            if attempt.hung_at.is_none() && env.rng.chance(300) {
                attempt.run_closure(env);
            }
        }
        self.attempts.clear();
        self.ghosts.clear();
        self.become_standby(env);
        self.process = Process::Down;
        self.assigned = false;
    }

    /// Starts again from what its disk holds, if that is still there.
    pub fn restart(&mut self, env: &mut Env) {
        if env.rng.chance(env.faults.lost_tables) {
            env.coverage.hit(Case::LostTables);
            self.disk = MemoryTables::default();
            self.disk_dirty.clear();
        }
        self.tables = self.disk.clone();
        self.dirty = self.disk_dirty.clone();
        if env.is(ShellBug::MarksNotFlushed) {
            self.dirty.clear();
        }
        self.read_position(env);
        if let Some(held) = env.journal.held().filter(|_| self.position.0 > 0) {
            let newer = self.position > held.log;
            env.coverage.hit(if newer { Case::NewerTables } else { Case::OlderTables });
        }
        if self.position.0 == 0 && self.load_journal(env).is_some() {
            env.coverage.hit(Case::Restored);
            self.read_position(env);
        }
        if self.position.0 > 0 && self.position < env.log.end() {
            env.coverage.hit(Case::StaleTables);
        }
        self.process = Process::Up;
        let (id, position) = (self.id, self.position);
        env.note(|| format!("x{id} starts and goes on at {position}"));
    }
}
