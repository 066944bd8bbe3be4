//! Calls survive the death of the server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use everlog_e2e::{Functions, Killed, call_until_answered, read_journals, runs_recorded};
use everlog_harness::{Everlog, Http, on_kafka, within};
use everlog_log_schema::Entry;
use rand::{Rng as _, SeedableRng as _};

const CALLS: usize = 1_000;
const CALLERS: usize = 50;
const KILLS: usize = 20;
const STEPS: u32 = 5;
/// How long all of it may take: a bound that tells a hang from a slow machine.
const TEST_MAX: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_survive_twenty_kills() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;

    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (answered, at) = (Arc::clone(&answered), everlog.ingress);
        callers.push(tokio::spawn(async move {
            let http = Http::default();
            let mut answers = Vec::new();
            for call in (caller..CALLS).step_by(CALLERS) {
                let key = format!("call-{call}");
                let reply =
                    call_until_answered(&http, at, "/Steps/five", &key, "", TEST_MAX).await?;
                answers.push((reply.headers["x-restate-id"].to_str()?.to_owned(), reply.text()));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(answers)
        }));
    }

    let seed = rand::rng().random::<u64>();
    println!("seed of the kill times: {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut kills = Vec::new();
    for kill in 0..KILLS {
        let from = answered.load(Ordering::Relaxed);
        let more = random.random_range(1..=CALLS * 3 / 4 / KILLS);
        within(TEST_MAX, &format!("{more} more answers before kill {kill}"), || async {
            answered.load(Ordering::Relaxed) >= from + more
        })
        .await?;
        let after = Instant::now();
        everlog.kill().await?;
        kills.push(Killed { after, before: Instant::now() });
        everlog.restart().await?;
    }
    let mut answers = BTreeMap::new();
    for caller in callers {
        answers.extend(caller.await??);
    }
    ensure!(answers.len() == CALLS, "{} answers to {CALLS} calls", answers.len());

    // The outside world: a step ran again only where a kill met it in flight.
    let effects = &functions.effects;
    println!(
        "{} extra runs of {} steps after {KILLS} kills",
        effects.extra_runs(),
        effects.steps()
    );
    assert_eq!(effects.unexplained(&kills), Vec::<String>::new());
    for (id, answer) in &answers {
        let tokens: Vec<u64> = serde_json::from_str(answer)?;
        assert_eq!(tokens.len(), STEPS as usize);
        for (step, token) in (0..).zip(tokens) {
            assert!(effects.came_from(token, id, step), "{id} step {step} has a foreign result");
        }
    }

    // The log: each journal has each step's result once.
    everlog.stop().await?;
    if on_kafka() {
        // What is in a log on Kafka is judged by `make chaos`.
        return Ok(());
    }
    let journals = read_journals(&data).await?;
    assert_eq!(journals.len(), CALLS);
    for (id, journal) in &journals {
        assert!(answers.contains_key(&id.to_string()), "{id} was never answered");
        let runs = runs_recorded(journal);
        assert_eq!(runs.len(), STEPS as usize, "{id}: {journal:?}");
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), STEPS as usize, "{id}");
        assert!(matches!(journal.last(), Some(Entry::Output { .. })), "{id}: {journal:?}");
    }
    Ok(())
}
