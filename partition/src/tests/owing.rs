//! Many functions that wait for one outcome.

use everlog_log_schema::limits::{ANSWER_BYTES_MIN, ANSWERS_BYTES_MAX};
use expect_test::expect;

use super::check;
use super::script::Log;

#[test]
fn answers_that_find_no_room_follow_when_those_before_them_have_arrived() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain caller 3:5.0 1
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:9.5 1; ingest from 2 3 attach 7 2:9.5 2
        e1: append 7 output bytes 16777216; end 7
        rows
        e1: delivered 3 1
        e1: delivered 2 1
        rows 7
        e1: delivered 2 2
        rows 7
        e1: delivered 2 3
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain caller 3:5.0 1
                start 7 life 0 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:9.5 1; ingest from 2 3 attach 7 2:9.5 2
            e1: append 7 output bytes 16777216; end 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 3 #1: complete 3:5.0 1: Value(16777216 bytes)
            rows
                partition epoch 1 term 1 next seq 4 inbox 4 now 0 log 4 of 4 room behind 3 #1
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:5.0
                timer 7 life 0 purge at 600000
                sender 2 up to 3
                7 part 0: input
                7 part 1: output 16777216 bytes
                outbox to 3 #1: complete 3:5.0 1: Value(16777216 bytes)
                sent to 3 up to 1, delivered up to 0
                7 owes answers
                7 awaited by 2:8.5 for 3
                7 awaited by 2:9.5 for 1
                7 awaited by 2:9.5 for 2
            e1: delivered 3 1
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
            e1: delivered 2 1
                send to 2 #2: complete 2:9.5 1: Value(16777216 bytes)
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:5.0
                7 part 0: input
                7 part 1: output 16777216 bytes
                7 owes answers
                7 awaited by 2:9.5 for 2
            e1: delivered 2 2
                send to 2 #3: complete 2:9.5 2: Value(16777216 bytes)
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:5.0
                7 part 0: input
                7 part 1: output 16777216 bytes
            e1: delivered 2 3
            rows
                partition epoch 1 term 1 next seq 8 inbox 4 now 0 log 8 of 4
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0 of 3:5.0
                timer 7 life 0 purge at 600000
                sender 2 up to 3
                7 part 0: input
                7 part 1: output 16777216 bytes
                sent to 2 up to 3, delivered up to 3
                sent to 3 up to 1, delivered up to 1
        "#]],
    );
}

#[test]
fn only_the_arrival_of_the_last_answer_makes_room() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain; ingest invoke 6 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
        e1: append 6 send 1 2:9 plain, send 2 3:9 plain
        e1: append 7 output bytes 16777216; end 7
        e1: append 6 send 3 2:9 plain
        e1: delivered 2 1; delivered 3 1
        rows 7
        e1: delivered 2 3
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain; ingest invoke 6 plain
                start 7 life 0 by 1.0
                start 6 life 1 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
            e1: append 6 send 1 2:9 plain, send 2 3:9 plain
                send to 2 #1: invoke 2:9 plain b"arg" for 6.1 at metadata 5
                notify 6 life 1 by 1.0 [2] 0x800e of 1: id 2:9
                send to 3 #1: invoke 3:9 plain b"arg" for 6.1 at metadata 5
                notify 6 life 1 by 1.0 [4] 0x800e of 2: id 3:9
            e1: append 7 output bytes 16777216; end 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #2: complete 2:8.5 3: Value(16777216 bytes)
            e1: append 6 send 3 2:9 plain
                send to 2 #3: invoke 2:9 plain b"arg" for 6.1 at metadata 5
                notify 6 life 1 by 1.0 [6] 0x800e of 3: id 2:9
            e1: delivered 2 1; delivered 3 1
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input
                7 part 1: output 16777216 bytes
                7 owes answers
                7 awaited by 2:8.5 for 4
            e1: delivered 2 3
                send to 2 #4: complete 2:8.5 4: Value(16777216 bytes)
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input
                7 part 1: output 16777216 bytes
        "#]],
    );
}

#[test]
fn a_new_owner_goes_on_with_the_answers_that_are_owed() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
        e1: append 7 output bytes 16777216; end 7
        e2: announce of 4
        e1: delivered 2 1
        e2: delivered 2 1
        rows 7
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
            e1: append 7 output bytes 16777216; end 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
            e2: announce of 4
            e1: delivered 2 1
                ignored: does not reign
            e2: delivered 2 1
                send to 2 #2: complete 2:8.5 4: Value(16777216 bytes)
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input
                7 part 1: output 16777216 bytes
        "#]],
    );
}

#[test]
fn one_slice_is_on_its_way_whoever_owes_it() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain; ingest invoke 8 plain caller 2:5.0 1
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 3 1 attach 8 3:8.5 1
        e1: append 7 output bytes 16777216; append 8 output done; end 7; end 8
        rows
        e1: delivered 2 1
        rows partition
        e1: delivered 2 3
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain; ingest invoke 8 plain caller 2:5.0 1
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 3 1 attach 8 3:8.5 1
            e1: append 7 output bytes 16777216; append 8 output done; end 7; end 8
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
                arm 8 life 1 purge at 600000
                answer 8
                send to 2 #2: complete 2:5.0 1: Value(b"done")
            rows
                partition epoch 1 term 1 next seq 4 inbox 5 now 0 log 4 of 4 room behind 2 #1
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0 of 2:5.0
                timer 7 life 0 purge at 600000
                timer 8 life 1 purge at 600000
                sender 2 up to 2
                sender 3 up to 1
                7 part 0: input
                7 part 1: output 16777216 bytes
                8 part 0: input, output b"done"
                outbox to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
                outbox to 2 #2: complete 2:5.0 1: Value(b"done")
                sent to 2 up to 2, delivered up to 0
                7 owes answers
                8 owes answers
                7 awaited by 2:8.5 for 4
                8 awaited by 3:8.5 for 1
            e1: delivered 2 1
                send to 2 #3: complete 2:8.5 4: Value(16777216 bytes)
            rows partition
                partition epoch 1 term 1 next seq 5 inbox 5 now 0 log 5 of 4 room behind 2 #3
            e1: delivered 2 3
                send to 3 #1: complete 3:8.5 1: Value(b"done")
            rows
                partition epoch 1 term 1 next seq 6 inbox 5 now 0 log 6 of 4
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0 of 2:5.0
                timer 7 life 0 purge at 600000
                timer 8 life 1 purge at 600000
                sender 2 up to 2
                sender 3 up to 1
                7 part 0: input
                7 part 1: output 16777216 bytes
                8 part 0: input, output b"done"
                outbox to 3 #1: complete 3:8.5 1: Value(b"done")
                sent to 2 up to 3, delivered up to 3
                sent to 3 up to 1, delivered up to 0
        "#]],
    );
}

#[test]
fn who_attaches_to_what_has_ended_waits_where_there_is_no_room() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 output bytes 16777216; end 7
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 peek 7 2:8.5 4; ingest from 3 1 invoke 7 plain caller 3:9.0 1
        rows 7
        e1: ingest from 3 2 attach 7 3:9.0 2
        e1: delivered 2 1
        e1: delivered 2 2
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 output bytes 16777216; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 peek 7 2:8.5 4; ingest from 3 1 invoke 7 plain caller 3:9.0 1
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
            rows 7
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                7 part 0: input
                7 part 1: output 16777216 bytes
                7 owes answers
                7 awaited by 2:8.5 for 4
                7 awaited by 3:9.0 for 1
            e1: ingest from 3 2 attach 7 3:9.0 2
                send to 3 #1: complete 3:9.0 2: Value(16777216 bytes)
            e1: delivered 2 1
                send to 2 #2: complete 2:8.5 4: Value(16777216 bytes)
            e1: delivered 2 2
                send to 3 #2: complete 3:9.0 1: Value(16777216 bytes)
            rows
                partition epoch 1 term 1 next seq 7 inbox 5 now 0 log 7 of 4
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                sender 2 up to 2
                sender 3 up to 2
                7 part 0: input
                7 part 1: output 16777216 bytes
                outbox to 3 #1: complete 3:9.0 2: Value(16777216 bytes)
                outbox to 3 #2: complete 3:9.0 1: Value(16777216 bytes)
                sent to 2 up to 2, delivered up to 2
                sent to 3 up to 2, delivered up to 0
        "#]],
    );
}

#[test]
fn what_owes_answers_is_forgotten_with_the_last_of_them() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain; ingest invoke 8 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 2 3 attach 8 2:8.5 5
        e1: append 7 output bytes 16777216; end 7; append 8 output done; end 8
        e1: ingest purge 7; ingest purge 7
        e1 @600000: fire 8 purge at 600000
        rows
        e1: ingest kill 7; ingest cancel 7; ingest invoke 7 plain
        e1: delivered 2 1
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain; ingest invoke 8 plain
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4; ingest from 2 3 attach 8 2:8.5 5
            e1: append 7 output bytes 16777216; end 7; append 8 output done; end 8
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
                arm 8 life 1 purge at 600000
                answer 8
            e1: ingest purge 7; ingest purge 7
            e1 @600000: fire 8 purge at 600000
            rows
                partition epoch 1 term 1 next seq 6 inbox 7 now 600000 log 6 of 4 room behind 2 #1
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                sender 2 up to 3
                7 part 0: input
                7 part 1: output 16777216 bytes
                8 part 0: input, output b"done"
                outbox to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
                sent to 2 up to 1, delivered up to 0
                7 owes answers
                8 owes answers
                7 awaited by 2:8.5 for 4
                8 awaited by 2:8.5 for 5
            e1: ingest kill 7; ingest cancel 7; ingest invoke 7 plain
                answer 7
            e1: delivered 2 1
                send to 2 #2: complete 2:8.5 4: Value(16777216 bytes)
            rows
                partition epoch 1 term 1 next seq 8 inbox 10 now 600000 log 8 of 4 room behind 2 #2
                8 completed at 0: life 1 attempt 1.0 entries 2 commands 2 progress 0
                sender 2 up to 3
                8 part 0: input, output b"done"
                outbox to 2 #2: complete 2:8.5 4: Value(16777216 bytes)
                sent to 2 up to 2, delivered up to 1
                8 owes answers
                8 awaited by 2:8.5 for 5
        "#]],
    );
}

#[test]
fn what_is_still_kept_stays_when_it_owes_nothing_any_more() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
        e1: append 7 output bytes 16777216; end 7
        e1: delivered 2 1
        e1: delivered 2 2
        rows
        e1 @600000: fire 7 purge at 600000
        rows
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest from 2 1 attach 7 2:8.5 3; ingest from 2 2 attach 7 2:8.5 4
            e1: append 7 output bytes 16777216; end 7
                arm 7 life 0 purge at 600000
                answer 7
                send to 2 #1: complete 2:8.5 3: Value(16777216 bytes)
            e1: delivered 2 1
                send to 2 #2: complete 2:8.5 4: Value(16777216 bytes)
            e1: delivered 2 2
            rows
                partition epoch 1 term 1 next seq 6 inbox 3 now 0 log 6 of 4
                7 completed at 0 in 2 parts: life 0 attempt 1.0 entries 2 commands 2 progress 0
                timer 7 life 0 purge at 600000
                sender 2 up to 2
                7 part 0: input
                7 part 1: output 16777216 bytes
                sent to 2 up to 2, delivered up to 2
            e1 @600000: fire 7 purge at 600000
            rows
                partition epoch 1 term 1 next seq 7 inbox 3 now 600000 log 7 of 4
                sender 2 up to 2
                sent to 2 up to 2, delivered up to 2
        "#]],
    );
}

/// How many answers an outcome of so many bytes brings, at its end and with the first arrival, of
/// those that `count` functions wait for.
fn answers(bytes: u64, count: u64) -> [usize; 2] {
    let mut log = Log::default();
    log.play("e1: announce of 4");
    log.play("e1: ingest invoke 7 plain");
    for waiting in 1..=count {
        log.play(&format!("e1: ingest from 2 {waiting} attach 7 2:8.5 {waiting}"));
    }
    let ended = log.play(&format!("e1: append 7 output bytes {bytes}; end 7"));
    let sent = |effects: &[String]| effects.iter().filter(|line| line.starts_with("send")).count();
    let first = sent(&ended);
    [first, sent(&log.play(&format!("e1: delivered 2 {first}")))]
}

#[test]
fn a_record_sends_answers_up_to_its_limit_and_the_one_that_exceeds_it() {
    let half = ANSWERS_BYTES_MAX / 2;
    assert_eq!(answers(half, 5), [2, 2]);
    assert_eq!(answers(half - 1, 5), [3, 2]);
    assert_eq!(answers(2 * half, 5), [1, 1]);
    assert_eq!(answers(2 * half - 1, 5), [2, 2]);
}

#[test]
fn of_small_answers_a_record_sends_a_thousand_and_twenty_four() {
    assert_eq!(answers(0, 1_024), [1_024, 0]);
    assert_eq!(answers(0, 1_025), [1_024, 1]);
    assert_eq!(answers(ANSWER_BYTES_MIN, 1_025), [1_024, 1]);
    assert_eq!(answers(ANSWER_BYTES_MIN + 1, 2_050), [1_024, 1_024]);
}
