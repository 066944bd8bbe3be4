//! Any journal entry.

use super::*;

fn failure() -> impl Strategy<Value = Failure> {
    (any::<u32>(), text(), headers()).prop_map(|(code, message, metadata)| Failure {
        code,
        message,
        metadata,
    })
}

/// Any outcome.
pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![bytes().prop_map(Outcome::Success), failure().prop_map(Outcome::Failure)]
}

/// Any signal.
pub(super) fn signal_id() -> impl Strategy<Value = SignalId> {
    prop_oneof![any::<u32>().prop_map(SignalId::Index), text().prop_map(SignalId::Name)]
}

fn span() -> impl Strategy<Value = Span> {
    any::<(u32, u32)>().prop_map(|(start, bytes)| Span { start, bytes })
}

prop_compose! {
    fn call()(
        (id_completion, completion, callee, request_id) in
            (completion_id(), option::of(completion_id()), invocation_id(), request_id()),
        (target, kind, headers, parameter) in (target(), handler_kind(), headers(), span()),
        (idempotency_key, scope, limit_key, start_at) in
            (option::of(text()), option::of(text()), option::of(text()), option::of(millis())),
        (retention, journal_retention, state_ttl) in
            (millis(), option::of(millis()), option::of(millis())),
        (retry, traceparent, metadata) in (retry_policy(), option::of(text()), long()),
    ) -> Call {
        Call {
            id_completion, completion, callee, request_id, target, kind, headers, parameter,
            idempotency_key, scope, limit_key, start_at, retention, journal_retention, state_ttl,
            retry, traceparent,
            metadata: MetadataOffset(metadata),
        }
    }
}

fn effect_on_state() -> impl Strategy<Value = Effect> {
    prop_oneof![
        (completion_id(), bytes())
            .prop_map(|(completion, key)| Effect::GetState { completion, key }),
        completion_id().prop_map(|completion| Effect::GetStateKeys { completion }),
        (bytes(), span()).prop_map(|(key, value)| Effect::SetState { key, value }),
        bytes().prop_map(|key| Effect::ClearState { key }),
        Just(Effect::ClearAllState),
    ]
}

fn effect_on_others() -> impl Strategy<Value = Effect> {
    let result = prop_oneof![
        Just(SignalResult::Void),
        span().prop_map(SignalResult::Value),
        failure().prop_map(SignalResult::Failure),
    ];
    let signal = (invocation_id(), option::of(incarnation()), signal_id(), result);
    let question = || (completion_id(), invocation_id());
    prop_oneof![
        call().prop_map(|call| Effect::Call(Box::new(call))),
        signal.prop_map(|(target, incarnation, signal, result)| Effect::SendSignal {
            target,
            incarnation,
            signal,
            result
        }),
        question().prop_map(|(completion, target)| Effect::Attach { completion, target }),
        question().prop_map(|(completion, target)| Effect::GetOutput { completion, target }),
    ]
}

fn effect_on_promises() -> impl Strategy<Value = Effect> {
    let settled = prop_oneof![
        span().prop_map(PromiseResult::Value),
        failure().prop_map(PromiseResult::Failure),
    ];
    let question = || (completion_id(), text());
    prop_oneof![
        question().prop_map(|(completion, name)| Effect::GetPromise { completion, name }),
        question().prop_map(|(completion, name)| Effect::PeekPromise { completion, name }),
        (question(), settled).prop_map(|((completion, name), settled)| {
            Effect::CompletePromise { completion, name, settled }
        }),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::None),
        completion_id().prop_map(|completion| Effect::Run { completion }),
        (completion_id(), millis())
            .prop_map(|(completion, wake_at)| Effect::Sleep { completion, wake_at }),
        effect_on_state(),
        effect_on_others(),
        effect_on_promises(),
    ]
}

/// Any result.
pub(super) fn notification_result() -> impl Strategy<Value = NotificationResult> {
    prop_oneof![
        Just(NotificationResult::Void),
        bytes().prop_map(NotificationResult::Value),
        failure().prop_map(NotificationResult::Failure),
        invocation_id().prop_map(NotificationResult::InvocationId),
        vec(bytes(), 0..4).prop_map(NotificationResult::StateKeys),
    ]
}

/// Any journal entry.
pub fn entry() -> impl Strategy<Value = Entry> {
    let id = prop_oneof![
        (completion_id(), any::<u16>())
            .prop_map(|(id, kind)| NotificationId::Completion { id, kind }),
        signal_id().prop_map(NotificationId::Signal),
    ];
    prop_oneof![
        (headers(), bytes()).prop_map(|(headers, body)| Entry::Input { headers, body }),
        (any::<u16>(), bytes(), effect()).prop_map(|(kind, bytes, effect)| Entry::Command {
            kind,
            bytes,
            effect
        }),
        (text(), outcome()).prop_map(|(name, outcome)| Entry::Output { name, outcome }),
        (id, notification_result()).prop_map(|(id, result)| Entry::Notification { id, result }),
    ]
}
