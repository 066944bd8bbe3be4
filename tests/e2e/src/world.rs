//! A server and a program of functions, registered with each other, and the few things that tests
//! ask of them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use everlog_harness::{Everlog, Reply, within};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Language, Program};

/// How long anything may take that has to happen: a bound that tells a hang from a slow machine.
pub const WAIT_MAX: Duration = Duration::from_mins(1);

/// How attempts wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With their stream open, as long as something happens now and then.
    Streaming,
    /// Never: each wait ends the attempt, and what was waited for begins another.
    Suspending,
}

/// What `History/read` answers.
#[derive(Deserialize)]
struct History {
    entries: Vec<String>,
}

/// A server and its functions. What both have printed is shown when a test fails.
pub struct World {
    /// The server.
    pub everlog: Everlog,
    /// The functions.
    pub functions: Program,
    /// How attempts wait.
    pub mode: Mode,
    _folder: TempDir,
}

impl World {
    /// Starts the functions of a language and a server, and registers them.
    pub async fn start(language: Language, mode: Mode) -> Result<Self> {
        Self::serving(mode, move |port| language.command(port)).await
    }

    /// Starts the functions of a language and a server that speaks no later version of the service
    /// protocol than this one, and registers them.
    pub async fn start_up_to(language: Language, mode: Mode, version: u32) -> Result<Self> {
        let version = version.to_string();
        let settings = [("EVERLOG_PROTOCOL_VERSION_MAX", version.as_str())];
        Self::serving_with(mode, &settings, move |port| language.command(port)).await
    }

    /// Starts a program of functions and a server, and registers them.
    pub async fn serving(
        mode: Mode,
        serve: impl Fn(u16) -> Result<Command> + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::serving_with(mode, &[], serve).await
    }

    async fn serving_with(
        mode: Mode,
        settings: &[(&str, &str)],
        serve: impl Fn(u16) -> Result<Command> + Send + Sync + 'static,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let functions = Program::start(folder.path(), serve).await?;
        let mut everlog = Everlog::on(&folder.path().join("data"), &[])?;
        if mode == Mode::Suspending {
            everlog = everlog.with_env("EVERLOG_INACTIVITY_TIMEOUT", "0s");
        }
        for (name, value) in settings {
            everlog = everlog.with_env(name, value);
        }
        everlog.restart().await?;
        everlog.register(&functions.uri()).await?.success()?;
        Ok(Self { everlog, functions, mode, _folder: folder })
    }

    /// Ends the server, which must end well and must not have met a broken invariant.
    pub async fn stop(mut self) -> Result<()> {
        self.everlog.stop().await?;
        let output = self.everlog.output();
        ensure!(!output.contains("panicked"), "everlog printed:\n{output}");
        Ok(())
    }

    /// Calls a handler and reads its answer; `Null` is sent as an empty body.
    pub async fn call(&self, path: &str, input: Value) -> Result<Value> {
        let reply = self.try_call(path, input).await?;
        read(reply).with_context(|| format!("failed to call {path}"))
    }

    /// Calls a handler, which may fail.
    pub async fn try_call(&self, path: &str, input: Value) -> Result<Reply> {
        let body = if input.is_null() { String::new() } else { input.to_string() };
        self.everlog.call(path, &[], &body).await
    }

    /// Sends a one-way call and returns the id of its invocation.
    pub async fn send(&self, path: &str, input: Value) -> Result<String> {
        let reply = self.try_call(&format!("{path}/send"), input).await?;
        ensure!(reply.status == 202, "{path} answered {}: {}", reply.status, reply.text());
        let id = reply.headers.get("x-restate-id").context("no x-restate-id")?;
        Ok(id.to_str()?.to_owned())
    }

    /// Waits for the outcome of an invocation.
    pub async fn attach(&self, id: &str) -> Result<Reply> {
        let path = format!("/restate/attach/{id}");
        let attached = self.everlog.http.get(self.everlog.ingress, &path);
        let reply = tokio::time::timeout(WAIT_MAX, attached).await;
        reply.with_context(|| format!("{id} has no outcome"))?
    }

    /// Waits for the answer of an invocation.
    pub async fn answer(&self, id: &str) -> Result<Value> {
        read(self.attach(id).await?)
    }

    /// Whether an invocation has an outcome.
    pub async fn is_completed(&self, id: &str) -> Result<bool> {
        let path = format!("/restate/output/{id}");
        let reply = self.everlog.http.get(self.everlog.ingress, &path).await?;
        Ok(reply.status != 470)
    }

    /// Waits until an invocation has a status.
    pub async fn until_status(&self, id: &str, status: &str) -> Result<()> {
        let path = format!("/invocations/{id}");
        within(WAIT_MAX, &format!("{id} is {status}"), || async {
            let reply = self.everlog.admin_get(&path).await;
            let shown = reply.and_then(|reply| Ok(serde_json::from_slice::<Value>(&reply.body)?));
            shown.is_ok_and(|shown| shown.get("status").and_then(Value::as_str) == Some(status))
        })
        .await
    }

    /// Waits until the state of `Store` at `key` holds `name`, and returns its value.
    pub async fn noted(&self, key: &str, name: &str) -> Result<String> {
        let path = format!("/Store/{key}/peek");
        within(WAIT_MAX, &format!("{name} of {key} is noted"), || async {
            let value = self.call(&path, Value::from(name)).await;
            value.is_ok_and(|value| value.is_string())
        })
        .await?;
        let value = self.call(&path, Value::from(name)).await?;
        Ok(value.as_str().context("not a text")?.to_owned())
    }

    /// Calls a handler without an argument until it answers with a value.
    pub async fn until_value(&self, path: &str, value: &Value) -> Result<()> {
        within(WAIT_MAX, &format!("{path} is {value}"), || async {
            self.call(path, Value::Null).await.is_ok_and(|answer| answer == *value)
        })
        .await
    }

    /// Cancels, kills, pauses, resumes or purges an invocation.
    pub async fn order(&self, id: &str, change: &str) -> Result<()> {
        self.everlog.order(id, change).await?.success()?;
        Ok(())
    }

    /// Waits until the history of a key has so many entries, and returns them.
    pub async fn history(&self, key: &str, length: usize) -> Result<Vec<String>> {
        let path = format!("/History/{key}/read");
        let read = || async {
            let History { entries } = serde_json::from_value(self.call(&path, Value::Null).await?)?;
            anyhow::Ok(entries)
        };
        within(WAIT_MAX, &format!("{key} has {length} entries"), || async {
            read().await.is_ok_and(|entries| entries.len() == length)
        })
        .await?;
        read().await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("everlog printed:\n{}", self.everlog.output());
            eprintln!("the functions printed:\n{}", self.functions.output());
        }
    }
}

fn read(reply: Reply) -> Result<Value> {
    let reply = reply.success()?;
    if reply.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&reply.body)?) }
}
