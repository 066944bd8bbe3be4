//! Calls survive the death of the server between any two things that it does for them: before and
//! after it appends, applies, commits and sends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use everlog_e2e::{
    Deposit, Effects, Functions, Killed, call_until_answered, read_journals, runs_recorded,
};
use everlog_harness::{Everlog, Http};
use everlog_log_schema::Entry;
use rand::{Rng as _, SeedableRng as _};

/// Where the server dies, in the order in which one call comes by.
const POINTS: [&str; 6] = [
    "executor::before-append",
    "executor::appended",
    "executor::applied",
    "executor::committed",
    "executor::before-send",
    "executor::sent",
];
const DEATHS_AT_EACH: usize = 3;
/// How often the server passes a point in a life, at most, before it dies there. The lowest numbers
/// are those of the takeover.
const PASSES_MAX: u32 = 80;
const CALLERS: usize = 8;
const ACCOUNTS: usize = 3;
const STEPS: u32 = 5;
const SIGABRT: i32 = 6;
/// How long all of it may take: a bound that tells a hang from a slow machine.
const TEST_MAX: Duration = Duration::from_mins(4);

/// What one caller was told.
#[derive(Default)]
struct Told {
    /// The tokens of the steps, by invocation.
    fives: BTreeMap<String, Vec<u64>>,
    /// The account, the token of the withdrawal, and the deposit, by invocation.
    transfers: BTreeMap<String, (String, u64, Deposit)>,
}

/// Calls until it is told to stop, plain steps and calls to objects with state in turn.
async fn run_caller(caller: usize, at: SocketAddr, stop: Arc<AtomicBool>) -> Result<Told> {
    let (http, mut told) = (Http::default(), Told::default());
    for call in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{caller}-{call}");
        let account = format!("account-{}", (caller + call) % ACCOUNTS);
        let (path, input) = match call % 2 {
            0 => ("/Steps/five", String::new()),
            _ => ("/Bank/transfer", format!("\"{account}\"")),
        };
        let reply = call_until_answered(&http, at, path, &key, &input, TEST_MAX).await?;
        let id = reply.headers["x-restate-id"].to_str()?.to_owned();
        if call % 2 == 0 {
            told.fives.insert(id, serde_json::from_slice(&reply.body)?);
        } else {
            let (token, deposit) = serde_json::from_slice(&reply.body)?;
            told.transfers.insert(id, (account, token, deposit));
        }
    }
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_survive_deaths_between_any_two_things() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&data, &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    everlog.stop().await?;

    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(run_caller(caller, everlog.ingress, Arc::clone(&stop))))
        .collect();
    let seed = rand::rng().random::<u64>();
    println!("seed of the deaths: {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut deaths = Vec::new();
    for point in POINTS.iter().flat_map(|point| [point; DEATHS_AT_EACH]) {
        let passes = random.random_range(0..PASSES_MAX);
        everlog = everlog.with_env("FAILPOINTS", &format!("{point}={passes}*off->return"));
        everlog.spawn()?;
        let status = everlog.ended().await.with_context(|| {
            format!("no death at {point}: is everlog built together with these tests?")
        })?;
        assert_eq!(status.signal(), Some(SIGABRT), "{point}: {}", everlog.output());
        let now = Instant::now();
        deaths.push(Killed { after: now, before: now });
    }
    everlog = everlog.with_env("FAILPOINTS", "");
    everlog.restart().await?;
    stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for caller in callers {
        let Told { fives, transfers } = caller.await??;
        told.fives.extend(fives);
        told.transfers.extend(transfers);
    }
    everlog.stop().await?;
    println!(
        "{} + {} calls, {} extra runs of {} steps after {} deaths",
        told.fives.len(),
        told.transfers.len(),
        functions.effects.extra_runs(),
        functions.effects.steps(),
        deaths.len(),
    );
    assert_eq!(functions.effects.unexplained(&deaths), Vec::<String>::new());
    check_answers(&told, &functions.effects);
    check_journals(&told, &data).await
}

/// Each answer tells of steps that took place, and each deposit counted once.
fn check_answers(told: &Told, effects: &Effects) {
    for (id, tokens) in &told.fives {
        assert_eq!(tokens.len(), STEPS as usize, "{id}");
        for (step, token) in (0..).zip(tokens) {
            assert!(effects.came_from(*token, id, step), "{id} step {step} has a foreign result");
        }
    }
    let mut deposits: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (id, (account, token, deposit)) in &told.transfers {
        assert!(effects.came_from(*token, id, 0), "{id} has a foreign result");
        let Deposit { token, deposits: counted, invocation } = deposit;
        assert!(effects.came_from(*token, invocation, 0), "{invocation} has a foreign result");
        assert!(
            deposits.entry(account).or_default().insert(*counted),
            "{account}: {counted} twice"
        );
    }
    for (account, counted) in deposits {
        let all: BTreeSet<u64> = (1..=counted.len() as u64).collect();
        assert_eq!(counted, all, "{account}");
    }
}

/// The log: nothing ran that nobody asked for, and each journal has each step's result once.
async fn check_journals(told: &Told, data: &std::path::Path) -> Result<()> {
    let journals = read_journals(data).await?;
    let steps = |id: &str| if told.fives.contains_key(id) { STEPS as usize } else { 1 };
    let deposits = told.transfers.values().map(|(_, _, deposit)| deposit.invocation.clone());
    let known: BTreeSet<String> =
        told.fives.keys().chain(told.transfers.keys()).cloned().chain(deposits).collect();
    let logged: BTreeSet<String> = journals.keys().map(ToString::to_string).collect();
    assert_eq!(known, logged);
    for (id, journal) in &journals {
        let runs = runs_recorded(journal);
        assert_eq!(runs.len(), steps(&id.to_string()), "{id}: {journal:?}");
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len(), "{id}: {journal:?}");
        assert!(matches!(journal.last(), Some(Entry::Output { .. })), "{id}: {journal:?}");
    }
    Ok(())
}
