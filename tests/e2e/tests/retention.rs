//! How long what has completed is kept: as long as its service says, and be it a second.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::Result;
use everlog_e2e::{Language, Mode, WAIT_MAX, World};
use everlog_harness::{Reply, within};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

async fn keep(world: &World, service: &str, retentions: Value) -> Result<()> {
    let uri = format!("http://{}/services/{service}", world.everlog.admin);
    let body = Full::new(retentions.to_string().into());
    world.everlog.http.send(Request::patch(uri).body(body)?).await?.success().map(drop)
}

fn id_of(reply: &Reply) -> String {
    reply.headers["x-restate-id"].to_str().unwrap().to_owned()
}

/// Waits until an answer is the one that is wanted.
async fn until(
    what: &str,
    ask: impl AsyncFn() -> Result<Reply>,
    is_wanted: impl Fn(&Reply) -> bool,
) -> Result<()> {
    within(WAIT_MAX, what, || async { ask().await.is_ok_and(|reply| is_wanted(&reply)) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_a_second_is_gone_after_it() -> Result<()> {
    let world = World::start(Language::Rust, Mode::Streaming).await?;
    let second = json!({ "idempotency_retention": "1s", "journal_retention": "1s" });
    keep(&world, "Steps", second).await?;
    keep(&world, "Order", json!({ "workflow_completion_retention": "1s" })).await?;

    let call = async || world.everlog.call("/Steps/run", &[("idempotency-key", "k")], "2").await;
    let first = call().await?.success()?;
    let runs_anew = |reply: &Reply| reply.status == 200 && reply.body != first.body;
    until("the idempotency key is free", call, runs_anew).await?;
    assert_eq!(id_of(&call().await?.success()?), id_of(&first), "the key names the invocation");

    let id = id_of(&world.everlog.call("/Steps/run", &[], "1").await?.success()?);
    let path = format!("/restate/output/{id}");
    let ask = async || world.everlog.http.get(world.everlog.ingress, &path).await;
    until("nobody finds the outcome", ask, |reply| reply.status == 404).await?;
    let shown = world.everlog.admin_get(&format!("/invocations/{id}")).await?;
    assert_eq!(shown.status, 404, "{}", shown.text());

    let run = async || world.everlog.call("/Order/book/run/send", &[], "\"book\"").await;
    let begun = run().await?.success()?;
    world.call("/Order/book/pay", json!("paid")).await?;
    let accepted = |reply: &Reply| reply.text().contains("\"Accepted\"");
    until("the key of the workflow is free", run, accepted).await?;
    assert!(!world.is_completed(&id_of(&begun)).await?, "it waits for a new payment");
    world.stop().await
}
