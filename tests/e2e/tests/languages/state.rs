//! State of virtual objects, and who may run beside whom.

use anyhow::Result;
use everlog_e2e::World;
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
