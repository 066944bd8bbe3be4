//! Answers that must be current: what an owner says that was deposed and has not learnt it, and what
//! it costs not to be one. And what an owner does whose clock is not that of the log.

use std::sync::Arc;
use std::time::Duration;

use everlog_executor::{Executor, ExecutorLimits, Standing};
use everlog_log_client::Topic;
use everlog_log_schema::owner_api::{InvocationQuery, OwnerError};
use everlog_log_schema::{InboxOffset, OrderAction, PartitionId, StatusKind};
use futures_util::future::join_all;

use crate::house::{Call, House, owned, status, within};
use crate::logs::Line;
use crate::switchboard::Way;

/// A house where the first executor reads no inbox any more, and is told that its log ends where it
/// ends now. A call waits in it.
async fn with_a_bad_line() -> (House, Executor, Call, InboxOffset) {
    let house = House::build();
    let line = Line::new(&house.log);
    let limits = ExecutorLimits::default();
    let first = house.start_on(Arc::clone(&line) as _, &house.tables(), limits);
    owned(&first, 0).await;
    let call = Call::new(1, "awaits");
    let at = house.send(&call.envelope()).await;
    status(&first, call.id, StatusKind::Suspended).await;
    line.hold_up(Topic::Invocations);
    line.tells_old_ends().await;
    (house, first, call, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_owner_answers_no_stale_read() {
    for question in 0..7 {
        let (house, first, call, at) = with_a_bad_line().await;
        house.switchboard.way("second", "tables", Some(Way::Cut));
        let second = house.start_as("second", ExecutorLimits::default());
        owned(&second, 0).await;
        house.order(call.id, OrderAction::Kill).await;
        status(&second, call.id, StatusKind::Completed).await;
        // It does not know of any of this.
        let standing = first.health().remove(&PartitionId(0));
        assert!(matches!(standing, Some(Standing::Owner { .. })), "{standing:?}");
        let owner = first.owner_api();
        let unknown = Call::new(9, "").id;
        let query = || InvocationQuery { limit: 10, ..InvocationQuery::default() };
        let asked = async {
            match question {
                0 => owner.output(call.id).await.map(drop),
                1 => owner.invocation(call.id, None).await.map(drop),
                2 => owner.invocation(call.id, Some(at)).await.map(drop),
                3 => owner.invocations(PartitionId(0), query()).await.map(drop),
                4 => owner.journal(call.id, 0).await.map(drop),
                5 => owner.attach(unknown, Some(at)).await.map(drop),
                // Not an answer of before; and whoever waits for one is told.
                _ => owner.attach(call.id, None).await.map(drop),
            }
        };
        let answered = within("an answer", asked).await;
        assert!(matches!(answered, Err(OwnerError::Unavailable(_))), "{question}: {answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_that_a_deposed_owner_knows_is_not_told() {
    let (house, first, _, _) = with_a_bad_line().await;
    house.switchboard.way("second", "tables", Some(Way::Cut));
    let second = house.start_as("second", ExecutorLimits::default());
    owned(&second, 0).await;
    owned(&second, 1).await;
    let owner = first.owner_api();
    let state = within("an answer", owner.state("Object".into(), "k".into(), None)).await;
    assert!(matches!(state, Err(OwnerError::Unavailable(_))), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_barrier_serves_all_who_wait() {
    let (house, first, call, _) = with_a_bad_line().await;
    let before = house.log_end(PartitionId(0)).await;
    let owner = first.owner_api();
    let asked = join_all((0..1_000).map(|_| owner.invocation(call.id, None)));
    let answers = within("answers", asked).await;
    assert!(answers.iter().all(Result::is_ok));
    // Those that asked while one was under way wait for the next.
    let cost = house.log_end(PartitionId(0)).await - before;
    assert!((1..=10).contains(&cost), "{cost} records");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_log_knows_its_end_a_read_appends_nothing() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "awaits");
    house.send(&call.envelope()).await;
    status(&executor, call.id, StatusKind::Suspended).await;
    let before = house.log_end(PartitionId(0)).await;
    let owner = executor.owner_api();
    for _ in 0..20 {
        owner.invocation(call.id, None).await.unwrap();
    }
    assert_eq!(house.log_end(PartitionId(0)).await, before);
    executor.drain(Duration::from_secs(5)).await.unwrap();
}

/// By the log's clock the sleep is not over yet, or was long ago.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_clock_is_wrong_fires_no_timer_until_it_is_right() {
    for hour in [-3_600_000, 3_600_000] {
        let house = House::build();
        let line = Line::new(&house.log);
        line.set_clock(hour);
        let limits = ExecutorLimits::default();
        let executor = house.start_on(Arc::clone(&line) as _, &house.tables(), limits);
        let call = Call::new(1, "sleep").body("1");
        house.send(&call.envelope()).await;
        status(&executor, call.id, StatusKind::Suspended).await;
        let woken = tokio::time::timeout(Duration::from_secs(3), house.answer_of(call.id, None));
        assert!(woken.await.is_err(), "a timer has fired by a wrong clock");
        line.set_clock(0);
        house.answer_of(call.id, None).await;
    }
}
