//! Messages of the inbox: every kind, from every sender.

use bytes::Bytes;
use everlog_log_schema::*;

use super::{header, id, life, pin, request_id, results, retry, target};

/// A message of every kind, each with a name of its own.
pub(super) fn messages() -> Vec<(String, Message)> {
    let mut all = Vec::new();
    let invokes = [("full", full_invoke()), ("spare", spare_invoke()), ("shared", shared_invoke())];
    for (name, invoke) in invokes {
        all.push((format!("invoke-{name}"), Message::Invoke(Box::new(invoke))));
    }
    for (name, waits) in [("attach", true), ("ask", false)] {
        let attach = Attach { target: id(), caller: life(), completion: CompletionId(4), waits };
        all.push((name.into(), Message::Attach(attach)));
    }
    for (name, result) in results() {
        let complete = Complete { to: life(), completion: CompletionId(300), result };
        all.push((format!("complete-{name}"), Message::Complete(Box::new(complete))));
    }
    for ((name, result), signal) in results().into_iter().zip(signals()) {
        all.push((
            format!("signal-{name}"),
            Message::Signal(Box::new(Signal { result, ..signal })),
        ));
    }
    let orders = [
        ("order-kill", OrderAction::Kill, Some(life())),
        ("order-pause", OrderAction::Pause, None),
        ("order-resume", OrderAction::Resume, None),
        ("order-purge", OrderAction::Purge, None),
        ("order-purge-journal", OrderAction::PurgeJournal, None),
    ];
    for (name, action, sender) in orders {
        all.push((name.into(), Message::Order(Order { target: id(), sender, action })));
    }
    for (name, from, pin) in [("restart", 3, Some(pin())), ("restart-anew", 0, None)] {
        let (target, id, request_id) = (id(), spare_invoke().id, request_id());
        let restart = Restart { target, id, request_id, from, pin };
        all.push((name.into(), Message::Restart(Box::new(restart))));
    }
    let resume = ResumeOn { target: id(), pin: pin() };
    all.push(("resume-on".into(), Message::ResumeOn(Box::new(resume))));
    all
}

/// What a cancel, a named signal and a rejected awakeable say beside their results.
fn signals() -> [Signal; 3] {
    let cancel = Signal {
        target: id(),
        incarnation: None,
        sender: None,
        signal: SignalId::CANCEL,
        result: NotificationResult::Void,
    };
    let named = Signal {
        sender: Some(life()),
        signal: SignalId::Name("approved".into()),
        ..cancel.clone()
    };
    let awakeable = Signal {
        incarnation: Some(Incarnation(77)),
        signal: SignalId::Index(17),
        ..cancel.clone()
    };
    [cancel, named, awakeable]
}

/// The messages as they stand in an inbox: the first from a gateway, the others from a partition.
pub(super) fn envelopes() -> Vec<(String, Envelope)> {
    let partition = Source::Partition { partition: PartitionId(23), seq: Seq(1_000_000) };
    let sources = std::iter::once(Source::Gateway).chain(std::iter::repeat(partition));
    let of = |((name, message), source)| {
        (name, Envelope { level: Level(1), metadata: MetadataOffset(12), source, message })
    };
    messages().into_iter().zip(sources).map(of).collect()
}

pub(super) fn full_invoke() -> Invoke {
    Invoke {
        id: id(),
        request_id: request_id(),
        resent: true,
        target: target(),
        kind: HandlerKind::Exclusive,
        headers: vec![header("content-type", "application/json"), header("x-empty", "")],
        body: Bytes::from_static(b"{\"items\":3}"),
        idempotency_key: Some("order-7".into()),
        scope: Some("tenant-3".into()),
        limit_key: Some("gold/eu".into()),
        reply_to: Some("10.0.0.7:9071".into()),
        caller: Some(Caller { life: life(), completion: Some(CompletionId(4)) }),
        start_at: Some(Millis(1_767_225_600_123)),
        retention: Millis(86_400_000),
        journal_retention: Some(Millis(3_600_000)),
        state_ttl: Some(Millis(2_592_000_000)),
        retry: retry(Some(70), OnMaxAttempts::Pause),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

pub(super) fn spare_invoke() -> Invoke {
    Invoke {
        id: InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX },
        request_id: RequestId(u128::MAX),
        resent: false,
        target: Target { service: "Greeter".into(), key: None, handler: "greet".into() },
        kind: HandlerKind::Plain,
        headers: vec![],
        body: Bytes::new(),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: None,
        caller: None,
        start_at: None,
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry: retry(None, OnMaxAttempts::Kill),
        traceparent: None,
    }
}

fn shared_invoke() -> Invoke {
    let caller = Caller { life: life(), completion: None };
    Invoke { kind: HandlerKind::Shared, caller: Some(caller), ..spare_invoke() }
}
