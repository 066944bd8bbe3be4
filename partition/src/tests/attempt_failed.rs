//! Attempts that fail.

use expect_test::expect;

use super::check;

#[test]
fn a_failed_attempt_is_retried_after_its_delay() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 500
        rows
        e1 @500: fire 7 retry at 500
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 500
                arm 7 life 0 retry at 500
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 backing off until 500: life 0 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                timer 7 life 0 retry at 500
            e1 @500: fire 7 retry at 500
                start 7 life 0 by 1.1
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 500 log 4
                7 running: life 0 attempt 1.1 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_delay_chosen_by_the_function_does_not_use_up_the_policy() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 500 chosen
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 500 chosen
                arm 7 life 0 retry at 500
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 backing off until 500: life 0 attempt 1.0 entries 1 commands 1 progress 0 counted 0 failures 1 after "it broke"
                7 [0] input
                timer 7 life 0 retry at 500
        "#]],
    );
}

#[test]
fn a_paused_invocation_waits() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 pause
        e1: append 7 step
        e1: fail 7 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 pause
            e1: append 7 step
            e1: fail 7 kill
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 0 log 5
                7 paused: life 0 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
        "#]],
    );
}

#[test]
fn a_killed_invocation_answers_with_the_last_error() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, run 2
        e1: fail 7 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, run 2
                arm 7 life 0 sleep 1 at 900
            e1: fail 7 kill
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 completed at 0: life 0 attempt 1.0 entries 4 commands 4 progress 0 counted 1 failures 0
                timer 7 life 0 purge at 600000
                7 part 0: input, sleep 1 until 900, run 2, failure 500 "it broke"
        "#]],
    );
}

#[test]
fn a_kill_behind_an_output_keeps_the_output() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done
        e1: fail 7 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done
            e1: fail 7 kill
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 1
                timer 7 life 0 purge at 600000
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn a_kill_passes_the_object_key_on() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: fail 7 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: fail 7 kill
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            rows
                partition epoch 1 term 1 next seq 3 inbox 2 now 0 log 3
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                lock cart/a held by 8, places 1..1
                7 part 0: input, failure 500 "it broke"
        "#]],
    );
}

#[test]
fn the_failure_of_a_former_attempt_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e2: announce
        e2: fail 7 by 1.0 kill
        e2: fail 7 life 3 kill
        e2: fail 8 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e2: announce
            e2: fail 7 by 1.0 kill
            e2: fail 7 life 3 kill
            e2: fail 8 kill
            rows
                partition epoch 2 term 2 next seq 4 inbox 1 now 0 log 6
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_retry_whose_time_has_passed_fires_at_once() {
    check(
        "
        e1 @1000: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 500
        e1: fire 7 retry at 500
        ",
        &expect![[r#"
            e1 @1000: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 500
                arm 7 life 0 retry at 500
            e1: fire 7 retry at 500
                start 7 life 0 by 1.1
        "#]],
    );
}
