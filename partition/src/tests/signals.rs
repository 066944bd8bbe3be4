//! Signals, awakeables among them.

use expect_test::expect;

use super::check;

#[test]
fn a_signal_is_told_to_the_running_function() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest signal 7 17 value ok
        e1: ingest signal 7 paid failure 500 it broke
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest signal 7 17 value ok
                notify 7 life 0 by 1.0 [1] signal 17: Value(b"ok")
            e1: ingest signal 7 paid failure 500 it broke
                notify 7 life 0 by 1.0 [2] signal "paid": failure 500 "it broke"
            rows 7
                7 running: life 0 attempt 1.0 entries 3 commands 1 progress 0 signals 2
                7 [0] input
                7 [1] signal 17: Value(b"ok")
                7 [2] signal "paid": failure 500 "it broke"
        "#]],
    );
}

#[test]
fn a_signal_wakes_who_waits_for_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: suspend 7 signals 17,18; suspend 8 named paid
        e1: ingest signal 7 18 value ok; ingest signal 8 paid void
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: suspend 7 signals 17,18; suspend 8 named paid
            e1: ingest signal 7 18 value ok; ingest signal 8 paid void
                start 7 life 0 by 1.1
                start 8 life 1 by 1.1
            rows 7
                7 running: life 0 attempt 1.1 entries 2 commands 1 progress 0 signals 1
                7 [0] input
                7 [1] signal 18: Value(b"ok")
            rows 8
                8 running: life 1 attempt 1.1 entries 2 commands 1 progress 0 signals 1
                8 [0] input
                8 [1] signal "paid": Void
        "#]],
    );
}

#[test]
fn a_signal_that_is_not_waited_for_is_stored_and_does_not_wake() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 17 until 900; suspend 7 on 17 signals 18 named paid
        e1: ingest signal 7 17 value ok; ingest signal 7 18x void
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 17 until 900; suspend 7 on 17 signals 18 named paid
                arm 7 life 0 sleep 17 at 900
            e1: ingest signal 7 17 value ok; ingest signal 7 18x void
            rows 7
                7 suspended on [17] signals [18] named ["paid"]: life 0 attempt 1.0 entries 4 commands 2 progress 0 signals 2
                7 [0] input
                7 [1] sleep 17 until 900
                7 [2] signal 17: Value(b"ok")
                7 [3] signal "18x": Void
                7 waits for 17: Sleep { wake_at: Millis(900) }
        "#]],
    );
}

/// It crossed the suspension on its way.
#[test]
fn a_signal_that_the_function_was_not_told_wakes_it_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: ingest signal 7 17 value ok; ingest signal 8 paid void
        e1: suspend 7 signals 17 told 0; suspend 8 named paid told 0
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: ingest signal 7 17 value ok; ingest signal 8 paid void
                notify 7 life 0 by 1.0 [1] signal 17: Value(b"ok")
                notify 8 life 1 by 1.0 [1] signal "paid": Void
            e1: suspend 7 signals 17 told 0; suspend 8 named paid told 0
                start 7 life 0 by 1.1
                start 8 life 1 by 1.1
        "#]],
    );
}

/// It has used it up, and waits for another one.
#[test]
fn a_signal_that_the_function_was_told_does_not_wake_it() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest signal 7 17 value ok
        e1: suspend 7 signals 17 told 1
        e1: ingest signal 7 17 value again
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest signal 7 17 value ok
                notify 7 life 0 by 1.0 [1] signal 17: Value(b"ok")
            e1: suspend 7 signals 17 told 1
            e1: ingest signal 7 17 value again
                start 7 life 0 by 1.1
            rows 7
                7 running: life 0 attempt 1.1 entries 3 commands 1 progress 0 signals 2
                7 [0] input
                7 [1] signal 17: Value(b"ok")
                7 [2] signal 17: Value(b"again")
        "#]],
    );
}

#[test]
fn of_several_signals_those_untold_count() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: ingest signal 7 17 value a; append 7 step, step; ingest signal 7 18 value b; append 7 step
        e1: ingest signal 8 17 value a; append 8 step, step; ingest signal 8 18 value b; append 8 step
        e1: suspend 7 signals 17 told 1; suspend 8 signals 18 told 1
        rows 7 s
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: ingest signal 7 17 value a; append 7 step, step; ingest signal 7 18 value b; append 7 step
                notify 7 life 0 by 1.0 [1] signal 17: Value(b"a")
                notify 7 life 0 by 1.0 [4] signal 18: Value(b"b")
            e1: ingest signal 8 17 value a; append 8 step, step; ingest signal 8 18 value b; append 8 step
                notify 8 life 1 by 1.0 [1] signal 17: Value(b"a")
                notify 8 life 1 by 1.0 [4] signal 18: Value(b"b")
            e1: suspend 7 signals 17 told 1; suspend 8 signals 18 told 1
                start 8 life 1 by 1.1
            rows 7 s
                7 suspended on [] signals [17]: life 0 attempt 1.0 entries 5 commands 3 progress 0 signals 2
        "#]],
    );
}

#[test]
fn signals_of_one_name_are_kept_in_order() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest signal 7 paid value a; ingest signal 7 paid value b
        rows 7 [
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest signal 7 paid value a; ingest signal 7 paid value b
                notify 7 life 0 by 1.0 [1] signal "paid": Value(b"a")
                notify 7 life 0 by 1.0 [2] signal "paid": Value(b"b")
            rows 7 [
                7 [0] input
                7 [1] signal "paid": Value(b"a")
                7 [2] signal "paid": Value(b"b")
        "#]],
    );
}

#[test]
fn a_signal_may_come_before_the_function_begins() {
    check(
        "
        e1: announce
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
        e1: ingest signal 7 17 value ok; ingest signal 8 17 value ok
        rows 7
        rows 8
        e1: append 6 output done; end 6
        e1 @900: fire 8 start at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
                start 6 life 0 by 1.0
                arm 8 life 2 start at 900
            e1: ingest signal 7 17 value ok; ingest signal 8 17 value ok
            rows 7
                7 pending at place 0: life 1 attempt 1.0 entries 2 commands 1 progress 0 signals 1
                7 [0] input
                7 [1] signal 17: Value(b"ok")
            rows 8
                8 scheduled at 900: life 2 attempt 1.0 entries 2 commands 1 progress 0 signals 1
                8 [0] input
                8 [1] signal 17: Value(b"ok")
            e1: append 6 output done; end 6
                arm 6 life 0 purge at 600000
                answer 6
                start 7 life 1 by 1.0
            e1 @900: fire 8 start at 900
                start 8 life 2 by 1.0
        "#]],
    );
}

#[test]
fn a_signal_waits_for_the_next_attempt() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: fail 7 retry 500; fail 8 pause
        e1: ingest signal 7 17 value ok; ingest signal 8 17 value ok
        rows 7
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: fail 7 retry 500; fail 8 pause
                arm 7 life 0 retry at 500
            e1: ingest signal 7 17 value ok; ingest signal 8 17 value ok
            rows 7
                7 backing off until 500: life 0 attempt 1.0 entries 2 commands 1 progress 0 signals 1 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] signal 17: Value(b"ok")
            rows 8
                8 paused: life 1 attempt 1.0 entries 2 commands 1 progress 0 signals 1 counted 1 failures 1 after "it broke"
                8 [0] input
                8 [1] signal 17: Value(b"ok")
        "#]],
    );
}

#[test]
fn a_signal_for_what_is_not_there_or_over_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 output done; append 8 output done; end 8
        e1: ingest signal 7 17 void; ingest signal 8 17 void; ingest signal 9 17 void
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
            e1: ingest signal 7 17 void; ingest signal 8 17 void; ingest signal 9 17 void
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
fn an_awakeable_of_an_earlier_life_is_dropped() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1 @600000: fire 7 purge at 600000
        e1: ingest invoke 7 plain
        e1: ingest signal 7 in 0 17 value former; ingest signal 7 in 2 17 value later
        e1: ingest signal 7 in 1 17 value mine
        rows 7 [
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000
            e1: ingest invoke 7 plain
                start 7 life 1 by 1.0
            e1: ingest signal 7 in 0 17 value former; ingest signal 7 in 2 17 value later
            e1: ingest signal 7 in 1 17 value mine
                notify 7 life 1 by 1.0 [1] signal 17: Value(b"mine")
            rows 7 [
                7 [0] input
                7 [1] signal 17: Value(b"mine")
        "#]],
    );
}

#[test]
fn a_function_signals_an_invocation() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 signal 2:8 17 value ok, signal 2:8 in 4 18 failure 500 it broke, signal 3:9 paid void
        rows 7
        rows outbox
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 signal 2:8 17 value ok, signal 2:8 in 4 18 failure 500 it broke, signal 3:9 paid void
                send to 2 #1: signal 17 to 2:8 by 7.0: Value(b"ok")
                send to 2 #2: signal 18 to 2:8 in 4 by 7.0: failure 500 "it broke"
                send to 3 #1: signal "paid" to 3:9 by 7.0: Void
            rows 7
                7 running: life 0 attempt 1.0 entries 4 commands 4 progress 0
                7 [0] input
                7 [1] signal 17 to 2:8
                7 [2] signal 18 to 2:8
                7 [3] signal "paid" to 3:9
            rows outbox
                outbox to 2 #1: signal 17 to 2:8 by 7.0: Value(b"ok")
                outbox to 2 #2: signal 18 to 2:8 in 4 by 7.0: failure 500 "it broke"
                outbox to 3 #1: signal "paid" to 3:9 by 7.0: Void
        "#]],
    );
}

#[test]
fn a_signal_overtakes_no_call() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain, signal 2:8 17 value ok
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain, signal 2:8 17 value ok
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: signal 17 to 2:8 by 7.0: Value(b"ok")
        "#]],
    );
}

#[test]
fn who_made_an_earlier_life_of_an_id_means_that_one() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 8 plain caller 2:7.3 1; ingest invoke 9 plain
        e1: ingest signal 8 sender 2:7.3 17 value child; ingest signal 9 sender 2:7.3 17 value any
        e1: ingest signal 8 sender 2:7.4 17 value former; ingest signal 8 sender 2:6.4 17 value other
        rows 8
        rows 9
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 8 plain caller 2:7.3 1; ingest invoke 9 plain
                start 8 life 0 by 1.0
                start 9 life 1 by 1.0
            e1: ingest signal 8 sender 2:7.3 17 value child; ingest signal 9 sender 2:7.3 17 value any
                notify 8 life 0 by 1.0 [1] signal 17: Value(b"child")
                notify 9 life 1 by 1.0 [1] signal 17: Value(b"any")
            e1: ingest signal 8 sender 2:7.4 17 value former; ingest signal 8 sender 2:6.4 17 value other
                notify 8 life 0 by 1.0 [2] signal 17: Value(b"other")
            rows 8
                8 running: life 0 attempt 1.0 entries 3 commands 1 progress 0 signals 2 of 2:7.3
                8 [0] input
                8 [1] signal 17: Value(b"child")
                8 [2] signal 17: Value(b"other")
            rows 9
                9 running: life 1 attempt 1.0 entries 2 commands 1 progress 0 signals 1
                9 [0] input
                9 [1] signal 17: Value(b"any")
        "#]],
    );
}

/// The invoker writes no such entry.
#[test]
fn a_function_does_not_tell_itself_that_it_was_signalled() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 heard 17, step
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 heard 17, step
            rows 7
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] step
        "#]],
    );
}
