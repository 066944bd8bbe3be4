//! Journals at their limit and one above.

use everlog_log_schema::limits::JOURNAL_ENTRIES_MAX;
use expect_test::expect;

use super::script::{Log, id};
use crate::journal::COMMANDS_MAX;
use crate::reads;

/// An invocation with as many commands as there may be, all of them runs.
fn full() -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    let runs: Vec<_> = (1..COMMANDS_MAX).map(|completion| format!("run {completion}")).collect();
    for runs in runs.chunks(1_000) {
        assert_eq!(log.play(&format!("e1: append 7 {}", runs.join(", "))), [""; 0]);
    }
    assert_eq!(row(&log).commands, COMMANDS_MAX);
    log
}

fn row(log: &Log) -> everlog_log_schema::InvocationRow {
    reads::invocation(&log.tables, id(7)).unwrap().unwrap()
}

#[test]
fn a_full_journal_still_takes_the_results_of_all_its_runs_and_the_output_of_a_kill() {
    let mut log = full();
    let results: Vec<_> = (1..COMMANDS_MAX).map(|run| format!("result {run} ok")).collect();
    for results in results.chunks(1_000) {
        let told = log.play(&format!("e1: append 7 {}", results.join(", ")));
        assert_eq!(told.len(), results.len());
    }
    log.play("e1: fail 7 kill");
    assert_eq!(row(&log).entries, 2 * COMMANDS_MAX);
    assert!(row(&log).entries <= JOURNAL_ENTRIES_MAX);
    assert!(reads::outcome_of(&log.tables, id(7)).unwrap().is_some());
}

#[test]
fn a_command_too_many_pauses_the_invocation_and_stores_nothing() {
    let mut log = full();
    let effects = log.play("e1: append 7 result 1 ok, set");
    expect!["stop 7"].assert_eq(&effects.join("\n"));
    assert_eq!(row(&log).entries, COMMANDS_MAX);
    expect![[r#"
        (
            Paused,
            Some(
                AttemptError {
                    code: 571,
                    message: "journal is full",
                    command_index: None,
                    command_name: None,
                    delay_by_function: false,
                },
            ),
        )
    "#]]
    .assert_debug_eq(&(row(&log).status, row(&log).last_error));
}
