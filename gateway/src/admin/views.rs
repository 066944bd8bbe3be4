//! How the admin port shows what is registered.

use std::collections::BTreeMap;

use everlog_log_schema::metadata::{
    Deployment, EagerState, Handler, Metadata, ProtocolMode, Service, ServiceKind,
};
use everlog_log_schema::{HandlerKind, Header, OnMaxAttempts, RetryPolicy};
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
    handlers: Vec<HandlerView<'a>>,
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
    retry_policy: RetryView,
    /// Of an object's handler: whether attempts begin without the state beyond the keys below.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_lazy_state: Option<bool>,
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
        revision: metadata.services.get(&offered.name).map_or(1, |newest| newest.number),
        public: !offered.ingress_private,
        documentation: offered.documentation.as_deref(),
        metadata: labels(&offered.metadata),
        handlers: offered.handlers.iter().map(handler).collect(),
    }
}

/// Shows a handler.
pub(super) fn handler(of: &Handler) -> HandlerView<'_> {
    let any_or = |rule: &Option<String>| rule.clone().unwrap_or_else(|| "none".into());
    let schema = |text: &Option<String>| {
        text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    let runs = of.kind == HandlerKind::Workflow;
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
        idempotency_retention: (!runs).then(|| readable(of.idempotency_retention)),
        workflow_completion_retention: runs.then(|| readable(of.idempotency_retention)),
        journal_retention: of.journal_retention.map(readable),
        inactivity_timeout: of.inactivity_timeout.map(readable),
        abort_timeout: of.abort_timeout.map(readable),
        retry_policy: retry(&of.retry),
        enable_lazy_state: match of.kind {
            HandlerKind::Plain => None,
            HandlerKind::Exclusive
            | HandlerKind::Shared
            | HandlerKind::Workflow
            | HandlerKind::WorkflowShared => Some(of.eager_state != EagerState::All),
        },
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
