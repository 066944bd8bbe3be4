//! Attempts that wait.

use expect_test::expect;

use super::check;
use super::script::Log;
use super::words::id;
use crate::reads;

#[test]
fn a_suspended_invocation_wakes_when_its_sleep_ends() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900
        e1: suspend 7 on 1
        rows
        e1 @900: fire 7 sleep 1 at 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
            e1: suspend 7 on 1
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 0 log 4
                7 suspended on [1]: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 waits for 1: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 1.1
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 900 log 5
                7 running: life 0 attempt 1.1 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                running 7
        "#]],
    );
}

/// The end of the sleep crossed the suspension on its way.
#[test]
fn what_is_already_stored_wakes_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, sleep 2 until 950
        e1 @900: fire 7 sleep 1 at 900
        e1: suspend 7 on 1,2
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, sleep 2 until 950
                arm 7 life 0 sleep 1 at 900
                arm 7 life 0 sleep 2 at 950
            e1 @900: fire 7 sleep 1 at 900
                notify 7 life 0 by 1.0 [3] 0x800c of 1: Void
            e1: suspend 7 on 1,2
                start 7 life 0 by 1.1
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 900 log 5
                7 running: life 0 attempt 1.1 entries 4 commands 3 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] sleep 2 until 950
                7 [3] 0x800c of 1: Void
                7 waits for 2: Sleep { wake_at: Millis(950) }
                running 7
                timer 7 life 0 sleep 2 at 950
        "#]],
    );
}

#[test]
fn any_one_of_the_set_wakes() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, sleep 2 until 800
        e1: suspend 7 on 1,2
        e1 @800: fire 7 sleep 2 at 800
        e1 @900: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, sleep 2 until 800
                arm 7 life 0 sleep 1 at 900
                arm 7 life 0 sleep 2 at 800
            e1: suspend 7 on 1,2
            e1 @800: fire 7 sleep 2 at 800
                start 7 life 0 by 1.1
            e1 @900: fire 7 sleep 1 at 900
                notify 7 life 0 by 1.1 [4] 0x800c of 1: Void
        "#]],
    );
}

#[test]
fn what_is_not_in_the_set_is_stored_and_does_not_wake() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, sleep 2 until 800
        e1: suspend 7 on 1
        e1 @800: fire 7 sleep 2 at 800
        rows
        e1 @900: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, sleep 2 until 800
                arm 7 life 0 sleep 1 at 900
                arm 7 life 0 sleep 2 at 800
            e1: suspend 7 on 1
            e1 @800: fire 7 sleep 2 at 800
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 800 log 5
                7 suspended on [1]: life 0 attempt 1.0 entries 4 commands 3 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] sleep 2 until 800
                7 [3] 0x800c of 2: Void
                7 waits for 1: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 1.1
        "#]],
    );
}

/// Nobody but an attempt can bring a run's result. SDKs add the cancel signal to every set.
#[test]
fn waiting_for_nothing_but_unfinished_runs_starts_the_next_attempt_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, run 2
        e1: suspend 7 on 1,2
        e1: suspend 7 on 1 signals 1
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, run 2
            e1: suspend 7 on 1,2
                start 7 life 0 by 1.1
            e1: suspend 7 on 1 signals 1
                start 7 life 0 by 1.2
        "#]],
    );
}

#[test]
fn an_unfinished_run_beside_something_else_waits() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
        e1: append 7 run 1, sleep 2 until 900; append 8 run 1; append 9 run 1
        e1: suspend 7 on 1,2
        e1: suspend 8 on 1 named paid
        e1: suspend 9 on 1 signals 1,17
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest invoke 9 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
                start 9 life 2 by 1.0
            e1: append 7 run 1, sleep 2 until 900; append 8 run 1; append 9 run 1
                arm 7 life 0 sleep 2 at 900
            e1: suspend 7 on 1,2
            e1: suspend 8 on 1 named paid
            e1: suspend 9 on 1 signals 1,17
            rows
                partition epoch 1 term 1 next seq 6 inbox 3 now 0 log 6
                7 suspended on [1, 2]: life 0 attempt 1.0 entries 3 commands 3 progress 0
                8 suspended on [1] named ["paid"]: life 1 attempt 1.0 entries 2 commands 2 progress 0
                9 suspended on [1] signals [1, 17]: life 2 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] sleep 2 until 900
                8 [0] input
                8 [1] run 1
                9 [0] input
                9 [1] run 1
                7 waits for 1: Run
                7 waits for 2: Sleep { wake_at: Millis(900) }
                8 waits for 1: Run
                9 waits for 1: Run
                timer 7 life 0 sleep 2 at 900
        "#]],
    );
}

#[test]
fn waiting_for_a_signal_alone_waits() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: suspend 7 signals 17
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: suspend 7 signals 17
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 suspended on [] signals [17]: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
        "#]],
    );
}

#[test]
fn waiting_for_what_was_never_declared_does_not_wait() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: suspend 7 on 5
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: suspend 7 on 5
                start 7 life 0 by 1.1
        "#]],
    );
}

#[test]
fn waiting_for_nothing_pauses() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: suspend 7
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: suspend 7
                stop 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 paused: life 0 attempt 1.0 entries 1 commands 1 progress 0 after "attempt suspended without waiting for anything"
                7 [0] input
        "#]],
    );
}

#[test]
fn suspending_behind_an_output_does_not_wait() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, output done
        e1: suspend 7 on 1
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, output done
                arm 7 life 0 sleep 1 at 900
            e1: suspend 7 on 1
                start 7 life 0 by 1.1
        "#]],
    );
}

#[test]
fn a_former_attempt_cannot_suspend_the_current_one() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900
        e2: announce
        e2: suspend 7 by 1.0 on 1
        e2: suspend 7 by 2.0 on 1
        e2: suspend 7 by 2.0 on 1
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
            e2: announce
            e2: suspend 7 by 1.0 on 1
            e2: suspend 7 by 2.0 on 1
            e2: suspend 7 by 2.0 on 1
            rows
                partition epoch 2 term 2 next seq 4 inbox 1 now 0 log 7
                7 suspended on [1]: life 0 attempt 2.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 waits for 1: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 1 at 900
        "#]],
    );
}

#[test]
fn a_suspension_begins_the_retry_policy_anew() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900; fail 7 retry 10
        e1 @10: fire 7 retry at 10
        rows
        e1: suspend 7 on 1
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900; fail 7 retry 10
                arm 7 life 0 sleep 1 at 900
                arm 7 life 0 retry at 10
            e1 @10: fire 7 retry at 10
                start 7 life 0 by 1.1
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 10 log 4
                7 running: life 0 attempt 1.1 entries 2 commands 2 progress 0 counted 1 failures 1 after "it broke"
                7 [0] input
                7 [1] sleep 1 until 900
                7 waits for 1: Sleep { wake_at: Millis(900) }
                running 7
                timer 7 life 0 sleep 1 at 900
            e1: suspend 7 on 1
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 10 log 5
                7 suspended on [1]: life 0 attempt 1.1 entries 2 commands 2 progress 0 counted 0 failures 1 after "it broke"
                7 [0] input
                7 [1] sleep 1 until 900
                7 waits for 1: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 1 at 900
        "#]],
    );
}

/// It shows when an invocation began to wait, whatever came since.
#[test]
fn the_time_of_the_last_change_of_status_is_kept() {
    let mut log = Log::default();
    let mut changed = Vec::new();
    for line in [
        "e1 @5: announce",
        "e1 @10: ingest invoke 7 exclusive/a start 20; ingest invoke 8 exclusive/a",
        "e1 @20: fire 7 start at 20",
        "e1 @30: append 8 output done; end 8",
        "e1 @40: append 7 sleep 1 until 900, sleep 2 until 60",
        "e1 @50: suspend 7 on 1",
        "e1 @60: fire 7 sleep 2 at 60",
        "e1 @70: ingest pause 7",
        "e1 @80: ingest signal 7 17 void",
        "e1 @90: ingest resume 7",
        "e1 @95: ingest pause 7; ingest kill 7",
        "e1 @99: ingest kill 7",
    ] {
        log.play(line);
        if let Some(row) = reads::invocation(&log.tables, id(7)).unwrap() {
            changed.push(format!("{} {}", row.modified_at, row.status.kind().name()));
        }
    }
    let want = "10 scheduled, 20 pending, 30 running, 30 running, 50 suspended, 50 suspended, \
                70 paused, 70 paused, 90 running, 95 completed, 95 completed";
    assert_eq!(changed.join(", "), want);
}
