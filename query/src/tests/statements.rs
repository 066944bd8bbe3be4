//! What is not planned at all, and what is planned without harm.

use everlog_gateway::SqlError;
use serde_json::json;

use super::World;
use crate::limits::{CONCATENATIONS_MAX, PLAN_STEPS_MAX, SQL_BYTES_MAX, TOKENS_MAX};

#[tokio::test]
async fn a_text_that_is_no_sql_is_refused_with_the_place() {
    let world = World::new();
    for (sql, said) in [
        ("SELECT id,, status FROM sys_invocation", "Line: 1, Column: 11"),
        ("SELECT id FROM", "found: EOF"),
        ("SELECT id\nFROM sys_invocation\nWHERE status = = 'running'", "Line: 3, Column: 16"),
        ("SELEC 1", "Line: 1, Column: 1"),
        ("SELECT 'open", "Line: 1, Column: 8"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("", "empty"),
        ("  -- nothing", "empty"),
    ] {
        let refusal = world.refusal(sql).await;
        let SqlError::Malformed(reason) = &refusal else { panic!("{sql}: {refusal:?}") };
        assert!(reason.contains(said), "{sql}: {reason}");
    }
}

#[tokio::test]
async fn nothing_but_reading_is_allowed() {
    let world = World::new();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/everlog-query.csv'",
        "COPY state TO 'x.json' STORED AS JSON",
        "EXPLAIN COPY state TO 'x.json' STORED AS JSON",
        "EXPLAIN CREATE TABLE t AS SELECT 1",
        "INSERT INTO state VALUES (1)",
        "UPDATE state SET value = NULL",
        "DELETE FROM state",
        "TRUNCATE TABLE state",
        "DROP TABLE state",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SHOW ALL",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "SELECT 1 INTO t",
        "SELECT status FROM sys_invocation GROUP BY CUBE (status, id)",
        "SELECT status FROM sys_invocation GROUP BY ROLLUP (status, id)",
        "SELECT status FROM sys_invocation GROUP BY GROUPING SETS ((status), (id))",
        "WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) SELECT * FROM t",
    ] {
        let refusal = world.refusal(sql).await;
        assert!(matches!(refusal, SqlError::NotAllowed(_)), "{sql}: {refusal:?}");
    }
    for sql in ["SELECT * FROM 'Cargo.toml'", "SELECT * FROM \"/etc/passwd\""] {
        let refusal = world.refusal(sql).await;
        assert!(matches!(refusal, SqlError::Invalid(_)), "{sql}: {refusal:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_its_name() {
    let world = World::new();
    for (sql, said) in [
        ("SELECT * FROM invocations", "invocations"),
        ("SELECT colour FROM sys_invocation", "colour"),
        ("SELECT status + 1 FROM sys_invocation", "coerce"),
        // These make large values out of small ones.
        ("SELECT repeat('x', 1000000000)", "repeat"),
        ("SELECT lpad('x', 1000000000)", "lpad"),
        ("SELECT array_agg(value) OVER (ORDER BY key) FROM state", "array_agg"),
        ("SELECT * FROM generate_series(1, 10)", "generate_series"),
    ] {
        let refusal = world.refusal(sql).await;
        let SqlError::Invalid(reason) = &refusal else { panic!("{sql}: {refusal:?}") };
        assert!(reason.contains(said), "{sql}: {reason}");
    }
}

#[tokio::test]
async fn what_reads_is_answered() {
    let world = World::new();
    assert_eq!(world.cell("SELECT 1 + 1").await, json!(2));
    assert_eq!(world.cell("SELECT COUNT(*) FROM sys_invocation").await, json!(0));
    assert_eq!(world.cell("WITH a AS (SELECT 1 AS x) SELECT x FROM a").await, json!(1));
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";
    let tables: Vec<_> = world.cells(tables).await.concat();
    let expected = json!([
        "state",
        "sys_deployment",
        "sys_inbox",
        "sys_invocation",
        "sys_invocation_state",
        "sys_invocation_status",
        "sys_journal",
        "sys_keyed_service_status",
        "sys_promise",
        "sys_service",
    ]);
    assert_eq!(json!(tables), expected);
    assert!(world.rows("SHOW TABLES").await.unwrap().len() >= tables.len());
    assert_eq!(world.rows("DESCRIBE state").await.unwrap().len(), 9);
    // What has a grammar of its own.
    for (sql, answer) in [
        ("SUBSTRING('abc' FROM 2)", json!("bc")),
        ("substr('abc', 2, 1)", json!("b")),
        ("POSITION('c' IN 'abc')", json!(3)),
        ("EXTRACT(YEAR FROM DATE '2026-01-02')", json!(2026)),
        ("TRIM(' abc ')", json!("abc")),
        ("'abc' ~ 'b.$'", json!(true)),
    ] {
        assert_eq!(world.cell(&format!("SELECT {sql}")).await, answer, "{sql}");
    }
    assert!(!world.rows("EXPLAIN SELECT * FROM state").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_query_takes_its_limits_and_not_one_more() {
    let world = World::new();
    let sum = |signs: usize| format!("SELECT 1{}", "+1".repeat(signs));
    // One is the word in front.
    assert_eq!(world.cell(&sum(TOKENS_MAX - 1)).await, json!(TOKENS_MAX));
    let refused = SqlError::TooComplex { what: "words and signs", max: TOKENS_MAX };
    assert_eq!(world.refusal(&sum(TOKENS_MAX)).await, refused);

    let long = |bytes: usize| format!("SELECT '{}' AS x", "x".repeat(bytes - 14));
    assert_eq!(long(100).len(), 100);
    assert!(world.rows(&long(SQL_BYTES_MAX)).await.is_ok());
    let refused = SqlError::TooComplex { what: "bytes", max: SQL_BYTES_MAX };
    assert_eq!(world.refusal(&long(SQL_BYTES_MAX + 1)).await, refused);

    let joined = |times: usize| format!("SELECT 'a'{} AS x", "||'a'".repeat(times));
    assert_eq!(world.cell(&joined(CONCATENATIONS_MAX)).await, json!("aaaaa"));
    let refused = SqlError::TooComplex { what: "signs ||", max: CONCATENATIONS_MAX };
    assert_eq!(world.refusal(&joined(CONCATENATIONS_MAX + 1)).await, refused);
}

#[tokio::test]
async fn no_tree_of_conditions_is_too_deep_for_the_stack() {
    let world = World::new();
    let conditions = vec!["status='a'"; 330].join(" OR ");
    let sql = format!("SELECT COUNT(*) FROM sys_invocation WHERE {conditions}");
    assert_eq!(world.cell(&sql).await, json!(0));
    let mixed: Vec<String> = (0..150).map(|n| format!("journal_size<{n} AND status")).collect();
    let sql = format!("SELECT COUNT(*) FROM sys_invocation WHERE {}<'b'", mixed.join("<'a' OR "));
    assert_eq!(world.cell(&sql).await, json!(0));
    for (open, close) in [("(", ")"), ("NOT ", ""), ("-", "")] {
        let sql = format!("SELECT {}1{}", open.repeat(400), close.repeat(400));
        let refusal = world.refusal(&sql).await;
        let refused = matches!(refusal, SqlError::Malformed(_) | SqlError::Invalid(_));
        assert!(refused, "{open}: {refusal:?}");
    }
}

#[tokio::test]
async fn no_plan_grows_beyond_its_limit() {
    let world = World::new();
    // Each part stands for two of the one before.
    let refused = SqlError::TooComplex { what: "steps of its plan", max: PLAN_STEPS_MAX };
    for quote in ["", "\"", "`"] {
        let part = |n: usize| {
            let before = format!("{quote}t{}{quote}", n - 1);
            format!(
                "{quote}t{n}{quote} AS (SELECT * FROM {before} UNION ALL SELECT * FROM t{})",
                n - 1
            )
        };
        let parts: Vec<String> = (1..40).map(part).collect();
        let sql = format!("WITH t0 AS (SELECT 1), {} SELECT COUNT(*) FROM t39", parts.join(", "));
        assert_eq!(world.refusal(&sql).await, refused);
    }
    let united = vec!["SELECT 1"; 300].join(" UNION ALL ");
    assert_eq!(world.refusal(&united).await, refused);
    let united = vec!["SELECT 1 AS x"; 50].join(" UNION ALL ");
    assert_eq!(world.cell(&format!("SELECT SUM(x) FROM ({united})")).await, json!(50));
}
