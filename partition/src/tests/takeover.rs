//! What a new owner finds.

use expect_test::expect;

use super::check;

#[test]
fn a_takeover_changes_no_row_but_the_partition_s() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1
        e2: announce
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1
            e2: announce
            rows
                partition epoch 2 term 2 next seq 1 inbox 1 now 0 log 4
                7 running: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 waits for 1: Run
                running 7
        "#]],
    );
}

/// The same process may announce anew while a stream of the old attempt is still open.
#[test]
fn a_new_owner_runs_attempt_0_of_its_own_epoch() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1
        e2: announce
        e2: append 7 by 1.0 result 1 old
        e2: append 7 by 2.1 result 1 wrong
        e2: append 7 by 2.0 result 1 new
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1
            e2: announce
            e2: append 7 by 1.0 result 1 old
            e2: append 7 by 2.1 result 1 wrong
            e2: append 7 by 2.0 result 1 new
                notify 7 life 0 by 2.0 [2] 0x8011 of 1: Value(b"new")
            rows
                partition epoch 2 term 2 next seq 4 inbox 1 now 0 log 7
                7 running: life 0 attempt 2.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] 0x8011 of 1: Value(b"new")
                running 7
        "#]],
    );
}

#[test]
fn a_wake_up_in_the_same_epoch_counts_on() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e2: announce
        e2: append 7 sleep 1 until 900; suspend 7 by 2.0 on 1
        e2 @900: fire 7 sleep 1 at 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e2: announce
            e2: append 7 sleep 1 until 900; suspend 7 by 2.0 on 1
                arm 7 life 0 sleep 1 at 900
            e2 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 2.1
            rows
                partition epoch 2 term 2 next seq 3 inbox 1 now 900 log 5
                7 running: life 0 attempt 2.1 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                running 7
        "#]],
    );
}

#[test]
fn a_wake_up_in_a_later_epoch_counts_from_0() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900; suspend 7 on 1
        e2: announce
        e3: announce
        e3 @900: fire 7 sleep 1 at 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900; suspend 7 on 1
                arm 7 life 0 sleep 1 at 900
            e2: announce
            e3: announce
            e3 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 3.0
            rows
                partition epoch 3 term 3 next seq 2 inbox 1 now 900 log 6
                7 running: life 0 attempt 3.0 entries 3 commands 2 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] 0x800c of 1: Void
                running 7
        "#]],
    );
}

#[test]
fn a_retry_in_a_later_epoch_counts_from_0() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 10
        e1 @10: fire 7 retry at 10
        e1: fail 7 retry 20
        e2: announce
        e2 @20: fire 7 retry at 20
        e2: append 7 by 1.1 step
        e2: fail 7 by 2.0 retry 30
        e2 @30: fire 7 retry at 30
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 10
                arm 7 life 0 retry at 10
            e1 @10: fire 7 retry at 10
                start 7 life 0 by 1.1
            e1: fail 7 retry 20
                arm 7 life 0 retry at 20
            e2: announce
            e2 @20: fire 7 retry at 20
                start 7 life 0 by 2.0
            e2: append 7 by 1.1 step
            e2: fail 7 by 2.0 retry 30
                arm 7 life 0 retry at 30
            e2 @30: fire 7 retry at 30
                start 7 life 0 by 2.1
        "#]],
    );
}

#[test]
fn a_lost_owner_s_failures_still_count() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: fail 7 retry 10
        e2 @10: announce
        e2: fire 7 retry at 10
        e2: fail 7 retry 20
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: fail 7 retry 10
                arm 7 life 0 retry at 10
            e2 @10: announce
            e2: fire 7 retry at 10
                start 7 life 0 by 2.0
            e2: fail 7 retry 20
                arm 7 life 0 retry at 20
            rows
                partition epoch 2 term 2 next seq 3 inbox 1 now 10 log 6
                7 backing off until 20: life 0 attempt 2.0 entries 1 commands 1 progress 0 counted 2 failures 2 after "it broke"
                7 [0] input
                timer 7 life 0 retry at 20
        "#]],
    );
}
