//! State of virtual objects, and who may run beside whom.

use anyhow::{Context as _, Result};
use everlog_e2e::{WAIT_MAX, World};
use everlog_harness::{Reply, within};
use serde_json::{Value, json};

/// Applies a script of state commands in one call.
async fn apply(world: &World, object: &str, script: &str) -> Result<Value> {
    let steps: Vec<Value> = script
        .split_whitespace()
        .map(|step| {
            let (op, rest) = step.split_once(':').unwrap_or((step, ""));
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            json!({ "op": op, "name": name, "value": value })
        })
        .collect();
    world.call(&format!("/{object}/apply"), json!(steps)).await
}

pub(crate) async fn state_commands_count_once_and_in_order(world: &mut World) -> Result<()> {
    for object in ["Store", "LazyStore"] {
        let alice = format!("{object}/alice");
        let script = "set:a=1 set:b=2 get:a get:missing keys sleep get:b clear:a get:a";
        let expected = json!(["1", null, ["a", "b"], "2", null]);
        assert_eq!(apply(world, &alice, script).await?, expected, "{object}");
        // Another call finds what the first has left.
        let script = "keys get:a get:b set:c=3 sleep keys clearAll keys get:b sleep get:c set:d=4";
        let expected = json!([["b"], null, "2", ["b", "c"], [], null, null]);
        assert_eq!(apply(world, &alice, script).await?, expected, "{object}");
        assert_eq!(apply(world, &alice, "keys get:d").await?, json!([["d"], "4"]), "{object}");
        let peek = format!("/{alice}/peek");
        assert_eq!(world.call(&peek, json!("d")).await?, json!("4"), "{object}");
        assert_eq!(world.call(&peek, json!("b")).await?, Value::Null, "{object}");
        // Another key has a state of its own.
        let bob = format!("{object}/bob");
        assert_eq!(apply(world, &bob, "keys get:d").await?, json!([[], null]), "{object}");
    }
    // Only where the server answers: the SDKs' core lists a cleared key of eager state as a key.
    let script = "set:e=5 clear:d keys";
    assert_eq!(apply(world, "LazyStore/alice", script).await?, json!([["e"]]));
    Ok(())
}

pub(crate) async fn a_shared_handler_does_not_wait_for_an_exclusive_one(
    world: &mut World,
) -> Result<()> {
    let blocking = world.send("/Blocker/door/block", Value::Null).await?;
    assert_eq!(world.noted("door", "blocked").await?, blocking);
    let free = world.send("/Blocker/door/free", Value::Null).await?;
    assert_eq!(world.call("/Blocker/door/look", Value::Null).await?, json!("here"));
    assert_eq!(world.call("/Blocker/other/free", Value::Null).await?, json!("free"));
    // Its turn has not come, although it came before the one that has been answered.
    assert!(!world.is_completed(&free).await?);
    world.order(&blocking, "cancel").await?;
    assert_eq!(world.answer(&free).await?, json!("free"));
    Ok(())
}

/// Replaces the state of an object.
async fn replace(world: &World, service: &str, edit: &Value) -> Result<Reply> {
    let path = format!("/services/{service}/state");
    world.everlog.http.post(world.everlog.admin, &path, &[], edit.to_string()).await
}

/// The id of the edit that waits for the key of a blocker.
async fn waiting_edit(world: &World) -> Result<String> {
    let path = "/invocations?service=Blocker&key=held&status=pending";
    let find = async || -> Option<String> {
        let list = world.everlog.admin_get(path).await.ok()?;
        let list: Value = serde_json::from_slice(&list.body).ok()?;
        Some(list["invocations"][0]["id"].as_str()?.to_owned())
    };
    within(WAIT_MAX, "the edit waits", || async { find().await.is_some() }).await?;
    find().await.context("the edit has gone")
}

pub(crate) async fn state_is_replaced_when_nobody_writes_it(world: &mut World) -> Result<()> {
    apply(world, "Store/edited", "set:a=1 set:b=2").await?;
    let shown = async || -> Result<Value> {
        let reply = world.everlog.admin_get("/services/Store/state/edited").await?.success()?;
        Ok(serde_json::from_slice(&reply.body)?)
    };
    let before = shown().await?;
    // As the SDK writes it.
    let two = before["entries"][1]["valueUtf8"].as_str().unwrap();
    let edit = json!({ "object_key": "edited", "new_state": { "a": two.as_bytes(), "c": two },
        "version": before["version"] });
    let replaced = replace(world, "Store", &edit).await?;
    assert_eq!(replaced.status, 202, "{}", replaced.text());
    let expected = json!(["2", null, "2", ["a", "c"]]);
    assert_eq!(apply(world, "Store/edited", "get:a get:b get:c keys").await?, expected);
    let refused = replace(world, "Store", &edit).await?;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("state-version-mismatch"), "{}", refused.text());
    assert_eq!(apply(world, "Store/edited", "keys").await?, json!([["a", "c"]]));
    let after = shown().await?;
    assert_ne!(after["version"], before["version"]);

    // It waits for whoever holds the key, and can be cancelled meanwhile.
    let blocking = world.send("/Blocker/held/block", Value::Null).await?;
    assert_eq!(world.noted("held", "blocked").await?, blocking);
    let edit = json!({ "object_key": "held", "new_state": { "a": "text" } });
    let edited = replace(world, "Blocker", &edit);
    let (refused, cancelled) =
        tokio::join!(edited, async { world.order(&waiting_edit(world).await?, "cancel").await });
    cancelled?;
    assert!(refused?.text().contains("state-edit-ended"));
    let (replaced, cancelled) = tokio::join!(replace(world, "Blocker", &edit), async {
        waiting_edit(world).await?;
        world.order(&blocking, "cancel").await
    });
    cancelled?;
    assert!(replaced?.text().contains("\"applied\":true"));
    let reply = world.everlog.admin_get("/services/Blocker/state/held").await?.success()?;
    assert!(reply.text().contains("\"valueUtf8\":\"text\""), "{}", reply.text());
    Ok(())
}
