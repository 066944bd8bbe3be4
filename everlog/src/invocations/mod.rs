//! `everlog invocations`: what runs, waits and has ended; and to act on it.

mod change;
mod list;
mod model;
mod show;
mod timeline;

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

pub(crate) use self::change::ChangeArguments;
pub(crate) use self::list::ListArguments;
pub(crate) use self::show::ShowArguments;

use self::change::Change;

/// The states in which an invocation can be.
const STATUSES: [&str; 7] =
    ["scheduled", "pending", "running", "suspended", "backing-off", "paused", "completed"];

/// What to do with invocations.
#[derive(Debug, Subcommand)]
pub(crate) enum InvocationsCommand {
    /// List invocations.
    List(ListArguments),
    /// Show one invocation, its journal as a timeline.
    Show(ShowArguments),
    /// Ask invocations to end: their code sees it, may undo what was done, and then fails.
    Cancel(ChangeArguments),
    /// End invocations at once, and the calls they wait for; their code does not see it.
    Kill(ChangeArguments),
    /// Hold invocations where they stand.
    Pause(ChangeArguments),
    /// Let paused, suspended and backing-off invocations go on at once.
    Resume(ChangeArguments),
    /// Forget completed invocations and their outcome.
    Purge(ChangeArguments),
}

/// Which invocations.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "filter", multiple = true)]
pub(crate) struct Filter {
    /// Those of this service.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Those of this handler.
    #[arg(long, value_name = "HANDLER")]
    handler: Option<String>,
    /// Those of this object key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Those that stand so. Several, with commas between, are any of them.
    #[arg(
        long,
        value_name = "STATUS",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(STATUSES)
    )]
    status: Vec<String>,
}

impl Filter {
    /// The query that asks for these.
    fn query(&self, limit: Option<u32>, page: Option<&str>) -> String {
        let status = (!self.status.is_empty()).then(|| self.status.join(","));
        let limit = limit.map(|limit| limit.to_string());
        crate::admin::query(&[
            ("service", self.service.as_deref()),
            ("handler", self.handler.as_deref()),
            ("key", self.key.as_deref()),
            ("status", status.as_deref()),
            ("limit", limit.as_deref()),
            ("page", page),
        ])
    }
}

/// Does it.
pub(crate) async fn run(command: InvocationsCommand) -> ExitCode {
    match command {
        InvocationsCommand::List(arguments) => list::run(arguments).await,
        InvocationsCommand::Show(arguments) => show::run(arguments).await,
        InvocationsCommand::Cancel(arguments) => change::run(Change::Cancel, arguments).await,
        InvocationsCommand::Kill(arguments) => change::run(Change::Kill, arguments).await,
        InvocationsCommand::Pause(arguments) => change::run(Change::Pause, arguments).await,
        InvocationsCommand::Resume(arguments) => change::run(Change::Resume, arguments).await,
        InvocationsCommand::Purge(arguments) => change::run(Change::Purge, arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_query() {
        let filter = Filter {
            service: Some("Cart".into()),
            handler: None,
            key: Some("a/b".into()),
            status: vec!["running".into(), "paused".into()],
        };
        assert_eq!(
            filter.query(Some(5), Some("t=")),
            "?service=Cart&key=a%2Fb&status=running%2Cpaused&limit=5&page=t%3D"
        );
        assert_eq!(Filter::default().query(None, None), "");
    }
}
