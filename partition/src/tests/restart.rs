//! Completed invocations that begin anew, and those that go on with other code.

use expect_test::expect;

use super::check;

#[test]
fn a_restart_begins_with_the_input() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain caller 8.5 1
        e1: append 7 pin 6 run 1, result 1 ok, output done; end 7
        e1: ingest restart 7 9
        rows 7
        rows 9
        e1: append 9 output again; end 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain caller 8.5 1
                start 7 life 0 by 1.0
            e1: append 7 pin 6 run 1, result 1 ok, output done; end 7
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
                arm 7 life 0 purge at 600000
                answer 7
                send to 0 #1: complete 8.5 1: Value(b"done")
            e1: ingest restart 7 9
                start 9 life 1 by 1.0
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 4 commands 3 progress 0 of 8.5 on dp_6
                7 part 0: input, run 1, 0x8011 of 1: Value(b"ok"), output b"done"
            rows 9
                9 running: life 1 attempt 1.0 entries 1 commands 1 progress 0 like 7
                9 [0] input
            e1: append 9 output again; end 9
                arm 9 life 1 purge at 600000
                answer 9
        "#]],
    );
}

/// Its steps stay made, and are not made again.
#[test]
fn a_restart_begins_with_the_entries_up_to_one_and_the_results_of_their_commands() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 run 1, run 2, set k one, result 2 two
        e1: append 7 call 3 4 8 plain, result 1 one
        e1: ingest from 0 1 invoke 8 plain caller 7.0 4
        e1: append 8 output eight; end 8
        e1: ingest from 0 2 complete 7.0 4 value eight
        e1: append 7 sleep 5 until 900, broken 500 no; end 7
        e1: ingest restart 7 9 from 5 pin 6
        rows 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 run 1, run 2, set k one, result 2 two
                notify 7 life 0 by 1.0 [4] 0x8011 of 2: Value(b"two")
            e1: append 7 call 3 4 8 plain, result 1 one
                send to 0 #1: invoke 8 plain b"arg" for 7.0 4 at metadata 5
                notify 7 life 0 by 1.0 [6] 0x800e of 3: id 8
                notify 7 life 0 by 1.0 [7] 0x8011 of 1: Value(b"one")
            e1: ingest from 0 1 invoke 8 plain caller 7.0 4
                start 8 life 1 by 1.0
            e1: append 8 output eight; end 8
                arm 8 life 1 purge at 600000
                answer 8
                send to 0 #2: complete 7.0 4: Value(b"eight")
            e1: ingest from 0 2 complete 7.0 4 value eight
                notify 7 life 0 by 1.0 [8] 0x800d of 4: Value(b"eight")
            e1: append 7 sleep 5 until 900, broken 500 no; end 7
                arm 7 life 0 sleep 5 at 900
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest restart 7 9 from 5 pin 6
                start 9 life 3 by 1.0
            rows 9
                9 running: life 3 attempt 1.0 entries 9 commands 5 progress 0 like 7 on dp_6
                9 [0] input
                9 [1] run 1
                9 [2] run 2
                9 [3] set k
                9 [4] 0x8011 of 2: Value(b"two")
                9 [5] call 3 4 8
                9 [6] 0x800e of 3: id 8
                9 [7] 0x8011 of 1: Value(b"one")
                9 [8] 0x800d of 4: Value(b"eight")
        "#]],
    );
}

#[test]
fn a_restart_waits_for_its_key_and_runs_beside_nobody() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: append 7 output done; end 7
        e1: ingest restart 7 9
        e1: append 8 output done; end 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            e1: ingest restart 7 9
            e1: append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
                start 9 life 2 by 1.0
        "#]],
    );
}

#[test]
fn a_restart_takes_effect_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1: ingest restart 7 9; ingest restart 7 9; ingest restart 7 7
        e1: append 9 output done; end 9
        e1: ingest restart 7 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest restart 7 9; ingest restart 7 9; ingest restart 7 7
                start 9 life 1 by 1.0
            e1: append 9 output done; end 9
                arm 9 life 1 purge at 600000
                answer 9
            e1: ingest restart 7 9
        "#]],
    );
}

#[test]
fn what_cannot_be_restarted_is_not() {
    check(
        "
        e1: announce
        e1: ingest restart 7 9
        e1: ingest invoke 7 plain; ingest invoke 60 workflow/w
        e1: ingest restart 7 9
        e1: append 7 run 1, run 2, result 1 ok, output done; end 7
        e1: append 60 output done; end 60
        e1: ingest restart 60 9
        e1: ingest restart 7 9 from 2; ingest restart 7 9 from 4; ingest restart 7 9 from 5
        rows 9
        e1: ingest restart 7 9 from 1
        rows 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest restart 7 9
            e1: ingest invoke 7 plain; ingest invoke 60 workflow/w
                start 7 life 1 by 1.0
                start 60 life 2 by 1.0
            e1: ingest restart 7 9
            e1: append 7 run 1, run 2, result 1 ok, output done; end 7
                notify 7 life 1 by 1.0 [3] 0x8011 of 1: Value(b"ok")
                arm 7 life 1 purge at 600000
                answer 7
            e1: append 60 output done; end 60
                arm 60 life 2 purge at 600000
                answer 60
            e1: ingest restart 60 9
            e1: ingest restart 7 9 from 2; ingest restart 7 9 from 4; ingest restart 7 9 from 5
            rows 9
            e1: ingest restart 7 9 from 1
                start 9 life 8 by 1.0
            rows 9
                9 running: life 8 attempt 1.0 entries 3 commands 2 progress 0 like 7
                9 [0] input
                9 [1] run 1
                9 [2] 0x8011 of 1: Value(b"ok")
        "#]],
    );
}

#[test]
fn a_signal_is_kept_with_the_entries_before_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest signal 7 17 value x
        e1: append 7 output done; end 7
        e1: ingest restart 7 9 from 1
        e1: suspend 9 signals 17 told 0
        rows 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest signal 7 17 value x
                notify 7 life 0 by 1.0 [1] signal 17: Value(b"x")
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest restart 7 9 from 1
                start 9 life 2 by 1.0
            e1: suspend 9 signals 17 told 0
                start 9 life 2 by 1.1
            rows 9
                9 running: life 2 attempt 1.1 entries 2 commands 1 progress 0 signals 1 like 7
                9 [0] input
                9 [1] signal 17: Value(b"x")
        "#]],
    );
}

#[test]
fn what_waits_goes_on_with_other_code() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
        e1: append 7 pin 5 run 1; suspend 7 on 1 signals 17
        e1: append 8 pin 5 run 1; fail 8 retry 500
        e1: append 9 pin 5 run 1; fail 9 pause
        e1: ingest resumeon 7 6; ingest resumeon 8 6; ingest resumeon 9 6
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
                start 9 life 2 by 1.0
            e1: append 7 pin 5 run 1; suspend 7 on 1 signals 17
            e1: append 8 pin 5 run 1; fail 8 retry 500
                arm 8 life 1 retry at 500
            e1: append 9 pin 5 run 1; fail 9 pause
            e1: ingest resumeon 7 6; ingest resumeon 8 6; ingest resumeon 9 6
                start 7 life 0 by 1.1
                start 8 life 1 by 1.1
                start 9 life 2 by 1.1
            rows
                partition epoch 1 term 1 next seq 6 inbox 6 now 0 log 6
                7 running: life 0 attempt 1.1 entries 2 commands 2 progress 0 on dp_6
                8 running: life 1 attempt 1.1 entries 2 commands 2 progress 0 counted 0 failures 1 on dp_6 after "it broke"
                9 running: life 2 attempt 1.1 entries 2 commands 2 progress 0 counted 0 failures 1 on dp_6 after "it broke"
                7 [0] input
                7 [1] run 1
                8 [0] input
                8 [1] run 1
                9 [0] input
                9 [1] run 1
                7 waits for 1: Run
                8 waits for 1: Run
                9 waits for 1: Run
                running 7
                running 8
                running 9
        "#]],
    );
}

#[test]
fn what_runs_or_has_no_code_yet_or_has_ended_keeps_what_it_has() {
    check(
        "
        e1: announce
        e1: ingest resumeon 7 6
        e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
        e1: append 7 pin 5 run 1
        e1: fail 8 pause
        e1: append 9 pin 5 output done; end 9
        e1: ingest resumeon 7 6; ingest resumeon 8 6; ingest resumeon 9 6
        rows 7
        rows 8
        rows 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest resumeon 7 6
            e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
                start 9 life 3 by 1.0
            e1: append 7 pin 5 run 1
            e1: fail 8 pause
            e1: append 9 pin 5 output done; end 9
                arm 9 life 3 purge at 600000
                answer 9
            e1: ingest resumeon 7 6; ingest resumeon 8 6; ingest resumeon 9 6
            rows 7
                7 running: life 1 attempt 1.0 entries 2 commands 2 progress 0 on dp_5
                7 [0] input
                7 [1] run 1
                7 waits for 1: Run
            rows 8
                8 paused: life 2 attempt 1.0 entries 1 commands 1 progress 0 counted 1 failures 1 after "it broke"
                8 [0] input
            rows 9
                9 completed at 0: life 3 attempt 1.0 entries 2 commands 2 progress 0 on dp_5
                9 part 0: input, output b"done"
        "#]],
    );
}
