//! Intake of messages.

use expect_test::expect;

use super::check;

#[test]
fn a_call_runs_at_once_and_its_input_is_its_first_entry() {
    check(
        "
        e1: announce
        e1 @20: ingest invoke 7 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1 @20: ingest invoke 7 plain
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 1 next seq 2 inbox 1 now 20 log 2
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 20
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_whole_fetch_goes_into_one_record() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest rejected; ingest invoke 9 plain
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain; ingest rejected; ingest invoke 9 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
                start 9 life 3 by 1.0
        "#]],
    );
}

#[test]
fn a_resent_call_runs_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain request 4
        e1: ingest invoke 7 plain request 4
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain request 4
                start 7 life 0 by 1.0
            e1: ingest invoke 7 plain request 4
            rows
                partition epoch 1 term 1 next seq 3 inbox 2 now 0 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_second_caller_of_a_known_id_creates_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain request 4
        e1: ingest invoke 7 exclusive/a request 5 start 900
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain request 4
                start 7 life 0 by 1.0
            e1: ingest invoke 7 exclusive/a request 5 start 900
            rows
                partition epoch 1 term 1 next seq 3 inbox 2 now 0 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_call_of_a_completed_id_is_answered() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1: ingest invoke 7 plain request 5
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest invoke 7 plain request 5
                answer 7
        "#]],
    );
}

#[test]
fn an_inbox_offset_is_taken_in_once() {
    check(
        "
        e1: announce
        e1: ingest at 3 invoke 7 plain
        e1: ingest at 3 invoke 8 plain
        e1: ingest at 2 invoke 9 plain
        e1: ingest at 4 invoke 10 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest at 3 invoke 7 plain
                start 7 life 3 by 1.0
            e1: ingest at 3 invoke 8 plain
            e1: ingest at 2 invoke 9 plain
            e1: ingest at 4 invoke 10 plain
                start 10 life 4 by 1.0
            rows
                partition epoch 1 term 1 next seq 5 inbox 5 now 0 log 5
                7 running: life 3 attempt 1.0 entries 1 commands 1 progress 0
                10 running: life 4 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                10 [0] input
                running 7
                running 10
        "#]],
    );
}

#[test]
fn an_undecodable_message_is_passed_over() {
    check(
        "
        e1: announce
        e1: ingest rejected
        e1: ingest invoke 7 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest rejected
            e1: ingest invoke 7 plain
                start 7 life 1 by 1.0
            rows
                partition epoch 1 term 1 next seq 3 inbox 2 now 0 log 3
                7 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn messages_of_a_partition_are_taken_in_by_number() {
    check(
        "
        e1: announce
        e1: ingest from 3 1 invoke 7 plain
        e1: ingest from 3 2 invoke 8 plain
        e1: ingest from 4 1 invoke 9 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest from 3 1 invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 3 2 invoke 8 plain
                start 8 life 1 by 1.0
            e1: ingest from 4 1 invoke 9 plain
                start 9 life 2 by 1.0
            rows
                partition epoch 1 term 1 next seq 4 inbox 3 now 0 log 4
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                9 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                9 [0] input
                running 7
                running 8
                running 9
                sender 3 up to 2
                sender 4 up to 1
        "#]],
    );
}

#[test]
fn a_repeated_message_of_a_partition_is_ignored() {
    check(
        "
        e1: announce
        e1: ingest from 3 1 invoke 7 plain
        e1: ingest from 3 1 invoke 8 plain
        e1: ingest from 3 0 invoke 9 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest from 3 1 invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 3 1 invoke 8 plain
            e1: ingest from 3 0 invoke 9 plain
            rows
                partition epoch 1 term 1 next seq 4 inbox 3 now 0 log 4
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                running 7
                sender 3 up to 1
        "#]],
    );
}

#[test]
fn a_message_behind_a_hole_is_ignored_until_the_hole_is_filled() {
    check(
        "
        e1: announce
        e1: ingest from 3 2 invoke 8 plain
        e1: ingest from 3 1 invoke 7 plain
        e1: ingest from 3 2 invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest from 3 2 invoke 8 plain
            e1: ingest from 3 1 invoke 7 plain
                start 7 life 1 by 1.0
            e1: ingest from 3 2 invoke 8 plain
                start 8 life 2 by 1.0
            rows
                partition epoch 1 term 1 next seq 4 inbox 3 now 0 log 4
                7 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                8 [0] input
                running 7
                running 8
                sender 3 up to 2
        "#]],
    );
}

#[test]
fn an_undecodable_message_of_a_partition_counts_as_its_number() {
    check(
        "
        e1: announce
        e1: ingest from 3 1 rejected
        e1: ingest from 3 1 invoke 7 plain
        e1: ingest from 3 2 invoke 8 plain
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest from 3 1 rejected
            e1: ingest from 3 1 invoke 7 plain
            e1: ingest from 3 2 invoke 8 plain
                start 8 life 2 by 1.0
            rows
                partition epoch 1 term 1 next seq 4 inbox 3 now 0 log 4
                8 running: life 2 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
                running 8
                sender 3 up to 2
        "#]],
    );
}

#[test]
fn a_delayed_call_starts_at_its_time() {
    check(
        "
        e1 @100: announce
        e1: ingest invoke 7 plain start 500
        rows
        e1 @500: fire 7 start at 500
        rows
        ",
        &expect![[r#"
            e1 @100: announce
            e1: ingest invoke 7 plain start 500
                arm 7 life 0 start at 500
            rows
                partition epoch 1 term 1 next seq 2 inbox 1 now 100 log 2
                7 scheduled at 500: life 0 attempt 1.0 entries 1 commands 1 progress 100
                7 [0] input
                timer 7 life 0 start at 500
            e1 @500: fire 7 start at 500
                start 7 life 0 by 1.0
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 500 log 3
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 500
                7 [0] input
                running 7
        "#]],
    );
}

#[test]
fn a_call_whose_time_has_come_starts_at_once() {
    check(
        "
        e1 @100: announce
        e1: ingest invoke 7 plain start 100
        e1: ingest invoke 8 plain start 99
        e1: ingest invoke 9 plain start 101
        ",
        &expect![[r#"
            e1 @100: announce
            e1: ingest invoke 7 plain start 100
                start 7 life 0 by 1.0
            e1: ingest invoke 8 plain start 99
                start 8 life 1 by 1.0
            e1: ingest invoke 9 plain start 101
                arm 9 life 2 start at 101
        "#]],
    );
}

#[test]
fn a_purged_id_lives_again() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1 @600000: fire 7 purge at 600000
        e1: ingest invoke 7 plain
        rows
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
            rows
                partition epoch 1 term 1 next seq 5 inbox 2 now 600000 log 5
                7 running: life 1 attempt 1.0 entries 1 commands 1 progress 600000
                7 [0] input
                running 7
        "#]],
    );
}
