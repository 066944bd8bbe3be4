//! The promises of workflows.

use bytes::Bytes;
use everlog_log_schema::limits::{PROMISES_MAX, STATE_BYTES_MAX};
use everlog_log_schema::{ObjectRow, Outcome, Row, RowKey, Status};
use expect_test::expect;

use super::check;
use super::script::Log;
use super::words::id;
use crate::{Tables, reads};

#[test]
fn who_waits_for_a_promise_is_told_when_it_is_completed() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
        e1: append 60 await 1 paid; suspend 60 on 1
        rows 60
        rows promise
        e1: append 7 fulfil 1 paid value yes
        rows promise
        e1: ingest from 0 1 complete 60.0 1 value yes
        rows 60
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
            e1: append 60 await 1 paid; suspend 60 on 1
            rows 60
                60 suspended on [1]: life 0 attempt 1.0 entries 2 commands 2 progress 0
                60 [0] input
                60 [1] await 1 paid
                60 waits for 1: promise paid
            rows promise
                promise w/paid awaited by 60.0 for 1
            e1: append 7 fulfil 1 paid value yes
                send to 0 #1: complete 60.0 1: Value(b"yes")
                notify 7 life 1 by 1.0 [2] 0x800b of 1: Void
            rows promise
                promise cart/w paid: b"yes"
            e1: ingest from 0 1 complete 60.0 1 value yes
                start 60 life 0 by 1.1
            rows 60
                60 running: life 0 attempt 1.1 entries 3 commands 2 progress 0
                60 [0] input
                60 [1] await 1 paid
                60 [2] 0x8009 of 1: Value(b"yes")
        "#]],
    );
}

#[test]
fn a_completed_promise_is_told_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w
        e1: append 60 fulfil 1 paid value yes, await 2 paid, look 3 paid, fulfil 4 sent failure 500 lost, await 5 sent, look 6 sent
        rows 60 waits
        rows 60 [
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w
                start 60 life 0 by 1.0
            e1: append 60 fulfil 1 paid value yes, await 2 paid, look 3 paid, fulfil 4 sent failure 500 lost, await 5 sent, look 6 sent
                notify 60 life 0 by 1.0 [2] 0x800b of 1: Void
                notify 60 life 0 by 1.0 [4] 0x8009 of 2: Value(b"yes")
                notify 60 life 0 by 1.0 [6] 0x800a of 3: Value(b"yes")
                notify 60 life 0 by 1.0 [8] 0x800b of 4: Void
                notify 60 life 0 by 1.0 [10] 0x8009 of 5: failure 500 "lost"
                notify 60 life 0 by 1.0 [12] 0x800a of 6: failure 500 "lost"
            rows 60 waits
            rows 60 [
                60 [0] input
                60 [1] fulfil 1 paid
                60 [2] 0x800b of 1: Void
                60 [3] await 2 paid
                60 [4] 0x8009 of 2: Value(b"yes")
                60 [5] look 3 paid
                60 [6] 0x800a of 3: Value(b"yes")
                60 [7] fulfil 4 sent
                60 [8] 0x800b of 4: Void
                60 [9] await 5 sent
                60 [10] 0x8009 of 5: failure 500 "lost"
                60 [11] look 6 sent
                60 [12] 0x800a of 6: failure 500 "lost"
        "#]],
    );
}

#[test]
fn who_looks_at_a_promise_does_not_wait() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w
        e1: append 60 look 1 paid
        rows 60 waits
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w
                start 60 life 0 by 1.0
            e1: append 60 look 1 paid
                notify 60 life 0 by 1.0 [2] 0x800a of 1: Void
            rows 60 waits
        "#]],
    );
}

#[test]
fn a_promise_is_completed_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
        e1: append 60 fulfil 1 paid value yes, fulfil 2 paid value no
        e1: append 7 fulfil 1 paid failure 500 no
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
            e1: append 60 fulfil 1 paid value yes, fulfil 2 paid value no
                notify 60 life 0 by 1.0 [2] 0x800b of 1: Void
                notify 60 life 0 by 1.0 [4] 0x800b of 2: failure 409 "promise was already completed"
            e1: append 7 fulfil 1 paid failure 500 no
                notify 7 life 1 by 1.0 [2] 0x800b of 1: failure 409 "promise was already completed"
            rows promise
                promise cart/w paid: b"yes"
        "#]],
    );
}

#[test]
fn a_promise_of_another_key_is_another_promise() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/v
        e1: append 7 await 1 paid
        e1: append 8 await 1 paid, fulfil 3 paid value yes
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/v
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 await 1 paid
            e1: append 8 await 1 paid, fulfil 3 paid value yes
                send to 0 #1: complete 8.1 1: Value(b"yes")
                notify 8 life 1 by 1.0 [3] 0x800b of 3: Void
            rows promise
                promise w/paid awaited by 7.0 for 1
                promise cart/v paid: b"yes"
        "#]],
    );
}

#[test]
fn all_that_wait_for_a_promise_are_told() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 60 await 1 paid
        e1: append 7 await 1 paid, await 2 paid, await 3 sent
        e1: append 8 fulfil 1 paid value yes
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 60 await 1 paid
            e1: append 7 await 1 paid, await 2 paid, await 3 sent
            e1: append 8 fulfil 1 paid value yes
                send to 0 #1: complete 7.1 1: Value(b"yes")
                send to 0 #2: complete 7.1 2: Value(b"yes")
                send to 0 #3: complete 60.0 1: Value(b"yes")
                notify 8 life 2 by 1.0 [2] 0x800b of 1: Void
            rows promise
                promise w/sent awaited by 7.1 for 3
                promise cart/w paid: b"yes"
        "#]],
    );
}

#[test]
fn an_invocation_that_ends_waits_for_no_promise() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 60 await 1 paid
        e1: append 7 await 1 paid, await 2 sent, output done; end 7
        rows promise
        e1: ingest kill 60
        rows promise
        e1: append 8 fulfil 1 paid value yes
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 60 await 1 paid
            e1: append 7 await 1 paid, await 2 sent, output done; end 7
                arm 7 life 1 purge at 600000
                answer 7
            rows promise
                promise w/paid awaited by 60.0 for 1
            e1: ingest kill 60
                stop 60
                arm 60 life 0 purge at 600000
                answer 60
            rows promise
            e1: append 8 fulfil 1 paid value yes
                notify 8 life 2 by 1.0 [2] 0x800b of 1: Void
        "#]],
    );
}

/// The value arrives as a message, and may come late.
#[test]
fn what_is_told_of_a_promise_reaches_only_the_life_that_waits() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 7 await 1 paid
        e1: append 8 fulfil 1 paid value yes
        e1: ingest kill 7
        e1: ingest from 0 1 complete 7.0 1 value yes
        rows 7
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 await 1 paid
            e1: append 8 fulfil 1 paid value yes
                send to 0 #1: complete 7.0 1: Value(b"yes")
                notify 8 life 1 by 1.0 [2] 0x800b of 1: Void
            e1: ingest kill 7
                stop 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 0 1 complete 7.0 1 value yes
            rows 7
                7 completed at 0: life 0 attempt 1.0 entries 3 commands 3 progress 0
                7 part 0: input, await 1 paid, failure 409 "killed"
        "#]],
    );
}

#[test]
fn answers_of_a_promise_that_find_no_room_follow_and_keep_the_run() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 7 await 1 paid
        e1: append 8 await 1 paid
        e1: append 60 fulfil 1 paid bytes 16777216, output done; end 60
        rows promise
        e1: ingest purge 60
        rows promise
        rows 60
        e1: delivered 0 1
        rows promise
        rows 60
        rows partition
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 7 await 1 paid
            e1: append 8 await 1 paid
            e1: append 60 fulfil 1 paid bytes 16777216, output done; end 60
                send to 0 #1: complete 7.1 1: Value(16777216 bytes)
                notify 60 life 0 by 1.0 [2] 0x800b of 1: Void
                arm 60 life 0 purge at 600000
                answer 60
            rows promise
                promise w/paid owes answers
                promise w/paid awaited by 8.2 for 1
                promise cart/w paid: 16777216 bytes
            e1: ingest purge 60
            rows promise
                promise w/paid owes answers
                promise w/paid awaited by 8.2 for 1
                promise cart/w paid: 16777216 bytes
            rows 60
                60 completed at 0 in 3 parts: life 0 attempt 1.0 entries 4 commands 3 progress 0
                60 part 0: input
                60 part 1: fulfil 1 paid
                60 part 2: 0x800b of 1: Void, output b"done"
            e1: delivered 0 1
                send to 0 #2: complete 8.2 1: Value(16777216 bytes)
            rows promise
            rows 60
            rows partition
                partition epoch 1 term 1 next seq 7 inbox 4 now 0 log 7
        "#]],
    );
}

#[test]
fn a_former_attempt_completes_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w
        e2: announce
        e2: append 60 by 1.0 fulfil 1 paid value yes
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w
                start 60 life 0 by 1.0
            e2: announce
            e2: append 60 by 1.0 fulfil 1 paid value yes
            rows promise
        "#]],
    );
}

/// A run whose key counts this much.
fn counting(promises: u32, bytes: u64) -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 60 workflow/w");
    let key = RowKey::Object { service: "cart".into(), key: "w".into() };
    log.tables.put(key, Row::Object(ObjectRow { keys: 1, promises, bytes, expiry: None }));
    log
}

fn paused(log: &Log) -> bool {
    reads::invocation(&log.tables, id(60)).unwrap().unwrap().status == Status::Paused
}

#[test]
fn a_key_has_as_many_promises_as_it_may_and_none_more() {
    let mut log = counting(PROMISES_MAX - 1, 500);
    log.play("e1: append 60 fulfil 1 paid value x");
    log.play("e1: append 60 fulfil 2 paid value y");
    assert!(!paused(&log));
    assert_eq!(log.play("e1: append 60 fulfil 3 sent value x"), ["stop 60"]);
    assert!(paused(&log));
    assert_eq!(reads::promise(&log.tables, "cart", "w", "sent"), Ok(None));
}

#[test]
fn a_key_has_as_many_bytes_of_promises_as_it_may_and_not_one_more() {
    let mut log = counting(0, STATE_BYTES_MAX - 5);
    log.play("e1: append 60 fulfil 1 paid value x");
    assert!(!paused(&log));
    let value = Outcome::Success(Bytes::from_static(b"x"));
    assert_eq!(reads::promise(&log.tables, "cart", "w", "paid"), Ok(Some(value)));
    let mut log = counting(0, STATE_BYTES_MAX - 5);
    assert_eq!(log.play("e1: append 60 fulfil 1 paid value xy"), ["stop 60"]);
    assert!(paused(&log));
}

#[test]
fn a_run_is_kept_until_the_last_of_its_promises_owes_no_answer() {
    check(
        "
        e1: announce
        e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
        e1: append 7 await 1 paid, await 2 sent
        e1: append 8 await 1 paid, await 2 sent
        e1: append 60 fulfil 1 paid bytes 16777216, fulfil 2 sent value x, output done; end 60
        rows promise
        e1: ingest purge 60
        e1: delivered 0 1
        rows promise
        e1: delivered 0 2
        rows promise
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 60 workflow/w; ingest invoke 7 workflowshared/w; ingest invoke 8 workflowshared/w
                start 60 life 0 by 1.0
                start 7 life 1 by 1.0
                start 8 life 2 by 1.0
            e1: append 7 await 1 paid, await 2 sent
            e1: append 8 await 1 paid, await 2 sent
            e1: append 60 fulfil 1 paid bytes 16777216, fulfil 2 sent value x, output done; end 60
                send to 0 #1: complete 7.1 1: Value(16777216 bytes)
                notify 60 life 0 by 1.0 [2] 0x800b of 1: Void
                notify 60 life 0 by 1.0 [4] 0x800b of 2: Void
                arm 60 life 0 purge at 600000
                answer 60
            rows promise
                promise w/paid owes answers
                promise w/sent owes answers
                promise w/paid awaited by 8.2 for 1
                promise w/sent awaited by 7.1 for 2
                promise w/sent awaited by 8.2 for 2
                promise cart/w paid: 16777216 bytes
                promise cart/w sent: b"x"
            e1: ingest purge 60
            e1: delivered 0 1
                send to 0 #2: complete 8.2 1: Value(16777216 bytes)
            rows promise
                promise w/sent owes answers
                promise w/sent awaited by 7.1 for 2
                promise w/sent awaited by 8.2 for 2
                promise cart/w paid: 16777216 bytes
                promise cart/w sent: b"x"
            e1: delivered 0 2
                send to 0 #3: complete 7.1 2: Value(b"x")
                send to 0 #4: complete 8.2 2: Value(b"x")
            rows promise
        "#]],
    );
}
