//! What the tests of this crate take to be registered, those of its folder `tests` too.

use everlog_log_schema::metadata::{
    Change, Deployment, EagerState, Handler, InputRule, Metadata, MetadataChange, OutputRule,
    ProtocolMode, Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::{
    DeploymentId, HandlerKind, MetadataOffset, Millis, OnMaxAttempts, RetryPolicy,
};

/// `Greeter` (plain: `greet`, `fail`, `hang`, `strict`, `void`, `kept`, `secret`), `Hidden`
/// (private), the object `Cart` (`add`, `hang`, and `view`, which is shared) and the workflow `Order`
/// (`run`, and `pay`, which is shared).
pub(crate) fn metadata() -> Metadata {
    let plain = |name| handler(name, HandlerKind::Plain);
    let strict = Handler {
        input: InputRule {
            required: true,
            content_type: Some("application/json".into()),
            json_schema: None,
        },
        ..plain("strict")
    };
    let void = Handler {
        input: InputRule { required: false, content_type: None, json_schema: None },
        ..plain("void")
    };
    let kept = Handler { journal_retention: Some(Millis(3_600_000)), ..plain("kept") };
    let secret = Handler { ingress_private: true, ..plain("secret") };
    let handlers = vec![plain("greet"), plain("fail"), plain("hang"), strict, void, kept, secret];
    let greeter = service("Greeter", ServiceKind::Service, handlers);
    let hidden = Service {
        ingress_private: true,
        ..service("Hidden", ServiceKind::Service, vec![plain("greet")])
    };
    let exclusive = |name| handler(name, HandlerKind::Exclusive);
    let carts = vec![exclusive("add"), exclusive("hang"), handler("view", HandlerKind::Shared)];
    let cart = service("Cart", ServiceKind::VirtualObject, carts);
    let steps =
        vec![handler("run", HandlerKind::Workflow), handler("pay", HandlerKind::WorkflowShared)];
    let order = service("Order", ServiceKind::Workflow, steps);
    let change = MetadataChange {
        replaces: MetadataOffset(0),
        change: Change::RegisterDeployment(deployment(vec![greeter, hidden, cart, order])),
    };
    let mut metadata = Metadata::default();
    assert!(metadata.fold(MetadataOffset(0), change));
    metadata
}

fn deployment(services: Vec<Service>) -> Deployment {
    Deployment {
        id: DeploymentId("dp_1".into()),
        uri: "http://127.0.0.1:1".into(),
        headers: vec![],
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        metadata: vec![],
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
        patch: ServicePatch::default(),
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
        eager_state: EagerState::All,
        state_ttl: None,
        documentation: None,
        metadata: vec![],
    }
}
