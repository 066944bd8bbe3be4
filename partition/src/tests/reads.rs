//! What the shell reads.

use std::cell::RefCell;

use everlog_log_schema::*;

use super::script::Log;
use super::words::id;
use crate::{MemoryTables, Tables, TablesError, reads};

fn log(script: &str) -> Log {
    let mut log = Log::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        log.play(line);
    }
    log
}

#[test]
fn a_new_owner_finds_the_attempts_to_start() {
    let log = log("
        e1: announce
        e1: ingest invoke 7 plain; ingest invoke 5 plain; ingest invoke 9 plain; ingest invoke 6 plain
        e1: fail 6 pause
        e1: fail 9 retry 0; fire 9 retry at 0
        e2: announce
    ");
    let next = |after| {
        let id = reads::next_running(&log.tables, after).unwrap()?;
        let row = reads::invocation(&log.tables, id).unwrap().unwrap();
        Some((id, reads::current_attempt(&row, Epoch(2))))
    };
    let start = |number, life| {
        let incarnation = Incarnation(life);
        Some((id(number), AttemptId { incarnation, epoch: Epoch(2), counter: 0 }))
    };
    assert_eq!(next(None), start(5, 1));
    assert_eq!(next(Some(id(5))), start(7, 0));
    assert_eq!(next(Some(id(7))), start(9, 2));
    assert_eq!(next(Some(id(9))), None);
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

/// Tables that tell which ranges were searched.
#[derive(Debug, Default)]
struct Watched {
    tables: MemoryTables,
    searched: RefCell<Vec<(RowKey, RowKey)>>,
}

impl Tables for Watched {
    fn get(&self, key: &RowKey) -> Result<Option<Row>, TablesError> {
        self.tables.get(key)
    }

    fn first(&self, from: &RowKey, below: &RowKey) -> Result<Option<(RowKey, Row)>, TablesError> {
        self.searched.borrow_mut().push((from.clone(), below.clone()));
        self.tables.first(from, below)
    }

    fn put(&mut self, key: RowKey, row: Row) {
        self.tables.put(key, row);
    }

    fn delete(&mut self, key: &RowKey) {
        self.tables.delete(key);
    }
}

/// A store on disk passes over every deleted row in the range: with the rows of all invocations in
/// it, the end of one would take as long as there are others that have ended.
#[test]
fn open_completions_are_searched_once_and_among_their_own_invocations_only() {
    let open = |number, completion| RowKey::Open(id(number), CompletionId(completion));
    let mut tables = Watched::default();
    for key in [open(7, 0), open(7, 9), open(7, u32::MAX), open(8, 0)] {
        tables.put(key, Row::Open(OpenRow { kind: OpenKind::Run }));
    }
    let (mut last, mut found) = (None, Vec::new());
    while let Some((completion, _)) = reads::next_open(&tables, id(7), last).unwrap() {
        tables.delete(&RowKey::Open(id(7), completion));
        found.push(completion.0);
        last = Some(completion);
    }
    assert_eq!(found, [0, 9, u32::MAX]);
    let searched = [(open(7, 0), open(8, 0)), (open(7, 1), open(8, 0)), (open(7, 10), open(8, 0))];
    assert_eq!(tables.searched.take(), searched);

    let highest = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
    tables.put(RowKey::Open(highest, CompletionId(3)), Row::Open(OpenRow { kind: OpenKind::Run }));
    let found = reads::next_open(&tables, highest, None).unwrap();
    assert_eq!(found.map(|(completion, _)| completion), Some(CompletionId(3)));
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
    assert!(matches!(row.status, Status::Completed { parts: 1, .. }));
}

#[test]
fn a_row_of_another_kind_is_an_error() {
    let mut tables = crate::MemoryTables::default();
    crate::Tables::put(&mut tables, RowKey::Invocation(id(7)), Row::Running);
    assert!(reads::invocation(&tables, id(7)).is_err());
}
