//! `everlog deployments`: what code is registered.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{AdminArguments, AdminFailure, encode};
use crate::output::{OutputArguments, Shown, Table, present, printable, relative};
use crate::services::{Service, handlers};

/// What to do with deployments.
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// List all deployments.
    List(ListArguments),
    /// Show one deployment and what it offers.
    Show(ShowArguments),
    /// Register the functions that answer at an address.
    Register(RegisterArguments),
    /// Say what still needs a deployment, or that it can go.
    Drain(ShowArguments),
    /// Forget a deployment that nothing needs.
    Remove(RemoveArguments),
}

/// The arguments of `everlog deployments remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
What new calls go to, or invocations go on with, is kept: `everlog deployments drain` says what.

Exit codes: 0 it is gone, 1 it is not.")]
pub(crate) struct RemoveArguments {
    /// The deployment, as `everlog deployments list` prints it.
    #[arg(value_name = "ID")]
    id: String,
    /// Forget it all the same: invocations that need it fail until they are killed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: AdminArguments,
}

/// What still needs a deployment, as the server says.
#[derive(Debug, Deserialize)]
struct Drain {
    id: String,
    drained: bool,
    newest_of: Vec<String>,
    open_invocations: u64,
    starting_invocations: u64,
    #[serde(default)]
    at_least: bool,
}

/// The arguments of `everlog deployments list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

/// The arguments of `everlog deployments show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The deployment, as `everlog deployments list` prints it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

/// The arguments of `everlog deployments register`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog deployments register http://127.0.0.1:9080
  everlog deployments register http://127.0.0.1:9080 --force
      The code behind this address has changed. Calls in flight go on with the new code.

Where a new version of a service runs, register it at an address of its own: calls in flight then
stay with the old one.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RegisterArguments {
    /// Where the functions answer.
    #[arg(value_name = "URL")]
    uri: String,
    /// Replace what is registered at this address.
    #[arg(long)]
    force: bool,
    /// Let a service lose handlers or change its kind.
    #[arg(long)]
    breaking: bool,
    /// Check everything and register nothing.
    #[arg(long)]
    dry_run: bool,
    /// Speak HTTP/1.1 with it.
    #[arg(long)]
    use_http_11: bool,
    /// A header for every request to it, such as 'authorization: Bearer x'. May be repeated.
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = crate::ask::header)]
    header: Vec<(String, String)>,
    /// Print JSON, as the server gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: AdminArguments,
}

/// A deployment, as the server shows it.
#[derive(Debug, Deserialize)]
struct Deployment {
    id: String,
    uri: String,
    protocol_type: String,
    http_version: String,
    created_at: Option<Timestamp>,
    min_protocol_version: u32,
    max_protocol_version: u32,
    sdk_version: Option<String>,
    services: Vec<Service>,
    #[serde(default)]
    info: Vec<String>,
}

/// Does it.
pub(crate) async fn run(command: DeploymentsCommand) -> ExitCode {
    match command {
        DeploymentsCommand::List(ListArguments { output, server }) => {
            present(&output, async || list(&server).await).await
        }
        DeploymentsCommand::Show(ShowArguments { id, output, server }) => {
            let path = format!("/deployments/{}", encode(&id));
            present(&output, async || {
                let json = server.get(&path).await?;
                Ok(Shown { text: text(&server.read(&json)?, Timestamp::now()), json })
            })
            .await
        }
        DeploymentsCommand::Drain(ShowArguments { id, output, server }) => {
            let path = format!("/deployments/{}/drain", encode(&id));
            present(&output, async || {
                let json = server.get(&path).await?;
                Ok(Shown { text: drain_text(&server.read(&json)?), json })
            })
            .await
        }
        DeploymentsCommand::Remove(arguments) => {
            let output = OutputArguments { json: false, watch: None };
            present(&output, async || remove(&arguments).await).await
        }
        DeploymentsCommand::Register(arguments) => {
            let output = OutputArguments { json: arguments.json, watch: None };
            present(&output, async || register(&arguments).await).await
        }
    }
}

async fn list(server: &AdminArguments) -> Result<Shown, AdminFailure> {
    let json = server.get("/deployments").await?;
    let deployments = server.read(json.get("deployments").unwrap_or(&Value::Null))?;
    Ok(Shown { text: table(deployments, Timestamp::now()), json })
}

async fn register(arguments: &RegisterArguments) -> Result<Shown, AdminFailure> {
    let headers: BTreeMap<_, _> = arguments.header.iter().cloned().collect();
    let body = json!({
        "uri": arguments.uri,
        "force": arguments.force,
        "breaking": arguments.breaking,
        "dry_run": arguments.dry_run,
        "use_http_11": arguments.use_http_11,
        "additional_headers": headers,
    });
    let json = arguments.server.ask(Method::POST, "/deployments", Some(&body)).await?;
    let text = text(&arguments.server.read(&json)?, Timestamp::now());
    Ok(Shown { json, text })
}

async fn remove(arguments: &RemoveArguments) -> Result<Shown, AdminFailure> {
    let path = format!("/deployments/{}?force={}", encode(&arguments.id), arguments.force);
    arguments.server.ask(Method::DELETE, &path, None).await?;
    let text = printable(&format!("{} is forgotten.\n", arguments.id));
    Ok(Shown { json: Value::Null, text })
}

fn drain_text(drain: &Drain) -> String {
    let more = if drain.at_least { "at least " } else { "" };
    let mut lines = vec![if drain.drained {
        format!("{} can go: everlog deployments remove {}", drain.id, drain.id)
    } else {
        format!("{} is still needed:", drain.id)
    }];
    if !drain.newest_of.is_empty() {
        lines.push(format!("  new calls of {} go to it", drain.newest_of.join(", ")));
    }
    if drain.open_invocations > 0 {
        lines.push(format!("  {more}{} invocations go on with its code", drain.open_invocations));
    }
    if drain.starting_invocations > 0 {
        lines.push(format!("  {} may have just begun on it", drain.starting_invocations));
    }
    lines.iter().map(|line| printable(line) + "\n").collect()
}

fn table(mut deployments: Vec<Deployment>, now: Timestamp) -> String {
    if deployments.is_empty() {
        return "Nothing is registered: everlog deployments register URL\n".into();
    }
    deployments.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
    let mut table = Table::new(["ID", "ADDRESS", "SERVICES", "SDK", "REGISTERED"]);
    for deployment in deployments {
        let names: Vec<_> =
            deployment.services.iter().map(|service| service.name.as_str()).collect();
        let created = deployment.created_at.map(|at| relative(at, now));
        table.row([
            deployment.id,
            deployment.uri,
            names.join(", "),
            deployment.sdk_version.unwrap_or_default(),
            created.unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn text(deployment: &Deployment, now: Timestamp) -> String {
    let mut lines = vec![printable(&format!("{}  {}", deployment.id, deployment.uri))];
    let (min, max) = (deployment.min_protocol_version, deployment.max_protocol_version);
    let (mode, http) = (&deployment.protocol_type, &deployment.http_version);
    lines.push(printable(&format!("  speaks      protocol {min} to {max}, {mode} over {http}")));
    if let Some(sdk) = &deployment.sdk_version {
        lines.push(printable(&format!("  sdk         {sdk}")));
    }
    if let Some(at) = deployment.created_at {
        lines.push(format!("  registered  {at:.3} ({})", relative(at, now)));
    }
    lines.extend(deployment.info.iter().map(|info| printable(&format!("  note        {info}"))));
    format!("{}\n\n{}", lines.join("\n"), handlers(&deployment.services))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-18T11:00:00Z".parse().unwrap()
    }

    fn deployment() -> Deployment {
        let json = json!({
            "id": "dp_1", "uri": "http://127.0.0.1:9080", "protocol_type": "BidiStream",
            "http_version": "HTTP/2.0", "additional_headers": {},
            "created_at": "2026-11-18T10:00:00.000Z",
            "min_protocol_version": 5, "max_protocol_version": 6, "sdk_version": "sdk/1\u{1b}[2J",
            "services": [
                { "name": "Cart", "ty": "VirtualObject", "deployment_id": "dp_1", "revision": 2,
                  "public": true, "handlers": [
                    { "name": "add", "ty": "Exclusive", "public": true, "idempotency_retention": "24h",
                      "inactivity_timeout": "5s" },
                    { "name": "get", "ty": "Shared", "public": true, "idempotency_retention": "24h" }] },
                { "name": "Mail", "ty": "Service", "deployment_id": "dp_1", "revision": 1,
                  "public": false, "handlers": [
                    { "name": "send", "public": true, "idempotency_retention": "24h" }] },
            ],
            "info": ["nothing was recorded"],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn deployments_are_listed_the_newest_first() {
        let old = Deployment {
            id: "dp_0".into(),
            created_at: Some("2026-11-17T10:00:00Z".parse().unwrap()),
            services: vec![],
            sdk_version: None,
            ..deployment()
        };
        expect![[r"
            ID    ADDRESS                SERVICES    SDK        REGISTERED
            dp_1  http://127.0.0.1:9080  Cart, Mail  sdk/1�[2J  1h ago
            dp_0  http://127.0.0.1:9080                         1d 1h ago
        "]]
        .assert_eq(&table(vec![old, deployment()], now()));
        expect![[r"
            Nothing is registered: everlog deployments register URL
        "]]
        .assert_eq(&table(vec![], now()));
    }

    #[test]
    fn a_deployment_is_shown_with_its_handlers() {
        expect![[r"
            dp_1  http://127.0.0.1:9080
              speaks      protocol 5 to 6, BidiStream over HTTP/2.0
              sdk         sdk/1�[2J
              registered  2026-11-18T10:00:00.000Z (1h ago)
              note        nothing was recorded

            HANDLER         KIND
            Cart/{key}/add  Exclusive
            Cart/{key}/get  Shared
            Mail/send       Plain
        "]]
        .assert_eq(&text(&deployment(), now()));
    }

    #[test]
    fn what_needs_a_deployment_is_said() {
        let drain = |drained, newest: &[&str], open, starting| Drain {
            id: "dp_1".into(),
            drained,
            newest_of: newest.iter().map(|&name| name.to_owned()).collect(),
            open_invocations: open,
            starting_invocations: starting,
            at_least: open > 1_000,
        };
        expect![[r"
            dp_1 can go: everlog deployments remove dp_1
        "]]
        .assert_eq(&drain_text(&drain(true, &[], 0, 0)));
        expect![[r"
            dp_1 is still needed:
              new calls of Cart, Mail go to it
              at least 10000 invocations go on with its code
              2 may have just begun on it
        "]]
        .assert_eq(&drain_text(&drain(false, &["Cart", "Mail"], 10_000, 2)));
    }
}
