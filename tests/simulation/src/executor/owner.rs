//! What an owner does: hear outcomes, take in messages, frames and due timers, append.

use std::rc::Rc;

use everlog_log_schema::{
    Append, AttemptError, AttemptFailed, Command, DeploymentId, End, Entry, Envelope, Ingest,
    Intake, InvocationId, Millis, Pin, Record, Seq, Suspend, Timer, TimerFired, TimerKind,
};
use everlog_partition::{after_failure, reads};

use super::{Executor, Pending, Role, Tenure};
use crate::attempt::{Attempt, Frame};
use crate::bug::ShellBug;
use crate::coverage::Case;
use crate::env::{Crashed, Env, Reply};
use crate::history::Event;
use crate::inbox::Item;
use crate::log::Outcome;
use crate::properties::Violation;

/// The appends that may be in the pipeline.
const PIPELINE_MAX: usize = 8;
/// How long an owner waits for a function that hangs, in milliseconds.
const ABORT_AFTER_MS: u64 = 5_000;
/// The timers that are fired at once.
const TIMERS_AT_ONCE: usize = 6;

impl Tenure {
    /// Queues a record with these commands. Its `seq` is taken now, as it is queued.
    pub(super) fn append(&mut self, env: &mut Env, clock: Millis, commands: Vec<Command>) {
        let back = env.is(ShellBug::ClockGoesBack);
        let now = if back { clock } else { clock.max(self.last_now) };
        self.last_now = now;
        let seq = self.next_seq;
        self.next_seq = Seq(seq.0 + 1);
        let record = Rc::new(Record { epoch: self.epoch, term: self.term, seq, now, commands });
        let ticket = env.log.append(self.appender, Rc::clone(&record));
        self.pending.push_back(Pending { ticket, hash: 0, record, outcome: None });
    }
}

impl Executor {
    /// Does one of an owner's things.
    pub(super) fn own(&mut self, env: &mut Env) -> Result<(), Crashed> {
        match env.rng.below(100) {
            0..25 => self.hear_outcomes(env)?,
            25..30 => {
                self.read_some(env)?;
            }
            30..39 => self.take_in_messages(env)?,
            39..43 => self.send(env),
            43..57 => self.take_frames(env),
            57..60 => self.take_late_frames(env),
            60..68 => self.fire_timers(env),
            68..92 => self.append(env)?,
            92..96 if env.rng.chance(env.faults.checkpoint) => self.checkpoint(env)?,
            _ => self.serve_waiters(env),
        }
        Ok(())
    }

    /// Takes outcomes that have arrived, and applies acknowledged records from memory, in order.
    pub(super) fn hear_outcomes(&mut self, env: &mut Env) -> Result<(), Crashed> {
        loop {
            let (Role::Candidate(tenure) | Role::Owner(tenure)) = &mut self.role else {
                return Ok(());
            };
            while let Some((ticket, outcome)) = env.log.outcome(tenure.appender) {
                let found = tenure.pending.iter_mut().find(|pending| pending.ticket == ticket);
                if let Some(pending) = found {
                    pending.outcome = Some(outcome);
                }
            }
            let Some(outcome) = tenure.pending.front().and_then(|pending| pending.outcome) else {
                return Ok(());
            };
            let candidate = matches!(self.role, Role::Candidate(_));
            match outcome {
                Outcome::Refused | Outcome::Unknown => {
                    self.depose(env, "an append was not acknowledged");
                    return Ok(());
                }
                Outcome::At(offset) if offset < self.position => {
                    self.pop_pending();
                }
                // An announcement is read back from the log, however it was acknowledged.
                Outcome::At(_) if candidate => return Ok(()),
                Outcome::At(offset) => {
                    let follows = offset == self.position;
                    if !follows && !env.is(ShellBug::AckGapIgnored) {
                        env.coverage.hit(Case::AckGap);
                        self.read_some(env)?;
                        continue;
                    }
                    let Some(pending) = self.pop_pending() else { return Ok(()) };
                    // Its hash is that of the bytes it wrote, which the model's log made up.
                    let stored = env.log.read(offset).ok().flatten();
                    let hash = stored.map_or(pending.hash, |stored| stored.hash);
                    self.apply(env, offset, hash, &pending.record)?;
                }
            }
        }
    }

    fn pop_pending(&mut self) -> Option<Pending> {
        match &mut self.role {
            Role::Standby => None,
            Role::Candidate(tenure) | Role::Owner(tenure) => tenure.pending.pop_front(),
        }
    }

    /// Fetches a few messages.
    fn take_in_messages(&mut self, env: &mut Env) -> Result<(), Crashed> {
        if env.now < env.inbox.away_until || env.rng.chance(env.faults.slow_intake) {
            return Ok(());
        }
        for _ in 0..=env.rng.below(4) {
            let (offset, intake) = match env.inbox.read(self.inbox_next) {
                Ok(None) => return Ok(()),
                Ok(Some((offset, Item::Message(envelope)))) => {
                    (offset, Intake::Message(Envelope::clone(envelope)))
                }
                Ok(Some((offset, Item::Garbage(source)))) => {
                    let reason = "no message of a known level".into();
                    (offset, Intake::Rejected { source: Some(*source), reason })
                }
                // A successor trims what a deposed owner still wants: the log tells which it is.
                Err(_) => {
                    let caught_up = self.read_some(env)?;
                    if caught_up && self.is_owner() {
                        let what = format!("inbox offset {} was trimmed", self.inbox_next);
                        env.violate(Violation::new("the inbox below a checkpoint is kept", what));
                    }
                    return Ok(());
                }
            };
            self.inbox_next.0 = offset.0 + 1;
            self.outgoing.push(Command::Ingest(Ingest { offset, intake }));
        }
        Ok(())
    }

    /// Takes frames that arrived together from one of the streams.
    fn take_frames(&mut self, env: &mut Env) {
        let clock = self.clock(env);
        let speaking = |attempt: &Attempt| {
            let hung = attempt.hung_at.is_some_and(|at| env.now.0 > at.0 + ABORT_AFTER_MS);
            !attempt.frames.is_empty() || hung
        };
        let ready: Vec<InvocationId> =
            self.attempts.values().filter(|a| speaking(a)).map(|a| a.invocation).collect();
        let Some(&id) = ready.get(env.rng.index(ready.len())) else { return };
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        if env.is(ShellBug::OldStreamKept) {
            adopt(attempt, &self.tables);
        }
        let mut entries = Vec::new();
        for _ in 0..=env.rng.below(4) {
            match attempt.frames.pop_front() {
                Some(Frame::Entry(entry)) => entries.push(entry),
                Some(Frame::Suspended(waiting, signals_told)) => {
                    self.send_entries(env, id, entries);
                    self.close(env, id, clock, |invocation, attempt| {
                        Command::Suspend(Suspend { invocation, attempt, waiting, signals_told })
                    });
                    return;
                }
                Some(Frame::Ended) => {
                    self.send_entries(env, id, entries);
                    self.close(env, id, clock, |invocation, attempt| {
                        Command::End(End { invocation, attempt })
                    });
                    return;
                }
                Some(Frame::Failed) => {
                    self.send_entries(env, id, entries);
                    self.fail(env, id, clock);
                    return;
                }
                None if attempt.hung_at.is_some() => {
                    env.coverage.hit(Case::Hang);
                    self.send_entries(env, id, entries);
                    self.fail(env, id, clock);
                    return;
                }
                None => break,
            }
        }
        self.send_entries(env, id, entries);
    }

    /// Passes on what an attempt said before it was given up, in its own name: the partition knows
    /// that it has no say any more.
    fn take_late_frames(&mut self, env: &mut Env) {
        let at = env.rng.index(self.ghosts.len());
        let Some(ghost) = self.ghosts.get_mut(at) else { return };
        env.coverage.hit(Case::StaleAttempt);
        let (invocation, attempt) = (ghost.invocation, ghost.id);
        let command = match ghost.frames.pop_front() {
            Some(Frame::Entry(entry)) => {
                let first_command = ghost.commands_taken;
                let counts = !matches!(entry, Entry::Notification { .. });
                ghost.commands_taken += u32::from(counts);
                let entries = vec![entry];
                let append = Append { invocation, attempt, first_command, entries, pin: None };
                Command::Append(append)
            }
            Some(Frame::Suspended(waiting, signals_told)) => {
                Command::Suspend(Suspend { invocation, attempt, waiting, signals_told })
            }
            Some(Frame::Ended) => Command::End(End { invocation, attempt }),
            Some(Frame::Failed) | None => {
                self.ghosts.swap_remove(at);
                return;
            }
        };
        self.outgoing.push(command);
    }

    fn send_entries(&mut self, env: &mut Env, id: InvocationId, entries: Vec<Entry>) {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|_| !entries.is_empty()) else {
            return;
        };
        if env.is(ShellBug::NotifyEarly) {
            for entry in &entries {
                attempt.learn(u32::MAX - 1, entry);
            }
        }
        if env.is(ShellBug::AnswerEarly) {
            answer_early(&self.waiters, id, &entries, env);
        }
        let first_command = attempt.commands_taken;
        let commands = entries.iter().filter(|entry| !matches!(entry, Entry::Notification { .. }));
        attempt.commands_taken += u32::try_from(commands.count()).unwrap_or_default();
        let pin = std::mem::take(&mut attempt.unpinned)
            .then(|| Pin { deployment: DeploymentId("dp_1".into()), protocol_version: 6 });
        let (invocation, attempt) = (id, attempt.id);
        let append = Append { invocation, attempt, first_command, entries, pin };
        self.outgoing.push(Command::Append(append));
    }

    fn close(
        &mut self,
        env: &mut Env,
        id: InvocationId,
        _clock: Millis,
        command: impl FnOnce(InvocationId, everlog_log_schema::AttemptId) -> Command,
    ) {
        if let Some(mut attempt) = self.attempts.remove(&id) {
            env.note(|| format!("stream of {:x} ends", id.uuid));
            self.outgoing.push(command(id, attempt.id));
            if attempt.hung_at.is_some() {
                attempt.go_on_unheard(env);
                self.give_up(env, attempt);
            }
        }
    }

    /// Reports the failure of an attempt, with what its invocation's policy makes of it.
    fn fail(&mut self, env: &mut Env, id: InvocationId, clock: Millis) {
        let Ok(Some(row)) = reads::invocation(&self.tables, id) else {
            self.attempts.remove(&id);
            return;
        };
        let then = after_failure(&row, clock, None);
        let error = AttemptError {
            code: 500,
            message: "function failed".into(),
            command_index: None,
            command_name: None,
            command_kind: None,
            delay_by_function: false,
        };
        self.close(env, id, clock, |invocation, attempt| {
            Command::AttemptFailed(AttemptFailed { invocation, attempt, error, then })
        });
    }

    /// Proposes to fire timers that are due by its clock.
    ///
    /// What is completed is forgotten only once the inbox is taken in to its end: else a copy of
    /// the request that has waited there, because the partition was down for long, is taken for new.
    fn fire_timers(&mut self, env: &mut Env) {
        let clock = self.clock(env);
        let early = if env.is(ShellBug::FireEarly) { 1_000 } else { 0 };
        let may_forget = self.inbox_next >= env.inbox.end() || env.is(ShellBug::ForgetBeforeIntake);
        let due = self.armed.iter().take_while(|timer| timer.due.0 <= clock.0 + early);
        let due = due.filter(|timer| may_forget || timer.kind != TimerKind::Purge);
        let due: Vec<Timer> = due.take(TIMERS_AT_ONCE).copied().collect();
        for timer in due {
            self.armed.remove(&timer);
            env.observe(&Event::TimerProposed { timer, clock });
            self.outgoing.push(Command::TimerFired(TimerFired { timer }));
        }
    }

    /// Appends a record with some of the commands that wait.
    fn append(&mut self, env: &mut Env) -> Result<(), Crashed> {
        let clock = self.clock(env);
        let Role::Owner(tenure) = &mut self.role else { return Ok(()) };
        if self.outgoing.is_empty() || tenure.pending.len() >= PIPELINE_MAX {
            return Ok(());
        }
        if env.rng.chance(env.faults.queue_full) {
            return Ok(());
        }
        let count = 1 + env.rng.index(self.outgoing.len());
        let commands = self.outgoing.drain(..count).collect();
        tenure.append(env, clock, commands);
        env.crash_point(Case::CrashAfterAppend)
    }

    /// Appends one record with these commands: for scripts, and for whoever cannot wait.
    pub(crate) fn append_now(&mut self, env: &mut Env, commands: Vec<Command>) {
        let clock = self.clock(env);
        if let Role::Owner(tenure) | Role::Candidate(tenure) = &mut self.role {
            tenure.append(env, clock, commands);
        }
    }

    /// Lets go of the partition, as a process does that is told to end.
    pub(crate) fn resign(&mut self, env: &mut Env) {
        if !self.is_owner() {
            return;
        }
        env.coverage.hit(Case::Resigned);
        let id = self.id;
        env.note(|| format!("x{id} resigns"));
        self.append_now(env, vec![Command::Resign]);
        self.assigned = false;
        self.become_standby(env);
    }
}

/// The mistake of `old-stream-kept`: whatever stream is open speaks for the current attempt.
fn adopt(attempt: &mut Attempt, tables: &everlog_partition::MemoryTables) {
    let Ok(row) = reads::partition(tables) else { return };
    if let Ok(Some(invocation)) = reads::invocation(tables, attempt.invocation) {
        attempt.id = reads::current_attempt(&invocation, row.epoch);
        attempt.commands_taken = invocation.commands;
    }
}

/// The mistake of `answer-early`: an output is taken for an end.
fn answer_early(waiters: &[super::Waiter], id: InvocationId, entries: &[Entry], env: &mut Env) {
    for entry in entries {
        if let Entry::Output { outcome, .. } = entry {
            for waiter in waiters.iter().filter(|waiter| waiter.id == id) {
                env.replies.push((waiter.call, Reply::Answer(outcome.clone())));
            }
        }
    }
}
