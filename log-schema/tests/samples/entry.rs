//! Journal entries: every effect, every result.

use bytes::Bytes;
use everlog_log_schema::*;

use super::{failure, header, id, life, request_id, results, retry, target};

const AT: Millis = Millis(1_767_225_600_123);

/// Every entry there is, in the form of a journal, each with a name of its own.
pub(super) fn entries() -> Vec<(String, Entry)> {
    let input = Entry::Input {
        headers: vec![header("content-type", "text/plain")],
        body: Bytes::from_static(b"hello"),
    };
    let mut all = vec![(String::from("input"), input)];
    for (name, kind, effect) in effects() {
        let bytes = Bytes::from_static(&[0x5A, 0x00, 0xFF]);
        all.push((format!("command-{name}"), Entry::Command { kind, bytes, effect }));
    }
    for (number, (name, result)) in (1..).zip(results()) {
        let id = NotificationId::Completion { id: CompletionId(number), kind: 0x8011 };
        all.push((format!("notification-{name}"), Entry::Notification { id, result }));
    }
    let signals =
        [("signal-index", SignalId::Index(17)), ("signal-name", SignalId::Name("approved".into()))];
    for (name, signal) in signals {
        let id = NotificationId::Signal(signal);
        all.push((name.into(), Entry::Notification { id, result: NotificationResult::Void }));
    }
    let success = Outcome::Success(Bytes::from_static(b"done"));
    let outputs = [("output", "out", success), ("output-failure", "", Outcome::Failure(failure()))];
    for (name, given, outcome) in outputs {
        all.push((name.into(), Entry::Output { name: given.into(), outcome }));
    }
    all
}

fn effects() -> Vec<(&'static str, u16, Effect)> {
    let completion = CompletionId(2);
    let key = Bytes::from_static(b"items\0");
    let value = Span { start: 1, bytes: 2 };
    let target = life().invocation;
    vec![
        ("none", 0x0407, Effect::None),
        ("run", 0x0411, Effect::Run { completion }),
        ("sleep", 0x040C, Effect::Sleep { completion, wake_at: AT }),
        ("get-state", 0x0402, Effect::GetState { completion, key: key.clone() }),
        ("get-state-keys", 0x0406, Effect::GetStateKeys { completion }),
        ("set-state", 0x0403, Effect::SetState { key: key.clone(), value }),
        ("clear-state", 0x0404, Effect::ClearState { key }),
        ("clear-all-state", 0x0405, Effect::ClearAllState),
        ("call", 0x040D, Effect::Call(Box::new(full_call()))),
        ("one-way-call", 0x040E, Effect::Call(Box::new(spare_call()))),
        ("cancel", 0x0410, signal(None, SignalId::CANCEL, SignalResult::Void)),
        (
            "signal",
            0x0410,
            signal(None, SignalId::Name("approved".into()), SignalResult::Value(value)),
        ),
        (
            "reject-awakeable",
            0x0414,
            signal(Some(Incarnation(78)), SignalId::Index(17), SignalResult::Failure(failure())),
        ),
        ("attach", 0x0412, Effect::Attach { completion, target }),
        ("get-output", 0x0413, Effect::GetOutput { completion, target }),
        ("get-promise", 0x0409, Effect::GetPromise { completion, name: "paid".into() }),
        ("peek-promise", 0x040A, Effect::PeekPromise { completion, name: "paid".into() }),
        ("resolve-promise", 0x040B, complete_promise(PromiseResult::Value(value))),
        ("reject-promise", 0x040B, complete_promise(PromiseResult::Failure(failure()))),
    ]
}

fn complete_promise(settled: PromiseResult) -> Effect {
    Effect::CompletePromise { completion: CompletionId(2), name: "paid".into(), settled }
}

fn signal(incarnation: Option<Incarnation>, signal: SignalId, result: SignalResult) -> Effect {
    Effect::SendSignal { target: life().invocation, incarnation, signal, result }
}

fn full_call() -> Call {
    Call {
        id_completion: CompletionId(3),
        completion: Some(CompletionId(4)),
        callee: id(),
        request_id: request_id(),
        target: target(),
        kind: HandlerKind::Exclusive,
        headers: vec![header("content-type", "application/json")],
        parameter: Span { start: 0, bytes: 3 },
        idempotency_key: Some("order-7".into()),
        scope: Some("tenant-3".into()),
        limit_key: Some("gold/eu".into()),
        start_at: Some(AT),
        retention: Millis(86_400_000),
        journal_retention: Some(Millis(3_600_000)),
        state_ttl: Some(Millis(2_592_000_000)),
        retry: retry(Some(70), OnMaxAttempts::Pause),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        metadata: MetadataOffset(12),
    }
}

fn spare_call() -> Call {
    Call {
        completion: None,
        target: Target { service: "Greeter".into(), key: None, handler: "greet".into() },
        kind: HandlerKind::Plain,
        headers: vec![],
        parameter: Span { start: 0, bytes: 0 },
        idempotency_key: None,
        scope: None,
        limit_key: None,
        start_at: None,
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry: retry(None, OnMaxAttempts::Kill),
        traceparent: None,
        ..full_call()
    }
}
