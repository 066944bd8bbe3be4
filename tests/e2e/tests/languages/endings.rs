//! How invocations are ended, stopped and forgotten from outside.

use anyhow::Result;
use everlog_e2e::World;
use serde_json::{Value, json};

/// Starts a parent that waits for one callee and has sent a one-way call; both callees block.
/// Returns the three invocations.
async fn blocked(world: &World) -> Result<(String, String, String)> {
    let input = json!({ "called": "called", "sent": "sent" });
    let parent = world.send("/Caller/block", input).await?;
    let called = world.noted("called", "blocked").await?;
    let sent = world.noted("sent", "blocked").await?;
    Ok((parent, called, sent))
}

/// What is said of a call that was cancelled before it began.
const CANCELLED: &[&str] = &["cancel"];
/// What a function says that was cancelled: that of the Java SDK no more than the code.
const CANCELLED_ITSELF: &[&str] = &["cancel", "error 409"];
const KILLED: &[&str] = &["killed"];

/// Waits for the failure of an invocation, which must say one of some words.
async fn assert_ended(world: &World, id: &str, words: &[&str]) -> Result<()> {
    let reply = world.attach(id).await?;
    assert_eq!(reply.status, 409, "{}", reply.text());
    let said = reply.text().to_lowercase();
    assert!(words.iter().any(|word| said.contains(word)), "{said}");
    Ok(())
}

pub(crate) async fn a_cancel_reaches_the_callees(world: &mut World) -> Result<()> {
    let (parent, called, sent) = blocked(world).await?;
    let queued = world.send("/Blocker/called/block", Value::Null).await?;
    world.order(&queued, "cancel").await?;
    assert_ended(world, &queued, CANCELLED).await?;
    let scheduled =
        world.try_call("/Timer/stamp/send?delay=1h", json!("never")).await?.success()?;
    let scheduled = scheduled.headers["x-restate-id"].to_str()?;
    world.order(scheduled, "cancel").await?;
    assert_ended(world, scheduled, CANCELLED).await?;

    world.order(&parent, "cancel").await?;
    assert_ended(world, &parent, CANCELLED_ITSELF).await?;
    assert_ended(world, &called, CANCELLED_ITSELF).await?;
    // The callee had its say, and its key is free again.
    assert_eq!(world.history("called", 1).await?.len(), 1);
    assert_eq!(world.call("/Blocker/called/free", Value::Null).await?, json!("free"));
    // What was sent one way goes its own way, until a handler cancels it.
    assert!(!world.is_completed(&sent).await?);
    world.call("/Resolver/cancel", json!(sent)).await?;
    assert_ended(world, &sent, CANCELLED_ITSELF).await?;
    assert_eq!(world.call("/Blocker/sent/free", Value::Null).await?, json!("free"));
    Ok(())
}

pub(crate) async fn a_kill_ends_the_callees_but_not_what_was_sent(world: &mut World) -> Result<()> {
    let (parent, called, sent) = blocked(world).await?;
    world.order(&parent, "kill").await?;
    assert_ended(world, &parent, KILLED).await?;
    assert_ended(world, &called, KILLED).await?;
    // The callee had no say, and its key is free again.
    assert_eq!(world.call("/Blocker/called/free", Value::Null).await?, json!("free"));
    assert_eq!(world.history("called", 0).await?.len(), 0);
    assert!(!world.is_completed(&sent).await?);
    Ok(())
}

pub(crate) async fn a_waiting_call_is_paused_resumed_and_purged(world: &mut World) -> Result<()> {
    let waits = world.send("/Waiter/rests/awakeable", Value::Null).await?;
    let awakeable = world.noted("rests", "awakeable").await?;
    world.order(&waits, "pause").await?;
    world.until_status(&waits, "paused").await?;
    let early = world.everlog.order(&waits, "purge").await?;
    assert_eq!(early.status, 409, "{}", early.text());
    world.order(&waits, "resume").await?;
    world.call("/Resolver/resolve", json!({ "id": awakeable, "value": "up" })).await?;
    assert_eq!(world.answer(&waits).await?, json!("up"));
    world.until_status(&waits, "completed").await?;

    world.order(&waits, "purge").await?;
    let forgotten = world.attach(&waits).await?;
    assert_eq!(forgotten.status, 404, "{}", forgotten.text());
    let attached = world.try_call("/Caller/attach", json!(waits)).await?;
    assert_eq!(attached.status, 404, "{}", attached.text());
    Ok(())
}
