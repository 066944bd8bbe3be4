//! Questions about the state that the journal does not keep: version 8.

use std::sync::Arc;

use bytes::Bytes;
use everlog_log_schema::HandlerKind;
use everlog_log_schema::limits::STATE_KEY_BYTES_MAX;
use everlog_log_schema::metadata::ProtocolMode;
use expect_test::expect;
use restate_sdk_shared_core::{AwaitResponse, CoreVM, VM as _, VMOptions, Value};

use super::script::{check_start, check_version, input, message, start};
use crate::invoker::AttemptStart;
use crate::invoker::machine::Machine;
use crate::invoker::machine::reads::STATE_READS_MAX;

#[test]
fn questions_are_asked_one_by_one_and_leave_nothing_in_the_journal() {
    check_version(
        8,
        "run 1 + read 1 cart + set cart tea + read 2 cart
         state 1 milk
         state 2
         propose 1 ok + read 3 note
         durable 1
         silence
         state 3 late",
        &expect![[r#"
            start
            run 1 + read 1 cart + set cart tea + read 2 cart
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
                command 0x0403 of 19 bytes, SetState { key: b"cart", value: Span { start: 10, bytes: 3 } }
              = question 1 about b"cart", behind 2 commands
            state 1 milk
              < State GetStateEphemeralNotificationMessage { ephemeral_completion_id: 1, result: Some(Value(Value { content: b"milk" })) }
              = question 2 about b"cart", behind 3 commands
            state 2
              < State GetStateEphemeralNotificationMessage { ephemeral_completion_id: 2, result: Some(Void(Void)) }
            propose 1 ok + read 3 note
              = from command 3
                completion 1 0x8011 Value(b"ok")
              = question 3 about b"note", behind 3 commands
            durable 1
              < Ack ProposeRunCompletionAckMessage { completion_id: 1 }
            silence
              < end of input
            state 3 late
              < end of input
        "#]],
    );
}

#[test]
fn a_question_is_refused_where_there_is_no_answer_to_it() {
    check_version(
        7,
        "read 1 cart",
        &expect![[r#"
        start
        read 1 cart
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0200, which belongs to a later version of the protocol
    "#]],
    );
    check_version(
        8,
        "output done + read 1 cart",
        &expect![[r#"
        start
        output done + read 1 cart
          = from command 1
            output "out" Success(b"done")
          = failed 571: [RT0012] the function broke the service protocol: it asked for state after its output
    "#]],
    );
    let longest = "k".repeat(STATE_KEY_BYTES_MAX);
    for (key, is_refused) in [(longest.clone(), false), (longest + "k", true)] {
        let mut machine = Machine::new(start(8, vec![input("in")]));
        machine.receive(&message(&format!("read 1 {key}")));
        assert_eq!(machine.is_over(), is_refused);
    }
    let plain = AttemptStart { kind: HandlerKind::Plain, ..start(8, vec![input("in")]) };
    check_start(
        plain,
        "read 1 cart",
        &expect![[r#"
        start
        read 1 cart
          = failed 400 at command 1 "": [RT0017] the function's GetStateEphemeral (0x0200) at command 1 is refused: a service without keys has no state
    "#]],
    );
    let mut deaf = start(8, vec![input("in")]);
    Arc::make_mut(&mut deaf.deployment).mode = ProtocolMode::RequestResponse;
    check_start(
        deaf,
        "read 1 cart",
        &expect![[r#"
        start
          < end of input
        read 1 cart
          = failed 571: [RT0012] the function broke the service protocol: it asked for state beside the journal, and can be told nothing
    "#]],
    );
}

#[test]
fn an_attempt_that_waits_for_its_state_keeps_its_place() {
    let mut machine = Machine::new(start(8, vec![input("in")]));
    while machine.take_bytes().is_some() {}
    // It may be about to ask.
    assert!(!machine.may_only_wait());
    machine.receive(&message("hint race #17"));
    assert!(machine.may_only_wait());
    machine.receive(&message("read 1 cart"));
    machine.receive(&message("hint race #17"));
    assert!(!machine.may_only_wait());
    machine.take_read().unwrap();
    assert!(!machine.may_only_wait());
    machine.tell_state(1, None);
    while machine.take_bytes().is_some() {}
    assert!(machine.may_only_wait());
}

#[test]
fn an_attempt_has_a_limit_of_questions_and_not_one_more() {
    let mut machine = Machine::new(start(8, vec![input("in")]));
    for _ in 0..2 {
        machine.receive(&message("read 1 cart"));
    }
    // One is out, and counts.
    machine.take_read().unwrap();
    for _ in 2..STATE_READS_MAX {
        machine.receive(&message("read 1 cart"));
    }
    assert!(machine.take_read().is_none() && !machine.is_over());
    machine.receive(&message("read 1 cart"));
    let said = format!("{:?}", machine.take_events());
    assert!(said.contains("it asked for more than 1000 values of its state at once"), "{said}");
    assert!(machine.take_read().is_none());
}

/// What the official state machine and ours say to each other until neither has more to say.
fn exchange(function: &mut CoreVM, machine: &mut Machine) {
    loop {
        let said = function.take_output();
        machine.receive(&said);
        let told = machine.take_bytes();
        if let Some(told) = &told {
            function.notify_input(told.clone());
        }
        if said.is_empty() && told.is_none() {
            break;
        }
    }
}

#[test]
fn the_state_machine_of_the_official_sdks_understands_the_answers() {
    let content_type = "application/vnd.restate.invocation.v8";
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    let mut function = CoreVM::new(headers, VMOptions::default()).unwrap();
    let mut machine = Machine::new(start(8, vec![input("in")]));
    exchange(&mut function, &mut machine);
    assert!(function.is_ready_to_execute().unwrap());
    function.sys_input().unwrap();
    let run = function.sys_run("look".to_owned()).unwrap().handle;
    assert_eq!(function.do_await(run.into()).unwrap(), AwaitResponse::ExecuteRun(run));
    for (key, value) in [("cart", Some("milk")), ("note", None)] {
        let question = function.ephemeral_state_get(key.to_owned()).unwrap();
        exchange(&mut function, &mut machine);
        let read = machine.take_read().unwrap();
        assert_eq!((read.key.as_ref(), read.commands), (key.as_bytes(), 2));
        machine.tell_state(read.id, value.map(Bytes::from));
        exchange(&mut function, &mut machine);
        let answered = AwaitResponse::EphemeralNotificationReady(question);
        assert_eq!(function.do_await(run.into()).unwrap(), answered);
        let answer = function.take_ephemeral_notification(question).unwrap();
        assert_eq!(answer, Some(value.map_or(Value::Void, |value| Value::Success(value.into()))));
    }
    assert!(!machine.is_over());
}
