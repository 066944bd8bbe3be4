//! What the shell reads.

use everlog_log_schema::*;

use super::script::{Log, id};
use crate::{Action, reads};

fn log(script: &str) -> Log {
    let mut log = Log::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        log.play(line);
    }
    log
}

#[test]
fn a_new_owner_reads_its_starts_in_pages() {
    let log = log("
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 5 plain; ingest invoke 9 plain; ingest invoke 6 plain
        e1: fail 6 pause
        e1: fail 9 retry 0; fire 9 retry at 0
        e2: announce
    ");
    let start = |number, life| {
        let incarnation = Incarnation(life);
        Action::Start(id(number), AttemptId { incarnation, epoch: Epoch(2), counter: 0 })
    };
    let page = |after, limit| reads::resume_actions(&log.tables, after, limit).unwrap();
    assert_eq!(page(None, 2), [start(5, 1), start(7, 0)]);
    assert_eq!(page(Some(id(7)), 2), [start(9, 2)]);
    assert_eq!(page(Some(id(9)), 2), []);
    assert_eq!(page(None, 0), []);
}

#[test]
fn running_invocations_are_walked_to_the_last_possible_id() {
    let last = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
    let middle = InvocationId { partition_key: PartitionKey(3), uuid: u128::MAX };
    let mut tables = crate::MemoryTables::default();
    for id in [id(7), middle, last] {
        crate::Tables::put(&mut tables, RowKey::Running(id), Row::Running);
    }
    let next = |after| reads::next_running(&tables, after).unwrap();
    assert_eq!(next(None), Some(id(7)));
    assert_eq!(next(Some(id(7))), Some(middle));
    assert_eq!(next(Some(middle)), Some(last));
    assert_eq!(next(Some(last)), None);
}

#[test]
fn timers_are_read_in_order_of_their_due_times_up_to_a_time() {
    let mut tables = crate::MemoryTables::default();
    let timer = |due, number, life, kind| Timer {
        due: Millis(due),
        invocation: id(number),
        incarnation: Incarnation(life),
        kind,
    };
    let timers = [
        timer(400, 9, 0, TimerKind::Purge),
        timer(500, 1, 0, TimerKind::Start),
        timer(500, 1, 0, TimerKind::Retry),
        timer(500, 1, 0, TimerKind::Sleep(CompletionId(0))),
        timer(500, 1, 0, TimerKind::Sleep(CompletionId(u32::MAX))),
        timer(500, 1, 0, TimerKind::Purge),
        timer(500, 1, 1, TimerKind::Start),
        timer(501, 1, 0, TimerKind::Start),
    ];
    for timer in timers.iter().rev() {
        crate::Tables::put(&mut tables, RowKey::Timer(*timer), Row::Timer);
    }
    let due = |until| {
        let mut due = Vec::new();
        while let Some(timer) =
            reads::next_timer(&tables, due.last().copied(), Millis(until)).unwrap()
        {
            due.push(timer);
        }
        due
    };
    assert_eq!(due(399), []);
    assert_eq!(due(500), timers[..7]);
    assert_eq!(due(u64::MAX), timers);
}

#[test]
fn the_outcome_of_an_invocation_is_there_once_it_has_completed() {
    let mut log = log("
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, output done
    ");
    assert_eq!(reads::outcome_of(&log.tables, id(7)), Ok(None));
    assert_eq!(reads::outcome_of(&log.tables, id(8)), Ok(None));
    log.play("e1: end 7");
    let (row, outcome) = reads::outcome_of(&log.tables, id(7)).unwrap().unwrap();
    assert_eq!(outcome, Outcome::Success("done".into()));
    let journal = reads::journal(&log.tables, id(7), row.entries).unwrap();
    assert!(matches!(
        journal[..],
        [Entry::Input { .. }, Entry::Command { .. }, Entry::Output { .. }]
    ));
    assert!(reads::journal(&log.tables, id(7), row.entries + 1).is_err());
}

#[test]
fn a_row_of_another_kind_is_an_error() {
    let mut tables = crate::MemoryTables::default();
    crate::Tables::put(&mut tables, RowKey::Invocation(id(7)), Row::Running);
    assert!(reads::invocation(&tables, id(7)).is_err());
}
