//! Functions that ask for the outcome of an invocation.

use expect_test::expect;

use super::check;

#[test]
fn who_attaches_is_answered_when_the_invocation_ends() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 3 1 attach 7 3:9.0 1
        rows 7
        e1: append 7 output done; end 7
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 3 1 attach 7 3:9.0 1
            rows 7
                7 running: life 0 attempt 1.0 entries 1 commands 1 progress 0
                7 [0] input
                7 awaited by 2:8.5 for 3
                7 awaited by 2:8.5 for 4
                7 awaited by 3:9.0 for 1
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: Value(b"done")
                send to 2 #2: complete 2:8.5 4: Value(b"done")
                send to 3 #1: complete 3:9.0 1: Value(b"done")
            rows
                partition epoch 1 term 1 next seq 4 inbox 4 now 0 log 4 of 4
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                sender 2 up to 2
                sender 3 up to 1
                7 part 0: input, output b"done"
                outbox to 2 #1: complete 2:8.5 3: Value(b"done")
                outbox to 2 #2: complete 2:8.5 4: Value(b"done")
                outbox to 3 #1: complete 3:9.0 1: Value(b"done")
                sent to 2 up to 2, delivered up to 0
                sent to 3 up to 1, delivered up to 0
        "#]],
    );
}

#[test]
fn who_attaches_to_what_has_ended_is_answered_at_once() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 broken 470 not today; end 7
        e1: ingest from 2 1 attach 7 2:8.5 3
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 broken 470 not today; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 2 1 attach 7 2:8.5 3
                send to 2 #1: complete 2:8.5 3: failure 470 "not today"
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input, failure 470 "not today"
        "#]],
    );
}

#[test]
fn nobody_attaches_to_what_is_not_known() {
    check(
        "
        e1: announce of 4
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 peek 7 2:8.5 4
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 peek 7 2:8.5 4
                send to 2 #1: complete 2:8.5 3: failure 404 "not found"
                send to 2 #2: complete 2:8.5 4: failure 404 "not found"
        "#]],
    );
}

#[test]
fn nobody_attaches_to_what_is_forgotten() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 output done; end 7
        e1 @600000: fire 7 purge at 600000; ingest from 2 1 attach 7 2:8.5 3
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000; ingest from 2 1 attach 7 2:8.5 3
                send to 2 #1: complete 2:8.5 3: failure 404 "not found"
        "#]],
    );
}

#[test]
fn who_looks_is_told_the_outcome_or_that_there_is_none_yet() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: ingest from 2 1 peek 7 2:8.5 3
        e1: append 7 output done
        e1: ingest from 2 2 peek 7 2:8.5 4
        e1: end 7
        e1: ingest from 2 3 peek 7 2:8.5 5
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 2 1 peek 7 2:8.5 3
                send to 2 #1: complete 2:8.5 3: Void
            e1: append 7 output done
            e1: ingest from 2 2 peek 7 2:8.5 4
                send to 2 #2: complete 2:8.5 4: Void
            e1: end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 2 3 peek 7 2:8.5 5
                send to 2 #3: complete 2:8.5 5: Value(b"done")
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn one_may_attach_to_what_has_not_begun() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
        e1: ingest from 2 1 attach 7 2:9.5 3; ingest from 2 2 attach 8 2:9.5 4; ingest from 2 3 peek 8 2:9.5 5
        e1: ingest cancel 7; ingest cancel 8
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 6 exclusive/a; ingest invoke 7 exclusive/a; ingest invoke 8 plain start 900
                start 6 life 0 by 1.0
                arm 8 life 2 start at 900
            e1: ingest from 2 1 attach 7 2:9.5 3; ingest from 2 2 attach 8 2:9.5 4; ingest from 2 3 peek 8 2:9.5 5
                send to 2 #1: complete 2:9.5 5: Void
            e1: ingest cancel 7; ingest cancel 8
                arm 7 life 1 purge at 600000
                answer 7
                send to 2 #2: complete 2:9.5 3: failure 409 "canceled"
                arm 8 life 2 purge at 600000
                answer 8
                send to 2 #3: complete 2:9.5 4: failure 409 "canceled"
            rows sent
                sent to 2 up to 3, delivered up to 0
        "#]],
    );
}

#[test]
fn who_attached_is_told_of_a_kill() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest kill 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest kill 7
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: failure 409 "killed"
        "#]],
    );
}

#[test]
fn a_function_asks_and_is_answered() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 attach 1 2:8, peek 2 3:9; suspend 7 on 1
        rows
        e1: ingest from 3 1 complete 7.0 2 void
        e1: ingest from 2 1 complete 7.0 1 failure 404 not found
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 attach 1 2:8, peek 2 3:9; suspend 7 on 1
                send to 2 #1: attach 2:8 for 7.0 1
                send to 3 #1: peek 3:9 for 7.0 2
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3 of 4
                7 suspended on [1]: life 0 attempt 1.0 entries 3 commands 3 progress 0
                7 [0] input
                7 [1] attach 1 2:8
                7 [2] peek 2 3:9
                7 waits for 1: outcome of 2:8
                7 waits for 2: a look at 3:9
                outbox to 2 #1: attach 2:8 for 7.0 1
                outbox to 3 #1: peek 3:9 for 7.0 2
                sent to 2 up to 1, delivered up to 0
                sent to 3 up to 1, delivered up to 0
            e1: ingest from 3 1 complete 7.0 2 void
            e1: ingest from 2 1 complete 7.0 1 failure 404 not found
                start 7 life 0 by 1.1
            rows 7
                7 running: life 0 attempt 1.1 entries 5 commands 3 progress 0
                7 [0] input
                7 [1] attach 1 2:8
                7 [2] peek 2 3:9
                7 [3] 0x8013 of 2: Void
                7 [4] 0x8012 of 1: failure 404 "not found"
        "#]],
    );
}

#[test]
fn a_function_that_attached_and_ended_is_answered_in_vain() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: append 7 attach 1 8, output done
        e1: ingest from 0 1 attach 8 7.0 1; end 7
        e1: append 8 output done; end 8
        e1: ingest from 0 2 complete 7.0 1 value done
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 attach 1 8, output done
                send to 0 #1: attach 8 for 7.0 1
            e1: ingest from 0 1 attach 8 7.0 1; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: append 8 output done; end 8
                arm 8 life 1 purge at 600000
                answer 8
                send to 0 #2: complete 7.0 1: Value(b"done")
            e1: ingest from 0 2 complete 7.0 1 value done
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 3 commands 3 progress 0
                7 part 0: input, attach 1 8, output b"done"
        "#]],
    );
}

#[test]
fn a_function_that_waits_for_itself_can_be_killed() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 attach 1 7; suspend 7 on 1
        e1: ingest from 0 1 attach 7 7.0 1; delivered 0 1
        e1: ingest kill 7
        e1: ingest from 0 2 complete 7.0 1 failure 409 killed; delivered 0 2
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 attach 1 7; suspend 7 on 1
                send to 0 #1: attach 7 for 7.0 1
            e1: ingest from 0 1 attach 7 7.0 1; delivered 0 1
            e1: ingest kill 7
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 0 #2: complete 7.0 1: failure 409 "killed"
            e1: ingest from 0 2 complete 7.0 1 failure 409 killed; delivered 0 2
            rows
                partition epoch 1 term 1 next seq 6 inbox 4 now 0 log 6
                7 completed at 0: life 0 attempt 1.0 entries 3 commands 3 progress 0
                timer 7 life 0 purge at 600000
                sender 0 up to 2
                7 part 0: input, attach 1 7, failure 409 "killed"
                sent to 0 up to 2, delivered up to 2
        "#]],
    );
}
