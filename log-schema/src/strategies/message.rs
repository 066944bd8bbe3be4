//! Any message of the inbox.

use super::*;

fn caller() -> impl Strategy<Value = Caller> {
    (life(), option::of(completion_id())).prop_map(|(life, completion)| Caller { life, completion })
}

prop_compose! {
    /// Any call.
    pub fn invoke()(
        (id, request_id, resent, target, kind) in
            (invocation_id(), request_id(), any::<bool>(), target(), handler_kind()),
        (headers, body, idempotency_key) in (headers(), bytes(), option::of(text())),
        (scope, limit_key) in (option::of(text()), option::of(text())),
        (reply_to, caller, start_at) in
            (option::of(text()), option::of(caller()), option::of(millis())),
        (retention, journal_retention, state_ttl) in
            (millis(), option::of(millis()), option::of(millis())),
        (retry, traceparent) in (retry_policy(), option::of(text())),
    ) -> Invoke {
        Invoke {
            id, request_id, resent, target, kind, headers, body, idempotency_key, scope, limit_key,
            reply_to, caller, start_at, retention, journal_retention, state_ttl, retry, traceparent,
        }
    }
}

/// Any sender.
pub fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Gateway),
        (any::<u32>(), long())
            .prop_map(|(p, s)| Source::Partition { partition: PartitionId(p), seq: Seq(s) }),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let action = prop_oneof![
        Just(OrderAction::Kill),
        Just(OrderAction::Pause),
        Just(OrderAction::Resume),
        Just(OrderAction::Purge),
        Just(OrderAction::PurgeJournal),
    ];
    (invocation_id(), option::of(life()), action).prop_map(|(target, sender, action)| Order {
        target,
        sender,
        action,
    })
}

prop_compose! {
    fn signal()(
        (target, incarnation, sender) in
            (invocation_id(), option::of(incarnation()), option::of(life())),
        (signal, result) in (signal_id(), notification_result()),
    ) -> Signal {
        Signal { target, incarnation, sender, signal, result }
    }
}

prop_compose! {
    fn restart()(
        (target, id, request_id) in (invocation_id(), invocation_id(), request_id()),
        (from, pin) in (any::<u32>(), option::of(pin())),
    ) -> Restart {
        Restart { target, id, request_id, from, pin }
    }
}

/// Any message.
pub fn message() -> impl Strategy<Value = Message> {
    let attach = (invocation_id(), life(), completion_id(), any::<bool>());
    let complete = (life(), completion_id(), notification_result());
    prop_oneof![
        invoke().prop_map(|invoke| Message::Invoke(Box::new(invoke))),
        attach.prop_map(|(target, caller, completion, waits)| {
            Message::Attach(Attach { target, caller, completion, waits })
        }),
        complete.prop_map(|(to, completion, result)| {
            Message::Complete(Box::new(Complete { to, completion, result }))
        }),
        signal().prop_map(|signal| Message::Signal(Box::new(signal))),
        order().prop_map(Message::Order),
        restart().prop_map(|restart| Message::Restart(Box::new(restart))),
        (invocation_id(), pin())
            .prop_map(|(target, pin)| Message::ResumeOn(Box::new(ResumeOn { target, pin }))),
    ]
}

prop_compose! {
    /// Any message of a known level, with its envelope.
    pub fn envelope()(
        (metadata, source, message) in (long(), source(), message())
    ) -> Envelope {
        Envelope {
            level: codec::LEVEL_MAX,
            metadata: MetadataOffset(metadata),
            source,
            message,
        }
    }
}
