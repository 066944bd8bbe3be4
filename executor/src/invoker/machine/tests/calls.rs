//! Calls: whom they reach, under which id, and what is refused.

use std::sync::Arc;

use everlog_log_schema::limits::{HEADERS_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    Call, Effect, Entry, Incarnation, InvocationId, Life, PartitionKey, Target, identity,
};
use expect_test::expect;
use prost::Message as _;
use tokio::sync::watch;

use super::script::{check, check_start, frame, input, message, metadata, start};
use crate::invoker::machine::Machine;
use crate::invoker::messages::pb;
use crate::invoker::{AttemptEventKind, AttemptStart};

/// Sends one message in an attempt and takes what it amounts to.
fn send(start: AttemptStart, message: &[u8]) -> AttemptEventKind {
    let mut machine = Machine::new(start);
    machine.receive(message);
    machine.take_events().pop().unwrap()
}

fn calls_of(event: AttemptEventKind) -> Vec<Call> {
    let AttemptEventKind::Entries { entries, .. } = event else { panic!("{event:?}") };
    let calls = entries.into_iter().filter_map(|entry| {
        let Entry::Command { effect: Effect::Call(call), .. } = entry else { return None };
        Some(*call)
    });
    calls.collect()
}

fn refusal_of(event: AttemptEventKind) -> String {
    let AttemptEventKind::Failed { error, .. } = event else { panic!("{event:?}") };
    format!("{} {}", error.code, error.message)
}

#[test]
fn a_call_is_told_the_callees_id_and_its_outcome() {
    check(
        "call 1 2 Cart/ann/add milk a:b
         got 1 id
         got 2 call full
         output done + end",
        &expect![[r#"
            start
            call 1 2 Cart/ann/add milk a:b
              = from command 1
                command 0x040d of 41 bytes, call of Exclusive Cart/ann/add as inv_16CBBFr5IfRw4Yo0Otk5yZTPuuVwEcgXdr, id 1, outcome 2, a: b, kept 3600000 ms, tries Some(7), metadata 6, of b"milk"
            got 1 id
              < 0x800e CompletionId(1) InvocationId("inv_100000000009000000000000000000000C")
            got 2 call full
              < 0x800d CompletionId(2) Value(Value { content: b"full" })
            output done + end
              = from command 2
                output "out" Success(b"done")
              = ended
        "#]],
    );
}

#[test]
fn a_call_may_fail_for_good() {
    check(
        "call 1 2 Greeter/greet ada
         got 1 id
         got 2 call failure",
        &expect![[r#"
            start
            call 1 2 Greeter/greet ada
              = from command 1
                command 0x040d of 32 bytes, call of Plain Greeter/greet as inv_18GjfRIIl3kX4Yo0Otk5yZTPuuVwEcgXdr, id 1, outcome 2, kept 600000 ms, tries None, metadata 6, of b"ada"
            got 1 id
              < 0x800e CompletionId(1) InvocationId("inv_100000000009000000000000000000000C")
            got 2 call failure
              < 0x800d CompletionId(2) Failure(Failure { code: 409, message: "no", metadata: [FailureMetadata { key: "reason", value: "sold out" }] })
        "#]],
    );
}

#[test]
fn a_one_way_call_is_told_the_callees_id_alone() {
    check(
        "one-way 1 Greeter/greet ada + one-way 2 Cart/ann/add milk at=5000
         got 1 id
         got 2 id",
        &expect![[r#"
            start
            one-way 1 Greeter/greet ada + one-way 2 Cart/ann/add milk at=5000
              = from command 1
                command 0x040e of 30 bytes, call of Plain Greeter/greet as inv_18GjfRIIl3kX4Yo0Otk5yZTPuuVwEcgXdr, id 1, kept 600000 ms, tries None, metadata 6, of b"ada"
                command 0x040e of 34 bytes, call of Exclusive Cart/ann/add as inv_16CBBFr5IfRw0QqJy2L9O35R2rHnvqG4LJ, id 2, at 5000, kept 3600000 ms, tries Some(7), metadata 6, of b"milk"
            got 1 id
              < 0x800e CompletionId(1) InvocationId("inv_100000000009000000000000000000000C")
            got 2 id
              < 0x800e CompletionId(2) InvocationId("inv_100000000009000000000000000000000C")
        "#]],
    );
}

#[test]
fn a_call_with_an_idempotency_key_has_the_id_of_that_key() {
    check(
        "call 1 2 Greeter/greet ada key=k1 + one-way 3 Greeter/greet bob key=k1",
        &expect![[r#"
        start
        call 1 2 Greeter/greet ada key=k1 + one-way 3 Greeter/greet bob key=k1
          = from command 1
            command 0x040d of 36 bytes, call of Plain Greeter/greet as inv_1B8JjTfqzfXh5vFdBYi0o9zIbZYV5BkLJn, id 1, outcome 2, idempotency key "k1", kept 86400000 ms, tries None, metadata 6, of b"ada"
            command 0x040e of 34 bytes, call of Plain Greeter/greet as inv_1B8JjTfqzfXh5vFdBYi0o9zIbZYV5BkLJn, id 3, idempotency key "k1", kept 86400000 ms, tries None, metadata 6, of b"bob"
    "#]],
    );
    let start = start(6, vec![input("in")]);
    let [call] = &calls_of(send(start, &message("call 1 2 Cart/ann/add milk key=k1")))[..] else {
        panic!("one call")
    };
    let target = Target {
        service: "Cart".to_owned(),
        key: Some("ann".to_owned()),
        handler: "add".to_owned(),
    };
    assert_eq!(call.callee, identity::of_scoped_key(&target, None, "k1"));
}

#[test]
fn each_call_has_an_id_that_follows_from_its_place() {
    let both = [message("call 1 2 Greeter/greet ada"), message("call 3 4 Greeter/greet ada")];
    let calls = calls_of(send(start(6, vec![input("in")]), &both.concat()));
    let invocation = InvocationId { partition_key: PartitionKey(7), uuid: 11 };
    let life = Life { invocation, incarnation: Incarnation(3) };
    for (call, command) in calls.iter().zip(1..) {
        assert_eq!(call.callee, identity::child_id(life, command, &call.target, None, None));
        assert_eq!(call.request_id, identity::child_request(life, command));
    }
    assert_eq!(calls.len(), 2);
    let mut later = start(6, vec![input("in")]);
    later.attempt.incarnation = Incarnation(4);
    let again = calls_of(send(later, &both.concat()));
    assert_ne!(again[0].callee, calls[0].callee, "another life has other children");
    let mut retried = start(6, vec![input("in")]);
    retried.attempt.counter = 1;
    assert_eq!(calls_of(send(retried, &both.concat())), calls, "another attempt has not");
}

#[test]
fn a_callee_goes_on_with_the_trace() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let traced = AttemptStart { traceparent: Some(traceparent), ..start(6, vec![input("in")]) };
    check_start(
        traced,
        "call 1 2 Greeter/greet ada",
        &expect![[r#"
            start
            call 1 2 Greeter/greet ada
              = from command 1
                command 0x040d of 32 bytes, call of Plain Greeter/greet as inv_18GjfRIIl3kX4Yo0Otk5yZTPuuVwEcgXdr, id 1, outcome 2, trace 00-0af7651916cd43dd8448eb211c80319c-b4f84940f73e277a-01, kept 600000 ms, tries None, metadata 6, of b"ada"
        "#]],
    );
    let traceparent = Some("nonsense".to_owned());
    let traced = AttemptStart { traceparent, ..start(6, vec![input("in")]) };
    let calls = calls_of(send(traced, &message("call 1 2 Greeter/greet ada")));
    assert_eq!(calls[0].traceparent, None);
}

#[test]
fn a_time_beyond_all_time_becomes_the_latest() {
    let at = |millis: u64| {
        let words = format!("one-way 1 Greeter/greet ada at={millis}");
        calls_of(send(start(6, vec![input("in")]), &message(&words)))[0].start_at
    };
    assert_eq!(at(0), None);
    assert_eq!(at(1).unwrap().0, 1);
    assert_eq!(at(u64::MAX).unwrap().0, i64::MAX.unsigned_abs());
}

#[test]
fn a_call_of_what_is_not_registered_reaches_nobody() {
    check(
        "run 1 + call 2 3 Nobody/greet ada",
        &expect![[r#"
        start
        run 1 + call 2 3 Nobody/greet ada
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 404 at command 2 "order": [RT0018] the function's Call (0x040d) at command 2 reaches nobody: service "Nobody" is not registered
    "#]],
    );
    check(
        "one-way 1 Greeter/shout ada",
        &expect![[r#"
        start
        one-way 1 Greeter/shout ada
          = failed 404 at command 1 "order": [RT0018] the function's OneWayCall (0x040e) at command 1 reaches nobody: service "Greeter" has no handler "shout"
    "#]],
    );
}

#[test]
fn a_call_reaches_what_is_registered_when_it_comes() {
    let (register, receiver) = watch::channel(Arc::new(Metadata::default()));
    let late = AttemptStart { metadata: receiver, ..start(6, vec![input("in")]) };
    let call = message("call 1 2 Greeter/greet ada");
    assert!(refusal_of(send(late.clone(), &call)).contains("[RT0018]"));
    let mut machine = Machine::new(late);
    register.send_replace(metadata().borrow().clone());
    machine.receive(&call);
    assert_eq!(calls_of(machine.take_events().pop().unwrap())[0].target.service, "Greeter");
}

#[test]
fn a_key_is_given_where_the_service_has_keys() {
    check(
        "call 1 2 Cart//add milk",
        &expect![[r#"
        start
        call 1 2 Cart//add milk
          = failed 400 at command 1 "order": [RT0017] the function's Call (0x040d) at command 1 is refused: service "Cart" has keys, and none is given
    "#]],
    );
    check(
        "one-way 1 Greeter/ann/greet ada",
        &expect![[r#"
        start
        one-way 1 Greeter/ann/greet ada
          = failed 400 at command 1 "order": [RT0017] the function's OneWayCall (0x040e) at command 1 is refused: service "Greeter" has no keys, and a key is given
    "#]],
    );
}

#[test]
fn an_idempotency_key_is_not_empty() {
    check(
        "call 1 2 Greeter/greet ada key=",
        &expect![[r#"
        start
        call 1 2 Greeter/greet ada key=
          = failed 400 at command 1 "order": [RT0017] the function's Call (0x040d) at command 1 is refused: its idempotency key is empty
    "#]],
    );
    check(
        "one-way 1 Greeter/greet ada key=",
        &expect![[r#"
        start
        one-way 1 Greeter/greet ada key=
          = failed 400 at command 1 "order": [RT0017] the function's OneWayCall (0x040e) at command 1 is refused: its idempotency key is empty
    "#]],
    );
}

#[test]
fn the_completions_of_a_call_are_two() {
    check(
        "call 1 1 Greeter/greet ada",
        &expect![[r#"
        start
        call 1 1 Greeter/greet ada
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
    check(
        "call 0 1 Greeter/greet ada",
        &expect![[r#"
        start
        call 0 1 Greeter/greet ada
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
    check(
        "call 1 0 Greeter/greet ada",
        &expect![[r#"
        start
        call 1 0 Greeter/greet ada
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
    check(
        "run 2 + call 1 2 Greeter/greet ada",
        &expect![[r#"
        start
        run 2 + call 1 2 Greeter/greet ada
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(2) }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 2 twice
    "#]],
    );
    check(
        "run 1 + one-way 1 Greeter/greet ada",
        &expect![[r#"
        start
        run 1 + one-way 1 Greeter/greet ada
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
}

#[test]
fn a_call_after_the_output() {
    check(
        "output done + call 1 2 Greeter/greet ada",
        &expect![[r#"
        start
        output done + call 1 2 Greeter/greet ada
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x040d after its output
    "#]],
    );
}

#[test]
fn a_call_of_an_earlier_attempt_is_told_again_as_it_was() {
    check(
        "known call 1 2 Greeter/greet ada
         known got 1 id
         start
         got 2 call hello
         again got 2 call hello",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 3, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
              < command 0x040d of 32 bytes
              < 0x800e CompletionId(1) InvocationId("inv_100000000009000000000000000000000C")
            got 2 call hello
              < 0x800d CompletionId(2) Value(Value { content: b"hello" })
            again got 2 call hello
        "#]],
    );
}

#[test]
fn an_outcome_comes_as_that_of_a_call() {
    check(
        "call 1 2 Greeter/greet ada
         got 1 call hello",
        &expect![[r#"
            start
            call 1 2 Greeter/greet ada
              = from command 1
                command 0x040d of 32 bytes, call of Plain Greeter/greet as inv_18GjfRIIl3kX4Yo0Otk5yZTPuuVwEcgXdr, id 1, outcome 2, kept 600000 ms, tries None, metadata 6, of b"ada"
            got 1 call hello
              = failed 500: [RT0006] the invoker was told something it cannot pass on: completion 1 came as 0x800d instead of 0x800e
        "#]],
    );
}

#[test]
fn the_parts_of_a_call_have_limits() {
    let call = || pb::CallCommandMessage {
        service_name: "Cart".to_owned(),
        handler_name: "add".to_owned(),
        key: "ann".to_owned(),
        invocation_id_notification_idx: 1,
        result_completion_id: 2,
        ..pb::CallCommandMessage::default()
    };
    let send = |call: &pb::CallCommandMessage| {
        send(start(6, vec![input("in")]), &frame(0x040D, 0, &call.encode_to_vec()))
    };
    let header = |bytes: usize| pb::Header { key: "h".to_owned(), value: "v".repeat(bytes - 1) };
    let key = |bytes| "k".repeat(bytes);
    for at_limit in [
        pb::CallCommandMessage { key: key(KEY_BYTES_MAX), ..call() },
        pb::CallCommandMessage { idempotency_key: Some(key(KEY_BYTES_MAX)), ..call() },
        pb::CallCommandMessage { headers: vec![header(HEADERS_BYTES_MAX)], ..call() },
        pb::CallCommandMessage { headers: vec![header(1); HEADERS_MAX], ..call() },
    ] {
        assert_eq!(calls_of(send(&at_limit)).len(), 1);
    }
    for (above, reason) in [
        (
            pb::CallCommandMessage { key: key(KEY_BYTES_MAX + 1), ..call() },
            "its object key of 4097 bytes exceeds the limit of 4096 bytes",
        ),
        (
            pb::CallCommandMessage { idempotency_key: Some(key(KEY_BYTES_MAX + 1)), ..call() },
            "its idempotency key of 4097 bytes exceeds the limit of 4096 bytes",
        ),
        (
            pb::CallCommandMessage { headers: vec![header(HEADERS_BYTES_MAX + 1)], ..call() },
            "its set of headers of 65537 bytes exceeds the limit of 65536 bytes",
        ),
        (
            pb::CallCommandMessage { headers: vec![header(1); HEADERS_MAX + 1], ..call() },
            "4097 headers exceed the limit of 4096",
        ),
    ] {
        let refusal = refusal_of(send(&above));
        assert!(refusal.starts_with("400 [RT0017] "), "{refusal}");
        assert!(refusal.ends_with(reason), "{refusal}");
    }
    // A name that long is never registered.
    let service_name = "s".repeat(NAME_BYTES_MAX + 1);
    let unknown = send(&pb::CallCommandMessage { service_name, ..call() });
    assert!(refusal_of(unknown).starts_with("404 [RT0018] "));
}
