//! `everlog invocations cancel`, `kill`, `pause`, `resume` and `purge`.
//!
//! Its invariant: many at once are changed only after the user has said yes.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Filter;
use super::model::Unavailable;
use crate::admin::{AdminArguments, AdminFailure, encode, is_unknown};
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

impl Change {
    /// Whether it is refused because the invocation has ended, which is what it asks for.
    fn is_done(self, error: &AdminFailure) -> bool {
        let ends = matches!(self, Self::Cancel | Self::Kill);
        ends && matches!(error, AdminFailure::Refused { code, .. } if code == "invocation-completed")
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
    failed: Vec<Failed>,
    #[serde(default)]
    unavailable: Vec<Unavailable>,
}

/// One of them of which it is not known that it is changed.
#[derive(Debug, Deserialize, Serialize)]
struct Failed {
    id: String,
    error: String,
    message: String,
}

/// What became of all of them.
#[derive(Debug, Default)]
struct Tally {
    matched: u64,
    changed: u64,
    failed: Vec<Failed>,
    left_out: Vec<Unavailable>,
    /// Why it ended before all were reached, if it did.
    broke_off: Option<AdminFailure>,
}

/// Does it.
pub(super) async fn run(change: Change, arguments: ChangeArguments) -> ExitCode {
    if arguments.ids.is_empty() {
        return all_that_match(change, &arguments).await;
    }
    let mut code = ExitCode::SUCCESS;
    for id in &arguments.ids {
        match one(change, &arguments.server, id).await {
            Ok((json, _)) if arguments.json => say(format_args!("{json}")),
            Ok((_, changed)) => say(format_args!("{}", printable(&line(change, &changed)))),
            // That one is not known says more than that one is not changed.
            Err(error) if code == ExitCode::from(NOT_KNOWN) => drop(failed(&error)),
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
    let json = match server.ask(Method::PATCH, &path, None).await {
        Err(error) if change.is_done(&error) => {
            json!({ "id": id, "status": "completed", "outcome": "already-completed" })
        }
        answer => answer?,
    };
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

async fn all_that_match(change: Change, arguments: &ChangeArguments) -> ExitCode {
    let question = format!("{change} all invocations with {}?", described(&arguments.filter));
    match confirm(&question, arguments.yes) {
        Ok(true) => {}
        Ok(false) => {
            say(format_args!("Nothing is changed."));
            return ExitCode::FAILURE;
        }
        Err(reason) => {
            complain(format_args!("everlog: {reason}"));
            return ExitCode::FAILURE;
        }
    }
    let tally = change_all(change, arguments).await;
    if arguments.json {
        say(format_args!("{}", tally.json()));
    } else {
        say(format_args!("{change}: {} of {} that match.", tally.changed, tally.matched));
        for line in tally.complaints() {
            complain(format_args!("{line}"));
        }
    }
    tally.code()
}

/// Goes through all pages, as far as they are answered.
async fn change_all(change: Change, arguments: &ChangeArguments) -> Tally {
    let mut tally = Tally::default();
    let mut next: Option<String> = None;
    loop {
        let query = arguments.filter.query(None, next.as_deref());
        let path = format!("/invocations/{change}{query}");
        let asked = arguments.server.ask(Method::POST, &path, None).await;
        match asked.and_then(|json| arguments.server.read::<Page>(&json)) {
            Ok(page) => {
                tally.matched += page.matched;
                tally.changed += page.changed;
                tally.failed.extend(page.failed);
                tally.left_out.extend(page.unavailable);
                next = page.next;
            }
            Err(error) => {
                tally.broke_off = Some(error);
                return tally;
            }
        }
        if next.is_none() {
            return tally;
        }
    }
}

impl Tally {
    fn json(&self) -> Value {
        let Self { matched, changed, failed, left_out, broke_off } = self;
        let broke_off = broke_off.as_ref().map(ToString::to_string);
        json!({ "matched": matched, "changed": changed, "failed": failed,
            "unavailable": left_out, "brokeOff": broke_off })
    }

    /// Says what is not changed, a line each.
    fn complaints(&self) -> Vec<String> {
        let failed = self.failed.iter().map(|Failed { id, error, message }| {
            printable(&format!("Failed: {id} {message} [{error}]"))
        });
        let left_out = self.left_out.iter().map(Unavailable::line);
        let broke_off = self.broke_off.iter().map(|error| {
            printable(&format!("everlog: {error}\nIt broke off there: further ones may match."))
        });
        failed.chain(left_out).chain(broke_off).collect()
    }

    fn code(&self) -> ExitCode {
        let failed = self.failed.iter().any(|failed| is_unknown(&failed.error));
        if failed || self.broke_off.as_ref().is_some_and(AdminFailure::may_have_happened) {
            ExitCode::from(NOT_KNOWN)
        } else if self.changed < self.matched
            || !self.left_out.is_empty()
            || self.broke_off.is_some()
        {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
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

    fn failed(error: &str) -> Failed {
        Failed { id: "inv_1".into(), error: error.into(), message: "no\u{7} luck".into() }
    }

    #[test]
    fn all_that_is_done_and_not_done_is_told() {
        let tally = Tally {
            matched: 3,
            changed: 1,
            failed: vec![failed("log-unavailable")],
            left_out: vec![Unavailable { partition: 3, reason: "broken".into() }],
            broke_off: Some(AdminFailure::Absent { what: "gone".into() }),
        };
        let complaints = tally.complaints();
        assert!(complaints[0].starts_with("Failed: inv_1 no"), "{complaints:?}");
        assert!(complaints[0].ends_with("luck [log-unavailable]"), "{complaints:?}");
        assert!(!complaints[0].contains('\u{7}'), "{complaints:?}");
        assert!(complaints[1].starts_with("Left out: partition 3"), "{complaints:?}");
        assert!(complaints[2].starts_with("everlog: gone"), "{complaints:?}");
        let json = tally.json();
        assert_eq!((&json["matched"], &json["changed"]), (&json!(3), &json!(1)));
        assert_eq!(json["failed"][0]["id"], "inv_1");
        assert_eq!(
            (&json["unavailable"][0]["partition"], &json["brokeOff"]),
            (&json!(3), &json!("gone"))
        );
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let all = || Tally { matched: 2, changed: 2, ..Tally::default() };
        assert_eq!(all().code(), ExitCode::SUCCESS);
        for not_all in [
            Tally { changed: 1, ..all() },
            Tally { changed: 1, failed: vec![failed("log-unavailable")], ..all() },
            Tally { left_out: vec![Unavailable { partition: 0, reason: String::new() }], ..all() },
            Tally { broke_off: Some(AdminFailure::Absent { what: String::new() }), ..all() },
        ] {
            assert_eq!(not_all.code(), ExitCode::FAILURE, "{not_all:?}");
        }
        let unknown = "order-outcome-unknown".to_owned();
        let refused = AdminFailure::Refused { status: 503, code: unknown, message: String::new() };
        for not_known in [
            Tally { changed: 1, failed: vec![failed("order-outcome-unknown")], ..all() },
            Tally { broke_off: Some(refused), ..all() },
        ] {
            assert_eq!(not_known.code(), ExitCode::from(NOT_KNOWN), "{not_known:?}");
        }
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
