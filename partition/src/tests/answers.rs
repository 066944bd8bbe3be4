//! Answers to calls between functions.

use expect_test::expect;

use super::check;

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 run 1, sleep 2 until 900, call 3 4 2:8 plain
        e1: ingest complete 9.0 4 value unknown
        e1: ingest complete 7.0 5 value undeclared
        e1: ingest complete 7.1 4 value other-life
        e1: ingest complete 7.0 3 value told-already
        e1: ingest complete 7.0 1 value run; ingest complete 7.0 2 value sleep
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, sleep 2 until 900, call 3 4 2:8 plain
                arm 7 life 0 sleep 2 at 900
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 4 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 3: id 2:8
            e1: ingest complete 9.0 4 value unknown
            e1: ingest complete 7.0 5 value undeclared
            e1: ingest complete 7.1 4 value other-life
            e1: ingest complete 7.0 3 value told-already
            e1: ingest complete 7.0 1 value run; ingest complete 7.0 2 value sleep
            rows 7
                7 running: life 0 attempt 1.0 entries 5 commands 4 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] sleep 2 until 900
                7 [3] call 3 4 2:8
                7 [4] 0x800e of 3: id 2:8
                7 waits for 1: Run
                7 waits for 2: Sleep { wake_at: Millis(900) }
                7 waits for 4: call of 2:8
        "#]],
    );
}

#[test]
fn an_answer_counts_once() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain
        e1: ingest from 2 1 complete 7.0 2 value first; ingest from 2 2 complete 7.0 2 value second
        rows 7 [
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            e1: ingest from 2 1 complete 7.0 2 value first; ingest from 2 2 complete 7.0 2 value second
                notify 7 life 0 by 1.0 [3] 0x800d of 2: Value(b"first")
            rows 7 [
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 [3] 0x800d of 2: Value(b"first")
        "#]],
    );
}

#[test]
fn an_answer_behind_the_output_is_dropped() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain, call 3 4 2:9 plain, output done
        e1: ingest from 2 1 complete 7.0 2 value late
        rows 7
        e1: end 7
        e1: ingest from 2 2 complete 7.0 4 value later
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain, call 3 4 2:9 plain, output done
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: invoke 2:9 plain b"arg" for 7.0 4 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 3: id 2:9
            e1: ingest from 2 1 complete 7.0 2 value late
            rows 7
                7 running: life 0 attempt 1.0 entries 6 commands 4 progress 0
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 [3] call 3 4 2:9
                7 [4] 0x800e of 3: id 2:9
                7 [5] output b"done"
                7 waits for 4: call of 2:9
            e1: end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 2 2 complete 7.0 4 value later
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 6 commands 4 progress 0
                7 part 0: input, call 1 2 2:8, 0x800e of 1: id 2:8, call 3 4 2:9, 0x800e of 3: id 2:9, output b"done"
        "#]],
    );
}

#[test]
fn an_answer_for_an_earlier_life_is_dropped() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain, output done; end 7
        e1 @600000: fire 7 purge at 600000
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain
        e1: ingest from 2 1 complete 7.0 2 value former
        e1: ingest from 2 2 complete 7.1 2 value mine
        rows 7 [
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain, output done; end 7
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000
            e1: ingest invoke 7 plain
                start 7 life 1 by 1.0
            e1: append 7 call 1 2 2:8 plain
                send to 2 #2: invoke 2:8 plain b"arg" for 7.1 2 at metadata 5
                notify 7 life 1 by 1.0 [2] 0x800e of 1: id 2:8
            e1: ingest from 2 1 complete 7.0 2 value former
            e1: ingest from 2 2 complete 7.1 2 value mine
                notify 7 life 1 by 1.0 [3] 0x800d of 2: Value(b"mine")
            rows 7 [
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 [3] 0x800d of 2: Value(b"mine")
        "#]],
    );
}

#[test]
fn an_answer_that_comes_while_no_attempt_runs_is_stored() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 call 1 2 2:9 plain; append 8 call 1 2 2:9 plain
        e1: fail 7 retry 900; fail 8 pause
        e1: ingest from 2 1 complete 7.0 2 value ok; ingest from 2 2 complete 8.1 2 value ok
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 call 1 2 2:9 plain; append 8 call 1 2 2:9 plain
                send to 2 #1: invoke 2:9 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:9
                send to 2 #2: invoke 2:9 plain b"arg" for 8.1 2 at metadata 5
                notify 8 life 1 by 1.0 [2] 0x800e of 1: id 2:9
            e1: fail 7 retry 900; fail 8 pause
                arm 7 life 0 retry at 900
            e1: ingest from 2 1 complete 7.0 2 value ok; ingest from 2 2 complete 8.1 2 value ok
            rows 7
                7 backing off until 900: life 0 attempt 1.0 entries 4 commands 2 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] call 1 2 2:9
                7 [2] 0x800e of 1: id 2:9
                7 [3] 0x800d of 2: Value(b"ok")
            rows 8
                8 paused: life 1 attempt 1.0 entries 4 commands 2 progress 0 counted 1 failures 1 after "it broke"
                8 [0] input
                8 [1] call 1 2 2:9
                8 [2] 0x800e of 1: id 2:9
                8 [3] 0x800d of 2: Value(b"ok")
        "#]],
    );
}

#[test]
fn an_answer_that_crosses_the_suspension_is_not_missed() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain
        e1: ingest from 2 1 complete 7.0 2 value ok; suspend 7 on 2
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            e1: ingest from 2 1 complete 7.0 2 value ok; suspend 7 on 2
                notify 7 life 0 by 1.0 [3] 0x800d of 2: Value(b"ok")
                start 7 life 0 by 1.1
        "#]],
    );
}
