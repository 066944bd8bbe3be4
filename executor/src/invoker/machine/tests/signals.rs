//! Signals, sent and received, awakeables, and questions for an outcome.

use everlog_log_schema::limits::{HEADERS_MAX, SIGNAL_NAME_BYTES_MAX};
use everlog_log_schema::{AwakeableId, Effect, Entry, Incarnation, Life, Target, identity};
use expect_test::expect;
use prost::Message as _;

use super::script::{OTHER, check, check_version, frame, input, message, notification, start};
use crate::invoker::machine::Machine;
use crate::invoker::messages::pb;
use crate::invoker::{AttemptEventKind, Notice};

fn send(message: &[u8]) -> AttemptEventKind {
    let mut machine = Machine::new(start(6, vec![input("in")]));
    machine.receive(message);
    machine.take_events().pop().unwrap()
}

fn effect_of(words: &str) -> Effect {
    let event = send(&message(words));
    let AttemptEventKind::Entries { mut entries, .. } = event else { panic!("{event:?}") };
    let Some(Entry::Command { effect, .. }) = entries.pop() else { panic!("{words}") };
    effect
}

fn refusal_of(event: AttemptEventKind) -> String {
    let AttemptEventKind::Failed { error, .. } = event else { panic!("{event:?}") };
    format!("{} {}", error.code, error.message)
}

#[test]
fn a_signal_is_sent_by_number_or_name() {
    check(
        "signal other #17 yes + signal other approved void + signal other #18 failure",
        &expect![[r#"
            start
            signal other #17 yes + signal other approved void + signal other #18 failure
              = from command 1
                command 0x0410 of 54 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: None, signal: Index(17), result: Value(Span { start: 46, bytes: 3 }) }
                command 0x0410 of 57 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: None, signal: Name("approved"), result: Void }
                command 0x0410 of 76 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: None, signal: Index(18), result: Failure(Failure { code: 409, message: "no", metadata: [Header { key: "reason", value: "sold out" }] }) }
        "#]],
    );
}

#[test]
fn a_function_may_cancel_another() {
    check(
        "signal other #1 void",
        &expect![[r#"
        start
        signal other #1 void
          = from command 1
            command 0x0410 of 49 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: None, signal: Index(1), result: Void }
    "#]],
    );
}

#[test]
fn reserved_signals_are_refused() {
    for signal in [0, 2, 15] {
        let refusal = refusal_of(send(&message(&format!("signal other #{signal} void"))));
        let reason = format!("is refused: signal {signal} is reserved");
        assert!(refusal.starts_with("400 [RT0017] "), "{refusal}");
        assert!(refusal.ends_with(&reason), "{refusal}");
    }
    for signal in [1, 16, 17, u32::MAX] {
        effect_of(&format!("signal other #{signal} void"));
    }
}

#[test]
fn a_signal_goes_to_an_invocation() {
    check(
        "signal inv_1abc #17 void",
        &expect![[r#"
        start
        signal inv_1abc #17 void
          = failed 400 at command 1 "ask": [RT0017] the function's SendSignal (0x0410) at command 1 is refused: "inv_1abc" names no invocation: an invocation id has 38 characters, not 8
    "#]],
    );
}

#[test]
fn a_signal_is_whole() {
    check(
        "signal other #17",
        &expect![[r#"
        start
        signal other #17
          = failed 571: [RT0012] the function broke the service protocol: its SendSignal (0x0410) at command 1 has no result
    "#]],
    );
    check(
        "signal other - void",
        &expect![[r#"
        start
        signal other - void
          = failed 571: [RT0012] the function broke the service protocol: its SendSignal (0x0410) at command 1 has no signal
    "#]],
    );
}

#[test]
fn a_signal_after_the_output() {
    check(
        "output done + signal other #17 void",
        &expect![[r#"
        start
        output done + signal other #17 void
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0410 after its output
    "#]],
    );
}

#[test]
fn the_parts_of_a_signal_have_limits() {
    let name = "n".repeat(SIGNAL_NAME_BYTES_MAX);
    effect_of(&format!("signal other {name} void"));
    let refusal = refusal_of(send(&message(&format!("signal other {name}n void"))));
    let reason = "its signal name of 257 bytes exceeds the limit of 256 bytes";
    assert!(refusal.ends_with(reason), "{refusal}");
    let fails_with = |text: usize, metadata: usize| {
        use pb::complete_awakeable_command_message::Result;
        let value = pb::FailureMetadata { key: "k".to_owned(), value: String::new() };
        let failure =
            pb::Failure { code: 500, message: "m".repeat(text), metadata: vec![value; metadata] };
        let message = pb::CompleteAwakeableCommandMessage {
            awakeable_id: awakeable(17).to_string(),
            result: Some(Result::Failure(failure)),
            name: String::new(),
        };
        send(&frame(0x0414, 0, &message.encode_to_vec()))
    };
    assert!(matches!(fails_with((64 << 10) - 1, 1), AttemptEventKind::Entries { .. }));
    assert!(matches!(fails_with(0, HEADERS_MAX), AttemptEventKind::Entries { .. }));
    let refusal = refusal_of(fails_with(64 << 10, 1));
    let reason = "a failure of 65537 bytes exceeds the limit of 65536 bytes";
    assert!(refusal.ends_with(reason), "{refusal}");
    let refusal = refusal_of(fails_with(0, HEADERS_MAX + 1));
    assert!(refusal.ends_with("4097 metadata values exceed the limit of 4096"), "{refusal}");
}

fn awakeable(signal: u32) -> AwakeableId {
    AwakeableId { life: Life { invocation: OTHER, incarnation: Incarnation(33) }, signal }
}

#[test]
fn an_awakeable_is_completed_for_the_life_that_made_it() {
    let id = awakeable(17);
    let effect = effect_of(&format!("awakeable {id} yes"));
    let Effect::SendSignal { target, incarnation, .. } = effect else { panic!("{effect:?}") };
    assert_eq!((target, incarnation), (OTHER, Some(Incarnation(33))));
    check(
        "awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAR yes
         awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAS failure",
        &expect![[r#"
            start
            awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAR yes
              = from command 1
                command 0x0414 of 68 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: Some(Incarnation(33)), signal: Index(17), result: Value(Span { start: 60, bytes: 3 }) }
            awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAS failure
              = from command 2
                command 0x0414 of 90 bytes, SendSignal { target: InvocationId { partition_key: PartitionKey(9), uuid: 12 }, incarnation: Some(Incarnation(33)), signal: Index(18), result: Failure(Failure { code: 409, message: "no", metadata: [Header { key: "reason", value: "sold out" }] }) }
        "#]],
    );
}

#[test]
fn what_names_no_awakeable_is_refused() {
    check(
        "awakeable prom_1abc yes",
        &expect![[r#"
        start
        awakeable prom_1abc yes
          = failed 400 at command 1 "ask": [RT0017] the function's CompleteAwakeable (0x0414) at command 1 is refused: "prom_1abc" names no awakeable: an awakeable id begins with "sign_1"
    "#]],
    );
    check(
        &format!("awakeable {OTHER} yes"),
        &expect![[r#"
        start
        awakeable inv_100000000009000000000000000000000C yes
          = failed 400 at command 1 "ask": [RT0017] the function's CompleteAwakeable (0x0414) at command 1 is refused: "inv_100000000009000000000000000000000C" names no awakeable: an awakeable id begins with "sign_1"
    "#]],
    );
    let cancels = awakeable(1);
    let refusal = refusal_of(send(&message(&format!("awakeable {cancels} yes"))));
    assert!(refusal.contains("[RT0017]"), "{refusal}");
    check(
        &format!("awakeable {}", awakeable(17)),
        &expect![[r#"
        start
        awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAR
          = failed 571: [RT0012] the function broke the service protocol: its CompleteAwakeable (0x0414) at command 1 has no result
    "#]],
    );
}

#[test]
fn signals_are_told_in_order_and_each_of_them() {
    check(
        "signaled #17 yes
         signaled approved
         signaled approved again
         signaled #18 failure
         again signaled #18 failure
         signaled #1",
        &expect![[r#"
            start
            signaled #17 yes
              < 0xfbff Idx(17) Value(Value { content: b"yes" })
            signaled approved
              < 0xfbff Name("approved") Void(Void)
            signaled approved again
              < 0xfbff Name("approved") Value(Value { content: b"again" })
            signaled #18 failure
              < 0xfbff Idx(18) Failure(Failure { code: 409, message: "no", metadata: [FailureMetadata { key: "reason", value: "sold out" }] })
            again signaled #18 failure
            signaled #1
              < 0xfbff Idx(1) Void(Void)
        "#]],
    );
}

#[test]
fn version_5_knows_no_metadata_of_failures() {
    check_version(
        5,
        "known call 1 2 Greeter/greet ada
         signaled #18 failure
         got 2 call failure",
        &expect![[r#"
            start
            signaled #18 failure
              < 0xfbff Idx(18) Failure(Failure { code: 409, message: "no", metadata: [] })
            got 2 call failure
              < 0x800d CompletionId(2) Failure(Failure { code: 409, message: "no", metadata: [] })
        "#]],
    );
}

#[test]
fn a_suspension_says_how_many_signals_were_told() {
    check(
        "known signaled #17 yes
         signaled #18 no
         silence
         signaled #19 late
         suspend #19 #1",
        &expect![[r#"
            start
            signaled #18 no
              < 0xfbff Idx(18) Value(Value { content: b"no" })
            silence
              < end of input
            signaled #19 late
              < end of input
            suspend #19 #1
              = suspended [] [19, 1] [] after 2 signals
        "#]],
    );
}

#[test]
fn a_function_that_suspends_unasked_may_not_have_heard_the_last_signals() {
    check(
        "known signaled #17 yes
         signaled #18 no
         suspend #18 #1",
        &expect![[r#"
            start
            signaled #18 no
              < 0xfbff Idx(18) Value(Value { content: b"no" })
            suspend #18 #1
              = suspended [] [18, 1] [] after 1 signals
        "#]],
    );
}

#[test]
fn what_the_journal_holds_is_not_told_twice() {
    let signal = notification("signaled #17 yes").unwrap();
    let mut machine = Machine::new(start(6, vec![input("in"), signal.clone()]));
    while machine.take_bytes().is_some() {}
    machine.notify(Notice { index: 1, entry: signal.clone() });
    assert!(!machine.has_bytes());
    machine.notify(Notice { index: 2, entry: signal });
    assert!(machine.has_bytes());
}

#[test]
fn an_outcome_is_asked_for_by_id() {
    check(
        "attach 1 other + peek 2 other
         got 1 attach done
         got 2 output",
        &expect![[r#"
            start
            attach 1 other + peek 2 other
              = from command 1
                command 0x0412 of 47 bytes, Attach { completion: CompletionId(1), target: InvocationId { partition_key: PartitionKey(9), uuid: 12 } }
                command 0x0413 of 47 bytes, GetOutput { completion: CompletionId(2), target: InvocationId { partition_key: PartitionKey(9), uuid: 12 } }
            got 1 attach done
              < 0x8012 CompletionId(1) Value(Value { content: b"done" })
            got 2 output
              < 0x8013 CompletionId(2) Void(Void)
        "#]],
    );
    check(
        "attach 1 dp_1",
        &expect![[r#"
        start
        attach 1 dp_1
          = failed 400 at command 1 "ask": [RT0017] the function's AttachInvocation (0x0412) at command 1 is refused: "dp_1" names no invocation: an invocation id begins with "inv_1"
    "#]],
    );
    check(
        "peek 1 inv_1abc",
        &expect![[r#"
        start
        peek 1 inv_1abc
          = failed 400 at command 1 "ask": [RT0017] the function's GetInvocationOutput (0x0413) at command 1 is refused: "inv_1abc" names no invocation: an invocation id has 38 characters, not 8
    "#]],
    );
}

#[test]
fn an_outcome_is_asked_for_by_idempotency_key() {
    let target = |service: &str, key: Option<&str>, handler: &str| Target {
        service: service.to_owned(),
        key: key.map(str::to_owned),
        handler: handler.to_owned(),
    };
    for (words, target) in [
        ("attach 1 Greeter/greet key=k1", target("Greeter", None, "greet")),
        ("attach 1 Greeter//greet key=k1", target("Greeter", None, "greet")),
        ("attach 1 Cart/ann/add key=k1", target("Cart", Some("ann"), "add")),
        ("attach 1 Nobody/knows key=k1", target("Nobody", None, "knows")),
    ] {
        let effect = effect_of(words);
        let Effect::Attach { target: found, .. } = effect else { panic!("{effect:?}") };
        assert_eq!(found, identity::of_scoped_key(&target, None, "k1"), "{words}");
        let words = words.replace("attach", "peek");
        assert!(matches!(effect_of(&words), Effect::GetOutput { target, .. } if target == found));
    }
    check(
        "peek 1 Greeter/greet key=",
        &expect![[r#"
        start
        peek 1 Greeter/greet key=
          = failed 400 at command 1 "ask": [RT0017] the function's GetInvocationOutput (0x0413) at command 1 is refused: its idempotency key is empty
    "#]],
    );
}

#[test]
fn an_outcome_is_asked_for_by_the_key_of_a_workflow() {
    let run = identity::of_workflow("Order", "o7");
    let attach = effect_of("attach 1 workflow Order o7");
    assert!(matches!(attach, Effect::Attach { target, .. } if target == run), "{attach:?}");
    let peek = effect_of("peek 1 workflow Order o7");
    assert!(matches!(peek, Effect::GetOutput { target, .. } if target == run), "{peek:?}");
}

#[test]
fn a_question_for_an_outcome_is_whole() {
    check(
        "attach 1",
        &expect![[r#"
        start
        attach 1
          = failed 571: [RT0012] the function broke the service protocol: its AttachInvocation (0x0412) at command 1 has no target
    "#]],
    );
    check(
        "attach 0 other",
        &expect![[r#"
        start
        attach 0 other
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
    check(
        "attach 1 other + peek 1 other",
        &expect![[r#"
        start
        attach 1 other + peek 1 other
          = from command 1
            command 0x0412 of 47 bytes, Attach { completion: CompletionId(1), target: InvocationId { partition_key: PartitionKey(9), uuid: 12 } }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
    check(
        "output done + attach 1 other",
        &expect![[r#"
        start
        output done + attach 1 other
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0412 after its output
    "#]],
    );
}
