//! Cancellations, in every status.

use expect_test::expect;

use super::check;

#[test]
fn what_has_not_begun_ends_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain start 900 keep 700000; ingest cancel 7
        rows
        e1 @900: fire 7 start at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain start 900 keep 700000; ingest cancel 7
                arm 7 life 0 start at 900
                arm 7 life 0 purge at 700000
                answer 7
            rows
                partition epoch 1 term 1 next seq 2 inbox 2 now 0 log 2
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 700000
                7 part 0: input, failure 409 "canceled"
            e1 @900: fire 7 start at 900
        "#]],
    );
}

#[test]
fn one_in_the_middle_of_a_queue_leaves_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 exclusive/a
        e1: ingest cancel 8
        rows
        e1: append 6 output done; end 6
        e1: append 7 output done; end 7
        e1: append 9 output done; end 9
        rows lock
        rows queue
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 exclusive/a
                start 6 life 0 by 1.0
            e1: ingest cancel 8
                arm 8 life 2 purge at 600000
                answer 8
            rows
                partition epoch 1 term 1 next seq 3 inbox 5 now 0 log 3
                6 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 completed at 0: life 2 attempt 1.0 entries 2 commands 2 progress 0
                9 pending at place 2: life 3 attempt 1.0 entries 1 commands 1 progress 0
                6 [0] input
                7 [0] input
                9 [0] input
                running 6
                timer 8 life 2 purge at 600000
                lock cart/a held by 6, places 0..3
                queue cart/a place 0: 7
                queue cart/a place 2: 9
                8 part 0: input, failure 409 "canceled"
            e1: append 6 output done; end 6
                arm 6 life 0 purge at 600000
                answer 6
                start 7 life 1 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 1 purge at 600000
                answer 7
                start 9 life 3 by 1.0
            e1: append 9 output done; end 9
                arm 9 life 3 purge at 600000
                answer 9
            rows lock
            rows queue
        "#]],
    );
}

#[test]
fn the_last_in_a_queue_leaves_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a
        e1: ingest cancel 7
        e1: append 6 output done; end 6
        e1: ingest invoke 8 exclusive/a
        rows lock
        rows queue
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a
                start 6 life 0 by 1.0
            e1: ingest cancel 7
                arm 7 life 1 purge at 600000
                answer 7
            e1: append 6 output done; end 6
                arm 6 life 0 purge at 600000
                answer 6
            e1: ingest invoke 8 exclusive/a
                start 8 life 3 by 1.0
            rows lock
                lock cart/a held by 8, places 0..0
            rows queue
        "#]],
    );
}

#[test]
fn a_running_function_is_told() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest cancel 7
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest cancel 7
                notify 7 life 0 by 1.0 [1] signal 1: Void
            rows 7
                7 running: life 0 attempt 1.0 entries 2 commands 1 progress 0 signals 1
                7 [0] input
                7 [1] signal 1: Void
        "#]],
    );
}

/// One that does not wait for it handles cancellation itself.
#[test]
fn a_suspended_function_that_can_be_cancelled_wakes() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 sleep 1 until 900; append 8 sleep 1 until 900
        e1: suspend 7 on 1 signals 1; suspend 8 on 1
        e1: ingest cancel 7; ingest cancel 8
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 sleep 1 until 900; append 8 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
                arm 8 life 1 sleep 1 at 900
            e1: suspend 7 on 1 signals 1; suspend 8 on 1
            e1: ingest cancel 7; ingest cancel 8
                start 7 life 0 by 1.1
            rows 8
                8 suspended on [1]: life 1 attempt 1.0 entries 3 commands 2 progress 0 signals 1
                8 [0] input
                8 [1] sleep 1 until 900
                8 [2] signal 1: Void
                8 waits for 1: Sleep { wake_at: Millis(900) }
        "#]],
    );
}

#[test]
fn a_paused_invocation_goes_on() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 pause
        e1: ingest cancel 7
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 pause
            e1: ingest cancel 7
                start 7 life 0 by 1.1
            rows 7
                7 running: life 0 attempt 1.1 entries 2 commands 1 progress 0 signals 1 counted 0 failures 1 after "it broke"
                7 [0] input
                7 [1] signal 1: Void
        "#]],
    );
}

#[test]
fn a_paused_invocation_that_has_its_output_ends_with_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done
        e1: fail 7 pause
        e1: ingest cancel 7
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done
            e1: fail 7 pause
            e1: ingest cancel 7
                arm 7 life 0 purge at 600000
                answer 7
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 1
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn one_that_backs_off_is_told_by_its_next_attempt() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 500
        e1: ingest cancel 7
        rows 7
        e1 @500: fire 7 retry at 500
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 500
                arm 7 life 0 retry at 500
            e1: ingest cancel 7
            rows 7
                7 backing off until 500: life 0 attempt 1.0 entries 2 commands 1 progress 0 signals 1 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] signal 1: Void
            e1 @500: fire 7 retry at 500
                start 7 life 0 by 1.1
        "#]],
    );
}

#[test]
fn what_is_over_or_not_there_is_left_alone() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 output done; append 8 output done; end 8
        e1: ingest cancel 7; ingest cancel 8; ingest cancel 9
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 output done; append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
            e1: ingest cancel 7; ingest cancel 8; ingest cancel 9
            rows
                partition epoch 1 term 1 next seq 4 inbox 5 now 0 log 4
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] output b"done"
                running 7
                timer 8 life 1 purge at 600000
                8 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn several_cancellations_are_all_told() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest cancel 7; ingest cancel 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest cancel 7; ingest cancel 7
                notify 7 life 0 by 1.0 [1] signal 1: Void
                notify 7 life 0 by 1.0 [2] signal 1: Void
        "#]],
    );
}

#[test]
fn who_called_what_is_cancelled_in_the_queue_is_answered() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 6 exclusive/a; ingest from 2 1 invoke 7 exclusive/a caller 2:9.0 2
        e1: ingest from 2 2 cancel 7 sender 2:9.0
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 6 exclusive/a; ingest from 2 1 invoke 7 exclusive/a caller 2:9.0 2
                start 6 life 0 by 1.0
            e1: ingest from 2 2 cancel 7 sender 2:9.0
                arm 7 life 1 purge at 600000
                answer 7
                send to 2 #1: complete 2:9.0 2: failure 409 "canceled"
        "#]],
    );
}

/// The child of a later life of the caller has the same id.
#[test]
fn a_function_cancels_its_child_alone() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a caller 2:9.4 2
        e1: ingest cancel 7 sender 2:9.3
        e1: ingest cancel 7 sender 2:9.4
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a caller 2:9.4 2
                start 6 life 0 by 1.0
            e1: ingest cancel 7 sender 2:9.3
            e1: ingest cancel 7 sender 2:9.4
                arm 7 life 1 purge at 600000
                answer 7
                send to 2 #1: complete 2:9.4 2: failure 409 "canceled"
        "#]],
    );
}

#[test]
fn a_cancellation_that_was_not_told_wakes_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 2 until 900
        e1: ingest cancel 7; suspend 7 on 2 signals 1 told 0
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 2 until 900
                arm 7 life 0 sleep 2 at 900
            e1: ingest cancel 7; suspend 7 on 2 signals 1 told 0
                notify 7 life 0 by 1.0 [2] signal 1: Void
                start 7 life 0 by 1.1
        "#]],
    );
}
