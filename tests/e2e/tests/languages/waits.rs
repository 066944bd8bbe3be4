//! Awakeables and signals: whoever knows the name ends the wait.

use anyhow::Result;
use everlog_e2e::{Mode, World};
use everlog_harness::Reply;
use serde_json::{Value, json};

fn assert_rejected(reply: &Reply, message: &str) {
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert_eq!(reply.headers["x-restate-error-source"], "invocation");
    assert!(reply.text().contains(message), "{}", reply.text());
}

/// Begins to wait and returns the invocation and the awakeable.
async fn waiter(world: &World, key: &str) -> Result<(String, String)> {
    let id = world.send(&format!("/Waiter/{key}/awakeable"), Value::Null).await?;
    let awakeable = world.noted(key, "awakeable").await?;
    Ok((id, awakeable))
}

pub(crate) async fn an_awakeable_is_resolved_or_rejected_by_anybody(
    world: &mut World,
) -> Result<()> {
    let everlog = &world.everlog;
    let (waits, awakeable) = waiter(world, "outside").await?;
    assert!(!world.is_completed(&waits).await?);
    let path = format!("/restate/awakeables/{awakeable}/resolve");
    let resolved = everlog.call(&path, &[], "\"from outside\"").await?;
    assert_eq!(resolved.status, 202, "{}", resolved.text());
    assert_eq!(world.answer(&waits).await?, json!("from outside"));

    let (waits, awakeable) = waiter(world, "refused").await?;
    let path = format!("/restate/awakeables/{awakeable}/reject");
    let rejected = everlog.call(&path, &[("content-type", "text/plain")], "").await?;
    assert_eq!(rejected.status, 202, "{}", rejected.text());
    assert_eq!(world.attach(&waits).await?.status, 500);

    let (waits, awakeable) = waiter(world, "inside").await?;
    let input = json!({ "id": awakeable, "value": "from inside" });
    world.call("/Resolver/resolve", input).await?;
    assert_eq!(world.answer(&waits).await?, json!("from inside"));

    let (waits, awakeable) = waiter(world, "denied").await?;
    let input = json!({ "id": awakeable, "value": "no room left" });
    world.call("/Resolver/reject", input).await?;
    assert_rejected(&world.attach(&waits).await?, "no room left");
    Ok(())
}

pub(crate) async fn a_signal_is_resolved_or_rejected_by_a_handler(world: &mut World) -> Result<()> {
    let waits = world.send("/Waiter/hears/signal", json!("go")).await?;
    assert_eq!(world.noted("hears", "invocation").await?, waits);
    // Another name is not what it waits for.
    let signal = |name, value| json!({ "invocation": waits, "name": name, "value": value });
    world.call("/Resolver/signal", signal("stop", "wrong")).await?;
    world.call("/Resolver/signal", signal("go", "right")).await?;
    assert_eq!(world.answer(&waits).await?, json!("right"));

    let waits = world.send("/Waiter/refuses/signal", json!("go")).await?;
    let input = json!({ "invocation": waits, "name": "go", "value": "not today" });
    world.call("/Resolver/rejectSignal", input).await?;
    assert_rejected(&world.attach(&waits).await?, "not today");
    Ok(())
}

pub(crate) async fn a_waiting_attempt_is_kept_or_ended_as_configured(
    world: &mut World,
) -> Result<()> {
    let (waits, awakeable) = waiter(world, "idle").await?;
    let status = match world.mode {
        Mode::Streaming => "running",
        Mode::Suspending => "suspended",
    };
    world.until_status(&waits, status).await?;
    world.call("/Resolver/resolve", json!({ "id": awakeable, "value": "up" })).await?;
    assert_eq!(world.answer(&waits).await?, json!("up"));
    let shown = world.everlog.admin_get(&format!("/invocations/{waits}")).await?.success()?;
    let shown: Value = serde_json::from_slice(&shown.body)?;
    let made = shown["attempts"].as_u64().unwrap();
    assert_eq!(made > 1, world.mode == Mode::Suspending, "{made} attempts: {shown}");
    Ok(())
}
