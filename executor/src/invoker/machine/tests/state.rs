//! State: who may read and write it, and how it is told.

use everlog_log_schema::limits::STATE_KEY_BYTES_MAX;
use everlog_log_schema::{Effect, Entry, HandlerKind};
use expect_test::expect;

use super::script::{check, check_kind, check_start, input, message, start};
use crate::invoker::machine::Machine;
use crate::invoker::{AttemptEventKind, AttemptStart, EagerStateMap};

#[test]
fn an_attempt_begins_with_the_state_of_its_object() {
    let with = |partial| {
        let entries = vec![("cart".into(), "milk".into()), ("empty".into(), "".into())];
        let state = Some(EagerStateMap { entries, partial });
        AttemptStart { state, ..start(6, vec![input("in")]) }
    };
    check_start(
        with(false),
        "start",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 1, state_map: [StateEntry { key: b"cart", value: b"milk" }, StateEntry { key: b"empty", value: b"" }], partial_state: false, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
        "#]],
    );
    check_start(
        with(true),
        "start",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 1, state_map: [StateEntry { key: b"cart", value: b"milk" }, StateEntry { key: b"empty", value: b"" }], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
        "#]],
    );
}

#[test]
fn state_is_read_and_written() {
    check(
        "get-lazy 1 cart + set cart milk + clear cart + clear-all + get-lazy-keys 2
         got 1 state bread
         got 2 keys cart note",
        &expect![[r#"
            start
            get-lazy 1 cart + set cart milk + clear cart + clear-all + get-lazy-keys 2
              = from command 1
                command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
                command 0x0403 of 20 bytes, SetState { key: b"cart", value: Span { start: 10, bytes: 4 } }
                command 0x0404 of 12 bytes, ClearState { key: b"cart" }
                command 0x0405 of 6 bytes, ClearAllState
                command 0x0406 of 8 bytes, GetStateKeys { completion: CompletionId(2) }
            got 1 state bread
              < 0x8002 CompletionId(1) Value(Value { content: b"bread" })
            got 2 keys cart note
              < 0x8006 CompletionId(2) StateKeys(StateKeys { keys: [b"cart", b"note"] })
        "#]],
    );
}

#[test]
fn a_state_that_is_not_there_is_told_as_void() {
    check(
        "get-lazy 1 cart
         got 1 state",
        &expect![[r#"
            start
            get-lazy 1 cart
              = from command 1
                command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
            got 1 state
              < 0x8002 CompletionId(1) Void(Void)
        "#]],
    );
}

#[test]
fn what_was_read_at_once_is_recorded_as_read() {
    check(
        "get-eager cart + get-eager-keys + output done + end",
        &expect![[r#"
        start
        get-eager cart + get-eager-keys + output done + end
          = from command 1
            command 0x0407 of 20 bytes, None
            command 0x0408 of 6 bytes, None
            output "out" Success(b"done")
          = ended
    "#]],
    );
}

#[test]
fn a_value_is_kept_where_it_stands_in_the_command() {
    let mut machine = Machine::new(start(6, vec![input("in")]));
    machine.receive(&message("set cart milk"));
    machine.receive(&message("set note \u{e4}"));
    let Some(AttemptEventKind::Entries { entries, .. }) = machine.take_events().pop() else {
        panic!("the attempt has taken steps")
    };
    let values = entries.iter().map(|entry| {
        let Entry::Command { bytes, effect: Effect::SetState { key, value }, .. } = entry else {
            panic!("{entry:?}")
        };
        (key.clone(), value.slice(bytes).unwrap())
    });
    let expected = [("cart".into(), "milk".into()), ("note".into(), "\u{e4}".into())];
    assert_eq!(values.collect::<Vec<_>>(), expected);
}

#[test]
fn a_shared_handler_reads_and_does_not_write() {
    let shared = HandlerKind::Shared;
    check_kind(
        shared,
        "get-lazy 1 cart + get-lazy-keys 2 + get-eager cart + get-eager-keys",
        &expect![[r#"
            start
            get-lazy 1 cart + get-lazy-keys 2 + get-eager cart + get-eager-keys
              = from command 1
                command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
                command 0x0406 of 8 bytes, GetStateKeys { completion: CompletionId(2) }
                command 0x0407 of 20 bytes, None
                command 0x0408 of 6 bytes, None
        "#]],
    );
    check_kind(
        shared,
        "set cart milk",
        &expect![[r#"
        start
        set cart milk
          = failed 400 at command 1 "note": [RT0017] the function's SetState (0x0403) at command 1 is refused: a shared handler may only read state
    "#]],
    );
    check_kind(
        shared,
        "clear cart",
        &expect![[r#"
        start
        clear cart
          = failed 400 at command 1 "note": [RT0017] the function's ClearState (0x0404) at command 1 is refused: a shared handler may only read state
    "#]],
    );
    check_kind(
        shared,
        "clear-all",
        &expect![[r#"
        start
        clear-all
          = failed 400 at command 1 "note": [RT0017] the function's ClearAllState (0x0405) at command 1 is refused: a shared handler may only read state
    "#]],
    );
}

#[test]
fn a_service_without_keys_has_no_state() {
    for words in [
        "get-lazy 1 cart",
        "get-lazy-keys 1",
        "get-eager cart",
        "get-eager-keys",
        "set cart milk",
        "clear cart",
        "clear-all",
    ] {
        let plain = AttemptStart { kind: HandlerKind::Plain, ..start(6, vec![input("in")]) };
        let mut machine = Machine::new(plain);
        machine.receive(&message(words));
        let Some(AttemptEventKind::Failed { error, .. }) = machine.take_events().pop() else {
            panic!("{words} is refused")
        };
        assert_eq!((error.code, error.command_index), (400, Some(1)), "{words}");
        assert_eq!(error.command_name.as_deref(), Some("note"), "{words}");
        let reason = "at command 1 is refused: a service without keys has no state";
        assert!(error.message.starts_with("[RT0017] "), "{}", error.message);
        assert!(error.message.ends_with(reason), "{}", error.message);
    }
}

#[test]
fn a_state_key_has_a_limit() {
    let longest = "k".repeat(STATE_KEY_BYTES_MAX);
    for words in ["get-lazy 1 ", "get-eager ", "set ", "clear "] {
        let send = |key: &str| {
            let mut machine = Machine::new(start(6, vec![input("in")]));
            let value = if words == "set " { " milk" } else { "" };
            machine.receive(&message(&format!("{words}{key}{value}")));
            machine.take_events().pop()
        };
        let Some(AttemptEventKind::Entries { .. }) = send(&longest) else {
            panic!("{words} is recorded")
        };
        let Some(AttemptEventKind::Failed { error, .. }) = send(&format!("{longest}k")) else {
            panic!("{words} is refused")
        };
        let reason = "a state key of 1025 bytes exceeds the limit of 1024 bytes";
        assert!(error.message.ends_with(reason), "{}", error.message);
    }
}

#[test]
fn a_state_that_is_set_has_a_value() {
    check(
        "set cart",
        &expect![[r#"
            start
            set cart
              = failed 571: [RT0012] the function broke the service protocol: its SetState (0x0403) at command 1 has no value
        "#]],
    );
}

#[test]
fn state_is_not_touched_after_the_output() {
    check(
        "output done + set cart milk",
        &expect![[r#"
        start
        output done + set cart milk
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0403 after its output
    "#]],
    );
    check(
        "output done + get-lazy 1 cart",
        &expect![[r#"
        start
        output done + get-lazy 1 cart
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0402 after its output
    "#]],
    );
}

#[test]
fn a_completion_of_state_is_declared_once() {
    check(
        "get-lazy 1 cart + get-lazy-keys 1",
        &expect![[r#"
        start
        get-lazy 1 cart + get-lazy-keys 1
          = from command 1
            command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
    check(
        "get-lazy 0 cart",
        &expect![[r#"
        start
        get-lazy 0 cart
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
    check(
        "run 1 + get-lazy 1 cart",
        &expect![[r#"
        start
        run 1 + get-lazy 1 cart
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
}

#[test]
fn state_of_an_earlier_attempt_is_told_again_as_it_was() {
    check(
        "known get-lazy 1 cart
         known got 1 state milk
         known set cart bread
         start
         get-lazy-keys 2
         got 2 keys cart",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 4, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
              < command 0x0402 of 14 bytes
              < 0x8002 CompletionId(1) Value(Value { content: b"milk" })
              < command 0x0403 of 21 bytes
            get-lazy-keys 2
              = from command 3
                command 0x0406 of 8 bytes, GetStateKeys { completion: CompletionId(2) }
            got 2 keys cart
              < 0x8006 CompletionId(2) StateKeys(StateKeys { keys: [b"cart"] })
        "#]],
    );
}

#[test]
fn an_answer_has_the_type_of_its_command() {
    check(
        "get-lazy 1 cart
         got 1 keys cart",
        &expect![[r#"
            start
            get-lazy 1 cart
              = from command 1
                command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
            got 1 keys cart
              = failed 500: [RT0006] the invoker was told something it cannot pass on: completion 1 came as 0x8006 instead of 0x8002
        "#]],
    );
}

#[test]
fn an_answer_comes_once() {
    check(
        "get-lazy 1 cart
         got 1 state milk
         got 1 state bread",
        &expect![[r#"
            start
            get-lazy 1 cart
              = from command 1
                command 0x0402 of 14 bytes, GetState { completion: CompletionId(1), key: b"cart" }
            got 1 state milk
              < 0x8002 CompletionId(1) Value(Value { content: b"milk" })
            got 1 state bread
              = failed 500: [RT0006] the invoker was told something it cannot pass on: completion 1 came twice
        "#]],
    );
}
