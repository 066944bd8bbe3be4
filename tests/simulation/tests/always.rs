//! The simulation that always runs: many seeds without a mistake, all cases met, and the same seed
//! twice with the same story.

use everlog_simulation::bug::Bug;
use everlog_simulation::run::{Batch, run_batch, run_seed};

/// Enough processes to die for every case to be met many times over the rarest one.
const CRASHES: u64 = 200_000;

#[test]
fn a_partition_survives_crashes_and_every_case_is_met() {
    let batch =
        Batch { first_seed: 1, seeds_max: u64::MAX, crashes: CRASHES, threads: 2, bug: Bug::None };
    let summary = run_batch(&batch, |_, _| {});
    if let Some(failure) = &summary.failure {
        panic!("{failure}");
    }
    let missed = summary.coverage.missed();
    assert!(missed.is_empty(), "{} seeds never met: {}", summary.seeds, missed.join(", "));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let mut stories = Vec::new();
    for seed in 1..=200 {
        let once = run_seed(seed, Bug::None, true);
        let again = run_seed(seed, Bug::None, true);
        assert_eq!(once.trace_hash, again.trace_hash, "seed {seed} differs from itself");
        stories.push(once.trace_hash);
    }
    stories.sort_unstable();
    stories.dedup();
    assert_eq!(stories.len(), 200, "two seeds tell one story");
}
