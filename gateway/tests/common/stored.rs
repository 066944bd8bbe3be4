//! Rows of invocations, as an owner would hold them.

use everlog_log_schema::{Epoch, Incarnation, InvocationRow, Invoke, Millis, Status};

/// An invocation as it begins.
pub fn row_of(invoke: &Invoke, offset: u64) -> InvocationRow {
    InvocationRow {
        incarnation: Incarnation(offset),
        request_id: invoke.request_id,
        target: invoke.target.clone(),
        kind: invoke.kind,
        idempotency_key: invoke.idempotency_key.clone(),
        scope: invoke.scope.clone(),
        limit_key: invoke.limit_key.clone(),
        retention: invoke.retention,
        journal_retention: invoke.journal_retention,
        state_ttl: invoke.state_ttl,
        retry: invoke.retry.clone(),
        traceparent: invoke.traceparent.clone(),
        caller: None,
        restarted_from: None,
        created_at: Millis(1_000),
        modified_at: Millis(1_000),
        status: invoke.start_at.map_or(Status::Running, |at| Status::Scheduled { at }),
        attempt_epoch: Epoch(1),
        attempt_counter: 0,
        attempts: 1,
        pin: None,
        entries: 1,
        commands: 1,
        signals: 0,
        journal_bytes: invoke.body.len() as u64,
        has_output: false,
        policy_attempts: 1,
        failures_since_progress: 0,
        progress_at: Millis(1_000),
        last_error: None,
    }
}

/// The status of what has ended.
pub fn completed() -> Status {
    Status::Completed { at: Millis(2_000), parts: 1, expired: false }
}
