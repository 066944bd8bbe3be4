//! `everlog invocations cancel`, `kill`, `pause`, `resume` and `purge`.
//!
//! Its invariant: many at once are changed only after the user has said yes.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Filter;
use super::model::Unavailable;
use crate::admin::{AdminArguments, AdminFailure, encode};
use crate::confirm::confirm;
use crate::output::printable;
use crate::say::{complain, say};

/// The exit code where it is not known whether the change was made.
const NOT_KNOWN: u8 = 4;

/// The arguments of the commands that change invocations.
#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "\
Name invocations by their ids, or all that match a filter; with a filter it asks first.

Examples, with `cancel` as with the others:
  everlog invocations cancel inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr
  everlog invocations cancel --service Cart --status backing-off,paused

Exit codes: 0 all are changed, or were so before where they are named by id, 1 some are not, 4 not
known: the same again is safe.")]
pub(crate) struct ChangeArguments {
    /// The invocations.
    #[arg(value_name = "ID", required_unless_present = "filter", conflicts_with = "filter")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Print JSON, as the server gives it: a line for each answer.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: AdminArguments,
}

/// What to do with invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Cancel,
    Kill,
    Pause,
    Resume,
    Purge,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancel => "cancel",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Purge => "purge",
        })
    }
}

/// What became of one.
#[derive(Debug, Deserialize)]
struct Changed {
    id: String,
    status: String,
    outcome: String,
}

/// What became of a page of them.
#[derive(Debug, Deserialize)]
struct Page {
    matched: u64,
    changed: u64,
    next: Option<String>,
    #[serde(default)]
    unavailable: Vec<Unavailable>,
}

/// Does it.
pub(super) async fn run(change: Change, arguments: ChangeArguments) -> ExitCode {
    if arguments.ids.is_empty() {
        return match all_that_match(change, &arguments).await {
            Ok(code) => code,
            Err(error) => failed(&error),
        };
    }
    let mut code = ExitCode::SUCCESS;
    for id in &arguments.ids {
        match one(change, &arguments.server, id).await {
            Ok((json, _)) if arguments.json => say(format_args!("{json}")),
            Ok((_, changed)) => say(format_args!("{}", printable(&line(change, &changed)))),
            Err(error) => code = failed(&error),
        }
    }
    code
}

async fn one(
    change: Change,
    server: &AdminArguments,
    id: &str,
) -> Result<(Value, Changed), AdminFailure> {
    let path = format!("/invocations/{}/{change}", encode(id));
    let json = server.ask(Method::PATCH, &path, None).await?;
    let changed = server.read(&json)?;
    Ok((json, changed))
}

fn line(change: Change, changed: &Changed) -> String {
    let Changed { id, status, outcome } = changed;
    match outcome.as_str() {
        "done" | "accepted" => format!("{id}  {change}: {outcome}, is {status}"),
        _ => format!("{id}  {change}: {outcome}"),
    }
}

async fn all_that_match(
    change: Change,
    arguments: &ChangeArguments,
) -> Result<ExitCode, AdminFailure> {
    let question = format!("{change} all invocations with {}?", described(&arguments.filter));
    match confirm(&question, arguments.yes) {
        Ok(true) => {}
        Ok(false) => {
            say(format_args!("Nothing is changed."));
            return Ok(ExitCode::FAILURE);
        }
        Err(reason) => {
            complain(format_args!("everlog: {reason}"));
            return Ok(ExitCode::FAILURE);
        }
    }
    let (mut matched, mut changed) = (0, 0);
    let mut left_out = Vec::new();
    let mut next = None;
    loop {
        let query = arguments.filter.query(None, next.as_deref());
        let path = format!("/invocations/{change}{query}");
        let json = arguments.server.ask(Method::POST, &path, None).await?;
        let page: Page = arguments.server.read(&json)?;
        matched += page.matched;
        changed += page.changed;
        left_out.extend(page.unavailable);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if arguments.json {
        let json = json!({ "matched": matched, "changed": changed, "unavailable": left_out });
        say(format_args!("{json}"));
    } else {
        say(format_args!("{change}: {changed} of {matched} that match."));
        for partition in &left_out {
            complain(format_args!("{}", partition.line()));
        }
    }
    Ok(if changed < matched || !left_out.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn described(filter: &Filter) -> String {
    let status = (!filter.status.is_empty()).then(|| filter.status.join(" or "));
    let parts = [
        ("service", filter.service.clone()),
        ("handler", filter.handler.clone()),
        ("key", filter.key.clone()),
        ("status", status),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    given.collect::<Vec<_>>().join(", ")
}

/// Says why something is not changed.
fn failed(error: &AdminFailure) -> ExitCode {
    complain(format_args!("everlog: {error}"));
    if error.may_have_happened() { ExitCode::from(NOT_KNOWN) } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_what_matches() {
        let filter = Filter {
            service: Some("Cart".into()),
            status: vec!["running".into(), "paused".into()],
            ..Filter::default()
        };
        assert_eq!(described(&filter), "service Cart, status running or paused");
    }

    #[test]
    fn what_is_left_out_is_told() {
        let stopped = Unavailable { partition: 3, reason: "broken".into() };
        assert_eq!(stopped.line(), "Left out: partition 3 has stopped (broken)");
    }

    #[test]
    fn a_change_is_told_in_a_line() {
        let changed = |outcome: &str| Changed {
            id: "inv_1".into(),
            status: "running".into(),
            outcome: outcome.into(),
        };
        assert_eq!(line(Change::Kill, &changed("accepted")), "inv_1  kill: accepted, is running");
        assert_eq!(line(Change::Pause, &changed("already-paused")), "inv_1  pause: already-paused");
    }
}
