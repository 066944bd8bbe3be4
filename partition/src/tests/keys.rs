//! One at a time per object key.

use expect_test::expect;

use super::check;

#[test]
fn calls_of_a_key_run_one_at_a_time_in_order() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 9 exclusive/a; ingest invoke 8 exclusive/a
        rows
        e1: append 7 output done; end 7
        e1: ingest invoke 6 exclusive/a
        e1: append 9 output done; end 9
        rows
        e1: append 8 output done; end 8
        e1: append 6 output done; end 6
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 9 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 1 next seq 2 inbox 3 now 0 log 2
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 pending at place 1: life 2 attempt 1.0 entries 1 commands 1 progress 0
                9 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                9 [0] input
                running 7
                lock cart/a held by 7, places 0..2
                queue cart/a place 0: 9
                queue cart/a place 1: 8
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
                start 9 life 1 by 1.0
            e1: ingest invoke 6 exclusive/a
            e1: append 9 output done; end 9
                arm 9 life 1 purge at 600000
                answer 9
                start 8 life 2 by 1.0
            rows
                partition epoch 1 term 1 next seq 5 inbox 4 now 0 log 5
                6 pending at place 2: life 3 attempt 1.0 entries 1 commands 1 progress 0
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                9 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                6 [0] input
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                timer 9 life 1 purge at 600000
                lock cart/a held by 8, places 2..3
                queue cart/a place 2: 6
                7 part 0: input, output b"done"
                9 part 0: input, output b"done"
            e1: append 8 output done; end 8
                arm 8 life 2 purge at 600000
                answer 8
                start 6 life 3 by 1.0
            e1: append 6 output done; end 6
                arm 6 life 3 purge at 600000
                answer 6
        "#]],
    );
}

#[test]
fn other_keys_and_shared_handlers_run_beside() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/b; ingest invoke 9 shared/a; ingest invoke 10 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/b; ingest invoke 9 shared/a; ingest invoke 10 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
                start 9 life 2 by 1.0
                start 10 life 3 by 1.0
            rows
                partition epoch 1 term 1 next seq 2 inbox 4 now 0 log 2
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                9 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                10 running: life 3 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                9 [0] input
                10 [0] input
                running 7
                running 8
                running 9
                running 10
                lock cart/a held by 7, places 0..0
                lock cart/b held by 8, places 0..0
        "#]],
    );
}

#[test]
fn a_free_key_leaves_no_lock() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 output done; end 7
        rows
        e1: ingest invoke 8 exclusive/a
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                7 part 0: input, output b"done"
            e1: ingest invoke 8 exclusive/a
                start 8 life 1 by 1.0
            rows
                partition epoch 1 term 1 next seq 4 inbox 2 now 0 log 4
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                lock cart/a held by 8, places 0..0
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn a_delayed_call_queues_when_its_time_comes() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a start 500; ingest invoke 8 exclusive/a; ingest invoke 9 exclusive/a
        e1 @500: fire 7 start at 500
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a start 500; ingest invoke 8 exclusive/a; ingest invoke 9 exclusive/a
                arm 7 life 0 start at 500
                start 8 life 1 by 1.0
            e1 @500: fire 7 start at 500
            rows
                partition epoch 1 term 1 next seq 3 inbox 3 now 500 log 3
                7 pending at place 1: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                9 pending at place 0: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                9 [0] input
                running 8
                lock cart/a held by 8, places 0..2
                queue cart/a place 0: 9
                queue cart/a place 1: 7
        "#]],
    );
}

#[test]
fn a_suspended_failing_or_paused_invocation_keeps_its_key() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: append 7 sleep 1 until 900; suspend 7 on 1
        e1 @900: fire 7 sleep 1 at 900
        e1: fail 7 retry 950
        e1 @950: fire 7 retry at 950
        e1: fail 7 pause
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900; suspend 7 on 1
                arm 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 1.1
            e1: fail 7 retry 950
                arm 7 life 0 retry at 950
            e1 @950: fire 7 retry at 950
                start 7 life 0 by 1.2
            e1: fail 7 pause
            rows
                partition epoch 1 term 1 next seq 7 inbox 2 now 950 log 7
                7 paused: life 0 attempt 1.2 entries 3 commands 2 progress 0 counted 2 failures 2 after "it broke"
                8 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                8 [0] input
                lock cart/a held by 7, places 0..1
                queue cart/a place 0: 8
        "#]],
    );
}

#[test]
fn a_call_that_waited_over_a_takeover_starts_as_the_new_owner_s_first_attempt() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e2: announce
        e2: append 7 by 2.0 output done; end 7 by 2.0
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e2: announce
            e2: append 7 by 2.0 output done; end 7 by 2.0
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 2.0
            rows
                partition epoch 2 term 2 next seq 2 inbox 2 now 0 log 4
                7 completed at 0: life 0 attempt 2.0 entries 2 commands 2 progress 0
                8 running: life 1 attempt 2.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                lock cart/a held by 8, places 1..1
                7 part 0: input, output b"done"
        "#]],
    );
}

/// No correct sender makes one.
#[test]
fn an_exclusive_call_without_a_key_excludes_nobody() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/; ingest invoke 8 exclusive/
        e1: append 7 output done; end 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/; ingest invoke 8 exclusive/
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 2 now 0 log 3
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn an_exclusive_handler_called_again_while_it_waits_is_one_call() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: ingest invoke 8 exclusive/a; ingest invoke 7 exclusive/a
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: ingest invoke 8 exclusive/a; ingest invoke 7 exclusive/a
            rows
                partition epoch 1 term 1 next seq 3 inbox 4 now 0 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                running 7
                lock cart/a held by 7, places 0..1
                queue cart/a place 0: 8
        "#]],
    );
}
