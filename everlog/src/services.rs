//! `everlog services`: what can be called.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::{AdminArguments, AdminFailure, encode};
use crate::output::{OutputArguments, Shown, Table, present};

/// What to do with services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServicesCommand {
    /// List the services, as the newest deployment of each offers them.
    List(ListArguments),
    /// Show the handlers of one service.
    Show(ShowArguments),
}

/// The arguments of `everlog services list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

/// The arguments of `everlog services show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The service's name.
    #[arg(value_name = "SERVICE")]
    name: String,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

/// A service, as the server shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    ty: String,
    deployment_id: String,
    revision: u32,
    public: bool,
    handlers: Vec<Handler>,
}

/// A handler, as the server shows it.
#[derive(Debug, Deserialize)]
struct Handler {
    name: String,
    ty: Option<String>,
    public: bool,
    /// For how long its outcomes are kept. That of a workflow's run has another name.
    #[serde(alias = "workflow_completion_retention")]
    idempotency_retention: String,
    inactivity_timeout: Option<String>,
    abort_timeout: Option<String>,
    retry_policy: Option<Retry>,
}

#[derive(Debug, Deserialize)]
struct Retry {
    initial_interval: String,
    max_interval: String,
    max_attempts: Option<u32>,
    on_max_attempts: String,
}

/// Does it.
pub(crate) async fn run(command: ServicesCommand) -> ExitCode {
    match command {
        ServicesCommand::List(ListArguments { output, server }) => {
            present(&output, async || list(&server).await).await
        }
        ServicesCommand::Show(ShowArguments { name, output, server }) => {
            let path = format!("/services/{}", encode(&name));
            present(&output, async || {
                let json = server.get(&path).await?;
                let service: Service = server.read(&json)?;
                Ok(Shown { text: text(&service), json })
            })
            .await
        }
    }
}

async fn list(server: &AdminArguments) -> Result<Shown, AdminFailure> {
    let json = server.get("/services").await?;
    let services: Vec<Service> = server.read(json.get("services").unwrap_or(&Value::Null))?;
    Ok(Shown { text: table(services), json })
}

fn table(services: Vec<Service>) -> String {
    if services.is_empty() {
        return "There are no services yet: everlog deployments register URL\n".into();
    }
    let mut table = Table::new(["SERVICE", "KIND", "HANDLERS", "REVISION", "DEPLOYMENT"]);
    for service in services {
        let handlers: Vec<_> = service.handlers.iter().map(|each| each.name.as_str()).collect();
        let kind = if service.public { service.ty } else { format!("{}, private", service.ty) };
        table.row([
            service.name,
            kind,
            handlers.join(", "),
            service.revision.to_string(),
            service.deployment_id,
        ]);
    }
    table.to_string()
}

fn text(service: &Service) -> String {
    let mut table = Table::new(["HANDLER", "KIND", "KEEPS OUTCOME", "TIMEOUTS", "RETRIES"]);
    for handler in &service.handlers {
        let timeouts = [&handler.inactivity_timeout, &handler.abort_timeout];
        let timeouts = timeouts.map(|timeout| timeout.as_deref().unwrap_or("default")).join(" + ");
        let retries = handler.retry_policy.as_ref().map(|retry| {
            let (first, last) = (&retry.initial_interval, &retry.max_interval);
            let end = retry.max_attempts.map_or_else(String::new, |attempts| {
                format!(", {attempts} attempts, then {}", retry.on_max_attempts.to_lowercase())
            });
            format!("after {first} to {last}{end}")
        });
        table.row([
            path(service, handler),
            kind(handler),
            handler.idempotency_retention.clone(),
            timeouts,
            retries.unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// A table of the handlers of some services.
pub(crate) fn handlers(services: &[Service]) -> String {
    let mut table = Table::new(["HANDLER", "KIND"]);
    for service in services {
        for handler in &service.handlers {
            table.row([path(service, handler), kind(handler)]);
        }
    }
    table.to_string()
}

/// How a handler is called.
fn path(service: &Service, handler: &Handler) -> String {
    let key = if service.ty == "Service" { "" } else { "/{key}" };
    format!("{}{key}/{}", service.name, handler.name)
}

fn kind(handler: &Handler) -> String {
    let kind = handler.ty.as_deref().unwrap_or("Plain");
    if handler.public { kind.to_owned() } else { format!("{kind}, private") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn services() -> Vec<Service> {
        let retry = json!({ "initial_interval": "500ms", "exponentiation_factor": 2.0,
            "max_interval": "1m", "max_attempts": 70, "on_max_attempts": "Pause" });
        let endless = json!({ "initial_interval": "1s", "exponentiation_factor": 2.0,
            "max_interval": "1m", "on_max_attempts": "Pause" });
        let json = json!([
            { "name": "Cart", "ty": "VirtualObject", "deployment_id": "dp_1", "revision": 2,
              "public": true, "handlers": [
                { "name": "add", "ty": "Exclusive", "public": true, "idempotency_retention": "24h",
                  "inactivity_timeout": "5s", "retry_policy": retry },
                { "name": "get", "ty": "Shared", "public": false, "idempotency_retention": "1h",
                  "abort_timeout": "1m", "retry_policy": endless }] },
            { "name": "Mail", "ty": "Service", "deployment_id": "dp_2", "revision": 1,
              "public": false, "handlers": [
                { "name": "send", "public": true, "idempotency_retention": "24h" }] },
        ]);
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn services_are_listed() {
        expect![[r"
            SERVICE  KIND              HANDLERS  REVISION  DEPLOYMENT
            Cart     VirtualObject     add, get  2         dp_1
            Mail     Service, private  send      1         dp_2
        "]]
        .assert_eq(&table(services()));
        expect![[r"
            There are no services yet: everlog deployments register URL
        "]]
        .assert_eq(&table(vec![]));
    }

    #[test]
    fn a_service_is_shown_with_its_handlers() {
        expect![[r"
            HANDLER         KIND             KEEPS OUTCOME  TIMEOUTS      RETRIES
            Cart/{key}/add  Exclusive        24h            5s + default  after 500ms to 1m, 70 attempts, then pause
            Cart/{key}/get  Shared, private  1h             default + 1m  after 1s to 1m
        "]].assert_eq(&text(&services()[0]));
        expect![[r"
            HANDLER         KIND
            Cart/{key}/add  Exclusive
            Cart/{key}/get  Shared, private
            Mail/send       Plain
        "]]
        .assert_eq(&handlers(&services()));
    }

    #[test]
    fn a_workflow_is_shown_with_how_long_its_run_is_kept() {
        let json = json!({ "name": "Order", "ty": "Workflow", "deployment_id": "dp_1",
            "revision": 1, "public": true, "handlers": [
                { "name": "run", "ty": "Workflow", "public": true,
                  "workflow_completion_retention": "2h" }] });
        let service: Service = serde_json::from_value(json).unwrap();
        assert!(text(&service).contains("Order/{key}/run  Workflow  2h"), "{}", text(&service));
    }
}
