//! Version 7: trees of futures, hints, short answers to runs, and what follows a failure.

use everlog_log_schema::metadata::ProtocolMode;
use expect_test::expect;

use super::script::{check, check_start, check_version, input, start, trace};
use crate::invoker::AttemptStart;

#[test]
fn version_7_is_told_how_the_call_was_named() {
    check_version(
        7,
        "start",
        &expect![[r#"
        start
          < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 1, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: Some("tenant-3"), limit_key: Some("gold/eu"), idempotency_key: Some("k1") }
          < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
    "#]],
    );
}

#[test]
fn a_run_that_asked_for_it_is_told_in_short() {
    check_version(
        7,
        "run 1
         sleep 2 5000
         run 3
         propose 1 ok
         propose-unasked 3 ok
         fired 2
         durable 1
         again durable 1
         durable 3",
        &expect![[r#"
            start
            run 1
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
            sleep 2 5000
              = from command 2
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(2), wake_at: Millis(5000) }
            run 3
              = from command 3
                command 0x0411 of 10 bytes, Run { completion: CompletionId(3) }
            propose 1 ok
              = from command 4
                completion 1 0x8011 Value(b"ok")
            propose-unasked 3 ok
              = from command 4
                completion 3 0x8011 Value(b"ok")
            fired 2
              < 0x800c CompletionId(2) Void(Void)
            durable 1
              < Ack ProposeRunCompletionAckMessage { completion_id: 1 }
            again durable 1
            durable 3
              < 0x8011 CompletionId(3) Value(Value { content: b"ok" })
        "#]],
    );
}

#[test]
fn a_result_that_the_journal_holds_is_told_in_full() {
    check_version(
        7,
        "known run 1
         known durable 1
         known run 2
         start
         propose 2 ok
         durable 2",
        &expect![[r#"
            start
              < Start StartMessage { id: b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03", debug_id: "inv_100000000007000000000000000000000B", known_entries: 4, state_map: [], partial_state: true, key: "ada", retry_count_since_last_stored_entry: 2, duration_since_last_stored_entry: 1500, random_seed: 15762598697238531, scope: Some("tenant-3"), limit_key: Some("gold/eu"), idempotency_key: Some("k1") }
              < Input InputCommandMessage { headers: [Header { key: "a", value: "b" }], name: "", value: Some(Value { content: b"in" }) }
              < Run RunCommandMessage { result_completion_id: 1, name: "step 1" }
              < 0x8011 CompletionId(1) Value(Value { content: b"ok" })
              < Run RunCommandMessage { result_completion_id: 2, name: "step 2" }
            propose 2 ok
              = from command 3
                completion 2 0x8011 Value(b"ok")
            durable 2
              < Ack ProposeRunCompletionAckMessage { completion_id: 2 }
        "#]],
    );
}

#[test]
fn earlier_versions_are_told_every_result_in_full() {
    check_version(
        6,
        "run 1
         propose 1 ok
         durable 1",
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
        "#]],
    );
}

#[test]
fn a_function_suspends_until_a_tree_is_settled() {
    check_version(
        7,
        "sleep 1 5000 + sleep 2 5000 + sleep 3 5000
         silence
         await race #1 [ all 1 go [ any 2 3 #17 ] ]",
        &expect![[r#"
            start
            sleep 1 5000 + sleep 2 5000 + sleep 3 5000
              = from command 1
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(2), wake_at: Millis(5000) }
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(3), wake_at: Millis(5000) }
            silence
              < end of input
            await race #1 [ all 1 go [ any 2 3 #17 ] ]
              = suspended FirstCompleted of [] [1] [] and 1; AllSucceededOrFirstFailed of [1] [] ["go"] and 1; FirstSucceededOrAllFailed of [2, 3] [17] [] and 0
        "#]],
    );
}

#[test]
fn a_tree_may_hold_what_the_attempt_began_with_if_that_does_not_settle_it() {
    for (tree, text) in [("settled 1 2", "suspended"), ("any 1 2", "held from the beginning")] {
        let script = format!("known sleep 1 5000\n known fired 1\n sleep 2 5000\n await {tree}");
        let seen = trace(start(7, vec![input("in")]), &script);
        assert!(seen.contains(text), "{tree}: {seen}");
    }
}

#[test]
fn a_tree_of_nothing_is_refused() {
    for tree in ["", " race", " all 1 [ race ]", " all 1 99", " 7 1"] {
        check_failure(&format!("sleep 1 5000\n await{tree}"));
    }
}

fn check_failure(script: &str) {
    let seen = trace(start(7, vec![input("in")]), script);
    assert!(seen.contains("= failed 571: [RT0012]"), "{script}: {seen}");
}

#[test]
fn own_runs_wake_at_once_where_something_was_done_and_are_refused_elsewhere() {
    for version in [6, 7] {
        let wait = if version == 6 { "suspend 1 #1" } else { "await race #1 [ all 1 ]" };
        let seen = trace(start(version, vec![input("in")]), &format!("run 1\n {wait}"));
        assert!(seen.contains("= suspended"), "{seen}");
        let again = format!("known run 1\n {wait}");
        let seen = trace(start(version, vec![input("in")]), &again);
        assert!(seen.contains("runs of its own whose results it never sent"), "{seen}");
    }
}

#[test]
fn a_function_may_say_what_its_code_waits_for() {
    check_version(
        7,
        "sleep 1 5000 + hint race 1 #1
         hint all 1 [ race #17 go ]
         hint
         fired 1
         output done + end",
        &expect![[r#"
            start
            sleep 1 5000 + hint race 1 #1
              = awaiting [1] [1] []
              = from command 1
                command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
            hint all 1 [ race #17 go ]
              = awaiting AllSucceededOrFirstFailed of [1] [] [] and 1; [] [17] ["go"]
            hint
            fired 1
              < 0x800c CompletionId(1) Void(Void)
            output done + end
              = from command 2
                output "out" Success(b"done")
              = ended
        "#]],
    );
    check(
        "hint race #17",
        &expect![[r#"
        start
        hint race #17
          = failed 571: [RT0012] the function broke the service protocol: it sent a message of type 0x0006, which belongs to a later version of the protocol
    "#]],
    );
}

#[test]
fn a_function_chooses_what_follows_its_failure() {
    check_version(
        7,
        "error 500 pause",
        &expect![[r#"
        start
        error 500 pause
          = failed 500, to be paused: [RT0007] no luck
    "#]],
    );
    check_version(
        7,
        "error 570 fail",
        &expect![[r#"
        start
        error 570 fail
          = failed 570, to be ended: [RT0016] no luck
    "#]],
    );
    check_version(
        6,
        "error 500 fail",
        &expect![[r#"
        start
        error 500 fail
          = failed 500 after 250 ms: [RT0007] no luck
    "#]],
    );
}

#[test]
fn a_call_may_have_a_scope_and_a_limit_key() {
    check_version(
        7,
        "call 1 2 Cart/ann/add milk key=k1 scope=a limit=gold/eu
         one-way 3 Greeter/greet ada scope=b",
        &expect![[r#"
            start
            call 1 2 Cart/ann/add milk key=k1 scope=a limit=gold/eu
              = from command 1
                command 0x040d of 49 bytes, call of Exclusive Cart/ann/add as inv_16CBBFr5IfRw3qTAvVpFQENn954bg4fQrT, id 1, outcome 2, idempotency key "k1", scope "a" Some("gold/eu"), kept 86400000 ms, tries Some(7), metadata 6, of b"milk"
            one-way 3 Greeter/greet ada scope=b
              = from command 2
                command 0x040e of 33 bytes, call of Plain Greeter/greet as inv_1JvC54Xejtyu0QqJy2L9O35R2rHnvqG4LJ, id 3, scope "b" None, kept 600000 ms, tries None, metadata 6, of b"ada"
        "#]],
    );
    for options in ["scope=a,b", "limit=gold", "scope=a limit=a/b/c"] {
        let script = format!("call 1 2 Greeter/greet ada {options}");
        let seen = trace(start(7, vec![input("in")]), &script);
        assert!(seen.contains("= failed 400 at command 1 \"order\": [RT0017]"), "{seen}");
    }
}

#[test]
fn without_an_open_input_the_proposer_suspends_and_learns_its_result_anew() {
    let mut begun = start(7, vec![input("in")]);
    let mut deployment = (*begun.deployment).clone();
    deployment.mode = ProtocolMode::RequestResponse;
    begun = AttemptStart { deployment: deployment.into(), ..begun };
    check_start(
        begun,
        "run 1 + propose 1 ok + await race 1 #1
         durable 1",
        &expect![[r#"
            start
              < end of input
            run 1 + propose 1 ok + await race 1 #1
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
                completion 1 0x8011 Value(b"ok")
              = suspended [1] [1] []
            durable 1
        "#]],
    );
}
