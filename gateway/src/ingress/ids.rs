//! Mints invocation ids.
//!
//! The id of a call with an idempotency key is derived from what makes it the same call, so that
//! every gateway, at any time, gives a repeated call the same id.

pub(crate) use everlog_log_schema::identity::{of_scoped_key, of_workflow};
use everlog_log_schema::{HandlerKind, InvocationId, PartitionKey, Target, partition_key_of};

/// Mints the id of a call.
pub(crate) fn mint(
    target: &Target,
    kind: HandlerKind,
    scope: Option<&str>,
    idempotency_key: Option<&str>,
) -> InvocationId {
    match (kind, &target.key, idempotency_key) {
        (HandlerKind::Workflow, Some(key), _) => of_workflow(&target.service, key),
        (_, _, Some(idempotency_key)) => of_scoped_key(target, scope, idempotency_key),
        (_, _, None) => InvocationId {
            partition_key: target
                .key
                .as_deref()
                .map_or_else(|| PartitionKey(rand::random()), partition_key_of),
            uuid: rand::random(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(service: &str, key: Option<&str>, handler: &str) -> Target {
        Target { service: service.into(), key: key.map(str::to_owned), handler: handler.into() }
    }

    #[test]
    fn a_call_with_an_idempotency_key_has_the_id_of_the_key() {
        let greeter = target("Greeter", None, "greet");
        for scope in [None, Some("eu")] {
            let minted = mint(&greeter, HandlerKind::Plain, scope, Some("k1"));
            assert_eq!(minted, of_scoped_key(&greeter, scope, "k1"));
        }
    }

    #[test]
    fn the_run_of_a_workflow_has_the_id_of_its_key_and_the_other_handlers_have_not() {
        let order = target("Order", Some("o7"), "run");
        let mint = |kind| mint(&order, kind, None, None);
        assert_eq!(mint(HandlerKind::Workflow), of_workflow("Order", "o7"));
        assert_ne!(mint(HandlerKind::WorkflowShared), of_workflow("Order", "o7"));
    }

    #[test]
    fn calls_of_one_object_meet_on_its_partition() {
        let one = mint(&target("Cart", Some("ann"), "add"), HandlerKind::Exclusive, None, None);
        let other = mint(&target("Cart", Some("ann"), "add"), HandlerKind::Exclusive, None, None);
        assert_eq!(one.partition_key, partition_key_of("ann"));
        assert_eq!(one.partition_key, other.partition_key);
        assert_ne!(one.uuid, other.uuid);
    }
}
