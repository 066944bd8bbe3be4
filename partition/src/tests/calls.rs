//! Calls between functions.

use expect_test::expect;

use super::check;

#[test]
fn a_call_is_sent_with_its_id_told_and_its_answer_comes_back() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 exclusive/a
        rows
        e1: ingest from 2 1 complete 7.0 2 value ok
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 exclusive/a
                send to 2 #1: invoke 2:8 exclusive/a b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3 of 4
                7 running: life 0 attempt 1.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 waits for 2: call of 2:8
                running 7
                outbox to 2 #1: invoke 2:8 exclusive/a b"arg" for 7.0 2 at metadata 5
                sent to 2 up to 1, delivered up to 0
            e1: ingest from 2 1 complete 7.0 2 value ok
                notify 7 life 0 by 1.0 [3] 0x800d of 2: Value(b"ok")
            rows 7
                7 running: life 0 attempt 1.0 entries 4 commands 2 progress 0
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 [3] 0x800d of 2: Value(b"ok")
        "#]],
    );
}

#[test]
fn an_answer_wakes_who_waits_for_it() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain; suspend 7 on 2
        e1: ingest from 2 1 complete 7.0 2 failure 500 it broke
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain; suspend 7 on 2
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            e1: ingest from 2 1 complete 7.0 2 failure 500 it broke
                start 7 life 0 by 1.1
            rows 7
                7 running: life 0 attempt 1.1 entries 4 commands 2 progress 0
                7 [0] input
                7 [1] call 1 2 2:8
                7 [2] 0x800e of 1: id 2:8
                7 [3] 0x800d of 2: failure 500 "it broke"
        "#]],
    );
}

#[test]
fn who_is_called_answers_when_it_ends() {
    check(
        "
        e1: announce of 4
        e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2
        rows 8
        e1: append 8 output done; end 8
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2
                start 8 life 0 by 1.0
            rows 8
                8 running: life 0 attempt 1.0 entries 1 commands 1 progress 0 of 3:7.4
                8 [0] input
            e1: append 8 output done; end 8
                arm 8 life 0 purge at 600000
                answer 8
                send to 3 #1: complete 3:7.4 2: Value(b"done")
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3 of 4
                8 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:7.4
                timer 8 life 0 purge at 600000
                sender 3 up to 1
                8 part 0: input, output b"done"
                outbox to 3 #1: complete 3:7.4 2: Value(b"done")
                sent to 3 up to 1, delivered up to 0
        "#]],
    );
}

#[test]
fn a_failure_is_an_answer() {
    check(
        "
        e1: announce of 4
        e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2; ingest from 3 2 invoke 9 plain caller 3:7.4 4
        e1: append 8 broken 470 not today; end 8
        e1: fail 9 kill
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2; ingest from 3 2 invoke 9 plain caller 3:7.4 4
                start 8 life 0 by 1.0
                start 9 life 1 by 1.0
            e1: append 8 broken 470 not today; end 8
                arm 8 life 0 purge at 600000
                answer 8
                send to 3 #1: complete 3:7.4 2: failure 470 "not today"
            e1: fail 9 kill
                arm 9 life 1 purge at 600000
                answer 9
                send to 3 #2: complete 3:7.4 4: failure 500 "it broke"
        "#]],
    );
}

#[test]
fn a_call_of_the_same_partition_goes_the_same_way() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 call 1 2 8 exclusive/b; suspend 7 on 2
        e1: ingest from 0 1 invoke 8 exclusive/b caller 7.0 2; delivered 0 1
        e1: append 8 output done; end 8
        e1: ingest from 0 2 complete 7.0 2 value done; delivered 0 2
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 8 exclusive/b; suspend 7 on 2
                send to 0 #1: invoke 8 exclusive/b b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
            e1: ingest from 0 1 invoke 8 exclusive/b caller 7.0 2; delivered 0 1
                start 8 life 1 by 1.0
            e1: append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
                send to 0 #2: complete 7.0 2: Value(b"done")
            e1: ingest from 0 2 complete 7.0 2 value done; delivered 0 2
                start 7 life 0 by 1.1
            rows
                partition epoch 1 term 1 next seq 6 inbox 3 now 0 log 6
                7 running: life 0 attempt 1.1 entries 4 commands 2 progress 0
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0 of 7.0
                7 [0] input
                7 [1] call 1 2 8
                7 [2] 0x800e of 1: id 8
                7 [3] 0x800d of 2: Value(b"done")
                running 7
                timer 8 life 1 purge at 600000
                lock cart/a held by 7, places 0..0
                sender 0 up to 2
                8 part 0: input, output b"done"
                sent to 0 up to 2, delivered up to 2
        "#]],
    );
}

#[test]
fn a_one_way_call_is_not_answered() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 send 1 8 plain
        rows 7
        e1: ingest from 0 1 invoke 8 plain sender 7.0
        e1: append 8 output done; end 8
        rows sent
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 8 plain
                send to 0 #1: invoke 8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
            rows 7
                7 running: life 0 attempt 1.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] send 1 8
                7 [2] 0x800e of 1: id 8
            e1: ingest from 0 1 invoke 8 plain sender 7.0
                start 8 life 1 by 1.0
            e1: append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
            rows sent
                sent to 0 up to 1, delivered up to 0
        "#]],
    );
}

#[test]
fn a_delayed_call_is_sent_at_once_and_waits_where_it_is_called() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 send 1 8 plain start 900, output done; end 7
        e1: ingest from 0 1 invoke 8 plain sender 7.0 start 900
        rows 8
        e1 @900: fire 8 start at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 8 plain start 900, output done; end 7
                send to 0 #1: invoke 8 plain b"arg" start 900 for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 0 1 invoke 8 plain sender 7.0 start 900
                arm 8 life 1 start at 900
            rows 8
                8 scheduled at 900: life 1 attempt 1.0 entries 1 commands 1 progress 0 of 7.0
                8 [0] input
            e1 @900: fire 8 start at 900
                start 8 life 1 by 1.0
        "#]],
    );
}

#[test]
fn calls_with_one_idempotency_key_are_one_call_and_all_are_answered() {
    check(
        "
        e1: announce of 4
        e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2 keyed k
        e1: ingest from 3 2 invoke 8 plain caller 3:7.4 4 keyed k
        e1: ingest from 2 1 invoke 8 plain caller 2:9.0 2 keyed k
        e1: ingest invoke 8 plain keyed k; ingest from 2 2 invoke 8 plain sender 2:9.0 keyed k
        rows 8
        e1: append 8 output done; end 8
        e1: ingest from 2 3 invoke 8 plain caller 2:9.0 5 keyed k
        rows 8
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest from 3 1 invoke 8 plain caller 3:7.4 2 keyed k
                start 8 life 0 by 1.0
            e1: ingest from 3 2 invoke 8 plain caller 3:7.4 4 keyed k
            e1: ingest from 2 1 invoke 8 plain caller 2:9.0 2 keyed k
            e1: ingest invoke 8 plain keyed k; ingest from 2 2 invoke 8 plain sender 2:9.0 keyed k
            rows 8
                8 running: life 0 attempt 1.0 entries 1 commands 1 progress 0 of 3:7.4
                8 [0] input
                8 awaited by 2:9.0 for 2
                8 awaited by 3:7.4 for 4
            e1: append 8 output done; end 8
                arm 8 life 0 purge at 600000
                answer 8
                send to 3 #1: complete 3:7.4 2: Value(b"done")
                send to 2 #1: complete 2:9.0 2: Value(b"done")
                send to 3 #2: complete 3:7.4 4: Value(b"done")
            e1: ingest from 2 3 invoke 8 plain caller 2:9.0 5 keyed k
                send to 2 #2: complete 2:9.0 5: Value(b"done")
            rows 8
                8 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:7.4
                8 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn a_call_outlives_a_takeover() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 2:8 plain; suspend 7 on 2
        e2: announce of 4
        e2: ingest from 2 1 complete 7.0 2 value ok
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 2:8 plain; suspend 7 on 2
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            e2: announce of 4
            e2: ingest from 2 1 complete 7.0 2 value ok
                start 7 life 0 by 2.0
        "#]],
    );
}

/// The invoker refuses it.
#[test]
fn a_second_declaration_of_an_open_call_calls_nobody() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 8 plain, call 3 2 9 plain
        rows outbox
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 8 plain, call 3 2 9 plain
                send to 0 #1: invoke 8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
                notify 7 life 0 by 1.0 [4] 0x800e of 3: id 9
            rows outbox
                outbox to 0 #1: invoke 8 plain b"arg" for 7.0 2 at metadata 5
        "#]],
    );
}
