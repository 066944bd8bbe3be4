//! How the admin port shows what is registered.

use std::collections::BTreeMap;
use std::slice;

use everlog_log_schema::metadata::{
    Deployment, EagerState, Handler, Metadata, ProtocolMode, Service, ServiceKind,
};
use everlog_log_schema::{HandlerKind, Header, Millis, OnMaxAttempts, RetryPolicy};
use serde::Serialize;
use serde_json::Value;

use crate::time::{readable, rfc3339};

/// What stands in place of a header's value, which may be a secret.
const REDACTED: &str = "***";

/// A deployment.
#[derive(Debug, Serialize)]
pub(super) struct DeploymentView<'a> {
    id: &'a str,
    uri: &'a str,
    protocol_type: &'static str,
    http_version: &'static str,
    additional_headers: BTreeMap<&'a str, &'static str>,
    created_at: Option<String>,
    min_protocol_version: u32,
    max_protocol_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk_version: Option<&'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
    services: Vec<ServiceView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    info: Vec<String>,
}

/// A service, as one deployment offers it.
#[derive(Debug, Serialize)]
pub(super) struct ServiceView<'a> {
    name: &'a str,
    ty: &'static str,
    deployment_id: &'a str,
    revision: u32,
    public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation: Option<&'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    settings: SettingsView,
    handlers: Vec<HandlerView<'a>>,
    info: Vec<InfoView>,
}

/// What is set for a handler; or for a service, as far as all handlers have it alike.
#[derive(Debug, Serialize)]
struct SettingsView {
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_retention: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_completion_retention: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_retention: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactivity_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abort_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<RetryView>,
    /// Of an object's handler: whether attempts begin without the state, but for keys that are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_lazy_state: Option<bool>,
}

/// What its author or operator should know of a service.
#[derive(Debug, Serialize)]
struct InfoView {
    code: &'static str,
    message: &'static str,
}

/// A handler.
#[derive(Debug, Serialize)]
pub(super) struct HandlerView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ty: Option<&'static str>,
    public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation: Option<&'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
    input_description: String,
    output_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_json_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_json_schema: Option<Value>,
    #[serde(flatten)]
    settings: SettingsView,
    #[serde(skip_serializing_if = "Option::is_none")]
    eager_state_keys_whitelist: Option<&'a [String]>,
}

/// A retry policy.
#[derive(Debug, Serialize)]
struct RetryView {
    initial_interval: String,
    exponentiation_factor: f64,
    max_interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    on_max_attempts: &'static str,
}

/// Shows a deployment with all its services.
pub(super) fn deployment<'a>(
    metadata: &'a Metadata,
    of: &'a Deployment,
    info: Vec<String>,
) -> DeploymentView<'a> {
    DeploymentView {
        id: &of.id.0,
        uri: &of.uri,
        protocol_type: match of.mode {
            ProtocolMode::BidiStream => "BidiStream",
            ProtocolMode::RequestResponse => "RequestResponse",
        },
        http_version: if of.use_http_11 { "HTTP/1.1" } else { "HTTP/2.0" },
        additional_headers: of.headers.iter().map(|header| (&*header.key, REDACTED)).collect(),
        created_at: rfc3339(of.created_at),
        min_protocol_version: of.min_protocol_version,
        max_protocol_version: of.max_protocol_version,
        sdk_version: of.sdk.as_deref(),
        metadata: labels(&of.metadata),
        services: of.services.iter().map(|offered| service(metadata, of, offered)).collect(),
        info,
    }
}

/// Shows a service of a deployment.
pub(super) fn service<'a>(
    metadata: &Metadata,
    of: &'a Deployment,
    offered: &'a Service,
) -> ServiceView<'a> {
    ServiceView {
        name: &offered.name,
        ty: match offered.kind {
            ServiceKind::Service => "Service",
            ServiceKind::VirtualObject => "VirtualObject",
            ServiceKind::Workflow => "Workflow",
        },
        deployment_id: &of.id.0,
        revision: metadata.revision(&of.id, &offered.name).unwrap_or(1),
        public: !offered.ingress_private,
        documentation: offered.documentation.as_deref(),
        metadata: labels(&offered.metadata),
        settings: settings(&offered.handlers),
        handlers: offered.handlers.iter().map(handler).collect(),
        info: info(of, offered),
    }
}

/// What all of these have alike; a handler alone is alike itself.
fn settings(handlers: &[Handler]) -> SettingsView {
    let kept = |runs| {
        let handlers = handlers.iter();
        let handlers = handlers.filter(move |of| (of.kind == HandlerKind::Workflow) == runs);
        alike(handlers.map(|of| of.idempotency_retention)).map(readable)
    };
    let period =
        |of: fn(&Handler) -> Option<Millis>| alike(handlers.iter().map(of)).flatten().map(readable);
    SettingsView {
        idempotency_retention: kept(false),
        workflow_completion_retention: kept(true),
        journal_retention: period(|of| of.journal_retention),
        inactivity_timeout: period(|of| of.inactivity_timeout),
        abort_timeout: period(|of| of.abort_timeout),
        retry_policy: alike(handlers.iter().map(|of| &of.retry)).map(retry),
        enable_lazy_state: alike(handlers.iter().map(is_lazy)).flatten(),
    }
}

/// The value that all are, if there is one.
fn alike<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn is_lazy(of: &Handler) -> Option<bool> {
    match of.kind {
        HandlerKind::Plain => None,
        HandlerKind::Exclusive
        | HandlerKind::Shared
        | HandlerKind::Workflow
        | HandlerKind::WorkflowShared => Some(of.eager_state != EagerState::All),
    }
}

fn info(of: &Deployment, offered: &Service) -> Vec<InfoView> {
    let waits = offered.handlers.iter().any(|handler| handler.inactivity_timeout.is_some());
    let inactivity = InfoView {
        code: "RT0021",
        message: "an inactivity timeout is set, and not used: in request-response mode functions \
                  are asked to suspend at once",
    };
    match of.mode {
        ProtocolMode::RequestResponse if waits => vec![inactivity],
        ProtocolMode::RequestResponse | ProtocolMode::BidiStream => vec![],
    }
}

/// Shows a handler.
pub(super) fn handler(of: &Handler) -> HandlerView<'_> {
    let any_or = |rule: &Option<String>| rule.clone().unwrap_or_else(|| "none".into());
    let schema = |text: &Option<String>| {
        text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    HandlerView {
        name: &of.name,
        ty: match of.kind {
            HandlerKind::Plain => None,
            HandlerKind::Exclusive => Some("Exclusive"),
            HandlerKind::Shared | HandlerKind::WorkflowShared => Some("Shared"),
            HandlerKind::Workflow => Some("Workflow"),
        },
        public: !of.ingress_private,
        documentation: of.documentation.as_deref(),
        metadata: labels(&of.metadata),
        input_description: any_or(&of.input.content_type),
        output_description: any_or(&of.output.content_type),
        input_json_schema: schema(&of.input.json_schema),
        output_json_schema: schema(&of.output.json_schema),
        settings: settings(slice::from_ref(of)),
        eager_state_keys_whitelist: match &of.eager_state {
            EagerState::Only(keys) => Some(keys),
            EagerState::All | EagerState::Nothing => None,
        },
    }
}

fn retry(policy: &RetryPolicy) -> RetryView {
    const PERMILLE: f64 = 1_000.0;
    RetryView {
        initial_interval: readable(policy.initial_interval),
        exponentiation_factor: f64::from(policy.factor_permille) / PERMILLE,
        max_interval: readable(policy.max_interval),
        max_attempts: policy.max_attempts,
        on_max_attempts: match policy.on_max_attempts {
            OnMaxAttempts::Pause => "Pause",
            OnMaxAttempts::Kill => "Kill",
        },
    }
}

fn labels(headers: &[Header]) -> BTreeMap<&str, &str> {
    headers.iter().map(|label| (&*label.key, &*label.value)).collect()
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::DeploymentId;
    use everlog_log_schema::metadata::Change;
    use serde_json::json;

    use super::super::record::foreseen;
    use super::*;
    use crate::fixtures;

    /// A service of the fixture, shown with its handlers and its deployment as they are made here.
    fn shown(name: &str, change: impl FnOnce(&mut Deployment, &mut Service)) -> Value {
        let metadata = fixtures::metadata();
        let (deployment, offered) = metadata.service(name).unwrap();
        let (mut deployment, mut offered) = (deployment.clone(), offered.clone());
        change(&mut deployment, &mut offered);
        serde_json::to_value(service(&metadata, &deployment, &offered)).unwrap()
    }

    #[test]
    fn a_service_is_shown_with_what_its_handlers_have_alike() {
        let cart = shown("Cart", |_, cart| {
            for handler in &mut cart.handlers {
                handler.journal_retention = Some(Millis(1_000));
            }
            cart.handlers[0].abort_timeout = Some(Millis(5_000));
        });
        assert_eq!(cart["idempotency_retention"], "24h");
        assert_eq!(cart["journal_retention"], "1s");
        assert_eq!(cart["enable_lazy_state"], false);
        assert_eq!(cart["retry_policy"]["max_attempts"], 70);
        assert_eq!(cart["info"], json!([]));
        for absent in ["abort_timeout", "inactivity_timeout", "workflow_completion_retention"] {
            assert_eq!(cart.get(absent), None, "{absent}");
        }
        assert_eq!(cart["handlers"][0]["abort_timeout"], "5s");

        let order = shown("Order", |_, order| {
            order.handlers[0].idempotency_retention = Millis(60_000);
        });
        assert_eq!(order["workflow_completion_retention"], "1m");
        assert_eq!(order["idempotency_retention"], "24h");
        assert_eq!(shown("Greeter", |_, _| {}).get("enable_lazy_state"), None);
    }

    #[test]
    fn an_older_version_keeps_its_number() {
        let mut metadata = fixtures::metadata();
        let first = metadata.service("Cart").unwrap().0.clone();
        let next = |number: u64| Deployment {
            id: DeploymentId(format!("dp_{number}")),
            created_at: Millis(number),
            ..first.clone()
        };
        let revisions = |metadata: &Metadata| {
            let deployments = metadata.deployments.keys();
            deployments.map(|id| metadata.revision(id, "Cart").unwrap()).collect::<Vec<_>>()
        };
        for number in [2, 3] {
            metadata = foreseen(&metadata, Change::RegisterDeployment(next(number)));
        }
        assert_eq!(revisions(&metadata), [1, 2, 3]);
        let removed = foreseen(&metadata, Change::RemoveDeployment(next(2).id));
        assert_eq!(revisions(&removed), [1, 3]);
        let again = foreseen(&metadata, Change::RegisterDeployment(next(3)));
        assert_eq!(revisions(&again), [1, 2, 4]);
    }

    #[test]
    fn a_time_out_that_is_not_used_is_told() {
        let set = |deployment: &mut Deployment, service: &mut Service| {
            deployment.mode = ProtocolMode::RequestResponse;
            service.handlers[0].inactivity_timeout = Some(Millis(1_000));
        };
        assert_eq!(shown("Greeter", set)["info"][0]["code"], "RT0021");
        let deaf = shown("Greeter", |of, _| of.mode = ProtocolMode::RequestResponse);
        assert_eq!(deaf["info"], json!([]));
        let open = shown("Greeter", |of, service| {
            set(of, service);
            of.mode = ProtocolMode::BidiStream;
        });
        assert_eq!(open["info"], json!([]));
    }
}
