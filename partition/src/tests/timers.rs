//! Timers that are due.

use expect_test::expect;

use super::check;

#[test]
fn a_timer_fires_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900
        e1 @900: fire 7 sleep 1 at 900; fire 7 sleep 1 at 900
        e1: fire 7 sleep 1 at 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900; fire 7 sleep 1 at 900
                notify 7 life 0 by 1.0 [2] 0x800c of 1: Void
            e1: fire 7 sleep 1 at 900
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 900 log 5
                7 running: life 0 attempt 1.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                running 7
        "#]],
    );
}

#[test]
fn a_timer_that_was_never_set_does_nothing() {
    check(
        "
        e1: announce
        e1: fire 7 sleep 1 at 0
        e1: ingest invoke 7 plain
        e1: fire 7 sleep 1 at 0; fire 7 retry at 0; fire 7 start at 0; fire 7 purge at 0
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: fire 7 sleep 1 at 0
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fire 7 sleep 1 at 0; fire 7 retry at 0; fire 7 start at 0; fire 7 purge at 0
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_timer_proposed_too_early_is_armed_again() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900
        e1 @899: fire 7 sleep 1 at 900
        e1 @900: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
            e1 @899: fire 7 sleep 1 at 900
                arm 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                notify 7 life 0 by 1.0 [2] 0x800c of 1: Void
        "#]],
    );
}

#[test]
fn a_timer_of_a_former_life_does_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 700000, output done; end 7
        e1 @600000: fire 7 purge at 600000
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 700000
        e1 @700000: fire 7 life 0 sleep 1 at 700000; fire 7 life 0 purge at 600000
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 700000, output done; end 7
                arm 7 life 0 sleep 1 at 700000
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000
            e1: ingest invoke 7 plain
                start 7 life 1 by 1.0
            e1: append 7 sleep 1 until 700000
                arm 7 life 1 sleep 1 at 700000
            e1 @700000: fire 7 life 0 sleep 1 at 700000; fire 7 life 0 purge at 600000
            rows
                partition epoch 1 term 1 next seq 7 inbox 2 now 700000 log 7
                7 running: life 1 attempt 1.0 entries 2 commands 2 progress 600000
                7 [0] input
                7 [1] sleep 1 until 700000
                7 waits for 1: Sleep { wake_at: Millis(700000) }
                running 7
                timer 7 life 1 sleep 1 at 700000
        "#]],
    );
}

#[test]
fn a_sleep_that_ends_while_the_function_runs_is_told() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, step
        e1 @900: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, step
                arm 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                notify 7 life 0 by 1.0 [3] 0x800c of 1: Void
        "#]],
    );
}

#[test]
fn a_sleep_that_ends_while_no_attempt_runs_is_stored() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 sleep 1 until 900; append 8 sleep 1 until 900
        e1: fail 7 retry 1000; fail 8 pause
        e1 @900: fire 7 sleep 1 at 900; fire 8 sleep 1 at 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 sleep 1 until 900; append 8 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
                arm 8 life 1 sleep 1 at 900
            e1: fail 7 retry 1000; fail 8 pause
                arm 7 life 0 retry at 1000
            e1 @900: fire 7 sleep 1 at 900; fire 8 sleep 1 at 900
            rows
                partition epoch 1 term 1 next seq 5 inbox 2 now 900 log 5
                7 backing off until 1000: life 0 attempt 1.0 entries 3 commands 2 progress 0 counted 1 failures 1 after "it broke"
                8 paused: life 1 attempt 1.0 entries 3 commands 2 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                8 [0] input
                8 [1] sleep 1 until 900
                8 [2] 0x800c of 1: Void
                timer 7 life 0 retry at 1000
        "#]],
    );
}

#[test]
fn a_sleep_that_ends_behind_the_output_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, output done
        e1 @900: fire 7 sleep 1 at 900
        e1: end 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, output done
                arm 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
            e1: end 7
                arm 7 life 0 purge at 600900
                answer 7
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 900 log 5
                7 completed at 900: life 0 attempt 1.0 entries 3 commands 3 progress 0
                timer 7 life 0 purge at 600900
                7 part 0: input, sleep 1 until 900, output b"done"
        "#]],
    );
}

#[test]
fn a_sleep_until_the_past_ends_when_its_timer_fires() {
    check(
        "
        e1 @1000: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900; suspend 7 on 1
        e1: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1 @1000: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900; suspend 7 on 1
                arm 7 life 0 sleep 1 at 900
            e1: fire 7 sleep 1 at 900
                start 7 life 0 by 1.1
        "#]],
    );
}
