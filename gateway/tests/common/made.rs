//! Invocations that a test makes up.

use bytes::Bytes;
use everlog_log_schema::{
    HandlerKind, InvocationId, InvocationRow, Invoke, Millis, OnMaxAttempts, PartitionKey,
    RequestId, RetryPolicy, Status, Target,
};

use super::World;
use super::stored::row_of;

pub fn id(number: u64) -> InvocationId {
    // Spread over the partitions, in the order of the numbers.
    let partition_key = PartitionKey(number.wrapping_mul(u64::MAX / 16));
    InvocationId { partition_key, uuid: u128::from(number) }
}

pub fn row(target: Target, status: Status) -> InvocationRow {
    let invoke = Invoke {
        id: id(0),
        request_id: RequestId(1),
        resent: false,
        target,
        kind: HandlerKind::Exclusive,
        headers: vec![],
        body: Bytes::from_static(b"12345"),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: None,
        caller: None,
        start_at: None,
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry: RetryPolicy {
            initial_interval: Millis(1),
            factor_permille: 1_000,
            max_interval: Millis(1),
            max_attempts: None,
            on_max_attempts: OnMaxAttempts::Pause,
        },
        traceparent: None,
    };
    InvocationRow { status, ..row_of(&invoke, 9) }
}

pub fn cart(handler: &str) -> Target {
    Target { service: "Cart".into(), key: Some("ann".into()), handler: handler.into() }
}

/// Puts an invocation of this status there.
pub fn put(world: &World, number: u64, status: Status) -> InvocationId {
    world.owner.put(id(number), row(cart("hang"), status));
    id(number)
}
