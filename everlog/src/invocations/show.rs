//! `everlog invocations show`: all that is known of one invocation.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Invocation, InvokedBy, Outcome, WaitingFor};
use super::timeline;
use crate::admin::{AdminArguments, AdminFailure, encode};
use crate::dev::readable;
use crate::output::{OutputArguments, Shown, present, printable, relative};

/// The arguments of `everlog invocations show`.
#[derive(Debug, Args)]
#[command(after_help = "\
The timeline has a line for each step: when it began, how long it took until its result was
recorded, and both as a bar. A step that has no result yet ends in ‥.

Examples:
  everlog invocations show inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr
  everlog invocations show inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr --watch=500ms")]
pub(crate) struct ShowArguments {
    /// The invocation, as `everlog send` and `everlog invocations list` print it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Value>,
    next: Option<u64>,
}

/// Shows it.
pub(super) async fn run(arguments: ShowArguments) -> ExitCode {
    present(&arguments.output, async || show(&arguments).await).await
}

async fn show(arguments: &ShowArguments) -> Result<Shown, AdminFailure> {
    let server = &arguments.server;
    let path = format!("/invocations/{}", encode(&arguments.id));
    let invocation = server.get(&path).await?;
    let mut entries = Vec::new();
    let mut from = 0;
    loop {
        let json = server.get(&format!("{path}/journal?from={from}")).await?;
        let page: Page = server.read(&json)?;
        entries.extend(page.entries);
        match page.next {
            Some(next) if next > from => from = next,
            Some(_) | None => break,
        }
    }
    let entries = Value::from(entries);
    let (now, read): (_, Invocation) = (Timestamp::now(), server.read(&invocation)?);
    let head = head(&read, now);
    let timeline = timeline::draw(&read, &server.read::<Vec<_>>(&entries)?, now);
    let json = json!({ "invocation": invocation, "entries": entries });
    Ok(Shown { json, text: format!("{head}\n{timeline}") })
}

/// What is known of it beside its journal.
fn head(of: &Invocation, now: Timestamp) -> String {
    let mut lines = vec![format!("{}  {}  {}", of.id, of.target(), of.status)];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    let at = |time: Timestamp| format!("{time:.3} ({})", relative(time, now));
    line("created", format!("{} {}", at(of.created_at), origin(of)));
    if let Some(time) = of.scheduled_at {
        line("starts", at(time));
    }
    if let Some(time) = of.completed_at {
        line("ended", at(time));
    } else {
        line("changed", at(of.modified_at));
    }
    if let Some(key) = &of.idempotency_key {
        line("key", format!("{key} (idempotency)"));
    }
    if let Some(scope) = &of.scope {
        let limit = of.limit_key.as_ref().map(|key| format!(", limit key {key}"));
        line("scope", format!("{scope}{}", limit.unwrap_or_default()));
    }
    if let Some(deployment) = &of.deployment {
        let version = of.protocol_version.map(|version| format!(", protocol {version}"));
        line("runs on", format!("{deployment}{}", version.unwrap_or_default()));
    }
    let failed = match of.retry_count {
        0 => String::new(),
        retries => format!(", {retries} failed since the last step"),
    };
    line("attempts", format!("{}{failed}", of.attempts));
    line("journal", format!("{} entries, {}", of.journal_entries, readable(of.journal_bytes)));
    if let Some(time) = of.retry_at {
        line("retries", at(time));
    }
    if let Some(waiting) = of.waiting_for.as_ref().or(of.awaiting_on.as_ref()) {
        line("waits for", waits(waiting));
    }
    match &of.outcome {
        None => {}
        Some(Outcome::Word(word)) => line("outcome", word.clone()),
        Some(Outcome::Failure { code, message }) => {
            line("outcome", format!("failed with {code}: {message}"));
        }
    }
    if let Some(error) = &of.last_error {
        line("error", error.line());
    }
    lines.iter().map(|line| printable(line) + "\n").collect()
}

/// How it came to be.
fn origin(of: &Invocation) -> String {
    let Some(InvokedBy { kind, id }) = &of.invoked_by else { return "by ingress".into() };
    match id {
        Some(id) if kind == "restart_as_new" => format!("as a restart of {id}"),
        Some(id) => format!("by {id}"),
        None => format!("by {kind}"),
    }
}

fn waits(waiting: &WaitingFor) -> String {
    if let Some(together) = &waiting.together {
        return together.clone();
    }
    let completions = waiting.completions.iter().map(|id| format!("completion {id}"));
    let signals = waiting.signals.iter().map(|id| format!("signal {id}"));
    let named = waiting.named_signals.iter().map(|name| format!("signal `{name}`"));
    completions.chain(signals).chain(named).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::model::samples::{invocation, now};
    use super::*;

    #[test]
    fn everything_that_is_known_has_its_line() {
        let suspended = invocation(json!({
            "status": "suspended", "attempts": 4, "retryCount": 2, "idempotencyKey": "k\u{7}1",
            "scope": "tenant-3", "limitKey": "gold/eu",
            "deployment": "dp_1", "protocolVersion": 6, "retryAt": "2026-11-18T11:00:14Z",
            "invokedBy": { "kind": "service", "id": "inv_0" },
            "waitingFor": { "completions": [3], "signals": [17], "namedSignals": ["paid"] },
            "lastError": { "code": 500, "message": "boom", "commandIndex": 2,
                "commandName": "pay", "commandKind": "Run" },
        }));
        expect![[r"
            inv_1  Cart/ann/checkout  suspended
              created   2026-11-18T11:00:00.000Z (10s ago) by inv_0
              changed   2026-11-18T11:00:00.500Z (9.5s ago)
              key       k�1 (idempotency)
              scope     tenant-3, limit key gold/eu
              runs on   dp_1, protocol 6
              attempts  4, 2 failed since the last step
              journal   1 entries, 2 KiB
              retries   2026-11-18T11:00:14.000Z (in 4s)
              waits for completion 3, signal 17, signal `paid`
              error     [500] boom, at command 2 `pay` (Run)
        "]]
        .assert_eq(&head(&suspended, now()));
        let failed = invocation(json!({
            "status": "completed", "completedAt": "2026-11-18T11:00:09Z",
            "outcome": { "code": 409, "message": "sold out" },
        }));
        expect![[r"
            inv_1  Cart/ann/checkout  completed
              created   2026-11-18T11:00:00.000Z (10s ago) by ingress
              ended     2026-11-18T11:00:09.000Z (1s ago)
              attempts  1
              journal   1 entries, 2 KiB
              outcome   failed with 409: sold out
        "]]
        .assert_eq(&head(&failed, now()));
        let running = invocation(json!({
            "awaitingOn": { "completions": [3, 4], "together": "all(3, 4)" },
        }));
        assert!(head(&running, now()).contains("waits for all(3, 4)\n"));
        let restarted =
            invocation(json!({ "invokedBy": { "kind": "restart_as_new", "id": "inv_0" } }));
        assert!(head(&restarted, now()).contains("ago) as a restart of inv_0\n"));
        let returned = invocation(json!({ "status": "completed", "outcome": "success" }));
        assert!(head(&returned, now()).contains("outcome   success"));
    }
}
