//! What no limit on memory sees before it is made: that it is never much.

use everlog_gateway::SqlError;
use everlog_log_schema::{Row, RowKey};
use serde_json::json;

use super::{World, fill, text};
use crate::QueryLimits;
use crate::limits::{CAREFUL, EXPRESSIONS_MAX, QUICK};

/// More than all tests of this process need together.
const PEAK_BYTES_MAX: usize = 1 << 30;

/// A value of so many bytes that an object remembers.
fn remember(world: &World, key: &str, bytes: usize) {
    let key = RowKey::State { service: "Cart".into(), key: key.into(), name: text("n") };
    world.tables.put(&key, Row::State(vec![b'x'; bytes].into()));
}

/// The most memory that this process has held.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_large_value_is_not_there_once_for_each_row_that_it_meets() {
    let world = World::new();
    remember(&world, "a", 1 << 20);
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    fill(&world, "Cart", &keys, 20);
    for sql in [
        "SELECT COUNT(*) FROM state a JOIN sys_invocation b ON a.value_utf8 <> b.id",
        "SELECT COUNT(DISTINCT b.id) FROM state a JOIN sys_invocation b \
         ON a.service_name = b.target_service_name WHERE upper(a.value_utf8) || b.id <> ''",
        "SELECT COUNT(v || i) FROM \
         (SELECT a.value_utf8 AS v, b.id AS i FROM state a, sys_invocation b)",
    ] {
        assert_eq!(world.cell(sql).await, json!(2_000), "{sql}");
    }
    let written = "x".repeat(60_000);
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT upper('{written}' || id) AS x FROM sys_invocation) WHERE x <> ''"
    );
    assert_eq!(world.cell(&sql).await, json!(2_000));
    let peak = peak_bytes();
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
}

#[tokio::test]
async fn what_windows_hold_counts() {
    let memory_max = 1 << 20;
    let world = World::with(QueryLimits { memory_max, ..QueryLimits::default() });
    let service = "Cart".repeat(80);
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    fill(&world, &service, &keys, 20);
    let count = "COUNT(target) OVER ()";
    for (of_windows, answer) in [
        ("COUNT(id) OVER ()", Ok(json!(2_000))),
        (count, Err(SqlError::MemoryExceeded { max: memory_max })),
        // Each row would have it.
        (
            "octet_length(FIRST_VALUE(target) OVER ())",
            Err(SqlError::MemoryExceeded { max: memory_max }),
        ),
    ] {
        let sql = format!("SELECT MAX(n) AS n FROM (SELECT {of_windows} AS n FROM sys_invocation)");
        let found = world.rows(&sql).await.map(|rows| rows[0]["n"].clone());
        assert_eq!(found, answer, "{sql}");
    }
    assert_eq!(world.cell("SELECT COUNT(target) FROM sys_invocation").await, json!(2_000));
}

#[tokio::test]
async fn a_large_cell_is_answered_but_not_spread() {
    let world = World::new();
    let most = QUICK.cell_bytes_max.unwrap();
    remember(&world, "a", most);
    remember(&world, "b", 10);
    let sql = "SELECT octet_length(FIRST_VALUE(value_utf8) OVER (ORDER BY service_key)) FROM state";
    assert_eq!(world.cells(sql).await, [[json!(most)], [json!(most)]]);
    remember(&world, "a", most + 1);
    let refused = world.refusal(sql).await;
    assert!(matches!(refused, SqlError::TooComplex { max: 0, .. }), "{refused:?}");
    let sql = "SELECT octet_length(value_utf8) FROM state ORDER BY service_key";
    assert_eq!(world.cells(sql).await, [[json!(most + 1)], [json!(10)]]);
}

#[tokio::test]
async fn so_many_texts_are_made_of_a_row_and_not_one_more() {
    let world = World::new();
    remember(&world, "a", 10);
    let made = |count: usize| {
        let texts: Vec<_> = (1..=count).map(|n| format!("substr(value_utf8, {n}) t{n}")).collect();
        format!("SELECT {} FROM state", texts.join(", "))
    };
    assert_eq!(world.rows(&made(QUICK.made_max)).await.unwrap().len(), 1);
    let refused = |what, max| SqlError::TooComplex { what, max };
    let refusal = world.refusal(&made(QUICK.made_max + 1)).await;
    assert_eq!(refusal, refused(QUICK.made_name, QUICK.made_max));
    remember(&world, "b", 10_000);
    assert_eq!(world.rows(&made(CAREFUL.made_max)).await.unwrap().len(), 2);
    let refusal = world.refusal(&made(CAREFUL.made_max + 1)).await;
    assert_eq!(refusal, refused(CAREFUL.made_name, CAREFUL.made_max));
}

#[tokio::test]
async fn no_column_stands_for_too_many_others() {
    let world = World::new();
    // Each stands for two of the one before, and the condition is moved to where they begin.
    let doubled = |times: usize| {
        let parts = (1..=times).map(|n| format!("t{n} AS (SELECT x + x AS x FROM t{})", n - 1));
        let parts: Vec<String> = parts.collect();
        let first = "t0 AS (SELECT journal_size AS x FROM sys_invocation)";
        format!("WITH {first}, {} SELECT COUNT(*) FROM t{times} WHERE x > 7", parts.join(", "))
    };
    assert_eq!(world.cell(&doubled(8)).await, json!(0));
    let what = "expressions in its plan";
    let refused = SqlError::TooComplex { what, max: EXPRESSIONS_MAX };
    assert_eq!(world.refusal(&doubled(18)).await, refused);
    assert_eq!(world.refusal(&doubled(60)).await, refused);
}
