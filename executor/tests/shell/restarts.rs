//! What survives the end of an executor, and of its tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::Topic;
use everlog_log_schema::codec::encode_record;
use everlog_log_schema::owner_api::{OwnerError, Progress};
use everlog_log_schema::{
    AnnounceOwner, Append, AttemptId, Command, End, Entry, Epoch, InboxOffset, Incarnation, Ingest,
    Intake, Level, MetadataOffset, Millis, Outcome, PartitionId, Record, Row, RowKey, Seq, Status,
    Term,
};

use crate::functions::now;
use crate::house::{Call, House, PARTITIONS, answer, owned, rows, text, within};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// All that a fold of the log must come to, whoever folds it. Only the partition row knows of the
/// announcements since.
fn folded(tables: &Path) -> BTreeMap<(u32, RowKey), Row> {
    let all = (0..PARTITIONS).flat_map(|partition| {
        rows(tables, partition).into_iter().map(move |(key, row)| ((partition, key), row))
    });
    all.filter(|((_, key), _)| *key != RowKey::Partition).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_after_a_crash_and_repeats_no_recorded_step() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    executor.abort().await;

    house.functions.open_gate();
    let executor = house.start();
    assert_eq!(text(&answer(&executor, call.id, None).await), "after-2");
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
    assert_eq!(house.functions.attempts(call.id), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_crashes_lose_no_call_and_record_each_step_once() {
    let house = House::build();
    let calls: Vec<Call> = (0..60)
        .map(|uuid| Call::new(uuid, "steps"))
        .map(|call| if call.id.uuid % 2 == 0 { call } else { call.on_partition_1() })
        .collect();
    let mut executor = house.start();
    let mut offsets = Vec::new();
    for calls in calls.chunks(10) {
        for call in calls {
            offsets.push(house.send(&call.envelope()).await);
        }
        // Not before one of them is under way.
        let first = offsets[offsets.len() - calls.len()];
        answer(&executor, calls[0].id, Some(first)).await;
        executor.abort().await;
        executor = house.start();
    }
    let deeds = |id| house.functions.steps(id);
    for (call, offset) in calls.iter().zip(offsets) {
        let text = text(&answer(&executor, call.id, Some(offset)).await);
        let steps: Vec<&str> =
            text.split(',').map(|step| step.split('-').next().unwrap()).collect();
        assert_eq!(steps, ["reserve", "charge", "ship"]);
        // A crash repeats at most the step in flight.
        assert!(deeds(call.id).len() < 3 + house.functions.attempts(call.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_not_flushed_come_back_from_the_log() {
    let house = House::build();
    let executor = house.start();
    house.call(&executor, &Call::new(1, "steps")).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();

    let stale = house.directory.path().join("stale");
    copy(&house.tables(), &stale);
    let executor = house.start();
    house.call(&executor, &Call::new(2, "steps")).await;
    house.call(&executor, &Call::new(3, "steps").key("k")).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();

    let before = folded(&house.tables());
    fs::remove_dir_all(house.tables()).unwrap();
    fs::rename(&stale, house.tables()).unwrap();
    let executor = house.start();
    assert_eq!(text(&answer(&executor, Call::new(2, "").id, None).await).split(',').count(), 3);
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(folded(&house.tables()), before);
    assert_eq!(house.functions.attempts(Call::new(2, "").id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_alone_gives_the_same_rows() {
    let house = House::build();
    let executor = house.start();
    for uuid in 0..20 {
        let call = Call::new(uuid, if uuid % 3 == 0 { "flaky" } else { "steps" });
        let call = if uuid % 2 == 0 { call.key("k") } else { call.on_partition_1() };
        house.call(&executor, &call).await;
    }
    let sleeper = Call::new(100, "sleep").body("3600000");
    house.send(&sleeper.envelope()).await;
    house.call(&executor, &Call::new(101, "echo")).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let before = folded(&house.tables());
    assert!(before.len() > 60, "only {} rows", before.len());

    fs::remove_dir_all(house.tables()).unwrap();
    let executor = house.start();
    answer(&executor, Call::new(101, "").id, None).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(folded(&house.tables()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn sleepers_wake_after_a_crash_and_none_early() {
    let house = House::build();
    let executor = house.start();
    let mut due = Vec::new();
    for uuid in 0..100 {
        let call = Call::new(uuid, "sleep").body("800");
        due.push((call.id, Millis(now().0 + 800)));
        house.send(&call.envelope()).await;
    }
    house.functions.attempted(100).await;
    executor.abort().await;
    let executor = house.start();
    for (id, due) in due {
        answer(&executor, id, None).await;
        let deeds = house.functions.deeds();
        let woken: Vec<Millis> =
            deeds.iter().filter(|deed| deed.invocation == id).map(|deed| deed.at).collect();
        assert!(!woken.is_empty() && woken.iter().all(|at| *at >= due), "{woken:?} < {due}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_fell_due_meanwhile_fires_at_once() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "sleep").body("1000");
    house.send(&call.envelope()).await;
    let owner = executor.owner_api();
    within("the call to sleep", async {
        while !matches!(
            owner.output(call.id).await,
            Ok(Progress::Unfinished { status: Status::Suspended(_), .. })
        ) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let due = Millis(now().0 + 1_000);
    // It holds the tables open.
    drop(owner);
    executor.abort().await;
    within("the timer to be due", async {
        while now() < due {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(house.functions.steps(call.id), Vec::<String>::new());
    let executor = house.start();
    answer(&executor, call.id, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_executor_lets_open_attempts_end() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let functions = Arc::clone(&house.functions);
    let draining = tokio::spawn(executor.drain(Duration::from_secs(20)));
    functions.open_gate();
    draining.await.unwrap().unwrap();
    let executor = house.start();
    assert_eq!(text(&answer(&executor, call.id, None).await), "after-2");
    assert_eq!(house.functions.attempts(call.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_executor_does_not_wait_for_ever() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    executor.drain(Duration::from_millis(50)).await.unwrap();
    house.functions.open_attempts(0).await;
    house.functions.open_gate();
    let executor = house.start();
    answer(&executor, call.id, None).await;
    assert_eq!(house.functions.steps(call.id), ["before", "after"]);
}

/// The log of an owner that took a call in, answered it, and was gone ever since.
fn life_long_ago(call: &Call, now: Millis) -> Vec<Record> {
    let announce =
        AnnounceOwner { address: "gone".into(), level: Level(1), partitions: PARTITIONS };
    let intake = Intake::Message(call.envelope());
    let (invocation, incarnation) = (call.id, Incarnation(0));
    let attempt = AttemptId { incarnation, epoch: Epoch(1), counter: 0 };
    let outcome = Outcome::Success("long ago".into());
    let output = Append {
        invocation,
        attempt,
        first_command: 1,
        entries: vec![Entry::Output { name: String::new(), outcome }],
        pin: None,
    };
    let commands = [
        Command::AnnounceOwner(announce),
        Command::Ingest(Ingest { offset: InboxOffset(0), intake }),
        Command::Append(output),
        Command::End(End { invocation, attempt }),
    ];
    let record = |(seq, command)| {
        let commands = vec![command];
        Record { epoch: Epoch(1), term: Term(7), seq: Seq(seq), now, commands }
    };
    (0..).zip(commands).map(record).collect()
}

/// A repeat that reached the inbox while nobody owned the partition is still a repeat, although
/// the call has to be forgotten by the time that somebody takes over.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_waited_in_the_inbox_is_not_a_new_call() {
    let house = House::build();
    let mut call = Call::new(1, "echo");
    house.send(&call.envelope()).await;
    let two_days_ago = Millis(now().0 - 2 * 86_400_000);
    for record in life_long_ago(&call, two_days_ago) {
        house.append(Topic::Log, PartitionId(0), encode_record(&record).unwrap()).await;
    }
    // The repeat is held up: it names metadata that the executor has not read yet.
    let read = house.metadata.borrow().next;
    house.append(Topic::Metadata, PartitionId(0), "a change".into()).await;
    call.metadata = MetadataOffset(read.0 + 1);
    house.send(&call.envelope()).await;
    let executor = house.start();
    owned(&executor, 0).await;
    let owner = executor.owner_api();
    let forgotten = || async {
        while owner.output(call.id).await != Err(OwnerError::NotFound) {
            tokio::task::yield_now().await;
        }
    };
    let early = tokio::time::timeout(Duration::from_millis(500), forgotten()).await;
    assert!(early.is_err(), "the call was forgotten before its repeat was taken in");

    house.metadata.send_modify(|metadata| Arc::make_mut(metadata).next = call.metadata);
    within("the call to be forgotten", forgotten()).await;
    assert_eq!(house.functions.attempts(call.id), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_is_not_held_up_by_a_message_that_waits() {
    let house = House::build();
    let executor = house.start();
    let sleeper = Call::new(1, "sleep").body("200");
    house.send(&sleeper.envelope()).await;
    house.functions.attempted(1).await;
    executor.abort().await;
    house.append(Topic::Metadata, PartitionId(0), "a change".into()).await;
    let held_up = Call { metadata: MetadataOffset(1), ..Call::new(2, "echo") };
    house.send(&held_up.envelope()).await;

    let executor = house.start();
    answer(&executor, sleeper.id, None).await;
    assert_eq!(house.functions.attempts(held_up.id), 0);
}
