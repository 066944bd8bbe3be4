//! Journal entries from attempts.

use expect_test::expect;

use super::check;

#[test]
fn a_result_is_told_to_the_function_once_it_is_stored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1
        e1: append 7 result 1 ok
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1
            e1: append 7 result 1 ok
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] 0x8011 of 1: Value(b"ok")
                running 7
        "#]],
    );
}

#[test]
fn entries_that_arrive_together_are_stored_together() {
    check(
        "
        e1 @50: announce
        e1: ingest invoke 7 plain
        e1 @60: append 7 run 1, sleep 2 until 900, step, result 1 ok, output done
        rows
        ",
        &expect![[r#"
            e1 @50: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1 @60: append 7 run 1, sleep 2 until 900, step, result 1 ok, output done
                arm 7 life 0 sleep 2 at 900
                notify 7 life 0 by 1.0 [4] 0x8011 of 1: Value(b"ok")
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 60 log 3
                7 running: life 0 attempt 1.0 entries 6 commands 5 progress 60
                7 [0] input
                7 [1] run 1
                7 [2] sleep 2 until 900
                7 [3] step
                7 [4] 0x8011 of 1: Value(b"ok")
                7 [5] output b"done"
                7 waits for 2: Sleep { wake_at: Millis(900) }
                running 7
                timer 7 life 0 sleep 2 at 900
        "#]],
    );
}

#[test]
fn only_the_first_result_of_a_run_counts() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, result 1 first, result 1 second
        e1: append 7 result 1 third
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, result 1 first, result 1 second
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"first")
            e1: append 7 result 1 third
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] 0x8011 of 1: Value(b"first")
                running 7
        "#]],
    );
}

#[test]
fn a_result_that_no_command_declared_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 result 1 ok
        e1: append 7 sleep 2 until 900, result 2 ok
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 result 1 ok
            e1: append 7 sleep 2 until 900, result 2 ok
                arm 7 life 0 sleep 2 at 900
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] sleep 2 until 900
                7 waits for 2: Sleep { wake_at: Millis(900) }
                running 7
                timer 7 life 0 sleep 2 at 900
        "#]],
    );
}

#[test]
fn a_second_declaration_of_an_open_completion_changes_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, sleep 1 until 800, run 1
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, sleep 1 until 800, run 1
                arm 7 life 0 sleep 1 at 900
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 4 commands 4 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] sleep 1 until 800
                7 [3] run 1
                7 waits for 1: Sleep { wake_at: Millis(900) }
                running 7
                timer 7 life 0 sleep 1 at 900
        "#]],
    );
}

#[test]
fn an_append_that_does_not_follow_the_journal_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 first 0 step
        e1: append 7 first 2 step
        e1: append 7 first 1 step
        e1: append 7 first 1 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 first 0 step
            e1: append 7 first 2 step
            e1: append 7 first 1 step
            e1: append 7 first 1 step
            rows
                partition epoch 1 term 1 next seq 6 inbox 1 now 0 log 6
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] step
                running 7
        "#]],
    );
}

#[test]
fn an_append_of_a_former_attempt_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 500
        e1 @500: fire 7 retry at 500
        e1: append 7 by 1.0 step
        e1: append 7 by 1.2 step
        e1: append 7 by 1.1 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 500
                arm 7 life 0 retry at 500
            e1 @500: fire 7 retry at 500
                start 7 life 0 by 1.1
            e1: append 7 by 1.0 step
            e1: append 7 by 1.2 step
            e1: append 7 by 1.1 step
            rows
                partition epoch 1 term 1 next seq 7 inbox 1 now 500 log 7
                7 running: life 0 attempt 1.1 entries 2 commands 2 progress 500 counted 1 failures 0 after "it broke"
                7 [0] input
                7 [1] step
                running 7
        "#]],
    );
}

#[test]
fn an_append_of_a_former_life_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest rejected
        e1: ingest invoke 7 plain
        e1: append 7 life 0 step
        e1: append 7 life 1 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest rejected
            e1: ingest invoke 7 plain
                start 7 life 1 by 1.0
            e1: append 7 life 0 step
            e1: append 7 life 1 step
            rows
                partition epoch 1 term 1 next seq 5 inbox 2 now 0 log 5
                7 running: life 1 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] step
                running 7
        "#]],
    );
}

#[test]
fn an_append_for_an_unknown_invocation_is_ignored() {
    check(
        "
        e1: announce
        e1: append 7 by 1.0 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: append 7 by 1.0 step
            rows
                partition epoch 1 term 1 next seq 2 inbox 0 now 0 log 2
        "#]],
    );
}

#[test]
fn an_append_behind_a_kill_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 kill; append 7 by 1.0 first 1 run 1; suspend 7 by 1.0 on 1; end 7 by 1.0
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 kill; append 7 by 1.0 first 1 run 1; suspend 7 by 1.0 on 1; end 7 by 1.0
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 0
                timer 7 life 0 purge at 600000
                7 part 0: input, failure 500 "it broke"
        "#]],
    );
}

#[test]
fn an_append_behind_a_purge_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1 @600000: fire 7 purge at 600000; append 7 by 1.0 step; end 7 by 1.0; fail 7 by 1.0 pause
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000; append 7 by 1.0 step; end 7 by 1.0; fail 7 by 1.0 pause
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 600000 log 4
        "#]],
    );
}

#[test]
fn only_a_running_invocation_is_appended_to() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 plain start 900
        e1: append 8 step
        e1: append 9 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 plain start 900
                start 7 life 0 by 1.0
                arm 9 life 2 start at 900
            e1: append 8 step
            e1: append 9 step
            rows
                partition epoch 1 term 1 next seq 4 inbox 3 now 0 log 4
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                9 scheduled at 900: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                9 [0] input
                running 7
                timer 9 life 2 start at 900
                lock cart/a held by 7, places 0..1
                queue cart/a place 0: 8
        "#]],
    );
}

#[test]
fn the_first_append_decides_which_code_the_invocation_stays_with() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 pin 6 step
        e1: append 7 pin 7 step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 pin 6 step
            e1: append 7 pin 7 step
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 3 commands 3 progress 0 on dp_6
                7 [0] input
                7 [1] step
                7 [2] step
                running 7
        "#]],
    );
}

#[test]
fn nothing_is_stored_behind_an_output() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, output done, step, output again, result 1 late
        e1: append 7 result 1 late
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, output done, step, output again, result 1 late
            e1: append 7 result 1 late
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 3 commands 3 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] output b"done"
                7 waits for 1: Run
                running 7
        "#]],
    );
}

#[test]
fn an_input_from_the_function_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 input, step
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 input, step
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] step
                running 7
        "#]],
    );
}

#[test]
fn a_recorded_command_is_progress_and_a_result_is_not() {
    check(
        "
        e1 @10: announce
        e1: ingest invoke 7 plain
        e1 @20: append 7 run 1; fail 7 retry 30
        e1 @30: fire 7 retry at 30
        e1 @40: append 7 result 1 ok
        rows
        e1 @50: append 7 step
        rows
        ",
        &expect![[r#"
            e1 @10: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1 @20: append 7 run 1; fail 7 retry 30
                arm 7 life 0 retry at 30
            e1 @30: fire 7 retry at 30
                start 7 life 0 by 1.1
            e1 @40: append 7 result 1 ok
                notify 7 life 0 by 1.1 [2] 0x8011 of 1: Value(b"ok")
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 40 log 5
                7 running: life 0 attempt 1.1 entries 3 commands 2 progress 20 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] run 1
                7 [2] 0x8011 of 1: Value(b"ok")
                running 7
            e1 @50: append 7 step
            rows
                partition epoch 1 term 1 next seq 6 inbox 1 now 50 log 6
                7 running: life 0 attempt 1.1 entries 4 commands 3 progress 50 counted 1 failures 0 after "it broke"
                7 [0] input
                7 [1] run 1
                7 [2] 0x8011 of 1: Value(b"ok")
                7 [3] step
                running 7
        "#]],
    );
}
