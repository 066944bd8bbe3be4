//! Which records count.

use expect_test::expect;

use super::check;

#[test]
fn the_first_announcement_of_an_epoch_reigns() {
    check(
        "
        e1 t5: announce
        e1 t6: announce
        e1 t5: ingest invoke 7 plain
        rows
        ",
        &expect![[r#"
            e1 t5: announce
            e1 t6: announce
                ignored: does not reign
            e1 t5: ingest invoke 7 plain
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 5 next seq 2 inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn of_two_candidates_for_an_epoch_the_later_one_is_not_heard_though_it_pipelines() {
    check(
        "
        e1 t5: announce
        e1 t6: announce
        e1 t6: ingest invoke 8 plain
        e1 t5: ingest at 0 invoke 7 plain
        e1 t6: append 7 by 1.0 run 1
        rows
        ",
        &expect![[r#"
            e1 t5: announce
            e1 t6: announce
                ignored: does not reign
            e1 t6: ingest invoke 8 plain
                ignored: does not reign
            e1 t5: ingest at 0 invoke 7 plain
                start 7 life 0 by 1.0
            e1 t6: append 7 by 1.0 run 1
                ignored: does not reign
            rows
                partition epoch 1 term 5 next seq 2 inbox 1 now 0 log 5
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn an_announcement_must_follow_the_reigning_epoch() {
    check(
        "
        e2: announce
        e1: announce
        e3: announce
        e1 #0: announce
        e2 #0: announce
        rows
        ",
        &expect![[r#"
            e2: announce
                ignored: does not reign
            e1: announce
            e3: announce
                ignored: does not reign
            e1 #0: announce
                ignored: duplicate
            e2 #0: announce
            rows
                partition epoch 2 term 2 next seq 1 inbox 0 now 0 log 5
        "#]],
    );
}

#[test]
fn an_announcement_has_seq_0() {
    check(
        "
        e1 #1: announce
        e1 #0: announce
        ",
        &expect![[r#"
            e1 #1: announce
                ignored: does not reign
            e1 #0: announce
        "#]],
    );
}

#[test]
fn an_announcement_stands_alone_in_its_record() {
    check(
        "
        e1: announce; resign
        e1 #0: ingest invoke 7 plain; announce
        e1 #0: announce
        rows
        ",
        &expect![[r#"
            e1: announce; resign
                ignored: does not reign
            e1 #0: ingest invoke 7 plain; announce
                ignored: does not reign
            e1 #0: announce
            rows
                partition epoch 1 term 1 next seq 1 inbox 0 now 0 log 3
        "#]],
    );
}

#[test]
fn an_announcement_in_the_middle_of_its_own_term_ends_the_term() {
    check(
        "
        e1: announce
        e1: announce
        e1 #1: announce; ingest invoke 6 plain
        e1 #2: ingest invoke 7 plain
        e1: ingest invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: announce
                ignored: does not reign
            e1 #1: announce; ingest invoke 6 plain
                ignored: does not reign
            e1 #2: ingest invoke 7 plain
                ignored: gap
            e1: ingest invoke 8 plain
                ignored: closed
            rows
                partition epoch 1 term 1 next seq 1 closed inbox 0 now 0 log 5
        "#]],
    );
}

#[test]
fn nobody_is_heard_before_the_first_announcement() {
    check(
        "
        e0: ingest invoke 7 plain
        e0 t1: ingest invoke 7 plain
        e1: ingest invoke 7 plain
        rows
        ",
        &expect![[r#"
            e0: ingest invoke 7 plain
                ignored: does not reign
            e0 t1: ingest invoke 7 plain
                ignored: does not reign
            e1: ingest invoke 7 plain
                ignored: does not reign
            rows
                partition epoch 0 term 0 next seq 0 inbox 0 now 0 log 3
        "#]],
    );
}

#[test]
fn a_zombie_cannot_complete_an_invocation() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done
        e2: announce
        e1: end 7 by 1.0
        e2: end 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done
            e2: announce
            e1: end 7 by 1.0
                ignored: does not reign
            e2: end 7
                arm 7 life 0 purge at 600000
                answer 7
        "#]],
    );
}

#[test]
fn a_late_record_of_a_lower_epoch_has_no_effect() {
    check(
        "
        e1: announce
        e2: announce
        e1 #1: ingest invoke 7 plain
        e2: ingest at 0 invoke 8 plain
        e1 #2: ingest at 1 invoke 9 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e2: announce
            e1 #1: ingest invoke 7 plain
                ignored: does not reign
            e2: ingest at 0 invoke 8 plain
                start 8 life 0 by 2.0
            e1 #2: ingest at 1 invoke 9 plain
                ignored: does not reign
            rows
                partition epoch 2 term 2 next seq 2 inbox 1 now 0 log 5
                8 running: life 0 attempt 2.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
        "#]],
    );
}

#[test]
fn a_record_that_is_there_twice_takes_effect_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1 #1: ingest invoke 8 plain
        e1 #0: announce
        e1 #2: ingest invoke 9 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1 #1: ingest invoke 8 plain
                ignored: duplicate
            e1 #0: announce
                ignored: duplicate
            e1 #2: ingest invoke 9 plain
                start 9 life 2 by 1.0
            rows
                partition epoch 1 term 1 next seq 3 inbox 3 now 0 log 5
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                9 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                9 [0] input
                running 7
                running 9
        "#]],
    );
}

#[test]
fn a_refused_record_in_a_pipeline_ends_the_term_for_all_that_follow_it() {
    check(
        "
        e1: announce
        e1 #1: ingest at 0 invoke 7 plain
        e1 #3: ingest at 2 invoke 9 plain
        e1 #4: ingest at 3 invoke 10 plain
        e1 #2: ingest at 1 invoke 8 plain
        rows
        e2: announce
        e1 #5: ingest at 1 invoke 8 plain
        e2: ingest at 1 invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1 #1: ingest at 0 invoke 7 plain
                start 7 life 0 by 1.0
            e1 #3: ingest at 2 invoke 9 plain
                ignored: gap
            e1 #4: ingest at 3 invoke 10 plain
                ignored: closed
            e1 #2: ingest at 1 invoke 8 plain
                ignored: closed
            rows
                partition epoch 1 term 1 next seq 2 closed inbox 1 now 0 log 5
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
            e2: announce
            e1 #5: ingest at 1 invoke 8 plain
                ignored: does not reign
            e2: ingest at 1 invoke 8 plain
                start 8 life 1 by 2.0
            rows
                partition epoch 2 term 2 next seq 2 inbox 2 now 0 log 8
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 running: life 1 attempt 2.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                running 7
                running 8
        "#]],
    );
}

#[test]
fn an_owner_that_resigned_is_not_heard() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; resign
        e1: ingest invoke 8 plain
        rows
        e2: announce
        e2: ingest at 1 invoke 8 plain
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; resign
                start 7 life 0 by 1.0
            e1: ingest invoke 8 plain
                ignored: closed
            rows
                partition epoch 1 term 1 next seq 2 closed inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
            e2: announce
            e2: ingest at 1 invoke 8 plain
                start 8 life 1 by 2.0
        "#]],
    );
}

#[test]
fn log_offsets_may_leave_gaps() {
    check(
        "
        e1: announce
        offset 9
        e1: ingest invoke 7 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            offset 9
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 1 next seq 2 inbox 1 now 0 log 10
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_log_that_goes_back_stops_the_partition() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        offset 1
        e1 #2: ingest invoke 8 plain
        offset 2
        e1 #2: ingest invoke 8 plain
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            offset 1
            e1 #2: ingest invoke 8 plain
                stopped: log went back to offset 1, but all below 2 is applied
            offset 2
            e1 #2: ingest invoke 8 plain
                start 8 life 2 by 1.0
        "#]],
    );
}

#[test]
fn a_term_of_an_unknown_level_stops_the_partition_unchanged() {
    check(
        "
        e1: announce level 2
        rows
        e1 #0: announce level 1
        ",
        &expect![[r#"
            e1: announce level 2
                stopped: record at offset 0 needs level 2, but this program supports 1
            rows
            e1 #0: announce level 1
        "#]],
    );
}

#[test]
fn a_message_of_an_unknown_level_stops_the_partition_unchanged() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest level 2 invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest level 2 invoke 8 plain
                stopped: record at offset 1 needs level 2, but this program supports 1
            rows
                partition epoch 1 term 1 next seq 1 inbox 0 now 0 log 1
        "#]],
    );
}

#[test]
fn what_does_not_reign_may_be_of_any_level() {
    check(
        "
        e1: announce
        e9: announce level 7
        e1: ingest invoke 7 plain
        ",
        &expect![[r#"
            e1: announce
            e9: announce level 7
                ignored: does not reign
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
        "#]],
    );
}

#[test]
fn time_never_goes_back() {
    check(
        "
        e1 @500: announce
        e1 @400: ingest invoke 7 plain
        rows
        e2 @450: announce
        e2 @600: ingest invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1 @500: announce
            e1 @400: ingest invoke 7 plain
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 1 next seq 2 inbox 1 now 500 log 2
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 500
                7 [0] input
                running 7
            e2 @450: announce
            e2 @600: ingest invoke 8 plain
                start 8 life 1 by 2.0
            rows
                partition epoch 2 term 2 next seq 2 inbox 2 now 600 log 4
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 500
                8 running: life 1 attempt 2.0 entries 1 commands 1 progress 600
                7 [0] input
                8 [0] input
                running 7
                running 8
        "#]],
    );
}
