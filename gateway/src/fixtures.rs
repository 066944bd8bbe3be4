//! What the unit tests of this crate take to be registered, and how they read the manual.

use std::collections::BTreeSet;

use everlog_log_schema::metadata::{
    Change, Deployment, Handler, InputRule, Metadata, MetadataChange, OutputRule, ProtocolMode,
    Service, ServiceKind,
};
use everlog_log_schema::{
    DeploymentId, HandlerKind, MetadataOffset, Millis, OnMaxAttempts, RetryPolicy,
};

/// A plain service `Greeter` (`greet`, and `secret`, which is private) and an object `Cart` (`add`).
pub(crate) fn metadata() -> Metadata {
    let greeter = service(
        "Greeter",
        ServiceKind::Service,
        vec![
            handler("greet", HandlerKind::Plain),
            Handler { ingress_private: true, ..handler("secret", HandlerKind::Plain) },
        ],
    );
    let cart =
        service("Cart", ServiceKind::VirtualObject, vec![handler("add", HandlerKind::Exclusive)]);
    let change = MetadataChange {
        replaces: MetadataOffset(0),
        change: Change::RegisterDeployment(deployment(vec![greeter, cart])),
    };
    let mut metadata = Metadata::default();
    assert!(metadata.fold(MetadataOffset(0), change));
    metadata
}

/// A deployment of these services.
pub(crate) fn deployment(services: Vec<Service>) -> Deployment {
    Deployment {
        id: DeploymentId("dp_1".into()),
        uri: "http://127.0.0.1:9080".into(),
        headers: vec![],
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        created_at: Millis(0),
        services,
    }
}

fn service(name: &str, kind: ServiceKind, handlers: Vec<Handler>) -> Service {
    Service {
        name: name.into(),
        kind,
        ingress_private: false,
        documentation: None,
        metadata: vec![],
        handlers,
    }
}

fn handler(name: &str, kind: HandlerKind) -> Handler {
    Handler {
        name: name.into(),
        kind,
        ingress_private: false,
        input: InputRule { required: false, content_type: Some("*/*".into()), json_schema: None },
        output: OutputRule {
            content_type: Some("application/json".into()),
            set_content_type_if_empty: false,
            json_schema: None,
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        retry: RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: Some(70),
            on_max_attempts: OnMaxAttempts::Pause,
        },
        documentation: None,
    }
}

/// The error codes of a source file: each stands in front of its status.
pub(crate) fn codes_in(source: &str) -> BTreeSet<&str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let before_status = source.split(", StatusCode::").filter_map(|text| text.rsplit_once("(\""));
    before_status.filter_map(|(_, code)| code.strip_suffix('"')).collect()
}

/// The error codes of a manual's table: each begins its line.
pub(crate) fn codes_in_table(manual: &str) -> BTreeSet<&str> {
    let lines = manual.lines().filter_map(|line| line.strip_prefix("| `"));
    lines.filter_map(|line| line.split('`').next()).collect()
}
