//! One seed's world: faults, then healing, then judgement.
//!
//! **Invariant:** everything that happens follows from the seed.

use everlog_log_schema::{Millis, RowKey};
use everlog_partition::reads;

use crate::bug::Bug;
use crate::callers::Callers;
use crate::coverage::{Case, Coverage};
use crate::env::{Crashed, Env};
use crate::executor::{Executor, Process};
use crate::operators;
use crate::properties::{Violation, replay_equality};

/// The processes of a world.
const EXECUTORS: usize = 3;
/// The steps that a healed world may take until it is done.
const HEALING_STEPS_MAX: u64 = 60_000;
/// The inbox is out of reach for at most so many times the longest step.
const INBOX_AWAY_STEPS_MAX: u64 = 300;
/// A clock is set back by at most so much, in milliseconds.
const SET_BACK_MS_MAX: u64 = 3_600_000;
/// Longer than any outcome is kept, in milliseconds.
const FORGOTTEN_AFTER_MS: u64 = 2_000_000;

/// What a run of one seed has shown.
#[derive(Debug)]
pub struct Verdict {
    /// What was violated, if anything.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
    /// How many records the log holds.
    pub record_count: u64,
    /// The last lines of the trace, if one was wanted.
    pub trace: String,
    /// The hash of all of the trace.
    pub trace_hash: u64,
}

/// Processes, callers, and all that lies between them.
#[derive(Debug)]
pub struct World {
    /// What they share.
    pub env: Env,
    /// The processes.
    pub executors: Vec<Executor>,
    callers: Callers,
    assigned: usize,
    /// The longest time that one step takes, in milliseconds.
    step_ms: u64,
    weights: Weights,
}

/// How often each kind of step is taken, of 100.
#[derive(Debug, Clone, Copy)]
struct Weights {
    executors: u64,
    functions: u64,
    log: u64,
}

impl World {
    /// Makes a seed's world.
    pub fn new(seed: u64, bug: Bug, traced: bool) -> Self {
        bug.plant();
        let mut env = Env::new(seed, bug, traced);
        let skew = env.faults.clock_skew_ms;
        let executors = (0..EXECUTORS)
            .map(|id| {
                let ahead = i64::try_from(env.rng.below(2 * skew + 1)).unwrap_or_default();
                Executor::new(id, ahead - i64::try_from(skew).unwrap_or_default())
            })
            .collect();
        let step_ms = [5, 50, 1_000, 15_000, 15_000].get(env.rng.index(5)).copied().unwrap_or(30);
        let callers = Callers::draw(&mut env.rng, step_ms);
        let weights = Weights {
            executors: 25 + env.rng.below(15),
            functions: 5 + env.rng.below(10),
            log: 10 + env.rng.below(10),
        };
        Self { env, executors, callers, assigned: 0, step_ms, weights }
    }

    /// Lives through all phases.
    pub fn run(mut self) -> Verdict {
        let steps = 200 + self.env.rng.below(1_200);
        let _ = (0..steps).try_for_each(|_| self.checked_step());
        if self.env.violation.is_none() {
            self.heal();
        }
        if self.env.violation.is_none() {
            self.forget();
        }
        if self.env.violation.is_none() {
            self.judge();
        }
        let (trace, trace_hash) = self.env.trace();
        Verdict {
            violation: self.env.violation,
            coverage: self.env.coverage,
            record_count: self.env.observer.record_count(),
            trace,
            trace_hash,
        }
    }

    /// Takes a step. None if a property was violated.
    fn checked_step(&mut self) -> Option<()> {
        self.step();
        self.env.violation.is_none().then_some(())
    }

    fn step(&mut self) {
        let env = &mut self.env;
        env.now = Millis(env.now.0 + env.rng.below(self.step_ms));
        let Weights { executors, functions, log } = self.weights;
        let mut draw = env.rng.below(100);
        let mut is = |weight: u64| {
            let hit = draw < weight;
            draw = draw.wrapping_sub(weight);
            hit
        };
        if is(executors) {
            self.step_executor();
        } else if is(functions) {
            let chosen = env.rng.index(EXECUTORS);
            if let Some(executor) = self.executors.get_mut(chosen) {
                executor.poll_function(env);
            }
        } else if is(log) {
            self.step_log();
        } else if is(10) {
            self.callers.step(env, &mut self.executors);
        } else if is(8) {
            self.callers.deliver(env);
        } else if is(3) {
            self.callers.receive(env);
        } else {
            self.step_cluster();
        }
        self.strike();
    }

    fn step_executor(&mut self) {
        let chosen = self.env.rng.index(EXECUTORS);
        let Some(executor) = self.executors.get_mut(chosen) else { return };
        match executor.process {
            Process::Up => {
                if executor.step(&mut self.env) == Err(Crashed) {
                    executor.crash(&mut self.env);
                }
            }
            Process::Paused | Process::Down => {}
        }
    }

    fn step_log(&mut self) {
        let env = &mut self.env;
        if env.rng.chance(500) {
            let faults = env.faults;
            env.log.land(&mut env.rng, &faults, &mut env.coverage);
        } else {
            for _ in 0..=env.rng.below(3) {
                env.make_durable();
            }
        }
        if env.rng.chance(30) {
            env.log.sweep();
        }
    }

    /// Restarts what died, wakes what was paused, and assigns the partition to who can take it.
    fn step_cluster(&mut self) {
        let env = &mut self.env;
        let chosen = env.rng.index(EXECUTORS);
        if let Some(executor) = self.executors.get_mut(chosen) {
            match executor.process {
                Process::Down if env.rng.chance(400) => executor.restart(env),
                Process::Paused if env.rng.chance(150) => self.wake(chosen),
                Process::Up | Process::Down | Process::Paused => {}
            }
        }
        let up = |executor: &Executor| executor.process == Process::Up;
        if !self.executors.get(self.assigned).is_some_and(up) && self.env.rng.chance(300) {
            self.assigned = self.env.rng.index(EXECUTORS);
        }
        if let Some(executor) = self.executors.get_mut(self.assigned).filter(|found| up(found)) {
            executor.assigned |= executor.is_standby();
        }
    }

    fn wake(&mut self, chosen: usize) {
        let env = &mut self.env;
        let Some(executor) = self.executors.get_mut(chosen) else { return };
        env.note(|| format!("x{chosen} goes on"));
        if executor.is_owner() && executor.position() < env.log.end() {
            env.coverage.hit(Case::WokenZombie);
        }
        executor.process = Process::Up;
    }

    /// Lets faults strike that no step brings by itself.
    fn strike(&mut self) {
        let env = &mut self.env;
        let faults = env.faults;
        let chosen = env.rng.index(EXECUTORS);
        let Some(executor) = self.executors.get_mut(chosen) else { return };
        if executor.process != Process::Down && env.rng.chance(faults.crash) {
            executor.crash(env);
        } else if executor.process == Process::Up && env.rng.chance(faults.pause) {
            env.note(|| format!("x{chosen} is paused"));
            executor.process = Process::Paused;
        } else if executor.process == Process::Up && env.rng.chance(faults.false_hint) {
            if executor.is_owner() && env.rng.chance(300) {
                executor.resign(env);
            } else {
                executor.assigned = true;
            }
        }
        if env.rng.chance(faults.clock_set) {
            let back = executor.set_back_ms == 0;
            executor.set_back_ms = if back { env.rng.below(SET_BACK_MS_MAX) } else { 0 };
            let clock = executor.clock(env);
            env.note(|| format!("the clock of x{chosen} is set to {clock}"));
            if executor.is_owner() {
                env.coverage.hit(if back { Case::ClockSetBack } else { Case::ClockSetRight });
            }
        }
        if env.rng.chance(faults.no_inbox) {
            env.note(|| "the inbox is out of reach".into());
            env.coverage.hit(Case::NoInbox);
            let away_ms = env.rng.below(INBOX_AWAY_STEPS_MAX * self.step_ms);
            env.inbox.away_until = Millis(env.now.0 + away_ms);
        }
        if env.rng.chance(faults.delivery_error) && env.log.break_one(&mut env.rng) {
            env.note(|| "an appender breaks".into());
        }
        if env.rng.chance(faults.log_crash) && env.log.tear(&mut env.rng) {
            env.note(|| "the log loses its volatile tail".into());
            env.coverage.hit(Case::TornTail);
        }
    }

    /// Ends all faults and waits until everything acknowledged has come to its end.
    fn heal(&mut self) {
        self.env.note(|| "the world heals".into());
        self.env.faults = self.env.faults.healed();
        self.env.inbox.away_until = self.env.now;
        self.executors.iter_mut().for_each(|executor| executor.set_back_ms = 0);
        self.step_ms = self.step_ms.clamp(30, 300);
        for chosen in 0..EXECUTORS {
            match self.executors.get_mut(chosen).map(|executor| executor.process) {
                Some(Process::Paused) => self.wake(chosen),
                Some(Process::Down) => {
                    if let Some(executor) = self.executors.get_mut(chosen) {
                        executor.restart(&mut self.env);
                    }
                }
                Some(Process::Up) | None => {}
            }
        }
        self.wait_until("everything acknowledged comes to its end", |world| {
            world.are_callers_settled()
                && world.env.under_way().0 == 0
                && !operators::any_to_resume(&world.env)
                && !world.has_undelivered()
        });
    }

    /// Waits until all outcomes may be forgotten and are.
    fn forget(&mut self) {
        self.env.note(|| "time passes".into());
        self.env.now.0 += FORGOTTEN_AFTER_MS;
        self.wait_until("nothing is left of what is forgotten", |world| {
            world.env.under_way().1 > 0
                || world.env.observer.tables().rows().all(|(key, _)| is_kept(key))
        });
    }

    fn wait_until(&mut self, what: &'static str, done: impl Fn(&Self) -> bool) {
        for step in 0..HEALING_STEPS_MAX {
            if step % 16 == 0 && self.is_still() && done(self) {
                return;
            }
            if self.checked_step().is_none() {
                return;
            }
        }
        let rows = self.env.observer.tables().rows().map(|(key, _)| key);
        let left: Vec<String> = rows.take(12).map(|key| format!("{key:?}")).collect();
        let processes: Vec<String> = self.executors.iter().map(Executor::describe).collect();
        let what_is = format!(
            "after {HEALING_STEPS_MAX} steps: callers settled: {}, log still: {}, {}, rows: {}",
            self.are_callers_settled(),
            self.env.log.is_still(),
            processes.join("; "),
            left.join(", ")
        );
        self.env.violate(Violation::new(what, what_is));
    }

    /// Whether messages between functions are still on their way.
    fn has_undelivered(&self) -> bool {
        let mut rows = self.env.observer.tables().rows();
        rows.any(|(key, _)| matches!(key, RowKey::Outbox(..)))
    }

    fn are_callers_settled(&self) -> bool {
        self.callers.are_settled(self.env.observer.tables())
    }

    fn is_still(&self) -> bool {
        let end = self.env.log.end();
        let row = reads::partition(self.env.observer.tables()).unwrap_or_default();
        self.env.log.is_still()
            && row.next_inbox >= self.env.inbox.end()
            && self.executors.iter().all(|executor| {
                executor.process == Process::Up && executor.is_idle() && executor.position() >= end
            })
    }

    fn judge(&mut self) {
        self.env.finish();
        let live = self.executors.iter().map(|executor| (executor.id, executor.tables()));
        if let Err(violation) = replay_equality::check(live, self.env.log.archive()) {
            self.env.violate(violation);
        }
    }
}

/// What a partition never forgets: how far it has come, the state of its objects, and promises of
/// keys that have no run, or none any more.
fn is_kept(key: &RowKey) -> bool {
    matches!(
        key,
        RowKey::Partition
            | RowKey::Sender(_)
            | RowKey::Sent(_)
            | RowKey::Object { .. }
            | RowKey::State { .. }
            | RowKey::Promise { .. }
    )
}
