//! `everlog invocations list`.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Filter;
use super::model::{Invocation, Outcome, Unavailable};
use crate::admin::{AdminArguments, AdminFailure};
use crate::output::{OutputArguments, Shown, Table, brief, present, since};

/// How many the server gives at once.
const PAGE_MAX: u32 = 1_000;

/// The arguments of `everlog invocations list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog invocations list --status running,suspended --watch
  everlog invocations list --service Cart --key ann --json")]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// How many to list at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Where to go on, as the list before said.
    #[arg(long, value_name = "TOKEN")]
    page: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
struct Page {
    invocations: Vec<Value>,
    next: Option<String>,
    #[serde(default)]
    unavailable: Vec<Unavailable>,
}

/// Lists them.
pub(super) async fn run(arguments: ListArguments) -> ExitCode {
    present(&arguments.output, async || list(&arguments).await).await
}

async fn list(arguments: &ListArguments) -> Result<Shown, AdminFailure> {
    let mut found: Vec<Value> = Vec::new();
    let mut left_out = Vec::new();
    let mut next = arguments.page.clone();
    loop {
        let room = arguments.limit - u32::try_from(found.len()).unwrap_or(arguments.limit);
        let query = arguments.filter.query(Some(room.min(PAGE_MAX)), next.as_deref());
        let json = arguments.server.get(&format!("/invocations{query}")).await?;
        let page: Page = arguments.server.read(&json)?;
        found.extend(page.invocations);
        left_out.extend(page.unavailable);
        next = page.next;
        if next.is_none() || found.len() >= arguments.limit as usize {
            break;
        }
    }
    let found = Value::from(found);
    let mut text =
        table(&arguments.server.read::<Vec<_>>(&found)?, next.as_deref(), Timestamp::now());
    text.extend(left_out.iter().map(|partition| partition.line() + "\n"));
    let json = json!({ "invocations": found, "next": next, "unavailable": left_out });
    Ok(Shown { json, text })
}

fn table(invocations: &[Invocation], next: Option<&str>, now: Timestamp) -> String {
    if invocations.is_empty() && next.is_none() {
        return "There are no such invocations.\n".into();
    }
    let mut table = Table::new(["ID", "TARGET", "STATUS", "AGE", "ATTEMPTS", ""]);
    for invocation in invocations {
        table.row([
            invocation.id.clone(),
            invocation.target(),
            invocation.status.clone(),
            brief(since(invocation.created_at, now)),
            invocation.attempts.to_string(),
            note(invocation, now),
        ]);
    }
    let more = next.map_or_else(String::new, |token| {
        format!("\nThere are more: raise --limit, or go on with --page {token}\n")
    });
    format!("{table}{more}")
}

/// What else there is to know of an invocation, in few words.
fn note(invocation: &Invocation, now: Timestamp) -> String {
    const ERROR_CHARS_MAX: usize = 60;
    if let Some(Outcome::Failure { code, message }) = &invocation.outcome {
        return shortened(&format!("failed with {code}: {message}"), ERROR_CHARS_MAX);
    }
    let mut parts = Vec::new();
    if let Some(at) = invocation.scheduled_at.filter(|_| invocation.status == "scheduled") {
        parts.push(format!("starts in {}", brief(since(now, at))));
    }
    if let Some(at) = invocation.retry_at {
        parts.push(format!("retries in {}", brief(since(now, at))));
    }
    if let Some(error) = invocation.last_error.as_ref().filter(|_| invocation.outcome.is_none()) {
        parts.push(shortened(&error.line(), ERROR_CHARS_MAX));
    }
    parts.join("; ")
}

fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::model::samples::{invocation, now};
    use super::*;

    #[test]
    fn each_invocation_has_a_line_with_what_it_waits_for() {
        let error = json!({ "code": "RT0010", "message": "connection refused, and so on and so forth", "commandIndex": 3, "commandName": "charge" });
        let invocations = [
            invocation(json!({})),
            invocation(
                json!({ "id": "inv_22", "key": null, "status": "backing-off", "attempts": 3,
                "retryAt": "2026-11-18T11:00:14.500Z", "lastError": error }),
            ),
            invocation(json!({ "status": "scheduled", "scheduledAt": "2026-11-18T12:00:10Z",
                "attempts": 0 })),
            invocation(json!({ "status": "completed", "outcome": "success", "lastError": error })),
            invocation(json!({ "status": "completed",
                "outcome": { "code": 409, "message": "sold out" } })),
        ];
        expect![[r"
            ID      TARGET             STATUS       AGE  ATTEMPTS
            inv_1   Cart/ann/checkout  running      10s  1
            inv_22  Cart/checkout      backing-off  10s  3         retries in 4.5s; [RT0010] connection refused, and so on and so forth, at com…
            inv_1   Cart/ann/checkout  scheduled    10s  0         starts in 1h
            inv_1   Cart/ann/checkout  completed    10s  1
            inv_1   Cart/ann/checkout  completed    10s  1         failed with 409: sold out

            There are more: raise --limit, or go on with --page dG9rZW4
        "]].assert_eq(&table(&invocations, Some("dG9rZW4"), now()));
        expect![[r"
            There are no such invocations.
        "]]
        .assert_eq(&table(&[], None, now()));
    }

    #[test]
    fn a_text_is_cut_beyond_its_room() {
        assert_eq!(shortened("äbc", 3), "äbc");
        assert_eq!(shortened("äbcd", 3), "äb…");
    }
}
