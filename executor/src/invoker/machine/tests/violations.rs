//! Each way to break the protocol, by name.

use everlog_log_schema::limits::JOURNAL_COMMANDS_MAX;
use everlog_log_schema::{CompletionId, Effect, Entry};
use expect_test::expect;

use super::script::{check, input, message, start};
use crate::invoker::AttemptEventKind;
use crate::invoker::frame::FRAME_BYTES_MAX;
use crate::invoker::machine::Machine;

fn last(machine: &mut Machine) -> String {
    match machine.take_events().pop() {
        Some(AttemptEventKind::Failed { error, .. }) => format!("{} {}", error.code, error.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_that_ends_too_early() {
    check(
        "eof",
        &expect![[r#"
        start
        eof
          = failed 571: [RT0012] the function broke the service protocol: its response ended too early, without a suspension, an error or an end
    "#]],
    );
}

#[test]
fn a_response_that_ends_in_the_middle_of_a_message() {
    check(
        "bytes 0411000000
         eof",
        &expect![[r#"
            start
            bytes 0411000000
            eof
              = failed 571: [RT0012] the function broke the service protocol: its response ended in the middle of a message, without a suspension, an error or an end
        "#]],
    );
}

#[test]
fn an_end_without_an_output() {
    check(
        "run 1 + end",
        &expect![[r#"
        start
        run 1 + end
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 571: [RT0012] the function broke the service protocol: it ended without an output
    "#]],
    );
}

#[test]
fn two_outputs() {
    check(
        "output a + output b",
        &expect![[r#"
        start
        output a + output b
          = from command 1
            output "out" Success(b"a")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0401 after its output
    "#]],
    );
}

#[test]
fn a_command_after_the_output() {
    check(
        "output a + run 1",
        &expect![[r#"
        start
        output a + run 1
          = from command 1
            output "out" Success(b"a")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0411 after its output
    "#]],
    );
}

#[test]
fn a_result_after_the_output() {
    check(
        "run 1 + output a + propose 1 ok",
        &expect![[r#"
        start
        run 1 + output a + propose 1 ok
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            output "out" Success(b"a")
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0005 after its output
    "#]],
    );
}

#[test]
fn a_suspension_after_the_output() {
    check(
        "output a + suspend #1",
        &expect![[r#"
        start
        output a + suspend #1
          = from command 1
            output "out" Success(b"a")
          = failed 571: [RT0012] the function broke the service protocol: it suspended after its output
    "#]],
    );
}

#[test]
fn a_completion_declared_twice() {
    check(
        "run 1 + sleep 1 5000",
        &expect![[r#"
        start
        run 1 + sleep 1 5000
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
    "#]],
    );
}

#[test]
fn a_completion_declared_in_an_earlier_attempt() {
    check(
        "known run 1
         run 1",
        &expect![[r#"
            start
            run 1
              = failed 571: [RT0012] the function broke the service protocol: it declared completion 1 twice
        "#]],
    );
}

#[test]
fn a_command_without_a_completion() {
    check(
        "run 0",
        &expect![[r#"
        start
        run 0
          = failed 571: [RT0012] the function broke the service protocol: a command does not name its completion
    "#]],
    );
}

#[test]
fn a_result_that_was_never_declared() {
    check(
        "propose 1 ok",
        &expect![[r#"
        start
        propose 1 ok
          = failed 571: [RT0012] the function broke the service protocol: it sent the result of completion 1, which no command declared
    "#]],
    );
}

#[test]
fn a_result_sent_twice() {
    check(
        "run 1 + propose 1 ok + propose 1 ok",
        &expect![[r#"
        start
        run 1 + propose 1 ok + propose 1 ok
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            completion 1 0x8011 Value(b"ok")
          = failed 571: [RT0012] the function broke the service protocol: it sent the result of completion 1, which it has sent before
    "#]],
    );
}

#[test]
fn a_result_that_is_known_already() {
    check(
        "known run 1
         known durable 1
         propose 1 ok",
        &expect![[r#"
            start
            propose 1 ok
              = failed 571: [RT0012] the function broke the service protocol: it sent the result of completion 1, which it has sent before
        "#]],
    );
}

#[test]
fn the_result_of_a_sleep() {
    check(
        "sleep 1 5000 + propose 1 ok",
        &expect![[r#"
        start
        sleep 1 5000 + propose 1 ok
          = from command 1
            command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
          = failed 571: [RT0012] the function broke the service protocol: it sent the result of completion 1, which is not that of a run
    "#]],
    );
}

#[test]
fn a_result_without_a_value() {
    check(
        "run 1 + propose 1",
        &expect![[r#"
        start
        run 1 + propose 1
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 571: [RT0012] the function broke the service protocol: its run has no result
    "#]],
    );
}

#[test]
fn an_output_without_a_value() {
    check(
        "output",
        &expect![[r#"
        start
        output
          = failed 571: [RT0012] the function broke the service protocol: its output has no result
    "#]],
    );
}

#[test]
fn a_malformed_message() {
    check(
        "bytes 0411000000000001ff",
        &expect![[r#"
        start
        bytes 0411000000000001ff
          = failed 571: [RT0012] the function broke the service protocol: it sent a malformed Run message: failed to decode Protobuf message: invalid varint
    "#]],
    );
}

#[test]
fn flags_that_ask_for_what_is_never_sent() {
    check(
        "message 0401 8000",
        &expect![[r#"
        start
        message 0401 8000
          = failed 571: [RT0012] the function broke the service protocol: it set the flags 0x8000 on a message of type 0x0401
    "#]],
    );
    check(
        "message 0005 0001",
        &expect![[r#"
        start
        message 0005 0001
          = failed 571: [RT0012] the function broke the service protocol: it set the flags 0x0001 on a message of type 0x0005
    "#]],
    );
}

#[test]
fn a_message_that_only_a_server_sends() {
    check(
        "message 0000 0",
        &expect![[r#"
        start
        message 0000 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0000, which only a server sends
    "#]],
    );
    check(
        "message 0004 0",
        &expect![[r#"
        start
        message 0004 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0004, which only a server sends
    "#]],
    );
    check(
        "message 0400 0",
        &expect![[r#"
        start
        message 0400 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0400, which only a server sends
    "#]],
    );
    check(
        "message 8011 0",
        &expect![[r#"
        start
        message 8011 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x8011, which only a server sends
    "#]],
    );
}

#[test]
fn a_message_of_a_later_version() {
    check(
        "message 0006 0",
        &expect![[r#"
        start
        message 0006 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0006, which belongs to a later version of the protocol
    "#]],
    );
}

#[test]
fn a_custom_entry() {
    check(
        "message fc01 0",
        &expect![[r#"
        start
        message fc01 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0xfc01, a custom entry, which is not part of the protocol
    "#]],
    );
}

#[test]
fn an_unknown_message() {
    check(
        "message 0008 0",
        &expect![[r#"
        start
        message 0008 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0008, which is not part of the protocol
    "#]],
    );
    check(
        "message 0415 0",
        &expect![[r#"
        start
        message 0415 0
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0415, which is not part of the protocol
    "#]],
    );
}

#[test]
fn a_message_above_the_limit_is_refused_on_sight_of_its_header() {
    let header = |length: usize| {
        let mut bytes = vec![0x04, 0x01, 0, 0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes
    };
    let mut machine = Machine::new(start(6, vec![input("in")]));
    machine.receive(&header(FRAME_BYTES_MAX));
    assert_eq!(machine.take_events(), []);
    let mut machine = Machine::new(start(6, vec![input("in")]));
    machine.receive(&header(FRAME_BYTES_MAX + 1));
    assert_eq!(
        last(&mut machine),
        "413 [RT0003] the function sent a message of 33554433 bytes; the limit is 33554432 bytes"
    );
}

#[test]
fn a_journal_above_the_limit() {
    // The input is one, and the output will be one.
    let runs = JOURNAL_COMMANDS_MAX - 2;
    let journal = |runs| {
        let mut journal = vec![input("in")];
        journal.extend((1..=runs).map(|id| Entry::Command {
            kind: 0x0411,
            bytes: "".into(),
            effect: Effect::Run { completion: CompletionId(id) },
        }));
        journal
    };
    let mut machine = Machine::new(start(6, journal(runs)));
    machine.receive(&message("output done"));
    assert_eq!(machine.take_events().len(), 1);
    machine = Machine::new(start(6, journal(runs + 1)));
    machine.receive(&message("output done"));
    assert_eq!(last(&mut machine), "413 [RT0003] the journal would exceed 24999 commands");
    machine = Machine::new(start(6, vec![input("in")]));
    for id in 1..=runs + 1 {
        machine.receive(&message(&format!("run {id}")));
    }
    assert!(!machine.is_over());
    machine.receive(&message("set cart milk"));
    assert_eq!(last(&mut machine), "413 [RT0003] the journal would exceed 24999 commands");
}

#[test]
fn a_shell_that_contradicts_itself_is_told() {
    check(
        "durable 1",
        &expect![[r#"
        start
        durable 1
          = failed 500: [RT0006] the invoker was told something it cannot pass on: completion 1 was never declared
    "#]],
    );
    check(
        "notify run 1",
        &expect![[r#"
        start
        notify run 1
          = failed 500: [RT0006] the invoker was told something it cannot pass on: an entry that is no notification
    "#]],
    );
    check(
        "known durable 1",
        &expect![[r#"
        start
          = failed 500: [RT0006] the invoker was told something it cannot pass on: completion 1 was never declared
    "#]],
    );
    check(
        "known input",
        &expect![[r#"
        start
          = failed 500: [RT0006] the invoker was told something it cannot pass on: journal entry 1 is out of place
    "#]],
    );
}

#[test]
fn sentences_are_cut_between_characters() {
    use prost::Message as _;
    let message = "ä".repeat(3_000);
    let error = crate::invoker::messages::pb::ErrorMessage {
        related_command_name: Some("b".repeat(300)),
        message,
        ..Default::default()
    };
    let mut machine = Machine::new(start(6, vec![input("in")]));
    machine.receive(&super::script::frame(0x0002, 0, &error.encode_to_vec()));
    let Some(AttemptEventKind::Failed { error, .. }) = machine.take_events().pop() else {
        panic!("the attempt has failed")
    };
    // The code takes 9 bytes and each character 2, so that one byte is left over.
    assert_eq!(error.message.len(), (4 << 10) - 1);
    assert_eq!(error.command_name.unwrap().len(), 256);
}
