//! The runs of workflows: once for each key.

use expect_test::expect;

use super::check;

#[test]
fn another_call_of_a_run_is_refused_while_it_runs_and_after() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 60 workflow/w request 1
        e1: ingest from 2 1 invoke 60 workflow/w request 2 caller 2:8.0 1
        e1: append 60 output done; end 60
        e1: ingest from 2 2 invoke 60 workflow/w request 3 caller 2:8.0 2
        rows 60
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 60 workflow/w request 1
                start 60 life 0 by 1.0
            e1: ingest from 2 1 invoke 60 workflow/w request 2 caller 2:8.0 1
                send to 2 #1: complete 2:8.0 1: failure 409 "the workflow method was already invoked"
            e1: append 60 output done; end 60
                arm 60 life 0 purge at 600000
                answer 60
            e1: ingest from 2 2 invoke 60 workflow/w request 3 caller 2:8.0 2
                send to 2 #2: complete 2:8.0 2: failure 409 "the workflow method was already invoked"
            rows 60
                60 completed at 0: life 0 attempt 1.0 entries 2 commands 2 progress 0
                60 part 0: input, output b"done"
        "#]],
    );
}

#[test]
fn the_call_that_began_a_run_is_answered_with_its_outcome() {
    check(
        "
        e1: announce of 4
        e1: ingest from 2 1 invoke 60 workflow/w request 2 caller 2:8.0 1
        e1: append 60 output done; end 60
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest from 2 1 invoke 60 workflow/w request 2 caller 2:8.0 1
                start 60 life 0 by 1.0
            e1: append 60 output done; end 60
                arm 60 life 0 purge at 600000
                answer 60
                send to 2 #1: complete 2:8.0 1: Value(b"done")
        "#]],
    );
}

#[test]
fn a_send_to_a_run_that_is_there_does_nothing() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 60 workflow/w request 1
        e1: ingest from 2 1 invoke 60 workflow/w request 2 sender 2:8.0
        e1: ingest invoke 60 workflow/w request 3
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 60 workflow/w request 1
                start 60 life 0 by 1.0
            e1: ingest from 2 1 invoke 60 workflow/w request 2 sender 2:8.0
            e1: ingest invoke 60 workflow/w request 3
        "#]],
    );
}

/// As a resend of its gateway does, or any caller that attaches by the workflow's key.
#[test]
fn whoever_attaches_to_a_run_is_answered_with_its_outcome() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 60 workflow/w request 1
        e1: ingest from 2 1 attach 60 2:8.0 1; ingest from 2 2 peek 60 2:8.0 2
        e1: append 60 output done; end 60
        e1: ingest from 2 3 peek 60 2:8.0 3
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 60 workflow/w request 1
                start 60 life 0 by 1.0
            e1: ingest from 2 1 attach 60 2:8.0 1; ingest from 2 2 peek 60 2:8.0 2
                send to 2 #1: complete 2:8.0 2: Void
            e1: append 60 output done; end 60
                arm 60 life 0 purge at 600000
                answer 60
                send to 2 #2: complete 2:8.0 1: Value(b"done")
            e1: ingest from 2 3 peek 60 2:8.0 3
                send to 2 #3: complete 2:8.0 3: Value(b"done")
        "#]],
    );
}

#[test]
fn other_handlers_of_the_key_run_beside_the_run() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
        e1: append 60 set k one
        e1: append 7 get 1 k
        rows lock
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
            e1: append 60 set k one
            e1: append 7 get 1 k
                notify 7 life 1 by 1.0 [2] 0x8002 of 1: Value(b"one")
            rows lock
        "#]],
    );
}

#[test]
fn a_run_that_is_forgotten_takes_its_state_and_promises_along_and_frees_its_key() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w request 1 keep 700000; ingest invoke 7 exclusive/v
        e1: append 7 set k other
        e1: append 60 set k one, set k2 two, fulfil 1 paid value yes, fulfil 2 sent failure 500 no, output done; end 60
        rows
        e1 @700000: fire 60 purge at 700000
        rows
        e1: ingest invoke 60 workflow/w request 2
        e1: append 60 get 1 k, look 2 paid
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w request 1 keep 700000; ingest invoke 7 exclusive/v
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
            e1: append 7 set k other
            e1: append 60 set k one, set k2 two, fulfil 1 paid value yes, fulfil 2 sent failure 500 no, output done; end 60
                notify 60 life 0 by 1.0 [4] 0x800b of 1: Void
                notify 60 life 0 by 1.0 [6] 0x800b of 2: Void
                arm 60 life 0 purge at 700000
                answer 60
            rows
                partition epoch 1 term 1 next seq 4 inbox 2 now 0 log 4
                7 running: life 1 attempt 1.0 entries 2 commands 2 progress 0
                60 completed at 0: life 0 attempt 1.0 entries 8 commands 6 progress 0
                7 [0] input
                7 [1] set k
                running 7
                timer 60 life 0 purge at 700000
                lock cart/v held by 7, places 0..0
                60 part 0: input, set k, set k2, fulfil 1 paid, 0x800b of 1: Void, fulfil 2 sent, 0x800b of 2: Void, output b"done"
                object cart/v of 1 keys, 6 bytes
                object cart/w of 2 keys, 2 promises, 22 bytes
                state cart/v k: b"other"
                state cart/w k: b"one"
                state cart/w k2: b"two"
                promise cart/w paid: b"yes"
                promise cart/w sent: failure 500
            e1 @700000: fire 60 purge at 700000
            rows
                partition epoch 1 term 1 next seq 5 inbox 2 now 700000 log 5
                7 running: life 1 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] set k
                running 7
                lock cart/v held by 7, places 0..0
                object cart/v of 1 keys, 6 bytes
                state cart/v k: b"other"
            e1: ingest invoke 60 workflow/w request 2
                start 60 life 2 by 1.0
            e1: append 60 get 1 k, look 2 paid
                notify 60 life 2 by 1.0 [2] 0x8002 of 1: Void
                notify 60 life 2 by 1.0 [4] 0x800a of 2: Void
        "#]],
    );
}

#[test]
fn a_purge_by_order_forgets_a_run_with_all_that_it_has() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w
        e1: append 60 set k one, fulfil 1 paid value yes
        e1: ingest purge 60
        e1: append 60 output done; end 60
        e1: ingest purge 60
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w
                start 60 life 0 by 1.0
            e1: append 60 set k one, fulfil 1 paid value yes
                notify 60 life 0 by 1.0 [3] 0x800b of 1: Void
            e1: ingest purge 60
            e1: append 60 output done; end 60
                arm 60 life 0 purge at 600000
                answer 60
            e1: ingest purge 60
            rows
                partition epoch 1 term 1 next seq 6 inbox 3 now 0 log 6
        "#]],
    );
}

/// They are of the same key, and would be of another run.
#[test]
fn who_waits_for_a_promise_waits_on_when_the_run_is_forgotten() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 7 await 1 paid; suspend 7 on 1
        e1: append 60 output done; end 60
        e1: ingest purge 60
        rows 7
        rows promise
        e1: append 8 fulfil 1 paid value late
        rows 7
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 7 await 1 paid; suspend 7 on 1
            e1: append 60 output done; end 60
                arm 60 life 0 purge at 600000
                answer 60
            e1: ingest purge 60
            rows 7
                7 suspended on [1]: life 1 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] await 1 paid
                7 waits for 1: promise paid
            rows promise
                promise w/paid awaited by 7.1 for 1
            e1: append 8 fulfil 1 paid value late
                send to 0 #1: complete 7.1 1: Value(b"late")
                notify 8 life 2 by 1.0 [2] 0x800b of 1: Void
            rows 7
                7 suspended on [1]: life 1 attempt 1.0 entries 2 commands 2 progress 0
                7 [0] input
                7 [1] await 1 paid
                7 waits for 1: promise paid
            rows promise
                promise cart/w paid: b"late"
        "#]],
    );
}

#[test]
fn a_killed_run_keeps_its_promises_until_it_is_forgotten() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w
        e1: append 60 fulfil 1 paid value yes, await 3 sent
        e1: ingest kill 60
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w
                start 60 life 0 by 1.0
            e1: append 60 fulfil 1 paid value yes, await 3 sent
                notify 60 life 0 by 1.0 [2] 0x800b of 1: Void
            e1: ingest kill 60
                stop 60
                arm 60 life 0 purge at 600000
                answer 60
            rows
                partition epoch 1 term 1 next seq 4 inbox 2 now 0 log 4
                60 completed at 0: life 0 attempt 1.0 entries 5 commands 4 progress 0
                timer 60 life 0 purge at 600000
                60 part 0: input, fulfil 1 paid, 0x800b of 1: Void, await 3 sent, failure 409 "killed"
                object cart/w of 0 keys, 1 promises, 7 bytes
                promise cart/w paid: b"yes"
        "#]],
    );
}
