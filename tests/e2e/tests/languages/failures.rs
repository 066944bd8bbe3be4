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
