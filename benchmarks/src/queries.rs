//! Questions in SQL over many invocations: how long each takes, and what the server holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use everlog_harness::Everlog;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::functions::{Child, Set};

/// Callers that call at the same time.
const CALLERS: usize = 64;

/// The questions, each with what it is about.
const QUESTIONS: [(&str, &str); 7] = [
    ("count all", "SELECT COUNT(*) AS n FROM sys_invocation"),
    (
        "count by service and status",
        "SELECT target_service_name, status, COUNT(*) AS n FROM sys_invocation GROUP BY 1, 2",
    ),
    (
        "the newest ten of one status",
        "SELECT id, target, created_at FROM sys_invocation WHERE status = 'completed' ORDER BY created_at DESC LIMIT 10",
    ),
    (
        "those that failed",
        "SELECT COUNT(*) AS n FROM sys_invocation WHERE completion_result = 'failure'",
    ),
    (
        "count entries of journals by type",
        "SELECT entry_type, COUNT(*) AS n FROM sys_journal GROUP BY 1",
    ),
    ("ids and times of all", "SELECT id, status, created_at, modified_at FROM sys_invocation"),
    (
        "one by its id",
        "SELECT * FROM sys_invocation WHERE id = (SELECT id FROM sys_invocation LIMIT 1)",
    ),
];

/// Many invocations, and questions about them.
#[derive(Debug, clap::Args)]
pub(crate) struct Queries {
    /// How many invocations there are.
    #[arg(long, default_value_t = 100_000)]
    invocations: usize,
    /// How often each question is asked; the median counts.
    #[arg(long, default_value_t = 5)]
    times: usize,
}

impl Queries {
    /// Calls, asks, and prints a table.
    pub(crate) async fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let functions = Child::start(Set::Calls).await?;
        let everlog = Everlog::on(&folder.path().join("data"), &["--no-fsync"])?;
        // They must still be there when they are counted.
        let mut everlog =
            everlog.with_env("EVERLOG_LOG", "warn").with_env("EVERLOG_UNKEYED_RETENTION", "1h");
        everlog.restart().await?;
        everlog.register(&functions.uri()).await?.success()?;
        let begin = Instant::now();
        self.fill(&everlog).await?;
        eprintln!("{} invocations after {:.0} s", self.invocations, begin.elapsed().as_secs_f64());

        println!(
            "| question | rows | median ms | slowest ms | CPU ms | memory before, after MiB |"
        );
        println!("|---|---|---|---|---|---|");
        for (about, sql) in QUESTIONS {
            println!("{}", self.ask(&mut everlog, about, sql).await?);
        }
        let count = rows(&everlog, QUESTIONS[0].1).await?;
        ensure!(count == [json!({ "n": self.invocations })], "counted {count:?}");
        everlog.stop().await
    }

    async fn fill(&self, everlog: &Everlog) -> Result<()> {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (http, at, count) = (everlog.http.clone(), everlog.ingress, self.invocations);
            callers.spawn(async move {
                for _ in (caller..count).step_by(CALLERS) {
                    http.post(at, "/Bench/noop", &[], "").await?.success()?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(called) = callers.join_next().await {
            called??;
        }
        Ok(())
    }

    async fn ask(&self, everlog: &mut Everlog, about: &str, sql: &str) -> Result<String> {
        let before = everlog.process()?.usage()?;
        let (mut took, mut found): (Vec<Duration>, usize) = (Vec::new(), 0);
        for _ in 0..self.times {
            let begin = Instant::now();
            found =
                rows(everlog, sql).await.with_context(|| format!("failed to ask: {sql}"))?.len();
            took.push(begin.elapsed());
        }
        let after = everlog.process()?.usage()?;
        took.sort_unstable();
        let millis =
            |duration: Option<&Duration>| duration.copied().unwrap_or_default().as_secs_f64() * 1e3;
        #[expect(clippy::cast_precision_loss, reason = "a few times")]
        let cpu = (after.cpu_seconds - before.cpu_seconds) * 1e3 / self.times.max(1) as f64;
        Ok(format!(
            "| {about} | {found} | {:.0} | {:.0} | {cpu:.0} | {}, {} |",
            millis(took.get(took.len() / 2)),
            millis(took.last()),
            before.resident_bytes >> 20,
            after.resident_bytes >> 20,
        ))
    }
}

async fn rows(everlog: &Everlog, sql: &str) -> Result<Vec<Value>> {
    let (json, body) = ([("accept", "application/json")], json!({ "query": sql }).to_string());
    let reply = everlog.http.post(everlog.admin, "/query", &json, body).await?.success()?;
    let mut answer: BTreeMap<String, Vec<Value>> = serde_json::from_slice(&reply.body)?;
    answer.remove("rows").context("the answer has no rows")
}
