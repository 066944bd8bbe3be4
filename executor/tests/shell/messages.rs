//! What partitions send each other.

use std::time::Duration;

use everlog_executor::{Executor, ExecutorLimits};
use everlog_log_client::{Stream, Topic};
use everlog_log_schema::codec::encode_message;
use everlog_log_schema::owner_api::OwnerError;
use everlog_log_schema::{
    Complete, CompletionId, Envelope, Incarnation, InvocationId, Level, Life, Message,
    MetadataOffset, NotificationResult, PartitionId, PartitionKey, RowKey, SentRow, Seq, Source,
    StatusKind,
};
use everlog_partition::reads;

use crate::faults::{Fault, Faulty};
use crate::function::callee_of;
use crate::house::{Call, House, answer, owned, row, rows, status, text, within};

fn is_inbox(stream: Stream) -> bool {
    stream.topic == Topic::Invocations
}

fn is_inbox_of_1(stream: Stream) -> bool {
    is_inbox(stream) && stream.partition == PartitionId(1)
}

/// How many messages of a partition for another there were, and how many have arrived.
fn sent(house: &House, from: u32, to: u32) -> SentRow {
    let rows = rows(&house.tables(), from);
    let left = rows.keys().filter(|key| matches!(key, RowKey::Outbox(of, _) if of.0 == to)).count();
    let mut tables = everlog_partition::MemoryTables::default();
    for (key, row) in rows {
        everlog_partition::Tables::put(&mut tables, key, row);
    }
    let sent = reads::sent(&tables, PartitionId(to)).unwrap();
    assert_eq!(left as u64, sent.last.0 - sent.delivered.0, "what has not arrived is there");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_function_on_another_partition_is_answered() {
    let house = House::build();
    let executor = house.start();
    for (uuid, handler) in [(1, "calls"), (2, "calls-and-leaves")] {
        let call = Call::new(uuid, handler).body("1:echo:from afar");
        assert_eq!(text(&house.call(&executor, &call).await), "from afar", "{handler}");
        let callee = callee_of(call.id, PartitionKey(u64::MAX));
        assert_eq!(house.functions.attempts(callee), 1);
        assert_eq!(row(&executor, callee).await.caller.unwrap().life.invocation, call.id);
    }
    all_told(&house, executor, &[(0, 1, 2), (1, 0, 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_function_on_the_same_partition_takes_the_same_way() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "calls").body("0:steps:");
    assert_eq!(text(&house.call(&executor, &call).await), "reserve-1,charge-2,ship-3");
    all_told(&house, executor, &[(0, 0, 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_way_call_runs_and_its_caller_does_not_wait() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "sends").body("1:gated:");
    let callee = callee_of(call.id, PartitionKey(u64::MAX));
    assert_eq!(text(&house.call(&executor, &call).await), callee.to_string());
    house.functions.at_the_gate(callee).await;
    house.functions.open_gate();
    assert_eq!(text(&answer(&executor, callee, None).await), "after-2");
}

/// Runs calls from partition 0 to 1 on a log with faults in all inboxes. Each callee runs once.
async fn all_are_answered_despite(fault: Fault, every: u64) {
    let house = House::build();
    let log = Faulty::at(&house, is_inbox, fault, every);
    let executor = house.start_on(log, &house.tables(), ExecutorLimits::default());
    let calls: Vec<Call> =
        (0..20).map(|uuid| Call::new(uuid, "calls").body(format!("1:steps:{uuid}"))).collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    for call in &calls {
        let text = text(&answer(&executor, call.id, None).await);
        assert_eq!(text.split(',').count(), 3, "{text}");
        let callee = callee_of(call.id, PartitionKey(u64::MAX));
        assert_eq!(house.functions.steps(callee), ["reserve", "charge", "ship"]);
        assert_eq!(house.functions.attempts(callee), 1);
    }
    all_told(&house, executor, &[(0, 1, 20), (1, 0, 20)]).await;
}

/// Waits until the log has been told that so many messages from one partition to another have
/// arrived, by its owner or the next.
async fn all_told(house: &House, mut executor: Executor, counts: &[(u32, u32, u64)]) {
    let told = |(from, to, count): &(u32, u32, u64)| {
        sent(house, *from, *to) == SentRow { last: Seq(*count), delivered: Seq(*count) }
    };
    within("an empty outbox", async {
        loop {
            executor.drain(Duration::from_secs(5)).await.unwrap();
            if counts.iter().all(told) {
                return;
            }
            executor = house.start();
            owned(&executor, 0).await;
            owned(&executor, 1).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_sent_again_with_all_behind_it() {
    all_are_answered_despite(Fault::Refused, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_lost_though_nobody_says_so_is_sent_again() {
    all_are_answered_despite(Fault::UnknownAndLost, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_arrives_twice_counts_once() {
    all_are_answered_despite(Fault::UnknownAndThere, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_an_inbox_is_waited_for() {
    all_are_answered_despite(Fault::QueueFull, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_owner_sends_what_has_not_arrived() {
    let house = House::build();
    let log = Faulty::at(&house, is_inbox_of_1, Fault::Stalled, 1);
    let executor = house.start_on(log, &house.tables(), ExecutorLimits::default());
    let calls: Vec<Call> = (0..5)
        .map(|uuid| Call::new(uuid, "calls-and-leaves").body(format!("1:echo:{uuid}")))
        .collect();
    for call in &calls {
        house.send(&call.envelope()).await;
    }
    for call in &calls {
        status(&executor, call.id, StatusKind::Suspended).await;
    }
    executor.abort().await;
    let executor = house.start();
    for call in &calls {
        assert_eq!(text(&answer(&executor, call.id, None).await), call.id.uuid.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_takes_nothing_holds_up_no_other() {
    let house = House::build();
    let log = Faulty::at(&house, is_inbox_of_1, Fault::Stalled, 1);
    let executor = house.start_on(log, &house.tables(), ExecutorLimits::default());
    let stuck: Vec<InvocationId> = (0..600).map(|uuid| Call::new(uuid, "").id).collect();
    for id in &stuck {
        house.send(&Call::new(id.uuid, "sends").body("1:echo:never").envelope()).await;
    }
    for id in &stuck {
        answer(&executor, *id, None).await;
    }
    let call = Call::new(1_000, "calls").body("0:echo:here");
    assert_eq!(text(&house.call(&executor, &call).await), "here");
    let callee = callee_of(stuck[0], PartitionKey(u64::MAX));
    let asked = within("an answer", executor.owner_api().output(callee)).await;
    assert_eq!(asked, Err(OwnerError::NotFound));
    // More of them than stay in memory: all arrive once the inbox takes them.
    executor.abort().await;
    let executor = house.start();
    for id in &stuck {
        let callee = callee_of(*id, PartitionKey(u64::MAX));
        status(&executor, callee, StatusKind::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_between_partitions_survive_crashes_and_run_once() {
    let house = House::build();
    let calls: Vec<Call> = (0..40)
        .map(|uuid| {
            let handler = if uuid % 2 == 0 { "calls" } else { "calls-and-leaves" };
            Call::new(uuid, handler).body(format!("1:steps:{uuid}"))
        })
        .collect();
    let mut executor = house.start();
    for calls in calls.chunks(10) {
        for call in calls {
            house.send(&call.envelope()).await;
        }
        answer(&executor, calls[0].id, None).await;
        executor.abort().await;
        executor = house.start();
    }
    for call in &calls {
        let text = text(&answer(&executor, call.id, None).await);
        let steps: Vec<&str> =
            text.split(',').map(|step| step.split('-').next().unwrap()).collect();
        assert_eq!(steps, ["reserve", "charge", "ship"]);
        // Nobody but a crash has repeated a step.
        let callee = callee_of(call.id, PartitionKey(u64::MAX));
        let attempts = house.functions.attempts(callee);
        assert!(house.functions.steps(callee).len() < 3 + attempts);
    }
}

/// A message of a partition that nobody has sent so far, and that skips one: whoever sent it sends
/// the one before it again too.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_behind_a_hole_is_not_taken_in() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "calls-and-leaves").body("1:gated:");
    house.send(&call.envelope()).await;
    status(&executor, call.id, StatusKind::Suspended).await;
    let to = Life { invocation: call.id, incarnation: Incarnation(0) };
    let result = NotificationResult::Value("forged".into());
    let message = Message::Complete(Box::new(Complete { to, completion: CompletionId(2), result }));
    let source = Source::Partition { partition: PartitionId(1), seq: Seq(2) };
    let envelope = Envelope { level: Level(1), metadata: MetadataOffset(0), source, message };
    let payload = encode_message(&envelope).unwrap();
    let at = house.append(Topic::Invocations, PartitionId(0), payload).await;
    let owner = executor.owner_api();
    let row = within("the intake", owner.invocation(call.id, Some(at))).await.unwrap();
    assert_eq!(row.status.kind(), StatusKind::Suspended);
    house.functions.open_gate();
    assert_eq!(text(&answer(&executor, call.id, None).await), "after-2");
}
