//! Any change of metadata.

use super::*;
use crate::metadata::{
    Change, Deployment, EagerState, Handler, InputRule, MetadataChange, OutputRule, ProtocolMode,
    Service, ServiceKind, ServicePatch,
};

fn eager_state() -> impl Strategy<Value = EagerState> {
    prop_oneof![
        Just(EagerState::All),
        Just(EagerState::Nothing),
        vec(text(), 0..3).prop_map(EagerState::Only),
    ]
}

prop_compose! {
    fn handler()(
        (name, kind, ingress_private) in (text(), handler_kind(), any::<bool>()),
        (required, input_type, input_schema) in
            (any::<bool>(), option::of(text()), option::of(text())),
        (output_type, set_content_type_if_empty, output_schema) in
            (option::of(text()), any::<bool>(), option::of(text())),
        (idempotency_retention, journal_retention) in (millis(), option::of(millis())),
        (inactivity_timeout, abort_timeout) in (option::of(millis()), option::of(millis())),
        (retry, eager_state, state_ttl) in (retry_policy(), eager_state(), option::of(millis())),
        (documentation, metadata) in (option::of(text()), headers()),
    ) -> Handler {
        Handler {
            name, kind, ingress_private,
            input: InputRule { required, content_type: input_type, json_schema: input_schema },
            output: OutputRule {
                content_type: output_type, set_content_type_if_empty, json_schema: output_schema,
            },
            idempotency_retention, journal_retention, inactivity_timeout, abort_timeout, retry,
            eager_state, state_ttl, documentation, metadata,
        }
    }
}

prop_compose! {
    fn service()(
        name in text(),
        kind in prop_oneof![
            Just(ServiceKind::Service),
            Just(ServiceKind::VirtualObject),
            Just(ServiceKind::Workflow),
        ],
        (ingress_private, documentation) in (any::<bool>(), option::of(text())),
        (metadata, handlers, patch) in (headers(), vec(handler(), 0..3), patch()),
    ) -> Service {
        Service { name, kind, ingress_private, documentation, metadata, handlers, patch }
    }
}

prop_compose! {
    fn patch()(
        (public, idempotency_retention, workflow_completion_retention) in
            (option::of(any::<bool>()), option::of(millis()), option::of(millis())),
        (journal_retention, inactivity_timeout) in (option::of(millis()), option::of(millis())),
        abort_timeout in option::of(millis()),
    ) -> ServicePatch {
        ServicePatch {
            public, idempotency_retention, workflow_completion_retention, journal_retention,
            inactivity_timeout, abort_timeout,
        }
    }
}

prop_compose! {
    fn deployment()(
        (id, uri, headers) in (text(), text(), headers()),
        mode in prop_oneof![Just(ProtocolMode::BidiStream), Just(ProtocolMode::RequestResponse)],
        (use_http_11, min_protocol_version, max_protocol_version) in any::<(bool, u32, u32)>(),
        (sdk, metadata, created_at, services) in
            (option::of(text()), headers(), millis(), vec(service(), 0..3)),
    ) -> Deployment {
        Deployment {
            id: DeploymentId(id), uri, headers, mode, use_http_11, min_protocol_version,
            max_protocol_version, sdk, metadata, created_at, services,
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        deployment().prop_map(Change::RegisterDeployment),
        deployment().prop_map(Change::UpdateDeployment),
        text().prop_map(|id| Change::RemoveDeployment(DeploymentId(id))),
    ]
}

prop_compose! {
    /// Any change of metadata.
    pub fn metadata_change()(replaces in long(), change in change()) -> MetadataChange {
        MetadataChange { replaces: MetadataOffset(replaces), change }
    }
}
