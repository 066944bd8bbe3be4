//! A registered deployment, and what changes it.

use everlog_log_schema::metadata::{
    Change, Deployment, EagerState, Handler, InputRule, MetadataChange, OutputRule, ProtocolMode,
    Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::{DeploymentId, HandlerKind, MetadataOffset, Millis, OnMaxAttempts};

use super::{header, retry};

/// Every change, with a name of its own.
pub(super) fn changes() -> Vec<(&'static str, MetadataChange)> {
    let change = |change| MetadataChange { replaces: MetadataOffset(11), change };
    vec![
        ("register", change(Change::RegisterDeployment(deployment()))),
        ("update", change(Change::UpdateDeployment(deployment()))),
        ("remove", change(Change::RemoveDeployment(DeploymentId("dp_1a2B3c".into())))),
    ]
}

fn deployment() -> Deployment {
    Deployment {
        id: DeploymentId("dp_1a2B3c".into()),
        uri: "http://127.0.0.1:9080".into(),
        headers: vec![header("authorization", "Bearer token")],
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 6,
        sdk: Some("restate-sdk-rust/0.13.0".into()),
        metadata: vec![header("region", "eu")],
        created_at: Millis(1_767_225_600_000),
        services: services(),
    }
}

fn services() -> Vec<Service> {
    let spare = Handler {
        ingress_private: false,
        input: InputRule { required: false, content_type: None, json_schema: None },
        output: OutputRule {
            content_type: None,
            set_content_type_if_empty: false,
            json_schema: None,
        },
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        eager_state: EagerState::All,
        state_ttl: None,
        documentation: None,
        metadata: vec![],
        ..handler("greet", HandlerKind::Plain)
    };
    let object = Service {
        name: "Cart".into(),
        kind: ServiceKind::VirtualObject,
        ingress_private: true,
        documentation: Some("A cart.".into()),
        metadata: vec![header("team", "shop")],
        handlers: vec![
            handler("checkout", HandlerKind::Exclusive),
            Handler { eager_state: EagerState::Nothing, ..handler("peek", HandlerKind::Shared) },
        ],
        patch: ServicePatch {
            public: Some(false),
            idempotency_retention: Some(Millis(1)),
            workflow_completion_retention: Some(Millis(5)),
            journal_retention: Some(Millis(2)),
            inactivity_timeout: Some(Millis(3)),
            abort_timeout: Some(Millis(4)),
        },
    };
    let plain = Service {
        name: "Greeter".into(),
        kind: ServiceKind::Service,
        ingress_private: false,
        documentation: None,
        metadata: vec![],
        handlers: vec![spare],
        patch: ServicePatch::default(),
    };
    let workflow = Service {
        name: "Order".into(),
        kind: ServiceKind::Workflow,
        ingress_private: false,
        documentation: None,
        metadata: vec![],
        handlers: vec![
            handler("run", HandlerKind::Workflow),
            handler("pay", HandlerKind::WorkflowShared),
        ],
        patch: ServicePatch::default(),
    };
    vec![object, plain, workflow]
}

fn handler(name: &str, kind: HandlerKind) -> Handler {
    Handler {
        name: name.into(),
        kind,
        ingress_private: true,
        input: InputRule {
            required: true,
            content_type: Some("application/json".into()),
            json_schema: Some("{\"type\":\"object\"}".into()),
        },
        output: OutputRule {
            content_type: Some("application/json".into()),
            set_content_type_if_empty: true,
            json_schema: Some("{}".into()),
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: Some(Millis(600_000)),
        inactivity_timeout: Some(Millis(60_000)),
        abort_timeout: Some(Millis(600_000)),
        retry: retry(Some(70), OnMaxAttempts::Pause),
        eager_state: EagerState::Only(vec!["items".into(), "total".into()]),
        state_ttl: Some(Millis(2_592_000_000)),
        documentation: Some("Pays.".into()),
        metadata: vec![header("tier", "gold")],
    }
}
