//! Laws that hold for every log. `PROPTEST_CASES` sets how many logs each is tried on.

use std::collections::BTreeMap;

use everlog_log_schema::*;
use proptest::prelude::*;

use super::invariants;
use super::script::Log;
use super::stream::{Stream, steps};
use super::wild::wild_commands;
use crate::{Acceptance, Action, Logged, MemoryTables, Tables, apply, reads};

/// Applies records from the tables' next offset on, as a partition that restarts does.
fn replay(tables: &mut MemoryTables, records: &[Record]) -> Vec<Vec<Action>> {
    let from = usize::try_from(reads::partition(tables).unwrap().next_log.0).unwrap();
    let mut all = Vec::new();
    for (offset, record) in (0..).zip(records).skip(from) {
        let mut actions = Vec::new();
        let logged = Logged { offset: LogOffset(offset), hash: offset, record };
        apply(tables, logged, &mut actions).unwrap();
        all.push(actions);
    }
    all
}

/// Rows without what ignored records change too: the log's offset and hash.
fn rows_but_position(tables: &MemoryTables) -> BTreeMap<RowKey, Row> {
    let mut tables = tables.clone();
    let mut partition = reads::partition(&tables).unwrap();
    partition.next_log = LogOffset(0);
    partition.last_hash = 0;
    tables.put(RowKey::Partition, Row::Partition(partition));
    tables.rows().map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// Records that must have no effect behind `record`: of other terms and epochs, and repeats.
fn foreign_to(record: &Record, repeated: &Record) -> Vec<Record> {
    let other_term = Record { term: Term(record.term.0 + 1_000), ..record.clone() };
    let lower_epoch = Record { epoch: Epoch(record.epoch.0 - 1), ..record.clone() };
    let far_epoch = Record { epoch: Epoch(record.epoch.0 + 2), ..record.clone() };
    vec![record.clone(), other_term, lower_epoch, far_epoch, repeated.clone()]
}

proptest! {
    /// A partition that crashes anywhere and restarts from any earlier flush, or from nothing,
    /// ends up as if it had never stopped, and asks for the same again.
    #[test]
    fn a_replay_from_any_point_is_the_straight_run(
        steps in steps(),
        flushed in any::<prop::sample::Index>(),
    ) {
        let straight = Stream::of(&steps);
        let flushed = flushed.index(straight.records.len());
        let mut tables = MemoryTables::default();
        replay(&mut tables, &straight.records[..flushed]);
        let actions = replay(&mut tables, &straight.records);
        prop_assert_eq!(&tables, &straight.log.tables);
        prop_assert_eq!(&actions[..], &straight.actions[flushed..]);
    }

    /// The rows fit together after every record, and no invocation is left behind in them.
    #[test]
    fn the_rows_fit_together_after_every_record(steps in steps()) {
        let mut stream = Stream::new();
        for step in &steps {
            stream.step(step);
            invariants::hold(&stream.log.tables);
        }
    }

    /// Once all invocations are purged nothing is left of them but the state of objects, and promises
    /// of keys that have no run any more.
    #[test]
    fn no_row_leaks(steps in steps()) {
        let mut stream = Stream::of(&steps);
        stream.finish();
        for (key, _) in stream.log.tables.rows() {
            let stays = matches!(
                key,
                RowKey::Partition
                    | RowKey::Sender(_)
                    | RowKey::Sent(_)
                    | RowKey::Object { .. }
                    | RowKey::State { .. }
                    | RowKey::Promise { .. }
            );
            prop_assert!(stays, "{:?} is left", key);
        }
    }

    /// Records that do not count, wherever they stand in the log, change nothing but its position.
    #[test]
    fn foreign_and_repeated_records_change_nothing(
        steps in steps(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let straight = Stream::of(&steps);
        let mut mixed = Vec::new();
        for (at, record) in straight.records.iter().enumerate() {
            mixed.push(record.clone());
            if let Some(pick) = picks.get(at % (picks.len() + 3)) {
                let foreign = foreign_to(record, &straight.records[pick.index(at + 1)]);
                mixed.push(foreign[pick.index(foreign.len())].clone());
            }
        }
        let mut tables = MemoryTables::default();
        let actions = replay(&mut tables, &mixed);
        prop_assert_eq!(rows_but_position(&tables), rows_but_position(&straight.log.tables));
        prop_assert_eq!(actions.concat(), straight.actions.concat());
    }

    /// Of the calls of one key each begins in the order in which they came.
    #[test]
    fn calls_of_a_key_begin_in_the_order_they_came(steps in steps()) {
        let mut stream = Stream::new();
        let (mut came, mut began) = (Vec::new(), Vec::new());
        for step in &steps {
            stream.step(step);
            note_exclusive(&stream.log.tables, &mut came, &mut began);
        }
        prop_assert!(came.starts_with(&began), "came {:?}, began {:?}", came, began);
    }

    /// Whatever a log says, `apply` judges it without a panic; an error changes no row, and what
    /// is ignored changes none but the partition's.
    #[test]
    fn no_record_panics(
        lines in prop::collection::vec((wild_commands(), wild_writer()), 1..60),
    ) {
        let mut log = Log::default();
        for (commands, writer) in &lines {
            let before = log.tables.clone();
            let reigning = reads::partition(&before).unwrap();
            let line = match writer {
                Writer::Owner => format!(
                    "e{} t{} #{}: {commands}", reigning.epoch, reigning.term, reigning.next_seq
                ),
                Writer::Successor(term) => format!("e{} t{term} #0: announce", reigning.epoch.0 + 1),
                Writer::Stranger(epoch, term, seq) => format!("e{epoch} t{term} #{seq}: {commands}"),
            };
            log.now += 100;
            let record = log.record(&line);
            let (outcome, actions) = log.append(&record);
            if outcome == Ok(Acceptance::Accepted) {
                continue;
            }
            prop_assert_eq!(actions, vec![]);
            let mut undone = log.tables.clone();
            let key = RowKey::Partition;
            match before.get(&key).unwrap() {
                Some(row) => undone.put(key, row),
                None => undone.delete(&key),
            }
            prop_assert_eq!(undone, before);
        }
    }
}

proptest! {
    /// Nor does any other record that can be written, whatever its numbers are.
    #[test]
    fn no_command_panics(
        steps in steps(),
        commands in prop::collection::vec(strategies::command(), 1..20),
    ) {
        let mut log = Stream::of(&steps).log;
        for command in commands {
            let epoch = reads::partition(&log.tables).unwrap().epoch.0;
            let record = log.stamped(epoch, None, None, vec![command]);
            let (outcome, actions) = log.append(&record);
            prop_assert!(outcome == Ok(Acceptance::Accepted) || actions.is_empty());
        }
    }
}

/// Who writes a wild record.
#[derive(Debug, Clone)]
enum Writer {
    Owner,
    Successor(u64),
    Stranger(u64, u64, u64),
}

fn wild_writer() -> impl Strategy<Value = Writer> {
    prop_oneof![
        12 => Just(Writer::Owner),
        2 => (1_u64..9).prop_map(Writer::Successor),
        1 => (0_u64..5, 0_u64..9, 0_u64..5).prop_map(|(e, t, s)| Writer::Stranger(e, t, s)),
    ]
}

/// Notes which lives of exclusive calls have come to their key, and which have begun. Those that
/// ended in the queue have not come.
fn note_exclusive(
    tables: &MemoryTables,
    came: &mut Vec<(InvocationId, Incarnation)>,
    began: &mut Vec<(InvocationId, Incarnation)>,
) {
    for (key, row) in tables.rows() {
        let (RowKey::Invocation(id), Row::Invocation(row)) = (key, row) else { continue };
        if row.kind != HandlerKind::Exclusive || row.status.kind() == StatusKind::Scheduled {
            continue;
        }
        let life = (*id, row.incarnation);
        if row.attempts > 0 && !began.contains(&life) {
            began.push(life);
        }
        if row.attempts == 0 && row.status.kind() == StatusKind::Completed {
            came.retain(|other| *other != life);
        } else if !came.contains(&life) {
            came.push(life);
        }
    }
}
