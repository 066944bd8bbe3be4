//! The protocol, told as scripts: what goes in, and the trace of what comes out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]
#![allow(clippy::needless_raw_string_hashes, reason = "`UPDATE_EXPECT=1` writes them so")]

mod calls;
mod futures;
mod laws;
mod promises;
mod reads;
pub(in crate::invoker) mod script;
mod signals;
mod state;
mod suspensions;
mod violations;
mod waits;

use std::sync::Arc;

use everlog_log_schema::metadata::ProtocolMode;
use everlog_log_schema::{CompletionId, Effect, Entry};
use expect_test::expect;
use script::{check, check_start, check_version};

use super::Machine;
use crate::invoker::AttemptEventKind;

#[test]
fn an_attempt_begins_with_the_start_and_the_whole_journal() {
    check(
        "known run 1
         known sleep 2 5000
         known durable 1
         known fired 2
         start",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 5, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
              < Run RunCommandMessage { result_completion_id: 1, name: "step 1" }
              < Sleep SleepCommandMessage { wake_up_time: 5000, result_completion_id: 2, name: "" }
              < 0x8011 CompletionId(1) Value(Value { content: b"ok" })
              < 0x800c CompletionId(2) Void(Void)
        "#]],
    );
}

#[test]
fn version_5_has_no_random_seed() {
    check_version(
        5,
        "start",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 1, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 0, scope: None, limit_key: None, idempotency_key: None }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
        "#]],
    );
}

#[test]
fn other_versions_are_refused() {
    check_version(
        9,
        "run 1",
        &expect![[r#"
        start
          = failed 573: [RT0013] protocol version 9 was asked for; Everlog speaks 5 to 8
        run 1
    "#]],
    );
    check_version(
        4,
        "",
        &expect![[r#"
        start
          = failed 573: [RT0013] protocol version 4 was asked for; Everlog speaks 5 to 8
    "#]],
    );
}

#[test]
fn a_run_is_told_its_result_once_it_is_durable() {
    check(
        "run 1
         propose 1 ok
         durable 1
         output done
         end",
        &expect![[r#"
            start
            run 1
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            propose 1 ok
              = from command 2
                completion 1 0x8011 Value(b"ok")
            durable 1
              < 0x8011 CompletionId(1) Value(Value { content: b"ok" })
            output done
              = from command 2
                output "out" Success(b"done")
            end
              = ended
        "#]],
    );
}

#[test]
fn messages_that_arrive_together_are_reported_together() {
    check(
        "run 1 + propose 1 ok + sleep 2 5000 + run 3",
        &expect![[r#"
        start
        run 1 + propose 1 ok + sleep 2 5000 + run 3
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            completion 1 0x8011 Value(b"ok")
            command 0x040c of 5 bytes, Sleep { completion: CompletionId(2), wake_at: Millis(5000) }
            command 0x0411 of 10 bytes, Run { completion: CompletionId(3) }
    "#]],
    );
    check(
        "run 1 + propose 1 ok + output done + end",
        &expect![[r#"
        start
        run 1 + propose 1 ok + output done + end
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            completion 1 0x8011 Value(b"ok")
            output "out" Success(b"done")
          = ended
    "#]],
    );
}

#[test]
fn a_run_may_fail_for_good() {
    check(
        "run 1 + propose 1 failure",
        &expect![[r#"
        start
        run 1 + propose 1 failure
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            completion 1 0x8011 Failure(Failure { code: 409, message: "no", metadata: [Header { key: "reason", value: "sold out" }] })
    "#]],
    );
}

#[test]
fn an_output_may_be_a_failure() {
    check(
        "output failure + end",
        &expect![[r#"
        start
        output failure + end
          = from command 1
            output "out" Failure(Failure { code: 409, message: "no", metadata: [Header { key: "reason", value: "sold out" }] })
          = ended
    "#]],
    );
}

#[test]
fn an_attempt_goes_on_behind_what_is_known() {
    check(
        "known run 1
         propose 1 ok + sleep 2 5000",
        &expect![[r#"
            start
            propose 1 ok + sleep 2 5000
              = from command 2
                completion 1 0x8011 Value(b"ok")
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(2), wake_at: Millis(5000) }
        "#]],
    );
}

#[test]
fn an_attempt_whose_output_is_known_only_ends() {
    check(
        "known output done
         end",
        &expect![[r#"
            start
            end
              = ended
        "#]],
    );
}

#[test]
fn results_of_runs_may_come_in_any_order() {
    check(
        "run 1 + run 2 + propose 2 b
         durable 2
         propose 1 a
         durable 1",
        &expect![[r#"
            start
            run 1 + run 2 + propose 2 b
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
                command 0x0411 of 10 bytes, Run { completion: CompletionId(2) }
                completion 2 0x8011 Value(b"b")
            durable 2
              < 0x8011 CompletionId(2) Value(Value { content: b"ok" })
            propose 1 a
              = from command 3
                completion 1 0x8011 Value(b"a")
            durable 1
              < 0x8011 CompletionId(1) Value(Value { content: b"ok" })
        "#]],
    );
}

#[test]
fn a_repeated_notification_is_told_once() {
    check(
        "known run 1
         known durable 1
         again durable 1
         sleep 2 5000
         fired 2
         again fired 2",
        &expect![[r#"
            start
            again durable 1
            sleep 2 5000
              = from command 2
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(2), wake_at: Millis(5000) }
            fired 2
              < 0x800c CompletionId(2) Void(Void)
            again fired 2
        "#]],
    );
}

#[test]
fn a_sleep_beyond_all_time_becomes_the_longest() {
    check(
        "sleep 1 18446744073709551615",
        &expect![[r#"
        start
        sleep 1 18446744073709551615
          = from command 1
            command 0x040c of 13 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(9223372036854775807) }
    "#]],
    );
}

#[test]
fn silence_closes_the_input_and_more_silence_fails_the_attempt() {
    check(
        "sleep 1 5000
         silence
         silence",
        &expect![[r#"
            start
            sleep 1 5000
              = from command 1
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
            silence
              < end of input
            silence
              = failed 504: [RT0001] the function neither suspended nor ended within 600000 ms of being asked to
        "#]],
    );
}

#[test]
fn a_function_suspends_when_its_input_is_closed() {
    check(
        "sleep 1 5000
         silence
         suspend 1 #1",
        &expect![[r#"
            start
            sleep 1 5000
              = from command 1
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
            silence
              < end of input
            suspend 1 #1
              = suspended [1] [1] []
        "#]],
    );
}

#[test]
fn a_notification_after_the_input_is_closed_waits_for_the_next_attempt() {
    check(
        "sleep 1 5000
         silence
         fired 1
         suspend 1 #1",
        &expect![[r#"
            start
            sleep 1 5000
              = from command 1
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
            silence
              < end of input
            fired 1
              < end of input
            suspend 1 #1
              = suspended [1] [1] []
        "#]],
    );
}

#[test]
fn a_function_may_go_on_after_its_input_is_closed() {
    check(
        "run 1
         silence
         propose 1 ok + suspend 1 #1",
        &expect![[r#"
            start
            run 1
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            silence
              < end of input
            propose 1 ok + suspend 1 #1
              = from command 2
                completion 1 0x8011 Value(b"ok")
              = suspended [1] [1] []
        "#]],
    );
}

#[test]
fn a_function_that_answers_after_its_input_is_told_the_journal_alone() {
    let mut start = script::start(6, vec![script::input("in")]);
    Arc::make_mut(&mut start.deployment).mode = ProtocolMode::RequestResponse;
    check_start(
        start,
        "known sleep 1 5000
         fired 1
         run 2 + propose 2 ok + suspend 1 2 #1",
        &expect![[r#"
            start
              < end of input
            fired 1
              < end of input
            run 2 + propose 2 ok + suspend 1 2 #1
              = from command 2
                command 0x0411 of 10 bytes, Run { completion: CompletionId(2) }
                completion 2 0x8011 Value(b"ok")
              = suspended [1, 2] [1] []
        "#]],
    );
}

#[test]
fn a_function_may_wait_for_signals_alone() {
    check(
        "suspend #17 approved",
        &expect![[r#"
        start
        suspend #17 approved
          = suspended [] [17] ["approved"]
    "#]],
    );
}

#[test]
fn an_error_fails_the_attempt() {
    check(
        "run 1 + error 500",
        &expect![[r#"
        start
        run 1 + error 500
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 500 at command 1 "step 1": [RT0007] no luck
    "#]],
    );
}

#[test]
fn a_function_may_choose_the_delay_before_the_next_attempt() {
    check(
        "run 1 + error 500 250",
        &expect![[r#"
        start
        run 1 + error 500 250
          = from command 1
            command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
          = failed 500 at command 1 "step 1" after 250 ms: [RT0007] no luck
    "#]],
    );
}

#[test]
fn a_delay_is_at_most_a_year() {
    check(
        "error 500 18446744073709551615",
        &expect![[r#"
        start
        error 500 18446744073709551615
          = failed 500 at command 1 "step 1" after 31536000000 ms: [RT0007] no luck
    "#]],
    );
}

#[test]
fn a_journal_mismatch_has_a_code_of_its_own() {
    check(
        "error 570",
        &expect![[r#"
        start
        error 570
          = failed 570 at command 1 "step 1": [RT0016] no luck
    "#]],
    );
    check(
        "error 571",
        &expect![[r#"
        start
        error 571
          = failed 571 at command 1 "step 1": [RT0012] no luck
    "#]],
    );
}

#[test]
fn a_command_is_kept_and_told_with_its_very_bytes() {
    // A name before the completion id, which takes a byte too many, and an unknown field 20.
    let odd = [0x62, 1, b'x', 0x58, 0x81, 0x00, 0xA0, 0x01, 7];
    let frame = script::frame(0x0411, 0, &odd);
    let mut machine = Machine::new(script::start(6, vec![script::input("in")]));
    machine.receive(&frame);
    let Some(AttemptEventKind::Entries { entries, .. }) = machine.take_events().pop() else {
        panic!("the attempt has taken a step")
    };
    let effect = Effect::Run { completion: CompletionId(1) };
    let expected = Entry::Command { kind: 0x0411, bytes: odd.to_vec().into(), effect };
    assert_eq!(entries, std::slice::from_ref(&expected));
    let mut again = Machine::new(script::start(6, vec![script::input("in"), expected]));
    assert!(again.take_bytes().unwrap().ends_with(&frame));
}

#[test]
fn a_long_journal_is_told_piece_by_piece() {
    let step = |id: u32| {
        let bytes = vec![0; 1 << 10].into();
        Entry::Command { kind: 0x0411, bytes, effect: Effect::Run { completion: CompletionId(id) } }
    };
    let mut journal = vec![script::input("in")];
    journal.extend((1..=1_000).map(step));
    let mut machine = Machine::new(script::start(6, journal));
    let mut pieces = 0;
    while let Some(piece) = machine.take_bytes() {
        assert!(piece.len() < (64 << 10) + (2 << 10));
        pieces += 1;
    }
    assert_eq!(pieces, 16);
}

#[test]
fn nothing_after_the_last_message_is_looked_at() {
    let script = "output done + end + run 1 + bytes ffff
                  run 2
                  durable 1
                  eof";
    check(
        script,
        &expect![[r#"
        start
        output done + end + run 1 + bytes ffff
          = from command 1
            output "out" Success(b"done")
          = ended
        run 2
        durable 1
        eof
    "#]],
    );
}
