//! Completion and what is kept of it.

use expect_test::expect;

use super::check;

#[test]
fn an_invocation_ends_with_its_output() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done
        e1 @30: end 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done
            e1 @30: end 7
                arm 7 life 0 purge at 600030
                answer 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 30 log 4
                7 completed at 30: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600030
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn an_end_without_output_pauses() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 step; end 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 step; end 7
                stop 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 paused: life 0 attempt 1.0 entries 2 commands 2 progress 0 after "attempt ended without an output"
                7 [0] input
                7 [1] step
        "#]],
    );
}

#[test]
fn an_invocation_ends_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1: end 7
        e1: fail 7 kill
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: end 7
            e1: fail 7 kill
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 0 log 5
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn the_end_of_an_unknown_invocation_is_ignored() {
    check(
        "
        e1: announce
        e1: end 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: end 7
            rows
                partition epoch 1 term 1 next seq 2 inbox 0 now 0 log 2
        "#]],
    );
}

#[test]
fn what_an_ended_invocation_waited_for_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, sleep 2 until 900, sleep 4294967295 until 950, output done
        rows
        e1: end 7
        rows
        e1 @900: fire 7 sleep 2 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, sleep 2 until 900, sleep 4294967295 until 950, output done
                arm 7 life 0 sleep 2 at 900
                arm 7 life 0 sleep 4294967295 at 950
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 5 commands 5 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] sleep 2 until 900
                7 [3] sleep 4294967295 until 950
                7 [4] output b"done"
                7 waits for 1: Run
                7 waits for 2: Sleep { wake_at: Millis(900) }
                7 waits for 4294967295: Sleep { wake_at: Millis(950) }
                running 7
                timer 7 life 0 sleep 2 at 900
                timer 7 life 0 sleep 4294967295 at 950
            e1: end 7
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 completed at 0: life 0 attempt 1.0 entries 5 commands 5 progress 0
                timer 7 life 0 purge at 600000
                7 part 0: input, run 1, sleep 2 until 900, sleep 4294967295 until 950, output b"done"
            e1 @900: fire 7 sleep 2 at 900
        "#]],
    );
}

#[test]
fn an_outcome_is_kept_as_long_as_it_was_asked_for() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain keep 600001
        e1: append 7 output done; end 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain keep 600001
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600001
                answer 7
        "#]],
    );
}

#[test]
fn an_outcome_may_be_kept_for_ever() {
    check(
        "
        e1 @5: announce
        e1: ingest invoke 7 plain keep 9223372036854775807
        e1: append 7 output done; end 7
        ",
        &expect![[r#"
            e1 @5: announce
            e1: ingest invoke 7 plain keep 9223372036854775807
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 9223372036854775807
                answer 7
        "#]],
    );
}

#[test]
fn a_purged_invocation_leaves_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 run 1, result 1 ok, sleep 2 until 900, output done; end 7
        e1 @600000: fire 7 purge at 600000
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 run 1, result 1 ok, sleep 2 until 900, output done; end 7
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
                arm 7 life 0 sleep 2 at 900
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 600000 log 4
        "#]],
    );
}

#[test]
fn an_outcome_is_not_forgotten_early() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1 @599999: fire 7 purge at 600000
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1 @599999: fire 7 purge at 600000
                arm 7 life 0 purge at 600000
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 599999 log 4
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                7 part 0: input, output b"done"
        "#]],
    );
}

/// The owner died between apply and reply; the caller asks again.
#[test]
fn a_lost_answer_is_given_again() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain request 4
        e1: append 7 output done; end 7
        e2: announce
        e2: ingest invoke 7 plain request 4
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain request 4
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e2: announce
            e2: ingest invoke 7 plain request 4
                answer 7
        "#]],
    );
}
