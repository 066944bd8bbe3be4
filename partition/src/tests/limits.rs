//! Journals at their limit and one above.

use everlog_log_schema::limits::{
    BODY_BYTES_MAX, JOURNAL_BYTES_MAX, JOURNAL_COMMANDS_MAX, JOURNAL_ENTRIES_MAX,
    JOURNAL_SIGNALS_MAX,
};
use everlog_log_schema::{InvocationRow, Row, RowKey, Status};
use expect_test::expect;

use super::script::Log;
use super::words::id;
use crate::{Tables, reads};

/// An invocation with as many commands as there may be, all of them runs.
fn full() -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    let runs: Vec<_> =
        (1..JOURNAL_COMMANDS_MAX).map(|completion| format!("run {completion}")).collect();
    for runs in runs.chunks(1_000) {
        assert_eq!(log.play(&format!("e1: append 7 {}", runs.join(", "))), [""; 0]);
    }
    assert_eq!(row(&log).commands, JOURNAL_COMMANDS_MAX);
    log
}

fn row(log: &Log) -> InvocationRow {
    reads::invocation(&log.tables, id(7)).unwrap().unwrap()
}

#[test]
fn a_full_journal_still_takes_the_results_of_all_its_runs_and_the_output_of_a_kill() {
    let mut log = full();
    let results: Vec<_> = (1..JOURNAL_COMMANDS_MAX).map(|run| format!("result {run} ok")).collect();
    for results in results.chunks(1_000) {
        let told = log.play(&format!("e1: append 7 {}", results.join(", ")));
        assert_eq!(told.len(), results.len());
    }
    log.play("e1: fail 7 kill");
    assert_eq!(row(&log).entries, 2 * JOURNAL_COMMANDS_MAX);
    assert!(row(&log).entries <= JOURNAL_ENTRIES_MAX);
    assert!(reads::outcome_of(&log.tables, id(7)).unwrap().is_some());
}

#[test]
fn a_command_too_many_pauses_the_invocation_and_is_not_stored() {
    let mut log = full();
    let effects = log.play("e1: append 7 result 1 ok, step");
    expect![[r#"
        notify 7 life 0 by 1.0 [24999] 0x8011 of 1: Value(b"ok")
        stop 7"#]]
    .assert_eq(&effects.join("\n"));
    assert_eq!(row(&log).entries, JOURNAL_COMMANDS_MAX + 1);
    expect![[r#"
        (
            Paused,
            Some(
                AttemptError {
                    code: 571,
                    message: "journal is full",
                    command_index: None,
                    command_name: None,
                    command_kind: None,
                    delay_by_function: false,
                },
            ),
        )
    "#]]
    .assert_debug_eq(&(row(&log).status, row(&log).last_error));
}

/// An invocation whose journal has place for `left` more bytes, with a run and a sleep to come.
fn full_but(left: u64) -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    assert_eq!(row(&log).journal_bytes, 2, "the argument counts");
    log.play("e1: append 7 run 1, sleep 2 until 500");
    while row(&log).journal_bytes < JOURNAL_BYTES_MAX - left {
        let bytes = (JOURNAL_BYTES_MAX - left - row(&log).journal_bytes).min(BODY_BYTES_MAX as u64);
        assert_eq!(log.play(&format!("e1: append 7 step bytes {bytes}")), [""; 0]);
    }
    log
}

#[test]
fn a_journal_holds_an_argument_a_step_and_a_result_of_full_size_and_forty_steps_of_a_mebibyte() {
    let body = BODY_BYTES_MAX as u64;
    assert!(3 * body < JOURNAL_BYTES_MAX && 40 * (1 << 20) < JOURNAL_BYTES_MAX);
}

#[test]
fn a_journal_takes_bytes_up_to_its_limit_and_then_what_the_partition_itself_stores() {
    let mut log = full_but(3);
    assert_eq!(log.play("e1: append 7 result 1 abc").len(), 1);
    assert_eq!((row(&log).status, row(&log).journal_bytes), (Status::Running, JOURNAL_BYTES_MAX));
    let told = log.play("e1 @500: fire 7 sleep 2 at 500");
    expect!["notify 7 life 0 by 1.0 [8] 0x800c of 2: Void"].assert_eq(&told.join("\n"));
    log.play("e1: fail 7 kill");
    assert!(reads::outcome_of(&log.tables, id(7)).unwrap().is_some());
}

#[test]
fn a_byte_too_many_pauses_the_invocation_and_stores_nothing() {
    let mut log = full_but(2);
    let entries = row(&log).entries;
    let effects = log.play("e1: append 7 result 1 abc");
    expect!["stop 7"].assert_eq(&effects.join("\n"));
    assert_eq!((row(&log).status, row(&log).entries), (Status::Paused, entries));
    assert_eq!(row(&log).last_error.unwrap().message, "journal is full");
}

#[test]
fn what_follows_an_output_needs_no_place() {
    let mut log = full_but(2);
    let entries = row(&log).entries;
    assert_eq!(log.play("e1: append 7 output ok, step bytes 9"), [""; 0]);
    assert_eq!(log.play("e1: append 7 result 1 abc"), [""; 0]);
    assert_eq!((row(&log).status, row(&log).entries), (Status::Running, entries + 1));
    assert_eq!(log.play("e1: end 7").last().unwrap(), "answer 7");
}

#[test]
fn an_answer_from_elsewhere_that_does_not_fit_is_a_failure_that_says_so() {
    let mut log = full_but(4);
    let told = log.play("e1: ingest signal 7 17 value 12345");
    expect![[r#"notify 7 life 0 by 1.0 [7] signal 17: failure 413 "a result of 5 bytes does not fit into the journal""#]].assert_eq(&told.join("\n"));
    assert_eq!(row(&log).status, Status::Running);

    let mut log = full_but(4);
    assert_eq!(log.play("e1: append 7 attach 3 8").len(), 1);
    let told = log.play("e1: ingest complete 7.0 3 value 12345");
    expect![[r#"notify 7 life 0 by 1.0 [8] 0x8012 of 3: failure 413 "a result of 5 bytes does not fit into the journal""#]].assert_eq(&told.join("\n"));

    let mut log = full_but(4);
    let told = log.play("e1: ingest signal 7 17 value 1234");
    expect![[r#"notify 7 life 0 by 1.0 [7] signal 17: Value(b"1234")"#]]
        .assert_eq(&told.join("\n"));
}

/// The function asks again when somebody has resumed it, and is told then if there is place.
#[test]
fn a_question_whose_answer_does_not_fit_is_not_stored() {
    let value = |text: &'static str| {
        let mut log = full_but(4);
        let mut row = row(&log);
        row.target.key = Some("a".into());
        log.tables.put(RowKey::Invocation(id(7)), Row::Invocation(Box::new(row)));
        let (service, key) = ("cart".to_owned(), "a".to_owned());
        let state = RowKey::State { service, key, name: "k".into() };
        log.tables.put(state, Row::State(text.into()));
        log
    };
    let mut log = value("1234");
    assert_eq!(log.play("e1: append 7 get 3 k").len(), 1);
    assert_eq!((row(&log).status, row(&log).journal_bytes), (Status::Running, JOURNAL_BYTES_MAX));

    let mut log = value("12345");
    let entries = row(&log).entries;
    assert_eq!(log.play("e1: append 7 get 3 k"), ["stop 7"]);
    assert_eq!((row(&log).status, row(&log).entries), (Status::Paused, entries));
    assert_eq!(row(&log).last_error.unwrap().message, "journal is full");
    assert_eq!(log.play("e1: ingest resume 7").len(), 1);
    assert_eq!(log.play("e1: append 7 keys 3").len(), 1);
}

#[test]
fn a_journal_takes_as_many_signals_as_it_may_and_drops_the_next() {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    for _ in 0..JOURNAL_SIGNALS_MAX {
        assert_eq!(log.play("e1: ingest signal 7 17 void").len(), 1);
    }
    assert_eq!(log.play("e1: ingest signal 7 17 void"), [""; 0]);
    assert_eq!(row(&log).signals, JOURNAL_SIGNALS_MAX);
    assert_eq!(log.play("e1: append 7 output done; end 7").last().unwrap(), "answer 7");
}

/// Each command brings two notifications at most: all of them, as many signals as there may be, and
/// the output of a kill have a place.
#[test]
fn a_journal_full_of_calls_still_takes_their_answers_and_signals() {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    let calls: Vec<_> = (1..JOURNAL_COMMANDS_MAX)
        .map(|call| format!("call {} {} 8 plain", 2 * call, 2 * call + 1))
        .collect();
    for calls in calls.chunks(1_000) {
        log.play(&format!("e1: append 7 {}", calls.join(", ")));
    }
    for call in 1..JOURNAL_COMMANDS_MAX {
        assert_eq!(log.play(&format!("e1: ingest complete 7.0 {} void", 2 * call + 1)).len(), 1);
    }
    for _ in 0..JOURNAL_SIGNALS_MAX {
        log.play("e1: ingest signal 7 17 void");
    }
    log.play("e1: fail 7 kill");
    assert_eq!(row(&log).entries, 3 * JOURNAL_COMMANDS_MAX - 1 + JOURNAL_SIGNALS_MAX);
    assert!(row(&log).entries <= JOURNAL_ENTRIES_MAX);
    assert!(reads::outcome_of(&log.tables, id(7)).unwrap().is_some());
}
