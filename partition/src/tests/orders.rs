//! Orders to pause, to go on, and to forget, in every status.

use expect_test::expect;

use super::check;

#[test]
fn a_paused_invocation_runs_no_more_until_it_is_resumed() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: append 7 run 1
        e1: ingest pause 7
        e1: append 7 by 1.0 result 1 late; end 7 by 1.0
        rows
        e1: ingest resume 7
        e1: append 7 by 1.0 result 1 late; append 7 by 1.1 result 1 ok
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 run 1
            e1: ingest pause 7
                stop 7
            e1: append 7 by 1.0 result 1 late; end 7 by 1.0
            rows
                partition epoch 1 term 1 next seq 5 inbox 3 now 0 log 5
                7 paused: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                7 [1] run 1
                8 [0] input
                7 waits for 1: Run
                lock cart/a held by 7, places 0..1
                queue cart/a place 0: 8
            e1: ingest resume 7
                start 7 life 0 by 1.1
            e1: append 7 by 1.0 result 1 late; append 7 by 1.1 result 1 ok
                notify 7 life 0 by 1.1 [2] 0x8011 of 1: Value(b"ok")
        "#]],
    );
}

/// The first attempt of an epoch has no row of its own number: it may have begun all the same.
#[test]
fn an_attempt_before_a_pause_is_not_the_one_behind_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e2: announce
        e2: ingest pause 7; ingest resume 7
        e2: append 7 by 2.0 step
        e2: append 7 by 2.1 run 1
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e2: announce
            e2: ingest pause 7; ingest resume 7
                stop 7
                start 7 life 0 by 2.1
            e2: append 7 by 2.0 step
            e2: append 7 by 2.1 run 1
            rows 7
                7 running: life 0 attempt 2.1 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 waits for 1: Run
        "#]],
    );
}

#[test]
fn what_waits_is_paused_and_what_comes_does_not_wake_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 sleep 1 until 900; suspend 7 on 1 signals 17; fail 8 retry 500
        e1: ingest pause 7; ingest pause 8
        e1 @900: fire 7 sleep 1 at 900; fire 8 retry at 500; ingest signal 7 17 value ok
        rows
        e1: ingest resume 7; ingest resume 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 sleep 1 until 900; suspend 7 on 1 signals 17; fail 8 retry 500
                arm 7 life 0 sleep 1 at 900
                arm 8 life 1 retry at 500
            e1: ingest pause 7; ingest pause 8
            e1 @900: fire 7 sleep 1 at 900; fire 8 retry at 500; ingest signal 7 17 value ok
            rows
                partition epoch 1 term 1 next seq 5 inbox 5 now 900 log 5
                7 paused: life 0 attempt 1.0 entries 4 commands 2 progress 0 signals 1
                8 paused: life 1 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                7 [3] signal 17: Value(b"ok")
                8 [0] input
            e1: ingest resume 7; ingest resume 8
                start 7 life 0 by 1.1
                start 8 life 1 by 1.1
        "#]],
    );
}

#[test]
fn a_pause_of_what_has_not_begun_has_no_effect() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
        e1: ingest pause 7; ingest pause 8
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
                start 6 life 0 by 1.0
                arm 8 life 2 start at 900
            e1: ingest pause 7; ingest pause 8
            rows 7
                7 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
            rows 8
                8 scheduled at 900: life 2 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
        "#]],
    );
}

#[test]
fn a_pause_of_what_is_paused_over_or_not_there_has_no_effect() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: fail 7 pause; append 8 output done; end 8
        e1: ingest pause 7; ingest pause 8; ingest pause 9
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: fail 7 pause; append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
            e1: ingest pause 7; ingest pause 8; ingest pause 9
            rows 7
                7 paused: life 0 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
            rows 8
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                8 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn what_waits_is_resumed_at_once_and_its_policy_begins_anew() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 plain; ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 6 sleep 1 until 900; suspend 6 on 1; fail 7 retry 500; fail 8 pause
        e1: ingest resume 6; ingest resume 7; ingest resume 8
        rows
        e1 @500: fire 7 retry at 500
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 plain; ingest invoke 7 plain; ingest invoke 8 plain
                start 6 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 6 sleep 1 until 900; suspend 6 on 1; fail 7 retry 500; fail 8 pause
                arm 6 life 0 sleep 1 at 900
                arm 7 life 1 retry at 500
            e1: ingest resume 6; ingest resume 7; ingest resume 8
                start 6 life 0 by 1.1
                start 7 life 1 by 1.1
                start 8 life 2 by 1.1
            rows
                partition epoch 1 term 1 next seq 4 inbox 6 now 0 log 4
                6 running: life 0 attempt 1.1 entries 2 commands 2 progress 0
                7 running: life 1 attempt 1.1 entries 1 commands 1 progress 0 counted 0 failures 1 after "it broke"
                8 running: life 2 attempt 1.1 entries 1 commands 1 progress 0 counted 0 failures 1 after "it broke"
                6 [0] input
                6 [1] sleep 1 until 900
                7 [0] input
                8 [0] input
                6 waits for 1: Sleep { wake_at: Millis(900) }
                running 6
                running 7
                running 8
                timer 6 life 0 sleep 1 at 900
            e1 @500: fire 7 retry at 500
        "#]],
    );
}

#[test]
fn a_resume_of_what_runs_has_not_begun_or_is_over_has_no_effect() {
    check(
        "
        e1: announce
        e1: ingest invoke 5 exclusive/a; ingest invoke 6 exclusive/a; ingest invoke 7 plain start 900; ingest invoke 8 plain
        e1: append 8 output done; end 8
        e1: ingest resume 5; ingest resume 6; ingest resume 7; ingest resume 8; ingest resume 9
        rows 5
        rows 6
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 5 exclusive/a; ingest invoke 6 exclusive/a; ingest invoke 7 plain start 900; ingest invoke 8 plain
                start 5 life 0 by 1.0
                arm 7 life 2 start at 900
                start 8 life 3 by 1.0
            e1: append 8 output done; end 8
                arm 8 life 3 purge at 600000
                answer 8
            e1: ingest resume 5; ingest resume 6; ingest resume 7; ingest resume 8; ingest resume 9
            rows 5
                5 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                5 [0] input
            rows 6
                6 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                6 [0] input
            rows 7
                7 scheduled at 900: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
            rows 8
                8 completed at 0: life 3 attempt 1.0 entries 2 commands 2 progress 0
                8 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn what_is_over_is_forgotten_on_demand() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain keep 700000
        e1 @30: append 7 output done; end 7
        e1 @50: ingest purge 7
        rows
        e1: ingest invoke 7 plain
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain keep 700000
                start 7 life 0 by 1.0
            e1 @30: append 7 output done; end 7
                arm 7 life 0 purge at 700030
                answer 7
            e1 @50: ingest purge 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 2 now 50 log 4
            e1: ingest invoke 7 plain
                start 7 life 2 by 1.0
        "#]],
    );
}

#[test]
fn a_purge_of_what_is_not_over_has_no_effect() {
    check(
        "
        e1: announce
        e1: ingest invoke 4 exclusive/a; ingest invoke 5 exclusive/a; ingest invoke 6 plain start 900
        e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
        e1: suspend 7 signals 17; fail 8 retry 500; fail 9 pause
        e1: ingest purge 4; ingest purge 5; ingest purge 6; ingest purge 7; ingest purge 8; ingest purge 9; ingest purge 10
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 4 exclusive/a; ingest invoke 5 exclusive/a; ingest invoke 6 plain start 900
                start 4 life 0 by 1.0
                arm 6 life 2 start at 900
            e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
                start 7 life 3 by 1.0
                start 8 life 4 by 1.0
                start 9 life 5 by 1.0
            e1: suspend 7 signals 17; fail 8 retry 500; fail 9 pause
                arm 8 life 4 retry at 500
            e1: ingest purge 4; ingest purge 5; ingest purge 6; ingest purge 7; ingest purge 8; ingest purge 9; ingest purge 10
            rows
                partition epoch 1 term 1 next seq 5 inbox 13 now 0 log 5
                4 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                5 pending at place 0: life 1 attempt 1.0 entries 1 commands 1 progress 0
                6 scheduled at 900: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 suspended on [] signals [17]: life 3 attempt 1.0 entries 1 commands 1 progress 0
                8 backing off until 500: life 4 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                9 paused: life 5 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                4 [0] input
                5 [0] input
                6 [0] input
                7 [0] input
                8 [0] input
                9 [0] input
                running 4
                timer 8 life 4 retry at 500
                timer 6 life 2 start at 900
                lock cart/a held by 4, places 0..1
                queue cart/a place 0: 5
        "#]],
    );
}
