//! What a caller sees, from the first call to the error that tells what to do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::Result;
use everlog_e2e::Functions;
use everlog_harness::{Everlog, Reply};
use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

struct Setup {
    everlog: Everlog,
    functions: Functions,
    _folder: TempDir,
}

async fn setup() -> Result<Setup> {
    let folder = tempfile::tempdir()?;
    let functions = Functions::serve().await?;
    let everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;
    Ok(Setup { everlog, functions, _folder: folder })
}

fn assert_error(reply: &Reply, status: u16, error: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["error"], error, "{body}");
    assert!(body["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_and_its_repeat_gets_the_same_answer() -> Result<()> {
    let Setup { mut everlog, functions, _folder } = setup().await?;
    let headers = [("idempotency-key", "order-1")];
    let first = everlog.call("/Steps/five", &headers, "").await?.success()?;
    let again = everlog.call("/restate/call/Steps/five", &headers, "").await?.success()?;
    assert_eq!(first.body, again.body);
    assert_eq!(first.headers["x-restate-id"], again.headers["x-restate-id"]);
    assert_eq!((functions.effects.steps(), functions.effects.extra_runs()), (5, 0));
    let sent = everlog.call("/Steps/five/send", &headers, "").await?;
    assert_eq!(sent.status, 202);
    assert!(sent.text().contains("PreviouslyAccepted"), "{}", sent.text());
    let id = first.headers["x-restate-id"].to_str()?;
    for path in [format!("/restate/attach/{id}"), format!("/restate/invocation/{id}/output")] {
        let reply = everlog.http.get(everlog.ingress, &path).await?.success()?;
        assert_eq!(reply.body, first.body, "{path}");
    }
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_key_run_one_at_a_time() -> Result<()> {
    let Setup { mut everlog, functions, _folder } = setup().await?;
    let calls = (0..20).map(|_| everlog.call("/Account/alice/post", &[], ""));
    let mut answers: Vec<Vec<u64>> = Vec::new();
    for reply in join_all(calls).await {
        answers.push(serde_json::from_str(&reply?.success()?.text())?);
    }
    // Tokens are handed out in the order of effects: one call's two never enclose another's.
    answers.sort();
    let flat: Vec<u64> = answers.concat();
    assert_eq!(flat, (1..=40).collect::<Vec<u64>>());
    assert_eq!(functions.effects.extra_runs(), 0);
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_tried_again_and_a_terminal_failure_is_not() -> Result<()> {
    let Setup { mut everlog, functions: _functions, _folder } = setup().await?;
    let tries = everlog.call("/Failing/twice", &[], "").await?.success()?;
    assert_eq!(tries.text(), "3");
    let declined = everlog.call("/Failing/terminally", &[], "").await?;
    assert_eq!(declined.status, 422);
    assert_eq!(declined.headers["x-restate-error-source"], "invocation");
    assert!(declined.text().contains("the card was declined"));
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_get_a_status_a_code_and_a_sentence() -> Result<()> {
    let Setup { mut everlog, functions: _functions, _folder } = setup().await?;
    let reply = everlog.call("/Nobody/home", &[], "").await?;
    assert_error(&reply, 404, "service-not-found");
    let reply = everlog.call("/Steps/six", &[], "").await?;
    assert_error(&reply, 404, "handler-not-found");
    let reply = everlog.call("/Steps/echo", &[], "{not json").await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let body = vec![b'x'; 33 << 20];
    let reply = everlog.http.post(everlog.ingress, "/Steps/echo", &[], body).await?;
    assert_error(&reply, 413, "body-too-large");
    let reply = everlog.http.get(everlog.ingress, "/restate/attach/inv_nonsense").await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = everlog.call("/Steps/five/send?delay=soon", &[], "").await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    // It lives on.
    everlog.call("/Steps/echo", &[], "\"hello\"").await?.success()?;
    everlog.stop().await
}
