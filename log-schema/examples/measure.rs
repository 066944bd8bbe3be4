//! Prints how long the codec takes for a record of three small commands and for an invocation's
//! row, in microseconds.
//!
//! `cargo run -p everlog-log-schema --example measure`

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use everlog_log_schema::codec::{decode_record, decode_row, encode_record, encode_row};
use everlog_log_schema::{
    Append, AttemptId, Command, CompletionId, DeploymentId, Effect, Entry, Epoch, HandlerKind,
    Incarnation, InvocationId, InvocationRow, LogOffset, Millis, OnMaxAttempts, PartitionKey, Pin,
    Record, RequestId, RetryPolicy, Row, RowKey, Seq, Status, Target, Term,
};

const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let record = record();
    let bytes = encode_record(&record)?;
    println!("record of {} bytes", bytes.len());
    time("encode", || encode_record(black_box(&record)));
    time("decode", || decode_record(black_box(&bytes)));
    let (key, row) = row();
    let bytes = encode_row(&row, LogOffset(7))?;
    println!("invocation row of {} bytes", bytes.len());
    time("encode", || encode_row(black_box(&row), LogOffset(7)));
    time("decode", || decode_row(&key, black_box(&bytes)));
    Ok(())
}

fn time<T>(what: &str, mut work: impl FnMut() -> T) {
    for _ in 0..ROUNDS / 10 {
        black_box(work());
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    let each = start.elapsed() / ROUNDS;
    println!("  {what}: {:.2} µs", each.as_secs_f64() * 1e6);
}

fn id() -> InvocationId {
    InvocationId { partition_key: PartitionKey(1), uuid: 2 }
}

fn record() -> Record {
    let append = |number| {
        Command::Append(Append {
            invocation: id(),
            attempt: AttemptId { incarnation: Incarnation(9), epoch: Epoch(1), counter: 0 },
            first_command: number,
            entries: vec![Entry::Command {
                kind: 0x0411,
                bytes: Bytes::from(vec![7; 300]),
                effect: Effect::Run { completion: CompletionId(number) },
            }],
            pin: None,
        })
    };
    Record {
        epoch: Epoch(1),
        term: Term(1 << 60),
        seq: Seq(1_000),
        now: Millis(1_767_225_600_000),
        commands: (1..=3).map(append).collect(),
    }
}

fn row() -> (RowKey, Row) {
    let row = InvocationRow {
        incarnation: Incarnation(9),
        request_id: RequestId(3),
        target: Target { service: "Cart".into(), key: Some("alice".into()), handler: "pay".into() },
        kind: HandlerKind::Exclusive,
        idempotency_key: Some("order-17".into()),
        scope: None,
        limit_key: None,
        retention: Millis(86_400_000),
        journal_retention: None,
        state_ttl: None,
        retry: RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: Some(70),
            on_max_attempts: OnMaxAttempts::Pause,
        },
        traceparent: None,
        caller: None,
        restarted_from: None,
        created_at: Millis(1_767_225_600_000),
        modified_at: Millis(1_767_225_600_500),
        status: Status::Running,
        attempt_epoch: Epoch(1),
        attempt_counter: 0,
        attempts: 1,
        pin: Some(Pin { deployment: DeploymentId("dp_1a2B3c".into()), protocol_version: 6 }),
        entries: 7,
        commands: 4,
        signals: 0,
        journal_bytes: 900,
        has_output: false,
        policy_attempts: 0,
        failures_since_progress: 0,
        progress_at: Millis(1_767_225_600_500),
        last_error: None,
    };
    (RowKey::Invocation(id()), Row::Invocation(Box::new(row)))
}
