//! Thousands of invocations that wait at once on one server, suspended and with open attempts: what
//! they cost, and how soon they are woken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use everlog_harness::{Everlog, Reply};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::functions::{Child, Set};

/// Callers that send at the same time.
const SENDERS: usize = 64;
/// Invocations that one call wakes.
const WOKEN_AT_ONCE: usize = 100;
/// How often the server is asked how many there are: asking costs it time.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// Invocations that wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// How many are suspended.
    #[arg(long, default_value_t = 10_000)]
    suspended: usize,
    /// How many have their attempt open.
    #[arg(long, default_value_t = 1_000)]
    open: usize,
}

/// What the server holds, and how long it took to come there.
struct Row {
    what: String,
    seconds: f64,
    resident_bytes: u64,
    threads: u64,
    open_files: u64,
    cpu_seconds: f64,
}

impl Waiting {
    /// Lets them wait, wakes them, and prints a table.
    pub(crate) async fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (suspended, open) =
            (Child::start(Set::Suspended).await?, Child::start(Set::Open).await?);
        let everlog = Everlog::on(&folder.path().join("data"), &[])?;
        let mut server =
            Server { everlog: everlog.with_env("EVERLOG_LOG", "warn"), rows: Vec::new() };
        server.everlog.restart().await?;
        for functions in [&suspended, &open] {
            server.everlog.register(&functions.uri()).await?.success()?;
        }
        server.note("nothing waits".to_owned(), Instant::now())?;

        let begin = Instant::now();
        let mut ids = server.send("/Suspended/wait/send", self.suspended).await?;
        server.until("suspended", "Suspended", self.suspended).await?;
        server.note(format!("{} are suspended", self.suspended), begin)?;

        let begin = Instant::now();
        ids.extend(server.send("/Open/wait/send", self.open).await?);
        server.until_open(self.open).await?;
        server.note(format!("and {} attempts are open", self.open), begin)?;

        let begin = Instant::now();
        server.wake(&ids).await?;
        server.until("completed", "Suspended", self.suspended).await?;
        server.until("completed", "Open", self.open).await?;
        server.note("all are woken and completed".to_owned(), begin)?;
        server.everlog.stop().await?;
        println!("{}", table(&server.rows));
        Ok(())
    }
}

struct Server {
    everlog: Everlog,
    rows: Vec<Row>,
}

impl Server {
    fn note(&mut self, what: String, begin: Instant) -> Result<()> {
        let seconds = begin.elapsed().as_secs_f64();
        let usage = self.everlog.process()?.usage()?;
        self.rows.push(Row {
            what,
            seconds,
            resident_bytes: usage.resident_bytes,
            threads: usage.threads,
            open_files: usage.open_files,
            cpu_seconds: usage.cpu_seconds,
        });
        Ok(())
    }

    /// Sends so many one-way calls, and returns the ids of their invocations.
    async fn send(&self, path: &'static str, count: usize) -> Result<Vec<String>> {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (http, at) = (self.everlog.http.clone(), self.everlog.ingress);
            senders.spawn(async move {
                let mut ids = Vec::new();
                for _ in (sender..count).step_by(SENDERS) {
                    ids.push(id_of(&http.post(at, path, &[], "").await?.success()?)?);
                }
                anyhow::Ok(ids)
            });
        }
        let mut ids = Vec::with_capacity(count);
        while let Some(sent) = senders.join_next().await {
            ids.extend(sent??);
        }
        Ok(ids)
    }

    /// Sends the signal to all of them.
    async fn wake(&self, ids: &[String]) -> Result<()> {
        for some in ids.chunks(WOKEN_AT_ONCE) {
            let input = serde_json::to_string(some)?;
            self.everlog.call("/Waker/wake/send", &[], &input).await?.success()?;
        }
        Ok(())
    }

    /// Waits until so many invocations of a service have a status.
    async fn until(&self, status: &str, service: &str, count: usize) -> Result<()> {
        self.look(|| async { Ok(self.count(status, service).await? == count) })
            .await
            .with_context(|| format!("{count} of {service} are not all {status}"))
    }

    /// Waits until so many attempts are open.
    async fn until_open(&self, count: usize) -> Result<()> {
        let line = format!("everlog_executor_attempts_open {count}");
        self.look(|| async {
            let page = self.everlog.admin_get("/metrics").await?.success()?.text();
            Ok(page.lines().any(|shown| shown == line))
        })
        .await
        .with_context(|| format!("{count} attempts are not open at once"))
    }

    async fn look<F: Future<Output = Result<bool>>>(&self, holds: impl Fn() -> F) -> Result<()> {
        let begin = Instant::now();
        while !holds().await? {
            if begin.elapsed() > WAIT_MAX {
                bail!("waited {WAIT_MAX:?} in vain; everlog printed:\n{}", self.everlog.output());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Counts the invocations of a service that have a status.
    async fn count(&self, status: &str, service: &str) -> Result<usize> {
        let (mut count, mut page) = (0, String::new());
        loop {
            let path =
                format!("/invocations?service={service}&status={status}&limit=1000&page={page}");
            let reply = self.everlog.admin_get(&path).await?.success()?;
            let list: Value = serde_json::from_slice(&reply.body)?;
            let listed = list.get("invocations").and_then(Value::as_array);
            count += listed.context("no list of invocations")?.len();
            match list.get("next").and_then(Value::as_str) {
                Some(next) => next.clone_into(&mut page),
                None => return Ok(count),
            }
        }
    }
}

fn id_of(reply: &Reply) -> Result<String> {
    let id = reply.headers.get("x-restate-id").context("no x-restate-id")?;
    Ok(id.to_str()?.to_owned())
}

fn table(rows: &[Row]) -> String {
    let mut text = "| | after s | memory MiB | threads | open files | CPU s so far |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {:.1} | {} | {} | {} | {:.1} |",
            row.what,
            row.seconds,
            row.resident_bytes >> 20,
            row.threads,
            row.open_files,
            row.cpu_seconds,
        );
    }
    text
}
