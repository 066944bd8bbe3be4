//! Checkpoints on the journal topic, and tables that are made from them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use everlog_executor::store::{Store, StoreOptions};
use everlog_executor::{Executor, ExecutorLimits, Standing};
use everlog_log_client::{EventLog, RowChange, Stream, Topic};
use everlog_log_schema::codec::{CHECKPOINT_KEY, decode_checkpoint, decode_row};
use everlog_log_schema::{
    CheckpointRow, Command, InvocationId, LogOffset, PartitionId, Row, RowKey,
};
use everlog_partition::Tables;

use crate::house::{Call, House, answer, rows, standing, text, within};
use crate::journal_log::{Commits, JournalLog};

const P0: PartitionId = PartitionId(0);

pub(crate) fn with_journal() -> ExecutorLimits {
    ExecutorLimits {
        journal: true,
        checkpoint_interval: Duration::from_millis(20),
        ..ExecutorLimits::default()
    }
}

/// Gives the log up as soon as a checkpoint holds it.
fn without_history() -> ExecutorLimits {
    ExecutorLimits { history_bytes_max: 1, ..with_journal() }
}

/// What the journal topic holds of partition 0.
async fn journal(log: &dyn EventLog) -> (Option<CheckpointRow>, BTreeMap<RowKey, Row>) {
    within("the journal", async {
        'again: loop {
            let mut reader = log.checkpoint(P0).await.unwrap();
            let (mut checkpoint, mut rows) = (None, BTreeMap::new());
            loop {
                // A commit between two batches: read again.
                let Ok(batch) = reader.next().await else { continue 'again };
                if batch.is_empty() {
                    return (checkpoint, rows);
                }
                for RowChange { key, value } in batch {
                    if key == CHECKPOINT_KEY {
                        checkpoint = value.map(|value| decode_checkpoint(&value).unwrap());
                        continue;
                    }
                    let key = RowKey::from_bytes(&key).unwrap();
                    match value {
                        Some(value) => rows.insert(key.clone(), decode_row(&key, &value).unwrap()),
                        None => rows.remove(&key),
                    };
                }
            }
        }
    })
    .await
}

/// Waits until a checkpoint holds all of the log of partition 0 but what marks checkpoints.
async fn checkpointed(house: &House) {
    within("a checkpoint", async {
        loop {
            if let Some(found) = journal(&*house.log).await.0
                && !any_substantial(house, found.log).await
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn any_substantial(house: &House, from: LogOffset) -> bool {
    let marks =
        |command: &Command| matches!(command, Command::Checkpointed(_) | Command::CheckpointOpened);
    house.commands(P0, from.0).await.iter().any(|commands| !commands.iter().all(marks))
}

/// Waits until the log of partition 0 begins behind an offset.
async fn trimmed(house: &House, above: u64) {
    let stream = Stream { topic: Topic::Log, partition: P0 };
    within("a trim", async {
        while house.log.bounds(stream).await.unwrap().start <= above {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// All rows but the one that every record changes.
fn settled(mut rows: BTreeMap<RowKey, Row>) -> BTreeMap<RowKey, Row> {
    rows.remove(&RowKey::Partition);
    rows
}

/// Counts on a key, and sees that all that was counted before is there.
async fn counts(house: &House, executor: &Executor, from: u128, to: u128) {
    for uuid in from..to {
        let call = Call::new(uuid, "count").key("k");
        assert_eq!(text(&house.call(executor, &call).await), (uuid + 1).to_string());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_holds_what_the_tables_hold() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 0, 5).await;
    house.call(&executor, &Call::new(50, "steps")).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let (checkpoint, held) = journal(&*house.log).await;
    assert_eq!(settled(held.clone()), settled(rows(&house.tables(), 0)));
    let Some(Row::Partition(row)) = held.get(&RowKey::Partition) else { panic!("{held:?}") };
    let stands_for = checkpoint.unwrap();
    assert_eq!((stands_for.log, stands_for.inbox), (row.next_log, row.next_inbox));
    assert_eq!((stands_for.epoch, stands_for.at), (row.epoch, row.now));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_tables_are_restored_from_the_journal_and_the_log() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), without_history());
    counts(&house, &executor, 0, 5).await;
    trimmed(&house, 0).await;
    checkpointed(&house).await;
    counts(&house, &executor, 5, 8).await;
    executor.abort().await;
    std::fs::remove_dir_all(house.tables()).unwrap();

    let executor = house.start_in(&house.tables(), without_history());
    assert_eq!(text(&answer(&executor, Call::new(0, "").id, None).await), "1");
    assert_eq!(text(&answer(&executor, Call::new(7, "").id, None).await), "8");
    counts(&house, &executor, 8, 10).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert!(!house.tables().join("restore-0").exists(), "files of the restore are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_tables_go_on_by_the_log_or_else_by_the_journal() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 0, 3).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let old = house.directory.path().join("old");
    copy(&house.tables(), &old);
    let behind = house.log_end(P0).await;

    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 3, 6).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    // The log still holds what the copy has missed.
    let rolled_back = house.directory.path().join("rolled-back");
    copy(&old, &rolled_back);
    let executor = house.start_in(&rolled_back, with_journal());
    counts(&house, &executor, 6, 8).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let held = journal(&*house.log).await.1;
    assert_eq!(settled(held), settled(rows(&rolled_back, 0)));

    let executor = house.start_in(&rolled_back, without_history());
    counts(&house, &executor, 8, 12).await;
    trimmed(&house, behind).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    // Now it does not.
    let executor = house.start_in(&old, without_history());
    counts(&house, &executor, 12, 15).await;
    assert_eq!(text(&answer(&executor, Call::new(5, "").id, None).await), "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_too_old_are_replaced_though_the_log_holds_all() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 0, 3).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let old = house.directory.path().join("old");
    copy(&house.tables(), &old);
    {
        // What only these tables hold will show whether they were used.
        let store = Store::open(&old, StoreOptions { dirty_marks: true }).unwrap();
        let mut tables = store.tables(P0);
        let key = RowKey::Lock { service: "Object".into(), key: "only here".into() };
        let lock = tables.get(&RowKey::Partition).unwrap().unwrap();
        assert!(matches!(lock, Row::Partition(_)));
        tables.put(
            key,
            Row::Lock(everlog_log_schema::LockRow {
                holder: Call::new(1, "").id,
                first_place: 0,
                next_place: 0,
            }),
        );
        tables.commit(true).unwrap();
        store.flush().unwrap();
    }
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 3, 4).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let limits = ExecutorLimits { stale_tables_age: Duration::ZERO, ..with_journal() };
    let executor = house.start_in(&old, limits);
    counts(&house, &executor, 4, 5).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let only_here = |key: &RowKey| matches!(key, RowKey::Lock { key, .. } if key == "only here");
    assert!(!rows(&old, 0).keys().any(only_here));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_starts_behind_tables_and_checkpoint_stops_its_partition_alone() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 0, 3).await;
    checkpointed(&house).await;
    executor.abort().await;
    let held = journal(&*house.log).await.0.unwrap().log;
    let unjournaled =
        house.start_in(&house.directory.path().join("other"), ExecutorLimits::default());
    counts(&house, &unjournaled, 3, 6).await;
    unjournaled.drain(Duration::from_secs(5)).await.unwrap();
    let end = house.log_end(P0).await;
    house.log.trim(Stream { topic: Topic::Log, partition: P0 }, end).await.unwrap();

    let executor = house.start_in(&house.tables(), with_journal());
    let stopped = standing(&executor, 0, |now| matches!(now, Standing::Stopped(_))).await;
    let Standing::Stopped(reason) = stopped else { unreachable!("waited for") };
    let said = format!("the log starts at offset {end}, but the tables end at");
    assert!(reason.contains(&said), "{reason}");
    assert!(reason.contains(&format!("the last checkpoint at {held}")), "{reason}");
    let other = Call::new(1_000, "echo").on_partition_1();
    assert_eq!(text(&house.call(&executor, &other).await), "hello");
    executor.abort().await;
    // Nothing was thrown away.
    assert!(rows(&house.tables(), 0).contains_key(&RowKey::Invocation(Call::new(0, "").id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_that_did_not_end_has_left_is_removed() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), without_history());
    counts(&house, &executor, 0, 3).await;
    trimmed(&house, 0).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    {
        // As a crash between the rows and the partition row leaves it.
        let store = Store::open(house.tables(), StoreOptions { dirty_marks: true }).unwrap();
        let mut tables = store.tables(P0);
        tables.put(RowKey::Running(Call::new(77, "").id), Row::Running);
        tables.commit(true).unwrap();
        store.remove(P0, &RowKey::Partition).unwrap();
        store.flush().unwrap();
    }
    let executor = house.start_in(&house.tables(), without_history());
    counts(&house, &executor, 3, 5).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert!(!rows(&house.tables(), 0).contains_key(&RowKey::Running(Call::new(77, "").id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_turned_on_later_holds_all_and_no_more() {
    let house = House::build();
    let executor = house.start();
    counts(&house, &executor, 0, 3).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let executor = house.start_in(&house.tables(), with_journal());
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*house.log).await.1), settled(rows(&house.tables(), 0)));

    // Off again: rows come and go that the journal never hears of.
    {
        let store = Store::open(house.tables(), StoreOptions::default()).unwrap();
        let mut tables = store.tables(P0);
        tables.delete(&RowKey::Invocation(Call::new(0, "").id));
        tables.commit(true).unwrap();
        store.flush().unwrap();
    }
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 3, 4).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*house.log).await.1), settled(rows(&house.tables(), 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_owner_opens_another_checkpointer_and_goes_on() {
    let house = House::build();
    let executor = house.start_in(&house.tables(), with_journal());
    counts(&house, &executor, 0, 2).await;
    checkpointed(&house).await;
    // A deposed owner that wakes late fences the one that reigns.
    let late = house.log.checkpointer(P0).await.unwrap();
    counts(&house, &executor, 2, 4).await;
    checkpointed(&house).await;
    assert_eq!(house.functions.attempts(Call::new(3, "").id), 1, "a term has ended");
    drop(late);
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*house.log).await.1), settled(rows(&house.tables(), 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_lost_is_written_anew_in_full() {
    let house = House::build();
    let log = JournalLog::over(&house);
    let executor = house.start_on(log.clone(), &house.tables(), with_journal());
    counts(&house, &executor, 0, 5).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    log.lose_journal(&house);
    let executor = house.start_on(log.clone(), &house.tables(), with_journal());
    counts(&house, &executor, 5, 6).await;
    checkpoint_of_a_term(&*log).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*log).await.1), settled(rows(&house.tables(), 0)));
}

/// Runs calls while commits fail in a way, and sees that the journal is right in the end.
async fn right_in_the_end_despite(commits: Commits) {
    let house = House::build();
    let log = JournalLog::over(&house);
    let executor = house.start_on(log.clone(), &house.tables(), with_journal());
    counts(&house, &executor, 0, 2).await;
    checkpointed(&house).await;
    log.commits(commits);
    counts(&house, &executor, 2, 6).await;
    log.failed(2).await;
    log.commits(Commits::Answered);
    counts(&house, &executor, 6, 8).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*house.log).await.1), settled(rows(&house.tables(), 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_there_though_nobody_says_so_is_written_again() {
    right_in_the_end_despite(Commits::UnknownAndThere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_lost_though_nobody_says_so_is_written_again() {
    right_in_the_end_despite(Commits::UnknownAndLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_record_loses_nothing_at_the_next_owner() {
    let house = House::build();
    let log = JournalLog::over(&house);
    let executor = house.start_on(log.clone(), &house.tables(), with_journal());
    counts(&house, &executor, 0, 3).await;
    log.commits(Commits::UnknownAndThere);
    counts(&house, &executor, 3, 5).await;
    log.failed(1).await;
    executor.abort().await;
    // The next owner has no tables: it has what was committed, though no record says so.
    let tables = house.directory.path().join("second");
    let executor = house.start_in(&tables, with_journal());
    counts(&house, &executor, 5, 7).await;
    checkpointed(&house).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(settled(journal(&*house.log).await.1), settled(rows(&tables, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_step_costs_one_append_and_no_transaction() {
    let house = House::build();
    let log = JournalLog::over(&house);
    let limits = ExecutorLimits { checkpoint_interval: Duration::from_hours(1), ..with_journal() };
    let executor = house.start_on(log.clone(), &house.tables(), limits);
    house.call(&executor, &Call::new(0, "echo")).await;
    // The first of a term is written at once.
    checkpoint_of_a_term(&*house.log).await;
    house.call(&executor, &Call::new(1, "echo")).await;
    let (appends, commits) = log.counts();
    let call = Call::new(2, "pairs");
    house.call(&executor, &call).await;
    let (appends, commits) = (log.counts().0 - appends, log.counts().1 - commits);
    // What is run and its result, three times; and the output.
    assert_eq!(entries_of_records(&house, call.id).await, [2, 2, 2, 1]);
    // Beside these the ingest, and the end where it was not there yet when the output was appended.
    assert!((5..=6).contains(&appends), "{appends} appends");
    assert_eq!(commits, 0);
}

/// How many entries of an invocation each record of the log has that has any.
async fn entries_of_records(house: &House, id: InvocationId) -> Vec<usize> {
    let entries = |command: &Command| match command {
        Command::Append(append) if append.invocation == id => append.entries.len(),
        _ => 0,
    };
    let records = house.commands(P0, 0).await.into_iter();
    let found = records.map(|commands| commands.iter().map(entries).sum());
    found.filter(|entries| *entries > 0).collect()
}

async fn checkpoint_of_a_term(log: &dyn EventLog) {
    within("a checkpoint", async {
        while journal(log).await.0.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_do_not_wait_for_checkpoints_until_too_much_has_changed() {
    let house = House::build();
    let log = JournalLog::over(&house);
    log.commits(Commits::Refused);
    let limits = ExecutorLimits { dirty_rows_max: 100, ..with_journal() };
    let executor = house.start_on(log.clone(), &house.tables(), limits);
    counts(&house, &executor, 0, 3).await;
    log.failed(1).await;
    // Each call changes some rows: at twice the limit no further call is taken in.
    let mut taken = 3;
    let refused = loop {
        let call = Call::new(taken, "count").key("k");
        let offset = house.send(&call.envelope()).await;
        let answered =
            tokio::time::timeout(Duration::from_secs(2), answer(&executor, call.id, Some(offset)));
        match answered.await {
            Ok(answer) => assert_eq!(text(&answer), (taken + 1).to_string()),
            Err(_) => break call,
        }
        taken += 1;
        assert!(taken < 200, "all calls are taken in");
    };
    assert!(taken > 5, "calls wait for checkpoints");
    assert_eq!(house.functions.attempts(refused.id), 0);
    log.commits(Commits::Answered);
    assert_eq!(text(&answer(&executor, refused.id, None).await), (taken + 1).to_string());
    assert!(LogOffset(0) < journal(&*house.log).await.0.unwrap().log);
}
