//! What an owner does about an applied record: start and stop attempts, arm timers, answer.

use everlog_log_schema::{
    AttemptId, Command, InboxOffset, Incarnation, InvocationId, LogOffset, Millis, Record, Seq,
    Status,
};
use everlog_partition::{Action, MemoryTables, TablesError, reads};

use super::{Executor, Role};
use crate::attempt::Attempt;
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::{Crashed, Env, Reply};
use crate::history::CallId;
use crate::properties::Violation;

/// A caller that waits for an answer, as the owner remembers it.
#[derive(Debug, Clone)]
pub struct Waiter {
    /// The request.
    pub call: CallId,
    /// The invocation.
    pub id: InvocationId,
    /// Where the caller's own message stands.
    pub after: InboxOffset,
    /// The first record appended after the question came; none until it is looked at.
    barrier: Option<Seq>,
}

impl Waiter {
    /// Makes a waiter for a call whose message stands at `after`.
    pub fn new(call: CallId, id: InvocationId, after: InboxOffset) -> Self {
        Self { call, id, after, barrier: None }
    }

    /// Whether the caller's message can have found this life. One that began behind it is another:
    /// the life that the caller means is forgotten.
    fn may_mean(&self, incarnation: Incarnation) -> bool {
        incarnation.0 <= self.after.0
    }

    fn is_known(&self, tables: &MemoryTables) -> bool {
        let row = reads::invocation(tables, self.id);
        matches!(row, Ok(Some(row)) if self.may_mean(row.incarnation))
    }
}

impl Executor {
    /// Begins to act: all that is under way is found in the tables.
    pub(super) fn take_office(&mut self, env: &mut Env) -> Result<(), Crashed> {
        let id = self.id;
        env.note(|| format!("x{id} owns the partition"));
        let Role::Candidate(mut tenure) = std::mem::replace(&mut self.role, Role::Standby) else {
            return Ok(());
        };
        let row = reads::partition(&self.tables).unwrap_or_default();
        tenure.last_now = tenure.last_now.max(row.now);
        self.role = Role::Owner(tenure);
        let next = row.next_inbox;
        self.inbox_next = if env.is(ShellBug::InboxFromEnd) { env.inbox.end() } else { next };
        self.find_outbox(env);
        let mut last = None;
        while let Ok(Some(timer)) = reads::next_timer(&self.tables, last, Millis(u64::MAX)) {
            if !env.is(ShellBug::ForgetTimers) {
                self.armed.insert(timer);
            }
            last = Some(timer);
        }
        match resume_actions(&self.tables) {
            Ok(actions) if !env.is(ShellBug::ForgetRunning) => self.act(env, actions),
            Ok(_) => Ok(()),
            Err(error) => {
                env.violate(Violation::new("tables can be read", error.to_string()));
                Ok(())
            }
        }
    }

    /// Acts on a record of its own term.
    pub(super) fn act_on(
        &mut self,
        env: &mut Env,
        record: &Record,
        actions: Vec<Action>,
    ) -> Result<(), Crashed> {
        for command in &record.commands {
            if *command == Command::CheckpointOpened {
                self.checkpoint_opened();
            }
        }
        self.act(env, actions)?;
        self.pass_barriers(env, record.seq);
        Ok(())
    }

    fn act(&mut self, env: &mut Env, actions: Vec<Action>) -> Result<(), Crashed> {
        for action in actions {
            env.crash_point(Case::CrashWhileActing)?;
            match action {
                Action::Start(id, attempt) => self.start_attempt(env, id, attempt),
                Action::Notify { invocation, attempt, index, entry } => {
                    let live = self.attempts.get_mut(&invocation);
                    if let Some(live) = live.filter(|live| live.id == attempt) {
                        live.learn(index, &entry);
                    }
                }
                Action::Stop(id) => {
                    self.attempts.remove(&id);
                }
                Action::ArmTimer(timer) => {
                    self.armed.insert(timer);
                }
                Action::Send { seq, row, .. } => self.outbox.push(seq, *row),
                Action::Answer(id) => self.answer(env, id),
                Action::Trim { log, inbox } => {
                    check_trim(env, log, inbox);
                    if env.log.trim(log) {
                        env.coverage.hit(Case::Trimmed);
                    }
                    env.inbox.trim(inbox);
                }
            }
        }
        Ok(())
    }

    fn start_attempt(&mut self, env: &mut Env, id: InvocationId, attempt: AttemptId) {
        let Role::Owner(tenure) = &self.role else { return };
        let kept = env.is(ShellBug::OldStreamKept);
        if self.attempts.get(&id).is_some_and(|live| live.id == attempt || kept) {
            return;
        }
        let term = (tenure.epoch, tenure.term);
        let row = reads::invocation(&self.tables, id);
        let Ok(Some(row)) = row else { return };
        // A later command of the record, or a later record, may have stopped it again.
        if row.status != Status::Running {
            return;
        }
        match reads::journal(&self.tables, id, row.entries) {
            Ok(journal) => {
                env.note(|| format!("start {:x} as {attempt:?}", id.uuid));
                let unpinned = row.pin.is_none();
                let attempt = Attempt::start(id, attempt, term, row.kind, &journal, unpinned);
                self.attempts.insert(id, attempt);
            }
            Err(error) => env.violate(Violation::new("tables can be read", error.to_string())),
        }
    }

    /// Takes a caller's question. Says whether it is the one to ask.
    pub fn attach(&mut self, env: &mut Env, waiter: Waiter) -> bool {
        if !self.is_owner() {
            return false;
        }
        self.waiters.push(waiter);
        self.serve_waiters(env);
        true
    }

    fn answer(&mut self, env: &mut Env, id: InvocationId) {
        let Ok(Some((row, outcome))) = reads::outcome_of(&self.tables, id) else { return };
        let inbox = self.applied_inbox(env);
        let former_life = env.is(ShellBug::FormerLife);
        let (answered, rest) = std::mem::take(&mut self.waiters).into_iter().partition(|waiter| {
            let meant = former_life || waiter.may_mean(row.incarnation);
            waiter.id == id && waiter.after < inbox && meant
        });
        self.waiters = rest;
        for waiter in answered {
            env.replies.push((waiter.call, Reply::Answer(outcome.clone())));
        }
    }

    /// Below which offset all messages are taken in, as far as it has applied.
    fn applied_inbox(&self, env: &Env) -> InboxOffset {
        if env.is(ShellBug::FormerLife) {
            return InboxOffset(u64::MAX);
        }
        reads::partition(&self.tables).unwrap_or_default().next_inbox
    }

    /// Answers callers whose invocation has completed, and sets barriers for the unknown ones.
    pub(super) fn serve_waiters(&mut self, env: &mut Env) {
        let Role::Owner(tenure) = &self.role else { return };
        let next_seq = tenure.next_seq;
        let inbox = self.applied_inbox(env);
        let mut ids: Vec<InvocationId> = Vec::new();
        let mut waits_for_barrier = false;
        for waiter in &mut self.waiters {
            if waiter.after >= inbox && !env.is(ShellBug::NoBarrier) {
                continue;
            }
            if waiter.is_known(&self.tables) {
                ids.push(waiter.id);
            } else {
                waiter.barrier.get_or_insert(next_seq);
                waits_for_barrier = true;
            }
        }
        for id in ids {
            self.answer(env, id);
        }
        if env.is(ShellBug::NoBarrier) {
            self.pass_barriers(env, Seq(u64::MAX));
        } else if waits_for_barrier && self.is_idle() {
            self.append_now(env, Vec::new());
        }
    }

    /// Tells callers that their invocation is unknown, once a record appended after they asked
    /// shows that this process still owned the partition then.
    fn pass_barriers(&mut self, env: &mut Env, applied: Seq) {
        let tables = &self.tables;
        self.waiters.retain(|waiter| {
            let passed = waiter.barrier.is_some_and(|barrier| barrier <= applied);
            let unknown = !waiter.is_known(tables);
            if passed && unknown {
                env.replies.push((waiter.call, Reply::NotFound));
            }
            !(passed && unknown)
        });
    }
}

/// What is trimmed must stand in a committed checkpoint.
fn check_trim(env: &mut Env, log: LogOffset, inbox: InboxOffset) {
    let held = env.journal.held();
    if !held.is_some_and(|held| log <= held.log && inbox <= held.inbox) {
        let what = format!("trim to {log} and {inbox}, but the checkpoint is at {held:?}");
        env.violate(Violation::new("only what is checkpointed is trimmed", what));
    }
}

/// Lists the starts that a new owner owes.
fn resume_actions(tables: &MemoryTables) -> Result<Vec<Action>, TablesError> {
    let epoch = reads::partition(tables)?.epoch;
    let mut actions = Vec::new();
    let mut last = None;
    while let Some(id) = reads::next_running(tables, last)? {
        let row = reads::invocation(tables, id)?
            .ok_or_else(|| TablesError(format!("running invocation {id:?} has no row")))?;
        actions.push(Action::Start(id, reads::current_attempt(&row, epoch)));
        last = Some(id);
    }
    Ok(actions)
}
