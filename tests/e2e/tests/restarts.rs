//! Invocations that begin anew like completed ones, and that go on with other code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::{Context as _, Result};
use everlog_e2e::{Language, Mode, Program, World};
use everlog_harness::Reply;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

/// Changes an invocation.
async fn patch(world: &World, id: &str, change: &str) -> Result<Reply> {
    let uri = format!("http://{}/invocations/{id}/{change}", world.everlog.admin);
    world.everlog.http.send(Request::patch(uri).body(Full::default())?).await
}

fn refused(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status.as_u16(), body["error"].as_str().unwrap_or("none").to_owned())
}

/// Begins an invocation anew and waits for its answer.
async fn restarted(world: &World, id: &str, query: &str) -> Result<Vec<String>> {
    let reply = patch(world, id, &format!("restart-as-new{query}")).await?.success()?;
    let body: Value = serde_json::from_slice(&reply.body)?;
    let new = body["new_invocation_id"].as_str().context("no id")?;
    assert_ne!(new, id);
    Ok(serde_json::from_value(world.answer(new).await?)?)
}

/// The index of the command with this name.
async fn command(world: &World, id: &str, name: &str) -> Result<u64> {
    let journal =
        world.everlog.admin_get(&format!("/invocations/{id}/journal")).await?.success()?;
    let journal: Value = serde_json::from_slice(&journal.body)?;
    let entries = journal["entries"].as_array().context("no entries")?;
    let found = entries.iter().find(|entry| entry["name"] == name && entry["type"] == "command");
    found.and_then(|entry| entry["index"].as_u64()).with_context(|| format!("no {name}: {journal}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_begins_anew_from_any_of_its_steps() -> Result<()> {
    let world = World::start(Language::Rust, Mode::Streaming).await?;
    let old = world.send("/Steps/run", json!(3)).await?;
    let tokens: Vec<String> = serde_json::from_value(world.answer(&old).await?)?;
    let anew = restarted(&world, &old, "").await?;
    assert!(anew.len() == 3 && anew.iter().all(|token| !tokens.contains(token)));
    let second = command(&world, &old, "step 1").await?;
    for query in ["", "&deployment=keep", "&deployment=latest"] {
        let partly = restarted(&world, &old, &format!("?from={second}{query}")).await?;
        assert_eq!(partly[..2], tokens[..2], "{query}");
        assert_ne!(partly[2], tokens[2], "{query}");
    }
    for (query, expected) in [
        ("?from=100", (422, "restart-refused")),
        ("?from=1&deployment=dp_none", (404, "not-found")),
        ("?deployment=keep", (400, "malformed-query")),
        ("?form=1", (400, "malformed-query")),
    ] {
        let reply = patch(&world, &old, &format!("restart-as-new{query}")).await?;
        assert_eq!(refused(&reply), (expected.0, expected.1.to_owned()), "{query}");
    }
    let waits = world.send("/Waiter/restart/awakeable", Value::Null).await?;
    let reply = patch(&world, &waits, "restart-as-new").await?;
    assert_eq!(refused(&reply), (409, "invocation-not-completed".into()));
    let reply = patch(&world, &waits, "purge-journal").await?;
    assert_eq!(refused(&reply), (409, "invocation-not-completed".into()));

    let path = "/internal/invocations_batch_operations/restart-as-new";
    let body = json!({ "invocation_ids": [&old, &waits] }).to_string();
    let reply = world.everlog.http.post(world.everlog.admin, path, &[], body).await?.success()?;
    let batch: Value = serde_json::from_slice(&reply.body)?;
    assert_eq!(batch["failed"][0]["invocation_id"], json!(waits), "{batch}");
    let [begun] = batch["succeeded"].as_array().unwrap().as_slice() else { panic!("{batch}") };
    assert_eq!(begun["old_invocation_id"], json!(old));
    let new = begun["new_invocation_id"].as_str().unwrap();
    assert_eq!(world.answer(new).await?.as_array().map(Vec::len), Some(tokens.len()));

    patch(&world, &old, "purge-journal").await?.success()?;
    assert_eq!(world.answer(&old).await?, json!(tokens), "the outcome stays");
    let reply = patch(&world, &old, "restart-as-new").await?;
    assert_eq!(refused(&reply), (410, "journal-gone".into()));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_goes_on_with_other_code() -> Result<()> {
    let mut world = World::start(Language::Rust, Mode::Suspending).await?;
    let waits = world.send("/Waiter/moved/awakeable", Value::Null).await?;
    let awakeable = world.noted("moved", "awakeable").await?;
    world.until_status(&waits, "suspended").await?;
    let folder = tempfile::tempdir()?;
    let elsewhere = Program::start(folder.path(), |port| Language::Rust.command(port)).await?;
    world.everlog.register(&elsewhere.uri()).await?.success()?;
    let reply = patch(&world, &waits, "resume?deployment=dp_none").await?;
    assert_eq!(refused(&reply), (404, "not-found".into()));
    // From here on nobody answers where it has begun.
    world.functions.kill().await?;
    patch(&world, &waits, "resume?deployment=latest").await?.success()?;
    let path = format!("/restate/awakeables/{awakeable}/resolve");
    world.everlog.call(&path, &[], "\"moved\"").await?.success()?;
    assert_eq!(world.answer(&waits).await?, json!("moved"));
    let reply = patch(&world, &waits, "resume?deployment=latest").await?;
    assert_eq!(refused(&reply), (409, "invocation-completed".into()));
    world.stop().await
}
