//! Calls that wait for something when the server is killed: they go on where they were.

use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_e2e::{World, millis_now};
use everlog_harness::within;
use serde_json::{Value, json};

/// How long the sleeper sleeps: longer than a restart takes, so that most of it is after the kill.
const NAP: Duration = Duration::from_secs(2);
/// How long the sleeper may take to fall asleep: a bound that tells a hang from a slow machine.
const ASLEEP_MAX: Duration = Duration::from_mins(1);

/// Lists the kinds of the commands that an invocation has given.
async fn commands(world: &World, id: &str) -> Result<Vec<String>> {
    let journal =
        world.everlog.admin_get(&format!("/invocations/{id}/journal")).await?.success()?;
    let journal: Value = serde_json::from_slice(&journal.body)?;
    let entries = journal["entries"].as_array().context("no entries")?;
    let commands = entries.iter().filter(|entry| entry["type"] == "command");
    Ok(commands.map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect())
}

pub(crate) async fn what_waits_at_a_kill_ends_once(world: &mut World) -> Result<()> {
    // One waits for time, one for somebody outside, and one for another function, which waits for a
    // promise of its own.
    let waits = world.send("/Waiter/killed/awakeable", Value::Null).await?;
    let awakeable = world.noted("killed", "awakeable").await?;
    let orders = world.send("/Desk/order", json!({ "key": "killed", "item": "pear" })).await?;
    world.until_value("/Order/killed/look", &json!({ "item": "pear", "paid": null })).await?;
    let nap = u64::try_from(NAP.as_millis())?;
    let naps = world.send("/Timer/nap", json!(nap)).await?;
    within(ASLEEP_MAX, "the sleeper sleeps", || async {
        commands(world, &naps).await.is_ok_and(|commands| commands.contains(&"Sleep".to_owned()))
    })
    .await?;

    world.everlog.kill().await?;
    let killed = millis_now();
    world.everlog.restart().await?;
    for id in [&waits, &orders] {
        assert!(!world.is_completed(id).await?, "{id}");
    }
    world.call("/Resolver/resolve", json!({ "id": awakeable, "value": "up" })).await?;
    assert_eq!(world.answer(&waits).await?, json!("up"));
    world.call("/Order/killed/pay", json!("two euros")).await?;
    let receipt = json!({ "item": "pear", "paid": "two euros" });
    let ordered = json!({ "receipt": receipt, "code": null, "message": null });
    assert_eq!(world.answer(&orders).await?, ordered);

    // What was recorded before the kill was not done again.
    let (asleep, awake): (u64, u64) = serde_json::from_value(world.answer(&naps).await?)?;
    assert!(asleep <= killed, "fell asleep again {} ms after the kill", asleep - killed);
    assert!(awake - asleep >= nap, "slept {} ms of {nap} ms", awake - asleep);
    assert_eq!(commands(world, &naps).await?, ["Input", "Run", "Sleep", "Run", "Output"]);
    assert_eq!(commands(world, &orders).await?, ["Input", "Call", "Output"]);
    Ok(())
}
