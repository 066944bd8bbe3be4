//! Kills, in every status.

use expect_test::expect;

use super::check;

#[test]
fn a_running_invocation_ends_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: append 7 run 1, sleep 2 until 900, step
        e1: ingest kill 7
        e1: append 7 by 1.0 step; end 7 by 1.0
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 run 1, sleep 2 until 900, step
                arm 7 life 0 sleep 2 at 900
            e1: ingest kill 7
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            e1: append 7 by 1.0 step; end 7 by 1.0
            rows
                partition epoch 1 term 1 next seq 5 inbox 3 now 0 log 5
                7 completed at 0: life 0 attempt 1.0 entries 5 commands 5 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                timer 7 life 0 purge at 600000
                lock cart/a held by 8, places 1..1
                7 part 0: input, run 1, sleep 2 until 900, step, failure 409 "killed"
        "#]],
    );
}

#[test]
fn what_has_not_begun_ends_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 plain start 900
        e1: ingest kill 7; ingest kill 9
        rows
        e1: append 6 output done; end 6
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a; ingest invoke 9 plain start 900
                start 6 life 0 by 1.0
                arm 9 life 3 start at 900
            e1: ingest kill 7; ingest kill 9
                stop 7
                arm 7 life 1 purge at 600000
                answer 7
                stop 9
                arm 9 life 3 purge at 600000
                answer 9
            rows
                partition epoch 1 term 1 next seq 3 inbox 6 now 0 log 3
                6 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                8 pending at place 1: life 2 attempt 1.0 entries 1 commands 1 progress 0
                9 completed at 0: life 3 attempt 1.0 entries 2 commands 2 progress 0
                6 [0] input
                8 [0] input
                running 6
                timer 7 life 1 purge at 600000
                timer 9 life 3 purge at 600000
                lock cart/a held by 6, places 0..2
                queue cart/a place 1: 8
                7 part 0: input, failure 409 "killed"
                9 part 0: input, failure 409 "killed"
            e1: append 6 output done; end 6
                arm 6 life 0 purge at 600000
                answer 6
                start 8 life 2 by 1.0
        "#]],
    );
}

#[test]
fn what_waits_ends_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 5 exclusive/a; ingest invoke 6 exclusive/b; ingest invoke 7 exclusive/c
        e1: append 5 sleep 1 until 900; suspend 5 on 1; fail 6 retry 500; fail 7 pause
        e1: ingest kill 5; ingest kill 6; ingest kill 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 5 exclusive/a; ingest invoke 6 exclusive/b; ingest invoke 7 exclusive/c
                start 5 life 0 by 1.0
                start 6 life 1 by 1.0
                start 7 life 2 by 1.0
            e1: append 5 sleep 1 until 900; suspend 5 on 1; fail 6 retry 500; fail 7 pause
                arm 5 life 0 sleep 1 at 900
                arm 6 life 1 retry at 500
            e1: ingest kill 5; ingest kill 6; ingest kill 7
                stop 5
                arm 5 life 0 purge at 600000
                answer 5
                stop 6
                arm 6 life 1 purge at 600000
                answer 6
                stop 7
                arm 7 life 2 purge at 600000
                answer 7
            rows
                partition epoch 1 term 1 next seq 4 inbox 6 now 0 log 4
                5 completed at 0: life 0 attempt 1.0 entries 3 commands 3 progress 0
                6 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 0
                7 completed at 0: life 2 attempt 1.0 entries 2 commands 2 progress 0 counted 1 failures 0
                timer 5 life 0 purge at 600000
                timer 6 life 1 purge at 600000
                timer 7 life 2 purge at 600000
                5 part 0: input, sleep 1 until 900, failure 409 "killed"
                6 part 0: input, failure 409 "killed"
                7 part 0: input, failure 409 "killed"
        "#]],
    );
}

#[test]
fn what_is_over_or_not_there_is_left_alone() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1: ingest kill 7; ingest kill 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest kill 7; ingest kill 8
        "#]],
    );
}

#[test]
fn an_output_that_is_stored_stays_the_outcome() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 8 plain, output done
        e1: ingest kill 7
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 8 plain, output done
                send to 0 #1: invoke 8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
            e1: ingest kill 7
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 4 commands 3 progress 0
                7 part 0: input, call 1 2 8, 0x800e of 1: id 8, output b"done"
        "#]],
    );
}

#[test]
fn the_calls_that_it_waits_for_are_killed_and_no_others() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain caller 3:6.1 2
        e1: append 7 call 1 2 2:8 plain, call 3 4 3:9 plain, send 5 2:10 plain, attach 6 2:11, call 7 8 2:12 plain
        e1: ingest from 2 1 complete 7.0 4 value ok
        e1: ingest kill 7
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain caller 3:6.1 2
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain, call 3 4 3:9 plain, send 5 2:10 plain, attach 6 2:11, call 7 8 2:12 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 3 #1: invoke 3:9 plain b"arg" for 7.0 4 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 3: id 3:9
                send to 2 #2: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [6] 0x800e of 5: id 2:10
                send to 2 #3: attach 2:11 for 7.0 6
                send to 2 #4: invoke 2:12 plain b"arg" for 7.0 8 at metadata 5
                notify 7 life 0 by 1.0 [9] 0x800e of 7: id 2:12
            e1: ingest from 2 1 complete 7.0 4 value ok
                notify 7 life 0 by 1.0 [10] 0x800d of 4: Value(b"ok")
            e1: ingest kill 7
                stop 7
                send to 2 #5: Kill 2:8 by 7.0
                send to 2 #6: Kill 2:12 by 7.0
                arm 7 life 0 purge at 600000
                answer 7
                send to 3 #2: complete 3:6.1 2: failure 409 "killed"
            rows
                partition epoch 1 term 1 next seq 5 inbox 3 now 0 log 5 of 4
                7 completed at 0: life 0 attempt 1.0 entries 12 commands 7 progress 0 of 3:6.1
                timer 7 life 0 purge at 600000
                sender 2 up to 1
                7 part 0: input, call 1 2 2:8, 0x800e of 1: id 2:8, call 3 4 3:9, 0x800e of 3: id 3:9, send 5 2:10, 0x800e of 5: id 2:10, attach 6 2:11, call 7 8 2:12, 0x800e of 7: id 2:12, 0x800d of 4: Value(b"ok"), failure 409 "killed"
                outbox to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                outbox to 2 #2: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                outbox to 2 #3: attach 2:11 for 7.0 6
                outbox to 2 #4: invoke 2:12 plain b"arg" for 7.0 8 at metadata 5
                outbox to 2 #5: Kill 2:8 by 7.0
                outbox to 2 #6: Kill 2:12 by 7.0
                outbox to 3 #1: invoke 3:9 plain b"arg" for 7.0 4 at metadata 5
                outbox to 3 #2: complete 3:6.1 2: failure 409 "killed"
                sent to 2 up to 6, delivered up to 0
                sent to 3 up to 2, delivered up to 0
        "#]],
    );
}

#[test]
fn who_used_up_its_attempts_takes_its_calls_with_it() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain; fail 7 kill
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain; fail 7 kill
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: Kill 2:8 by 7.0
                arm 7 life 0 purge at 600000
                answer 7
        "#]],
    );
}

#[test]
fn a_child_is_killed_by_the_life_that_called_it() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain caller 2:9.4 2; ingest invoke 8 plain
        e1: ingest kill 7 sender 2:9.3; ingest kill 7 sender 2:6.4; ingest kill 8 sender 2:9.4
        e1: ingest kill 7 sender 2:9.4
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain caller 2:9.4 2; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: ingest kill 7 sender 2:9.3; ingest kill 7 sender 2:6.4; ingest kill 8 sender 2:9.4
            e1: ingest kill 7 sender 2:9.4
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:9.4 2: failure 409 "killed"
        "#]],
    );
}

#[test]
fn a_kill_goes_down_to_the_last_callee() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 8 plain; suspend 7 on 2
        e1: ingest from 0 1 invoke 8 plain caller 7.0 2; append 8 call 1 2 9 plain; suspend 8 on 2
        e1: ingest from 0 2 invoke 9 plain caller 8.1 2
        e1: ingest kill 7
        e1: ingest from 0 3 kill 8 sender 7.0
        e1: ingest from 0 4 kill 9 sender 8.1
        rows 7
        rows 8
        rows 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 8 plain; suspend 7 on 2
                send to 0 #1: invoke 8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
            e1: ingest from 0 1 invoke 8 plain caller 7.0 2; append 8 call 1 2 9 plain; suspend 8 on 2
                start 8 life 1 by 1.0
            e1: ingest from 0 2 invoke 9 plain caller 8.1 2
                start 9 life 2 by 1.0
            e1: ingest kill 7
                stop 7
                send to 0 #2: Kill 8 by 7.0
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 0 3 kill 8 sender 7.0
                stop 8
                arm 8 life 1 purge at 600000
                answer 8
                send to 0 #3: complete 7.0 2: failure 409 "killed"
            e1: ingest from 0 4 kill 9 sender 8.1
                stop 9
                arm 9 life 2 purge at 600000
                answer 9
                send to 0 #4: complete 8.1 2: failure 409 "killed"
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 4 commands 3 progress 0
                7 part 0: input, call 1 2 8, 0x800e of 1: id 8, failure 409 "killed"
            rows 8
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0 of 7.0
                8 part 0: input, failure 409 "killed"
            rows 9
                9 completed at 0: life 2 attempt 1.0 entries 2 commands 2 progress 0 of 8.1
                9 part 0: input, failure 409 "killed"
        "#]],
    );
}
