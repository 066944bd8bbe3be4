//! What stops a partition, what does not, and what is said about it.

use std::time::Duration;

use everlog_executor::store::{Store, StoreError, StoreOptions};
use everlog_executor::{Executor, ExecutorLimits, Standing, StartError};
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::codec::encode_record;
use everlog_log_schema::owner_api::OwnerError;
use everlog_log_schema::{
    AnnounceOwner, Command, Epoch, Level, MetadataOffset, Millis, PartitionId, Record, RowKey, Seq,
    Status, Term,
};
use everlog_partition::{Tables, reads};

use crate::house::{Call, House, answer, owned, standing, text, within};

async fn stopped(executor: &Executor) -> String {
    match standing(executor, 0, |standing| matches!(standing, Standing::Stopped(_))).await {
        Standing::Stopped(reason) => reason,
        Standing::Owner { .. } | Standing::Standby(_) => unreachable!("waited for"),
    }
}

async fn lives(house: &House, executor: &Executor) {
    let other = Call::new(1_000, "steps").on_partition_1();
    assert_eq!(text(&house.call(executor, &other).await).split(',').count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_invariant_stops_its_partition_alone_and_names_the_record() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated").key("k");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    executor.abort().await;
    // The invocation holds its key, but the lock is gone: no fold comes to that.
    {
        let store = Store::open(house.tables(), StoreOptions::default()).unwrap();
        let mut tables = store.tables(PartitionId(0));
        tables.delete(&RowKey::Lock { service: "Object".into(), key: "k".into() });
        tables.commit(true).unwrap();
        store.flush().unwrap();
    }
    let executor = house.start();
    house.functions.attempted(2).await;
    let owner = executor.owner_api();
    let waiting = tokio::spawn(async move { owner.attach(call.id, None).await });
    house.functions.open_gate();
    let reason = stopped(&executor).await;
    assert!(reason.contains("an invariant broke at the record at offset"), "{reason}");
    let told = Err(OwnerError::Stopped(reason));
    assert_eq!(within("an answer", waiting).await.unwrap(), told);
    lives(&house, &executor).await;
    // Nothing of the batch was kept.
    executor.abort().await;
    let store = Store::open(house.tables(), StoreOptions::default()).unwrap();
    let row = reads::invocation(&store.tables(PartitionId(0)), Call::new(1, "").id).unwrap();
    assert_eq!(row.unwrap().status, Status::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_has_lost_messages_stops_its_partition_alone_and_says_which() {
    let house = House::build();
    let at = house.append(Topic::Invocations, PartitionId(0), "never taken in".into()).await;
    let inbox = Stream { topic: Topic::Invocations, partition: PartitionId(0) };
    house.log.trim(inbox, at.0 + 1).await.unwrap();
    let executor = house.start();
    let reason = stopped(&executor).await;
    let said = format!("the inbox starts at offset {}, but all below 0 alone", at.0 + 1);
    assert!(reason.contains(&said), "{reason}");
    lives(&house, &executor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_record_stops_its_partition_alone_and_is_named() {
    let house = House::build();
    let at = house.append(Topic::Log, PartitionId(0), "no record".into()).await;
    let executor = house.start();
    let reason = stopped(&executor).await;
    assert!(reason.contains(&format!("record at offset {at}")), "{reason}");
    lives(&house, &executor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_term_have_no_effect() {
    let house = House::build();
    let executor = house.start();
    house.call(&executor, &Call::new(1, "steps")).await;
    let foreign = Record {
        epoch: Epoch(1),
        term: Term(77),
        seq: Seq(3),
        now: Millis(0),
        commands: vec![Command::Resign],
    };
    house.append(Topic::Log, PartitionId(0), encode_record(&foreign).unwrap()).await;
    assert_eq!(text(&house.call(&executor, &Call::new(2, "echo")).await), "hello");
    assert_eq!(house.functions.attempts(Call::new(2, "").id), 1);
    assert!(matches!(standing(&executor, 0, |_| true).await, Standing::Owner { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_shorter_than_the_tables_is_loud() {
    let house = House::build();
    let executor = house.start();
    house.call(&executor, &Call::new(1, "echo")).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();

    let empty = House::build();
    let executor = empty.start_in(&house.tables(), ExecutorLimits::default());
    let reason = stopped(&executor).await;
    assert!(reason.contains("the log has lost records"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_than_the_tables_were_made_from_is_loud() {
    let house = House::build();
    let executor = house.start();
    house.call(&executor, &Call::new(1, "echo")).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();

    let other = House::build();
    let executor = other.start();
    for uuid in 0..20 {
        other.call(&executor, &Call::new(uuid, "steps")).await;
    }
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let executor = other.start_in(&house.tables(), ExecutorLimits::default());
    let reason = stopped(&executor).await;
    assert!(reason.contains("is not the log that they were made from"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_log_without_tables_is_loud() {
    let house = House::build();
    let limits = ExecutorLimits {
        history_bytes_max: 1,
        flush_interval: Duration::from_millis(20),
        ..ExecutorLimits::default()
    };
    let executor = house.start_in(&house.tables(), limits);
    let stream = everlog_log_client::Stream { topic: Topic::Log, partition: PartitionId(0) };
    let mut uuid = 0;
    within("a trim", async {
        while everlog_log_client::EventLog::bounds(&*house.log, stream).await.unwrap().start == 0 {
            uuid += 1;
            house.call(&executor, &Call::new(uuid, "steps")).await;
        }
    })
    .await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    // With the tables all is well.
    let executor = house.start();
    answer(&executor, Call::new(1, "").id, None).await;
    executor.drain(Duration::from_secs(5)).await.unwrap();

    let executor = house.start_in(&house.directory.path().join("none"), ExecutorLimits::default());
    let reason = stopped(&executor).await;
    assert!(reason.contains("the log starts at offset"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_is_rejected_and_the_next_goes_on() {
    let house = House::build();
    let executor = house.start();
    let at = house.append(Topic::Invocations, PartitionId(0), "no message".into()).await;
    let owner = executor.owner_api();
    let asked = owner.attach(Call::new(1, "").id, Some(at));
    assert_eq!(text(&house.call(&executor, &Call::new(2, "echo")).await), "hello");
    assert_eq!(within("an answer", asked).await, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_until_the_metadata_it_was_resolved_against_is_known() {
    let house = House::build();
    let executor = house.start();
    owned(&executor, 0).await;
    house.append(Topic::Metadata, PartitionId(0), "a change".into()).await;
    let call = Call { metadata: MetadataOffset(1), ..Call::new(1, "echo") };
    let offset = house.send(&call.envelope()).await;
    let owner = executor.owner_api();
    let waiting = tokio::spawn(async move { owner.attach(call.id, Some(offset)).await });
    // The other partition goes on, this one waits.
    lives(&house, &executor).await;
    let stands = owned(&executor, 0).await;
    assert!(matches!(stands, Standing::Owner { next_inbox, .. } if next_inbox == offset));
    assert!(!waiting.is_finished());
    house.metadata.send_modify(|metadata| {
        std::sync::Arc::make_mut(metadata).next = MetadataOffset(1);
    });
    assert_eq!(text(&within("an answer", waiting).await.unwrap().unwrap()), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_resolved_against_metadata_that_does_not_exist_is_rejected() {
    let house = House::build();
    let executor = house.start();
    let call = Call { metadata: MetadataOffset(9), ..Call::new(1, "echo") };
    let offset = house.send(&call.envelope()).await;
    let owner = executor.owner_api();
    let asked = within("an answer", async {
        loop {
            match owner.attach(call.id, Some(offset)).await {
                Err(OwnerError::Unavailable(_)) => tokio::task::yield_now().await,
                answered => return answered,
            }
        }
    });
    assert_eq!(asked.await, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_code_is_gone_pauses_and_says_why() {
    let house = House::build();
    house.metadata.send_modify(|metadata| {
        std::sync::Arc::make_mut(metadata).services.remove("Plain");
    });
    let executor = house.start();
    let offset = house.send(&Call::new(1, "echo").envelope()).await;
    let id = Call::new(1, "").id;
    within("the intake", async {
        let owner = executor.owner_api();
        while owner.verdict(id, Call::new(1, "").request, offset).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    executor.drain(Duration::from_secs(5)).await.unwrap();
    let store = Store::open(house.tables(), StoreOptions::default()).unwrap();
    let row = reads::invocation(&store.tables(PartitionId(0)), id).unwrap().unwrap();
    assert_eq!(row.status, Status::Paused);
    let message = row.last_error.unwrap().message;
    assert!(message.contains("[RT0011] service Plain is not registered"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_nobody_follows_any_more_stops_the_partition_and_pauses_no_call() {
    let mut house = House::build();
    let executor = house.start();
    owned(&executor, 0).await;
    house.metadata = tokio::sync::watch::Sender::default();
    let call = Call::new(1, "echo");
    house.send(&call.envelope()).await;
    let reason = stopped(&executor).await;
    assert!(reason.contains("failed to follow the metadata"), "{reason}");
    assert_eq!(house.functions.attempts(call.id), 0);
    executor.abort().await;
    let store = Store::open(house.tables(), StoreOptions::default()).unwrap();
    let row = reads::invocation(&store.tables(PartitionId(0)), call.id).unwrap().unwrap();
    assert_eq!(row.status, Status::Running);
}

/// The owner of another cluster has announced itself here: one of more partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_another_number_of_partitions_is_loud() {
    let house = House::build();
    let announce = AnnounceOwner { address: "gone".into(), level: Level(1), partitions: 3 };
    let record = Record {
        epoch: Epoch(1),
        term: Term(7),
        seq: Seq(0),
        now: Millis(0),
        commands: vec![Command::AnnounceOwner(announce)],
    };
    house.append(Topic::Log, PartitionId(0), encode_record(&record).unwrap()).await;
    let executor = house.start();
    let reason = stopped(&executor).await;
    assert!(reason.contains("has 2 partitions") && reason.contains("one of 3"), "{reason}");
    lives(&house, &executor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_use_refuse_a_second_executor() {
    let house = House::build();
    let executor = house.start();
    let second = Store::open(house.tables(), StoreOptions::default()).map(drop);
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    let said = StartError::from(second.unwrap_err()).to_string();
    assert!(said.contains("in use by another process"), "{said}");
    drop(executor);
}
