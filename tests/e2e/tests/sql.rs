//! Questions in SQL, asked of a whole server: over HTTP and by the command line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use everlog_e2e::Functions;
use everlog_harness::{Everlog, Reply, program, within};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_mins(2);
/// What a server may hold that answers small queries, in bytes.
const PEAK_BYTES_MAX: u64 = 512 << 20;

struct Setup {
    everlog: Everlog,
    functions: Functions,
    _folder: TempDir,
}

async fn setup(environment: &[(&str, &str)]) -> Result<Setup> {
    let folder = tempfile::tempdir()?;
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::on(&folder.path().join("data"), &[])?;
    for (name, value) in environment {
        everlog = everlog.with_env(name, value);
    }
    everlog.restart().await?;
    everlog.register(&functions.uri()).await?.success()?;
    Ok(Setup { everlog, functions, _folder: folder })
}

async fn query(everlog: &Everlog, sql: &str, accept: &str) -> Result<Reply> {
    let body = json!({ "query": sql }).to_string();
    everlog.http.post(everlog.admin, "/query", &[("accept", accept)], body).await
}

async fn rows(everlog: &Everlog, sql: &str) -> Result<Value> {
    let reply = query(everlog, sql, "application/json").await?.success()?;
    let mut answer: Value = serde_json::from_slice(&reply.body)?;
    Ok(answer["rows"].take())
}

async fn command(everlog: &Everlog, arguments: &[&str]) -> Result<(bool, String)> {
    let ended = Command::new(program("everlog")?)
        .arg("sql")
        .args(arguments)
        .env("EVERLOG_ADMIN", format!("http://{}", everlog.admin))
        .output()
        .await?;
    let text = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8(text)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_and_what_it_left_is_told_in_sql() -> Result<()> {
    let Setup { mut everlog, functions, _folder } = setup(&[]).await?;
    let accounts = ["ann", "bob", "cleo"];
    let server = &everlog;
    try_join_all(accounts.map(|account| async move {
        let account = json!(account).to_string();
        server.call("/Bank/transfer", &[], &account).await?.success()
    }))
    .await?;
    let failed = everlog.call("/Failing/terminally", &[], "").await?;
    assert_eq!(failed.status, 422);
    let sent = everlog.call("/Sleeper/nap/send", &[], "600000").await?.success()?;
    let sleeper: Value = serde_json::from_slice(&sent.body)?;
    within(PATIENCE, "the function sleeps", || async { functions.sleepers() == 1 }).await?;

    let sql = "SELECT target_service_name AS name, completion_result AS result, COUNT(*) AS number \
               FROM sys_invocation WHERE status = 'completed' GROUP BY 1, 2 ORDER BY 1, 2";
    let expected = json!([
        { "name": "Account", "number": 3, "result": "success" },
        { "name": "Bank", "number": 3, "result": "success" },
        { "name": "Failing", "number": 1, "result": "failure" },
    ]);
    assert_eq!(rows(&everlog, sql).await?, expected);

    let sql = "SELECT service_key AS key, value_utf8 AS value FROM state \
               WHERE service_name = 'Account' ORDER BY 1";
    let left = accounts.map(|account| json!({ "key": account, "value": "1" }));
    assert_eq!(rows(&everlog, sql).await?, json!(left));

    // Who called whom, over two partitions at least.
    let sql = "SELECT caller.target_service_name AS caller, COUNT(*) AS number FROM sys_invocation callee \
               JOIN sys_invocation caller ON caller.id = callee.invoked_by_id GROUP BY 1";
    assert_eq!(rows(&everlog, sql).await?, json!([{ "caller": "Bank", "number": 3 }]));

    let id = sleeper["invocationId"].as_str().unwrap();
    let sql = format!(
        "SELECT entry_type AS kind, name, sleep_wakeup_at > now() AS later FROM sys_journal \
         WHERE id = '{id}' ORDER BY \"index\""
    );
    let journal = rows(&everlog, &sql).await?;
    assert_eq!(journal[0], json!({ "kind": "Command: Input", "name": null, "later": null }));
    let sleeps = |entry: &Value| entry["kind"] == "Command: Sleep" && entry["later"] == true;
    assert!(journal.as_array().unwrap().iter().any(sleeps), "{journal}");

    let services = rows(&everlog, "SELECT name FROM sys_service WHERE name = 'Bank'").await?;
    assert_eq!(services, json!([{ "name": "Bank" }]));
    let reply = query(&everlog, "SELECT id FROM sys_invocation", "*/*").await?.success()?;
    assert_eq!(reply.headers["content-type"], "application/vnd.apache.arrow.stream");
    assert_eq!(reply.body[..4], [0xFF; 4], "a stream of arrow begins with this mark");
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_a_table_or_json() -> Result<()> {
    let Setup { mut everlog, functions: _functions, _folder } = setup(&[]).await?;
    everlog.call("/Steps/five", &[], "").await?.success()?;
    let sql =
        "SELECT target_service_name AS service, status, idempotency_key AS key FROM sys_invocation";
    let (ok, text) = command(&everlog, &[sql]).await?;
    assert_eq!((ok, text.as_str()), (true, "SERVICE  STATUS     KEY\nSteps    completed\n"));
    let (ok, text) = command(&everlog, &[sql, "--json"]).await?;
    let expected = json!({ "rows": [{ "service": "Steps", "status": "completed", "key": null }] });
    assert_eq!((ok, serde_json::from_str::<Value>(&text)?), (true, expected));
    let (ok, text) = command(&everlog, &["SELECT id FROM state_of_affairs"]).await?;
    assert!(
        !ok && text.contains("state_of_affairs") && text.contains("[400 invalid-sql]"),
        "{text}"
    );
    let (ok, text) = command(&everlog, &["SELECT id,, key FROM state"]).await?;
    assert!(!ok && text.contains("Line: 1, Column: 11"), "{text}");
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_its_limits_is_refused_and_the_server_goes_on() -> Result<()> {
    let limits = [
        ("EVERLOG_QUERY__ROWS_MAX", "10"),
        ("EVERLOG_QUERY__MEMORY_MAX", "16MiB"),
        ("EVERLOG_QUERY__TIME_MAX", "1s"),
    ];
    let Setup { mut everlog, functions: _functions, _folder } = setup(&limits).await?;
    let body = json!("x".repeat(100_000)).to_string();
    try_join_all(
        (0..20).map(|_| async { everlog.call("/Steps/echo", &[], &body).await?.success() }),
    )
    .await?;
    // Rows without number, of which one table alone is held for each join.
    let joined = (0..8).fold("SELECT raw_length FROM sys_journal".to_owned(), |right, _| {
        format!("SELECT a.raw_length FROM sys_journal a CROSS JOIN ({right}) b")
    });
    let endless = format!("SELECT COUNT(*) FROM ({joined}) WHERE raw_length <> 1");
    for (sql, code) in [
        ("SELECT id FROM sys_invocation", "query-rows-exceeded"),
        (
            "SELECT COUNT(DISTINCT a.id || b.id || c.id || CAST(d.appended_at AS TEXT)) FROM sys_invocation a, sys_invocation b, sys_invocation c, sys_journal d",
            "query-memory-exceeded",
        ),
        (&endless, "query-time-exceeded"),
    ] {
        let reply = query(&everlog, sql, "application/json").await?;
        let answer: Value = serde_json::from_slice(&reply.body)?;
        assert_eq!((reply.status.as_u16(), &answer["error"]), (422, &json!(code)), "{answer}");
        everlog.call("/Steps/five", &[], "").await?.success()?;
    }
    let count = rows(&everlog, "SELECT COUNT(*) AS number FROM sys_invocation").await?;
    assert_eq!(count, json!([{ "number": 23 }]));
    let peak = everlog.process()?.usage()?.resident_peak_bytes;
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    everlog.stop().await
}
