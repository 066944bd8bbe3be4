//! Runs seeds: one, or many on several threads, and tells what they found.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use crate::bug::Bug;
use crate::coverage::{Case, Coverage};
use crate::properties::Violation;
use crate::world::{Verdict, World};

/// What a batch is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// The first seed.
    pub first_seed: u64,
    /// At most this many seeds.
    pub seeds_max: u64,
    /// Enough once this many processes have died.
    pub crashes: u64,
    /// How many threads share the work.
    pub threads: u64,
    /// The mistake to make.
    pub bug: Bug,
}

/// A seed that found something.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The mistake that was made on purpose.
    pub bug: Bug,
    /// What was violated.
    pub violation: Violation,
    /// The last lines of its story.
    pub trace: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seed, bug) = (self.seed, self.bug.name());
        writeln!(f, "{}", self.trace)?;
        writeln!(f, "seed {seed} violates {}", self.violation)?;
        write!(f, "reproduce: cargo run -p everlog-simulation -- --seed {seed} --seeds 1")?;
        if self.bug == Bug::None { Ok(()) } else { write!(f, " --bug {bug}") }
    }
}

/// What a batch has shown.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds ran.
    pub seeds: u64,
    /// How many records they wrote.
    pub record_count: u64,
    /// What they met.
    pub coverage: Coverage,
    /// The failure with the lowest seed, if any.
    pub failure: Option<Failure>,
}

/// Runs a seed. A panic of the core is a violation like any other.
pub fn run_seed(seed: u64, bug: Bug, traced: bool) -> Verdict {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, bug, traced).run()));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Verdict {
            violation: Some(Violation::new("no panic", text.unwrap_or_default())),
            coverage: Coverage::default(),
            record_count: 0,
            trace: String::new(),
            trace_hash: 0,
        }
    })
}

/// Runs seeds until there are crashes enough, or one fails; then tells that one's story.
///
/// # Panics
///
/// When the simulator itself does: a batch that lost a thread has shown nothing.
pub fn run_batch(batch: &Batch, progress: impl Fn(u64, u64) + Sync) -> Summary {
    let next = AtomicU64::new(0);
    let crashes = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let mut summary = Summary::default();
        while !failed.load(Ordering::Relaxed) && crashes.load(Ordering::Relaxed) < batch.crashes {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= batch.seeds_max {
                break;
            }
            let seed = batch.first_seed.wrapping_add(number);
            let verdict = run_seed(seed, batch.bug, false);
            summary.seeds += 1;
            summary.record_count += verdict.record_count;
            summary.coverage.add(&verdict.coverage);
            let died = verdict.coverage.count(Case::Crash);
            let total = crashes.fetch_add(died, Ordering::Relaxed) + died;
            if verdict.violation.is_some() {
                failed.store(true, Ordering::Relaxed);
                summary.failure = Some(tell(seed, batch.bug, verdict));
            }
            progress(number + 1, total);
        }
        summary
    };
    let parts: Vec<Summary> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..batch.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |thread: ScopedJoinHandle<'_, Summary>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    parts.into_iter().fold(Summary::default(), |mut whole, part| {
        whole.seeds += part.seeds;
        whole.record_count += part.record_count;
        whole.coverage.add(&part.coverage);
        let lowest = |failure: &Failure| failure.seed;
        whole.failure = match (whole.failure, part.failure) {
            (Some(one), Some(other)) if lowest(&other) < lowest(&one) => Some(other),
            (one, other) => one.or(other),
        };
        whole
    })
}

/// Runs a failed seed again, to have its trace.
fn tell(seed: u64, bug: Bug, verdict: Verdict) -> Failure {
    let again = run_seed(seed, bug, true);
    let differs = || Violation::new("determinism", "a second run did not fail".into());
    let violation = again.violation.or(verdict.violation).unwrap_or_else(differs);
    let trace = again.trace;
    Failure { seed, bug, violation, trace }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Bug, run_batch};

    #[test]
    #[should_panic(expected = "the third seed is too much")]
    fn a_batch_that_lost_a_thread_fails() {
        let batch =
            Batch { first_seed: 1, seeds_max: 6, crashes: u64::MAX, threads: 2, bug: Bug::None };
        run_batch(&batch, |seeds, _| assert_ne!(seeds, 3, "the third seed is too much"));
    }
}
