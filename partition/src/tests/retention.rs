//! How long what has completed is kept: the outcome, and the journal for less.

use expect_test::expect;

use super::check;

#[test]
fn a_journal_may_be_forgotten_before_its_outcome() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain keep 900000 journal 300000
        e1: append 7 run 1, result 1 ok, output done; end 7
        rows 7
        rows timer
        e1 @300000: fire 7 journal at 300000
        rows 7
        rows timer
        e1: ingest from 2 1 attach 7 2:8.5 3
        e1 @900000: fire 7 purge at 900000
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain keep 900000 journal 300000
                start 7 life 0 by 1.0
            e1: append 7 run 1, result 1 ok, output done; end 7
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
                arm 7 life 0 purge at 900000
                arm 7 life 0 journal at 300000
                answer 7
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 4 commands 3 progress 0
                7 part 0: input, run 1, 0x8011 of 1: Value(b"ok"), output b"done"
            rows timer
                timer 7 life 0 journal at 300000
                timer 7 life 0 purge at 900000
            e1 @300000: fire 7 journal at 300000
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 part 0: output b"done"
            rows timer
                timer 7 life 0 purge at 900000
            e1: ingest from 2 1 attach 7 2:8.5 3
                send to 2 #1: complete 2:8.5 3: Value(b"done")
            e1 @900000: fire 7 purge at 900000
            rows 7
        "#]],
    );
}

#[test]
fn a_journal_is_not_kept_longer_than_its_outcome() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain keep 700000 journal 700000
        e1: append 7 output done; end 7
        rows timer
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain keep 700000 journal 700000
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 700000
                answer 7
            rows timer
                timer 7 life 0 purge at 700000
        "#]],
    );
}

#[test]
fn a_journal_is_forgotten_by_order() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain keep 900000 journal 300000; ingest invoke 8 plain
        e1: append 7 run 1, result 1 ok, output done; end 7
        e1: ingest purgejournal 8; ingest purgejournal 9
        e1: ingest purgejournal 7
        rows 7
        rows timer
        e1: ingest purgejournal 7
        e1: ingest restart 7 10
        rows 10
        rows 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain keep 900000 journal 300000; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 run 1, result 1 ok, output done; end 7
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
                arm 7 life 0 purge at 900000
                arm 7 life 0 journal at 300000
                answer 7
            e1: ingest purgejournal 8; ingest purgejournal 9
            e1: ingest purgejournal 7
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 part 0: output b"done"
            rows timer
                timer 7 life 0 purge at 900000
            e1: ingest purgejournal 7
            e1: ingest restart 7 10
            rows 10
            rows 8
                8 running: life 1 attempt 1.0 entries 1 commands 1 progress 0
                8 [0] input
        "#]],
    );
}

#[test]
fn who_is_purged_first_leaves_no_timer_of_its_journal() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain keep 900000 journal 300000
        e1: append 7 output done; end 7
        e1: ingest purge 7
        rows timer
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain keep 900000 journal 300000
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 900000
                arm 7 life 0 journal at 300000
                answer 7
            e1: ingest purge 7
            rows timer
        "#]],
    );
}

#[test]
fn what_expires_before_a_late_resend_can_come_leaves_its_outcome_alone() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain request 4 keep 1000
        e1: append 7 run 1, result 1 ok, output done; end 7
        e1 @1000: fire 7 purge at 1000
        rows 7
        rows timer
        e1: ingest from 2 1 attach 7 2:8.5 3
        e1: ingest restart 7 10
        e1: ingest invoke 7 plain request 4
        e1: ingest invoke 7 plain request 5 resent
        e1: ingest purgejournal 7
        rows 7
        e1 @600000: fire 7 purge at 600000
        rows 7
        rows timer
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain request 4 keep 1000
                start 7 life 0 by 1.0
            e1: append 7 run 1, result 1 ok, output done; end 7
                notify 7 life 0 by 1.0 [2] 0x8011 of 1: Value(b"ok")
                arm 7 life 0 purge at 1000
                answer 7
            e1 @1000: fire 7 purge at 1000
                arm 7 life 0 purge at 600000
            rows 7
                7 expired, completed at 0: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 part 0: output b"done"
            rows timer
                timer 7 life 0 purge at 600000
            e1: ingest from 2 1 attach 7 2:8.5 3
                send to 2 #1: complete 2:8.5 3: failure 404 "not found"
            e1: ingest restart 7 10
            e1: ingest invoke 7 plain request 4
                answer 7
            e1: ingest invoke 7 plain request 5 resent
                answer 7
            e1: ingest purgejournal 7
            rows 7
                7 expired, completed at 0: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 part 0: output b"done"
            e1 @600000: fire 7 purge at 600000
            rows 7
            rows timer
        "#]],
    );
}

#[test]
fn a_call_of_what_has_expired_begins_anew() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain request 4 keep 1000
        e1: append 7 output done; end 7
        e1 @999: ingest invoke 7 plain request 5
        e1 @1000: fire 7 purge at 1000; ingest invoke 7 plain request 6 keep 1000
        rows 7
        rows timer
        e1: ingest invoke 7 plain request 4 resent
        e1: append 7 output again; end 7
        rows timer
        e1: ingest purge 7
        rows timer
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain request 4 keep 1000
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 1000
                answer 7
            e1 @999: ingest invoke 7 plain request 5
                answer 7
            e1 @1000: fire 7 purge at 1000; ingest invoke 7 plain request 6 keep 1000
                arm 7 life 0 purge at 600000
                start 7 life 2 by 1.0
            rows 7
                7 running: life 2 attempt 1.0 entries 1 commands 1 progress 1000
                7 [0] input
            rows timer
            e1: ingest invoke 7 plain request 4 resent
            e1: append 7 output again; end 7
                arm 7 life 2 purge at 2000
                answer 7
            rows timer
                timer 7 life 2 purge at 2000
            e1: ingest purge 7
            rows timer
        "#]],
    );
}

#[test]
fn a_run_that_has_expired_frees_its_key_at_once() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 workflow/a request 4 keep 1000
        e1: append 7 set cart full, output done; end 7
        e1 @1000: fire 7 purge at 1000
        rows 7
        rows state
        e1: ingest invoke 8 workflowshared/a
        e1: append 8 set cart other
        e1 @600000: fire 7 purge at 600000
        rows 7
        rows state
        e1: ingest invoke 7 workflow/a request 5 keep 1000
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 workflow/a request 4 keep 1000
                start 7 life 0 by 1.0
            e1: append 7 set cart full, output done; end 7
                arm 7 life 0 purge at 1000
                answer 7
            e1 @1000: fire 7 purge at 1000
                arm 7 life 0 purge at 600000
            rows 7
                7 expired, completed at 0: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 part 0: output b"done"
            rows state
            e1: ingest invoke 8 workflowshared/a
                start 8 life 1 by 1.0
            e1: append 8 set cart other
            e1 @600000: fire 7 purge at 600000
            rows 7
            rows state
                state cart/a cart: b"other"
            e1: ingest invoke 7 workflow/a request 5 keep 1000
                start 7 life 2 by 1.0
        "#]],
    );
}
