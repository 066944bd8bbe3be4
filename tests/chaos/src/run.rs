//! One run: start everything, let callers call while faults strike, heal, wait for every answer, end
//! everything, and judge.
//!
//! **Invariant:** whatever fails, the run ends with its folder kept and named; where all is well the
//! folder goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use everlog_harness::{Http, within};
use everlog_simulation::properties::Violation;
use serde_json::Value;
use tokio::time::Instant;

use crate::checks::{self, Report};
use crate::driver::{Driver, Load};
use crate::fault::{Fault, Kind, Schedule};
use crate::fold::{Folded, fold, object};
use crate::history::{Event, History};
use crate::logs::{Expected, Judged};
use crate::outside::Outside;
use crate::program::Chain;
use crate::stage::{On, Stage};

/// How long it may take after a fault until calls are answered again: a bound that tells a hang from a
/// slow machine.
const RECOVERS_MAX: Duration = Duration::from_mins(1);
/// How many answers show that calls are answered again.
const RECOVERED_ANSWERS: usize = 10;
/// How long it may take, after the last fault is mended, until all that was called has its end.
const SETTLES_MAX: Duration = Duration::from_mins(2);
/// How many violations are printed.
const VIOLATIONS_SHOWN: usize = 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// On what.
    pub on: On,
    /// Decides programs and faults.
    pub seed: u64,
    /// Faults strike for so long, and each kind at least once.
    pub lasts: Duration,
    /// The callers.
    pub load: Load,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was judged.
    pub report: Report,
    /// What the logs say.
    pub logs: Judged,
}

impl Outcome {
    /// Whether all is well.
    pub fn holds(&self) -> bool {
        self.report.violations.is_empty() && self.logs.unexpected.is_empty()
    }
}

/// Runs, in a new folder, and prints what happens.
pub async fn run(plan: &Plan, directory: &Path) -> Result<Outcome> {
    let history = Arc::new(History::create(&directory.join("history.jsonl"))?);
    let (outside, awakeables) = Outside::serve(Arc::clone(&history)).await?;
    let mut stage = Stage::start(plan.on, directory, outside.address).await?;
    let driver = Driver::new(plan.load.clone(), stage.ingresses(), Arc::clone(&history));
    let callers = driver.start(awakeables);
    let began = Instant::now();
    let faults = strike_all(plan, &mut stage, &driver, &history, began).await?;
    println!("{:>7.1} s  healed; waiting for all answers", began.elapsed().as_secs_f64());
    let mut violations = Vec::new();
    let deadline = Instant::now() + SETTLES_MAX;
    if let Err(error) = driver.stop(callers, deadline).await {
        violations.push(Violation::new("liveness", error.to_string()));
    }
    if let Err(error) = until_all_is_done(stage.admin(), deadline).await {
        violations.push(Violation::new("liveness", format!("{error:#}")));
    }
    println!("{:>7.1} s  all is done; asking again", began.elapsed().as_secs_f64());
    let again = driver.ask_again().await;
    let objects = read_objects(&stage, plan.load.keys, &history).await?;
    let partitions = stage.partitions();
    let log = stage.end().await?;
    println!("{:>7.1} s  ended; folding the log", began.elapsed().as_secs_f64());
    let mut folded = fold(log.as_ref(), &history).await?;
    violations.append(&mut folded.violations);
    compare(&folded, &objects, &mut violations);
    let mut report = checks::check(&history.lines(), partitions);
    report.violations.splice(0..0, violations);
    report.figures.push(format!("{again} answers asked for again"));
    print(&report, &faults, &folded);
    let logs = Expected::load()?.judge(directory)?;
    print_logs(&logs);
    Ok(Outcome { report, logs })
}

async fn strike_all(
    plan: &Plan,
    stage: &mut Stage,
    driver: &Driver,
    history: &History,
    began: Instant,
) -> Result<BTreeMap<Kind, usize>> {
    until_answered(driver, "at the start").await?;
    let mut counts = BTreeMap::new();
    let kinds = stage.kinds();
    for fault in Schedule::new(plan.seed, kinds, stage.session()) {
        let Fault { number, kind, after, .. } = fault;
        tokio::time::sleep(after).await;
        let (at, what) = (began.elapsed().as_secs_f64(), format!("{kind} ({})", fault.target));
        history.note(Event::Fault { number, what });
        let struck = Instant::now();
        stage.strike(&fault).await.with_context(|| format!("fault {number}, {kind}"))?;
        let lasted = struck.elapsed().as_secs_f64();
        history.note(Event::Healed { number });
        let healed = Instant::now();
        until_answered(driver, &format!("after fault {number}, {kind}")).await?;
        let again = healed.elapsed().as_secs_f64();
        println!(
            "{at:>7.1} s  #{number:<3} {kind:<18} for {lasted:>4.1} s, calls again after {again:.1} s"
        );
        *counts.entry(kind).or_default() += 1;
        if began.elapsed() >= plan.lasts && number >= kinds.len() {
            break;
        }
    }
    Ok(counts)
}

async fn until_answered(driver: &Driver, when: &str) -> Result<()> {
    let wanted = driver.answered() + RECOVERED_ANSWERS;
    let what = format!("{RECOVERED_ANSWERS} calls are answered {when}");
    within(RECOVERS_MAX, &what, || async { driver.answered() >= wanted }).await
}

async fn until_all_is_done(admin: SocketAddr, deadline: Instant) -> Result<()> {
    let http = Http::default();
    let open = "status=scheduled,pending,running,suspended,backing-off,paused&limit=1000";
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    let mut last = String::new();
    let done = within(left, "no invocation is open", || {
        let http = http.clone();
        async move { is_done(&http, admin, open).await.unwrap_or(false) }
    })
    .await;
    if done.is_err()
        && let Ok(reply) = http.get(admin, &format!("/invocations?{open}")).await
    {
        last = reply.text().chars().take(2_000).collect();
    }
    done.with_context(|| format!("open are: {last}"))
}

/// Whether a whole walk through the list meets nothing. A partition out of reach is no answer.
async fn is_done(http: &Http, admin: SocketAddr, open: &str) -> Result<bool> {
    let mut page = String::new();
    loop {
        let reply = http.get(admin, &format!("/invocations?{open}{page}")).await?.success()?;
        let list: Value = serde_json::from_slice(&reply.body)?;
        let is_empty =
            |name: &str| list.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty);
        if !is_empty("invocations") || !is_empty("unavailable") {
            return Ok(false);
        }
        match list.get("next").and_then(Value::as_str) {
            Some(next) => page = format!("&page={next}"),
            None => return Ok(true),
        }
    }
}

/// The state of an object, by state key.
type Object = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads each object by a handler, for the history, and by the admin port.
async fn read_objects(
    stage: &Stage,
    keys: u32,
    history: &History,
) -> Result<BTreeMap<u32, Object>> {
    let http = Http::default();
    let ingress = *stage.ingresses().first().context("there is no gateway")?;
    let mut objects = BTreeMap::new();
    for key in 0..keys {
        let read = http.post(ingress, &format!("/Interp/{key}/read"), &[], "").await?.success()?;
        let chain: Chain = serde_json::from_slice(&read.body)?;
        let sum = http.post(ingress, &format!("/Interp/{key}/sum"), &[], "").await?.success()?;
        let sum = serde_json::from_slice(&sum.body)?;
        history.note(Event::Ended { key, chain, sum });
        objects.insert(key, read_state(&http, stage.admin(), key).await?);
    }
    Ok(objects)
}

async fn read_state(http: &Http, admin: SocketAddr, key: u32) -> Result<Object> {
    let reply = http.get(admin, &format!("/services/Interp/state/{key}")).await?.success()?;
    let list: Value = serde_json::from_slice(&reply.body)?;
    ensure!(list.get("next").is_none_or(Value::is_null), "the state of {key} has several pages");
    let mut object = Object::new();
    for entry in list.get("entries").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        object.insert(text("key").into(), BASE64_STANDARD.decode(text("value"))?);
    }
    Ok(object)
}

/// The state that executors tell is the state that a fold of the log makes.
fn compare(folded: &Folded, told: &BTreeMap<u32, Object>, violations: &mut Vec<Violation>) {
    for (key, told) in told {
        let made = object(folded, "Interp", &key.to_string());
        if *told != made {
            let what = format!("object {key} is told as {told:?}, but the log makes {made:?}");
            violations.push(Violation::new("replay equality", what));
        }
    }
}

fn print(report: &Report, faults: &BTreeMap<Kind, usize>, folded: &Folded) {
    println!("\nfaults:");
    for (kind, count) in faults {
        println!("  {count:>5}  {kind}");
    }
    println!("history:");
    for figure in &report.figures {
        println!("  {figure}");
    }
    let repeats = report.repeats;
    println!("  {} acts repeated before their result was stored", repeats.before_stored);
    println!("  {} after it, by owners that were deposed", repeats.after_stored);
    println!("log: {} records, {} of them without effect", folded.records, folded.ignored);
    for violation in report.violations.iter().take(VIOLATIONS_SHOWN) {
        println!("VIOLATION {violation}");
    }
    let more = report.violations.len().saturating_sub(VIOLATIONS_SHOWN);
    if more > 0 {
        println!("and {more} more");
    }
}

fn print_logs(logs: &Judged) {
    if !logs.expected.is_empty() {
        println!("expected warnings and errors in our logs:");
    }
    for (reason, count) in &logs.expected {
        println!("  {count:>5}  {reason}");
    }
    for line in &logs.unexpected {
        println!("UNEXPECTED {line}");
    }
}

/// Makes a folder for a run in the system's folder for temporary files.
pub fn new_folder() -> Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("everlog-chaos.").tempdir()?;
    // It is kept until the run is known to be well.
    Ok(folder.keep())
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{PartitionId, Row, RowKey};
    use everlog_partition::{MemoryTables, Tables as _};

    use super::*;

    #[test]
    fn a_state_that_the_log_does_not_make_is_found() {
        let mut tables = MemoryTables::default();
        let (service, name) = ("Interp".to_owned(), "sum".into());
        tables.put(RowKey::State { service, key: "3".into(), name }, Row::State("7".into()));
        let tables = BTreeMap::from([(PartitionId(0), tables)]);
        let folded = Folded { tables, ..Folded::default() };
        let found = |value: &str| {
            let told = Object::from([("sum".into(), value.into())]);
            let mut violations = Vec::new();
            compare(&folded, &BTreeMap::from([(3, told)]), &mut violations);
            violations.len()
        };
        assert_eq!(found("7"), 0);
        assert_eq!(found("8"), 1);
    }
}
