//! Failures: final ones, and those that are tried again as often as a policy says.

use anyhow::Result;
use everlog_e2e::World;
use serde_json::{Value, json};

pub(crate) async fn a_terminal_failure_is_final(world: &mut World) -> Result<()> {
    for handler in ["terminally", "terminalStep"] {
        let declined = world.try_call(&format!("/Failing/{handler}"), Value::Null).await?;
        assert_eq!(declined.status, 422, "{handler}: {}", declined.text());
        assert_eq!(declined.headers["x-restate-error-source"], "invocation", "{handler}");
        assert!(declined.text().contains("the card was declined"), "{handler}");
    }
    Ok(())
}

/// Code that takes another step than is recorded does not go on, and is told which step.
pub(crate) async fn another_step_than_is_recorded_is_named(world: &mut World) -> Result<()> {
    let wanders = world.send("/Failing/wanders", Value::Null).await?;
    world.until_status(&wanders, "paused").await?;
    let shown = world.everlog.admin_get(&format!("/invocations/{wanders}")).await?;
    let shown: Value = serde_json::from_slice(&shown.body)?;
    let error = &shown["lastError"];
    assert_eq!((&error["code"], &error["commandIndex"]), (&json!(570), &json!(1)), "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("RT0016")), "{error}");
    world.order(&wanders, "resume").await?;
    assert_eq!(world.answer(&wanders).await?, json!("packed"));
    Ok(())
}

pub(crate) async fn retries_end_as_their_policy_says(world: &mut World) -> Result<()> {
    assert_eq!(world.call("/Failing/twice", Value::Null).await?, json!(3));

    let died = world.try_call("/Failing/dies", Value::Null).await?;
    assert!(died.status.is_client_error() || died.status.is_server_error(), "{}", died.text());
    assert_eq!(died.headers["x-restate-error-source"], "invocation", "{}", died.text());

    let pauses = world.send("/Failing/pauses", json!("alice")).await?;
    world.until_status(&pauses, "paused").await?;
    world.call("/Failing/allow", json!("alice")).await?;
    world.order(&pauses, "resume").await?;
    assert_eq!(world.answer(&pauses).await?, json!("alice"));
    Ok(())
}
