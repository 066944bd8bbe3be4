//! The promises of workflows: who has any, and how they are told.

use everlog_log_schema::limits::PROMISE_NAME_BYTES_MAX;
use everlog_log_schema::{Effect, Entry, HandlerKind, PromiseResult, identity};
use expect_test::expect;

use super::script::{check, check_kind, check_start, input, message, start};
use crate::invoker::machine::Machine;
use crate::invoker::{AttemptEventKind, AttemptStart};

#[test]
fn promises_are_awaited_looked_at_and_completed() {
    check_kind(
        HandlerKind::Workflow,
        "promise 1 paid + look 2 paid + fulfil 3 paid yes + fulfil 4 sent failure
         got 2 look
         got 3 fulfilled
         got 4 fulfilled failure
         got 1 promise yes",
        &expect![[r#"
            start
            promise 1 paid + look 2 paid + fulfil 3 paid yes + fulfil 4 sent failure
              = from command 1
                command 0x0409 of 17 bytes, GetPromise { completion: CompletionId(1), name: "paid" }
                command 0x040a of 17 bytes, PeekPromise { completion: CompletionId(2), name: "paid" }
                command 0x040b of 24 bytes, CompletePromise { completion: CompletionId(3), name: "paid", settled: Value(Span { start: 10, bytes: 3 }) }
                command 0x040b of 46 bytes, CompletePromise { completion: CompletionId(4), name: "sent", settled: Failure(Failure { code: 409, message: "no", metadata: [Header { key: "reason", value: "sold out" }] }) }
            got 2 look
              < 0x800a CompletionId(2) Void(Void)
            got 3 fulfilled
              < 0x800b CompletionId(3) Void(Void)
            got 4 fulfilled failure
              < 0x800b CompletionId(4) Failure(Failure { code: 409, message: "no", metadata: [FailureMetadata { key: "reason", value: "sold out" }] })
            got 1 promise yes
              < 0x8009 CompletionId(1) Value(Value { content: b"yes" })
        "#]],
    );
    check_kind(
        HandlerKind::WorkflowShared,
        "promise 1 paid + look 2 paid + fulfil 3 paid yes",
        &expect![[r#"
            start
            promise 1 paid + look 2 paid + fulfil 3 paid yes
              = from command 1
                command 0x0409 of 17 bytes, GetPromise { completion: CompletionId(1), name: "paid" }
                command 0x040a of 17 bytes, PeekPromise { completion: CompletionId(2), name: "paid" }
                command 0x040b of 24 bytes, CompletePromise { completion: CompletionId(3), name: "paid", settled: Value(Span { start: 10, bytes: 3 }) }
        "#]],
    );
}

#[test]
fn a_promise_that_is_known_is_replayed() {
    let start = AttemptStart { kind: HandlerKind::Workflow, ..start(6, vec![input("in")]) };
    check_start(
        start,
        "known promise 1 paid
         known got 1 promise failure
         start",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 3, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
              < command 0x0409 of 17 bytes
              < 0x8009 CompletionId(1) Failure(Failure { code: 409, message: "no", metadata: [FailureMetadata { key: "reason", value: "sold out" }] })
        "#]],
    );
}

#[test]
fn only_workflows_have_promises() {
    for words in ["promise 1 paid", "look 1 paid", "fulfil 1 paid yes"] {
        for kind in [HandlerKind::Plain, HandlerKind::Exclusive, HandlerKind::Shared] {
            let error = refused(kind, words);
            assert!(error.starts_with("[RT0017]"), "{error}");
            assert!(error.ends_with("only the handlers of a workflow have promises"), "{error}");
        }
    }
}

#[test]
fn a_completion_of_a_promise_is_whole() {
    check_kind(
        HandlerKind::Workflow,
        "fulfil 1 paid",
        &expect![[r#"
        start
        fulfil 1 paid
          = failed 571: [RT0012] the function broke the service protocol: its CompletePromise (0x040b) at command 1 has no completion
    "#]],
    );
    check_kind(
        HandlerKind::Workflow,
        "promise 0 paid",
        &expect![[r#"
        start
        promise 0 paid
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
}

#[test]
fn the_name_of_a_promise_has_its_limit_and_not_one_byte_more() {
    let longest = "p".repeat(PROMISE_NAME_BYTES_MAX);
    let (_, effect) = said(HandlerKind::Workflow, &format!("promise 1 {longest}"));
    assert!(matches!(effect, Effect::GetPromise { name, .. } if name == longest));
    for words in [format!("promise 1 {longest}p"), format!("fulfil 1 {longest}p yes")] {
        let error = refused(HandlerKind::Workflow, &words);
        assert!(error.contains("exceeds the limit of 1024 bytes"), "{error}");
    }
}

#[test]
fn a_value_is_kept_where_it_stands_in_the_command() {
    let (bytes, effect) = said(HandlerKind::WorkflowShared, "fulfil 1 paid yes");
    let Effect::CompletePromise { settled: PromiseResult::Value(value), .. } = effect else {
        panic!("{effect:?}")
    };
    assert_eq!(value.slice(&bytes).unwrap(), "yes");
}

#[test]
fn the_run_of_a_workflow_reads_and_writes_state_and_the_others_read_it() {
    said(HandlerKind::Workflow, "set cart milk");
    said(HandlerKind::Workflow, "get-lazy 1 cart");
    said(HandlerKind::WorkflowShared, "get-lazy 1 cart");
    let error = refused(HandlerKind::WorkflowShared, "set cart milk");
    assert!(error.ends_with("a shared handler may only read state"), "{error}");
}

#[test]
fn a_call_of_a_run_has_the_id_of_its_key() {
    let (_, effect) = said(HandlerKind::Plain, "call 1 2 Order/o7/run pear");
    let Effect::Call(call) = effect else { panic!("{effect:?}") };
    assert_eq!(call.callee, identity::of_workflow("Order", "o7"));
    assert_eq!(call.retention.0, 86_400_000, "as long as its workflow says");
    let (_, effect) = said(HandlerKind::Plain, "call 1 2 Order/o7/pay now");
    let Effect::Call(call) = effect else { panic!("{effect:?}") };
    assert_ne!(call.callee, identity::of_workflow("Order", "o7"));
    check(
        "call 1 2 Order/o7/run pear key=k1",
        &expect![[r#"
        start
        call 1 2 Order/o7/run pear key=k1
          = failed 400 at command 1 "order": [RT0017] the function's Call (0x040d) at command 1 is refused: the run of a workflow is the same call by its key, and takes no idempotency key
    "#]],
    );
}

fn machine(kind: HandlerKind) -> Machine {
    Machine::new(AttemptStart { kind, ..start(6, vec![input("in")]) })
}

/// What a command amounts to.
fn said(kind: HandlerKind, words: &str) -> (bytes::Bytes, Effect) {
    let mut machine = machine(kind);
    machine.receive(&message(words));
    match machine.take_events().pop() {
        Some(AttemptEventKind::Entries { mut entries, .. }) => match entries.pop() {
            Some(Entry::Command { bytes, effect, .. }) => (bytes, effect),
            other => panic!("{words} amounts to {other:?}"),
        },
        other => panic!("{words} amounts to {other:?}"),
    }
}

/// Why a command is refused.
fn refused(kind: HandlerKind, words: &str) -> String {
    let mut machine = machine(kind);
    machine.receive(&message(words));
    match machine.take_events().pop() {
        Some(AttemptEventKind::Failed { error, .. }) => error.message,
        other => panic!("{words} amounts to {other:?}"),
    }
}
