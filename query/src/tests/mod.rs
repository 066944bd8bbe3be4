//! Queries over tables in memory: what they are answered with, what of the tables they ask for, and what they
//! are refused for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it means")]

mod filters;
mod laws;
mod limits;
mod memory;
mod owner;
mod statements;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_gateway::{SqlAnswer, SqlEngine, SqlError, SqlForm};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    InvocationId, InvocationRow, Millis, Row, RowKey, Status, Target, partition_key_of, strategies,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tokio::sync::watch;

use self::owner::Tables;
use crate::{Engine, QueryLimits};

/// More than one of each task of a scan has.
const PARTITIONS: u32 = 6;
/// Within what everything here must happen.
const DEADLINE: Duration = Duration::from_mins(2);

/// An engine over tables in memory.
struct World {
    tables: Arc<Tables>,
    engine: Arc<Engine>,
    metadata: watch::Sender<Arc<Metadata>>,
}

impl World {
    fn new() -> Self {
        Self::with(QueryLimits::default())
    }

    fn with(limits: QueryLimits) -> Self {
        let tables = Arc::new(Tables::new(PARTITIONS));
        let metadata = watch::Sender::new(Arc::default());
        let owner = Arc::clone(&tables) as _;
        let engine = Engine::start(owner, metadata.subscribe(), PARTITIONS, limits).unwrap();
        Self { tables, engine: Arc::new(engine), metadata }
    }

    /// Asks, and keeps the answer's place.
    async fn ask(&self, sql: &str, form: SqlForm) -> Result<SqlAnswer, SqlError> {
        let asked = self.engine.query(sql.to_owned(), form);
        tokio::time::timeout(DEADLINE, asked).await.expect("an answer in time")
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Value>, SqlError> {
        let SqlAnswer { body, .. } = self.ask(sql, SqlForm::Json).await?;
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        let rows = answer["rows"].take();
        Ok(serde_json::from_value(rows).unwrap())
    }

    /// The rows of an answer, each with its cells in a row.
    async fn cells(&self, sql: &str) -> Vec<Vec<Value>> {
        let rows = self.rows(sql).await.unwrap_or_else(|error| panic!("{sql:.200}: {error}"));
        let cells = |row: Value| row.as_object().unwrap().values().cloned().collect();
        rows.into_iter().map(cells).collect()
    }

    /// The only cell of an answer.
    async fn cell(&self, sql: &str) -> Value {
        let rows = self.cells(sql).await;
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    async fn refusal(&self, sql: &str) -> SqlError {
        match self.rows(sql).await {
            Ok(rows) => panic!("{sql}: {rows:?}"),
            Err(error) => error,
        }
    }
}

fn id(key: &str, uuid: u128) -> InvocationId {
    InvocationId { partition_key: partition_key_of(key), uuid }
}

/// A row of an invocation that means nothing, but for whom it calls and how it stands.
fn invocation(target: &Target, status: Status) -> InvocationRow {
    let mut runner = TestRunner::deterministic();
    let any = strategies::row().prop_filter_map("an invocation", |(_, row)| match row {
        Row::Invocation(row) => Some(*row),
        _ => None,
    });
    let row = any.new_tree(&mut runner).unwrap().current();
    let (target, created_at) = (target.clone(), Millis(1_795_000_000_123));
    InvocationRow { target, status, created_at, restarted_from: None, ..row }
}

fn target(service: &str, key: Option<&str>, handler: &str) -> Target {
    Target { service: service.into(), key: key.map(Into::into), handler: handler.into() }
}

/// Invocations of an object, which wait for it, each with a number.
fn fill(world: &World, service: &str, keys: &[&str], each: u64) {
    for key in keys {
        for number in 0..each {
            let row =
                invocation(&target(service, Some(key), "add"), Status::Pending { place: number });
            let id = id(key, number.into());
            world.tables.put(&RowKey::Invocation(id), Row::Invocation(Box::new(row)));
        }
    }
}

fn text(bytes: &'static str) -> Bytes {
    Bytes::from_static(bytes.as_bytes())
}
