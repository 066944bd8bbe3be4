//! What queries may take, and what they are refused for.

use std::time::Duration;

use everlog_gateway::{SqlEngine as _, SqlError, SqlForm};
use everlog_log_schema::owner_api::OwnerError;
use everlog_log_schema::{PartitionId, Row, RowKey};
use serde_json::json;

use super::{DEADLINE, World, fill, text};
use crate::QueryLimits;

const COUNT: &str = "SELECT COUNT(*) FROM sys_invocation";

fn limits() -> QueryLimits {
    QueryLimits::default()
}

#[tokio::test]
async fn an_answer_has_as_many_rows_as_the_limit_and_not_one_more() {
    let world = World::with(QueryLimits { rows_max: 12, ..limits() });
    fill(&world, "Cart", &["a", "b", "c"], 4);
    assert_eq!(world.rows("SELECT id FROM sys_invocation").await.unwrap().len(), 12);
    fill(&world, "Cart", &["d"], 1);
    let refused = SqlError::RowsExceeded { max: 12 };
    for form in [SqlForm::Json, SqlForm::Arrow] {
        let refusal = world.ask("SELECT id FROM sys_invocation", form).await.unwrap_err();
        assert_eq!(refusal, refused);
    }
    // What is read does not count, only what is answered.
    assert_eq!(world.cell(COUNT).await, json!(13));
}

#[tokio::test]
async fn a_query_that_needs_more_memory_than_there_is_is_refused() {
    let memory_max = 1 << 20;
    let world = World::with(QueryLimits { memory_max, ..limits() });
    for number in 0..200 {
        let (service, key) = ("Cart".to_owned(), number.to_string());
        let key = RowKey::State { service, key, name: text("n") };
        world.tables.put(&key, Row::State(vec![b'x'; 10_000].into()));
    }
    let refused = SqlError::MemoryExceeded { max: memory_max };
    // For its answer, for sorting, and for what is held of all rows.
    for sql in [
        "SELECT value_utf8 FROM state",
        "SELECT COUNT(*) FROM (SELECT value_utf8 FROM state ORDER BY value_utf8 LIMIT 190)",
        "SELECT COUNT(*) FROM state a JOIN state b ON a.value_utf8 = b.value_utf8",
        "SELECT COUNT(DISTINCT value_utf8 || service_key) FROM state",
    ] {
        assert_eq!(world.refusal(sql).await, refused, "{sql}");
    }
    assert_eq!(world.cell("SELECT SUM(value_length) FROM state").await, json!(2_000_000));
    assert_eq!(world.rows("SELECT value_utf8 FROM state LIMIT 3").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_row_that_is_larger_than_the_memory_is_refused() {
    let memory_max = 1 << 20;
    let world = World::with(QueryLimits { memory_max, ..limits() });
    let key = RowKey::State { service: "Cart".into(), key: "a".into(), name: text("n") };
    world.tables.put(&key, Row::State(vec![b'x'; memory_max].into()));
    let refusal = world.refusal("SELECT value_length FROM state").await;
    assert_eq!(refusal, SqlError::MemoryExceeded { max: memory_max });
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_up_and_asks_no_more() {
    let time_max = Duration::from_millis(200);
    let world = World::with(QueryLimits { time_max, queries_max: 1, ..limits() });
    fill(&world, "Cart", &["a"], 1);
    world.tables.hold(true);
    assert_eq!(world.refusal(COUNT).await, SqlError::TimeExceeded { max: time_max });
    world.tables.nobody_waits().await;
    world.tables.hold(false);
    assert_eq!(answered(&world).await, json!(1));
}

#[tokio::test]
async fn a_query_that_computes_too_long_ends_too() {
    let time_max = Duration::from_millis(500);
    let world = World::with(QueryLimits { time_max, queries_max: 1, ..limits() });
    fill(&world, "Cart", &["a", "b"], 150);
    let tables = (0..5).map(|n| format!("sys_invocation t{n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT COUNT(*) FROM {tables} WHERE t0.journal_size <> t4.journal_size + 1");
    let refusal = world.refusal(&sql).await;
    assert_eq!(refusal, SqlError::TimeExceeded { max: time_max });
    assert_eq!(answered(&world).await, json!(300));
}

#[tokio::test]
async fn a_query_that_computes_for_ever_on_what_it_has_read_ends_too() {
    let time_max = Duration::from_millis(500);
    let world = World::with(QueryLimits { time_max, queries_max: 1, ..limits() });
    fill(&world, "Cart", &["a", "b"], 50);
    // Each join holds one table, and the last table is at its end at once.
    let joined =
        (0..8).fold("SELECT journal_size AS n FROM sys_invocation".to_owned(), |right, _| {
            format!("SELECT a.journal_size AS n FROM sys_invocation a CROSS JOIN ({right}) b")
        });
    let refusal = world.refusal(&format!("SELECT COUNT(*) FROM ({joined}) WHERE n <> 1")).await;
    assert_eq!(refusal, SqlError::TimeExceeded { max: time_max });
    assert_eq!(answered(&world).await, json!(100));
}

/// Asks until the place of the query before is free.
async fn answered(world: &World) -> serde_json::Value {
    let asked = async {
        loop {
            match world.rows(COUNT).await {
                Ok(rows) => return rows[0].as_object().unwrap().values().next().unwrap().clone(),
                Err(SqlError::TooManyQueries { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.expect("a free place in time")
}

#[tokio::test]
async fn as_many_queries_are_answered_at_once_as_the_limit_says() {
    let world = World::with(QueryLimits { queries_max: 2, ..limits() });
    fill(&world, "Cart", &["a"], 1);
    // An answer has its place until it is read.
    let first = world.ask(COUNT, SqlForm::Json).await.unwrap();
    let second = world.ask(COUNT, SqlForm::Arrow).await.unwrap();
    assert_eq!(world.refusal(COUNT).await, SqlError::TooManyQueries { max: 2 });
    drop(second);
    assert_eq!(world.cell(COUNT).await, json!(1));
    drop(first);
}

#[tokio::test]
async fn nothing_is_done_for_whoever_has_gone() {
    let world = World::with(QueryLimits { queries_max: 1, ..limits() });
    fill(&world, "Cart", &["a"], 1);
    world.tables.hold(true);
    let engine = std::sync::Arc::clone(&world.engine);
    let asking =
        tokio::spawn(async move { engine.query(COUNT.into(), SqlForm::Json).await.map(drop) });
    world.tables.somebody_waits().await;
    assert_eq!(world.refusal(COUNT).await, SqlError::TooManyQueries { max: 1 });
    asking.abort();
    world.tables.nobody_waits().await;
    world.tables.hold(false);
    assert_eq!(answered(&world).await, json!(1));
}

#[tokio::test]
async fn a_partition_without_an_owner_is_waited_for() {
    let world = World::new();
    fill(&world, "Cart", &["a", "b", "c", "d"], 2);
    world.tables.refuse(PartitionId(3), OwnerError::Unavailable("nobody owns it".into()), 3);
    assert_eq!(world.cell(COUNT).await, json!(8));
}

#[tokio::test]
async fn no_answer_lacks_what_a_partition_holds() {
    let world =
        World::with(QueryLimits { partition_wait_max: Duration::from_millis(100), ..limits() });
    fill(&world, "Cart", &["a", "b", "c", "d"], 2);
    let (unavailable, stopped) =
        (OwnerError::Unavailable("gone".into()), OwnerError::Stopped("broken".into()));
    world.tables.refuse(PartitionId(3), unavailable, usize::MAX);
    assert_eq!(world.refusal(COUNT).await, SqlError::PartitionUnavailable("3: gone".into()));
    world.tables.refuse(PartitionId(5), stopped, usize::MAX);
    assert_eq!(world.refusal(COUNT).await, SqlError::PartitionStopped("5: broken".into()));
    // Neither is it taken for empty where the rows go through a plan.
    let sql = "SELECT a.id FROM sys_invocation a JOIN sys_invocation b ON a.id = b.id ORDER BY 1";
    assert_eq!(world.refusal(sql).await, SqlError::PartitionStopped("5: broken".into()));
    world.tables.hold(true);
    let SqlError::PartitionUnavailable(reason) = world.refusal(COUNT).await else { panic!() };
    assert!(reason.ends_with("it does not answer"), "{reason}");
}
