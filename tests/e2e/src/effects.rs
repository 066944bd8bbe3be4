//! The outside world: what functions did to it, when, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Notes every side effect as it happens.
#[derive(Debug, Default)]
pub struct Effects(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: BTreeMap<(String, u32), Vec<Run>>,
    tokens: u64,
}

/// One run of one step.
#[derive(Debug)]
struct Run {
    token: u64,
    begun: Instant,
    /// When the function learnt that the result is recorded.
    recorded: Option<Instant>,
}

/// When a server was killed: somewhere between these two times.
#[derive(Debug, Clone, Copy)]
pub struct Killed {
    /// It still ran.
    pub after: Instant,
    /// It was gone.
    pub before: Instant,
}

impl Effects {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a step has its effect now, and returns a token that no other run has.
    pub fn take_place(&self, invocation: &str, step: u32) -> u64 {
        let mut inner = self.lock();
        inner.tokens += 1;
        let token = inner.tokens;
        let run = Run { token, begun: Instant::now(), recorded: None };
        inner.runs.entry((invocation.to_owned(), step)).or_default().push(run);
        token
    }

    /// Notes that the function was told that this result is recorded.
    pub fn is_recorded(&self, invocation: &str, step: u32, token: u64) {
        let mut inner = self.lock();
        let Some(runs) = inner.runs.get_mut(&(invocation.to_owned(), step)) else { return };
        for run in runs.iter_mut().filter(|run| run.token == token) {
            run.recorded.get_or_insert_with(Instant::now);
        }
    }

    /// How many runs there were beyond the first of each step.
    pub fn extra_runs(&self) -> usize {
        self.lock().runs.values().map(|runs| runs.len() - 1).sum()
    }

    /// How often a step ran.
    pub fn runs_of(&self, invocation: &str, step: u32) -> u64 {
        let inner = self.lock();
        inner.runs.get(&(invocation.to_owned(), step)).map_or(0, |runs| runs.len() as u64)
    }

    /// How many steps took place at least once.
    pub fn steps(&self) -> usize {
        self.lock().runs.len()
    }

    /// The steps that ran again although no kill met them in flight, one line each.
    ///
    /// A run is in flight from its beginning until its function learns that the result is
    /// recorded. Each run but a step's last must have been met by a kill of its own.
    pub fn unexplained(&self, kills: &[Killed]) -> Vec<String> {
        let inner = self.lock();
        let mut unexplained = Vec::new();
        for ((invocation, step), runs) in &inner.runs {
            let met = |run: &Run| {
                kills.iter().any(|kill| {
                    run.begun <= kill.before
                        && run.recorded.is_none_or(|recorded| recorded >= kill.after)
                })
            };
            let in_flight = runs.iter().filter(|run| met(run)).count();
            if runs.len() - 1 > in_flight {
                unexplained.push(format!(
                    "{invocation} step {step}: {} runs, {in_flight} of them met by a kill",
                    runs.len()
                ));
            }
        }
        unexplained
    }

    /// Whether a token came from this step.
    pub fn came_from(&self, token: u64, invocation: &str, step: u32) -> bool {
        let inner = self.lock();
        let runs = inner.runs.get(&(invocation.to_owned(), step));
        runs.is_some_and(|runs| runs.iter().any(|run| run.token == token))
    }
}
