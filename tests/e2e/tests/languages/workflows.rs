//! Workflows: one run for each key, the other handlers beside it, and promises between them.

use anyhow::Result;
use everlog_e2e::World;
use http::StatusCode;
use serde_json::{Value, json};

/// What a second call of a run is told.
const INVOKED: &str = "the workflow method was already invoked";

pub(crate) async fn a_run_waits_for_its_promise(world: &mut World) -> Result<()> {
    let id = world.send("/Order/o1/run", json!("pear")).await?;
    let waits = world.send("/Order/o1/wait", Value::Null).await?;
    world.until_value("/Order/o1/look", &json!({ "item": "pear", "paid": null })).await?;
    assert!(!world.is_completed(&id).await?);

    let how = world.call("/Order/o1/pay", json!("two euros")).await?;
    let receipt = json!({ "item": "pear", "paid": "two euros" });
    assert_eq!(world.answer(&id).await?, receipt);
    assert_eq!(world.answer(&waits).await?, json!("two euros"));
    // It is completed once. The Rust SDK does not wait to hear of it.
    let again = world.try_call("/Order/o1/pay", json!("nothing")).await?;
    if how == json!("sent") {
        assert_eq!(again.status, StatusCode::OK);
    } else {
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text());
        assert!(again.text().contains("promise was already completed"), "{}", again.text());
    }
    let look = world.call("/Order/o1/look", Value::Null).await?;
    assert_eq!(look, json!({ "item": "pear", "paid": "two euros" }));
    assert_eq!(world.call("/Order/o1/wait", Value::Null).await?, json!("two euros"));

    // A promise may be completed before anybody asks for it, and be refused.
    world.call("/Order/o2/refuse", json!("no money")).await?;
    let refused = world.try_call("/Order/o2/run", json!("pear")).await?;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", refused.text());
    assert!(refused.text().contains("no money"), "{}", refused.text());
    Ok(())
}

pub(crate) async fn a_workflow_runs_once_for_each_key(world: &mut World) -> Result<()> {
    let ingress = world.everlog.ingress;
    let id = world.send("/Order/once/run", json!("pear")).await?;
    let sent = world.try_call("/Order/once/run/send", json!("apple")).await?.success()?;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    let sent: Value = serde_json::from_slice(&sent.body)?;
    assert_eq!(sent, json!({ "invocationId": id, "status": "PreviouslyAccepted" }));
    let called = world.try_call("/Order/once/run", json!("apple")).await?;
    assert_eq!(called.status, StatusCode::CONFLICT);
    assert_eq!(called.headers["x-restate-error-source"], "invocation");
    assert!(called.text().contains(INVOKED), "{}", called.text());
    let ordered = json!({ "key": "once", "item": "fig" });
    let refused = json!({ "receipt": null, "code": 409, "message": INVOKED });
    assert_eq!(world.call("/Desk/order", ordered.clone()).await?, refused);
    assert_eq!(world.call("/Desk/send", ordered).await?, json!(id));
    let keyed = [("idempotency-key", "k")];
    let keyed = world.everlog.call("/Order/once/run", &keyed, "\"pear\"").await?;
    assert_eq!(keyed.status, StatusCode::BAD_REQUEST, "{}", keyed.text());

    // Whoever knows the key can look, and wait.
    let output = world.everlog.http.get(ingress, "/restate/workflow/Order/once/output").await?;
    assert_eq!(output.status, 470, "{}", output.text());
    let nobody = world.everlog.http.get(ingress, "/restate/workflow/Order/none/output").await?;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND, "{}", nobody.text());
    let attached = world.everlog.http.get(ingress, "/restate/workflow/Order/once/attach");
    let (attached, paid) = tokio::join!(attached, world.call("/Order/once/pay", json!("now")));
    paid?;
    let receipt = json!({ "item": "pear", "paid": "now" });
    assert_eq!(serde_json::from_slice::<Value>(&attached?.success()?.body)?, receipt);
    let named = json!({ "target": "workflow", "workflowName": "Order", "workflowKey": "once" });
    let output = world.everlog.call("/restate/output", &[], &named.to_string()).await?.success()?;
    assert_eq!(serde_json::from_slice::<Value>(&output.body)?, receipt);
    let found = world.everlog.call("/restate/lookup", &[], &named.to_string()).await?.success()?;
    assert_eq!(serde_json::from_slice::<Value>(&found.body)?, json!({ "invocationId": id }));

    // A function that calls it first gets the outcome.
    let ordering = json!({ "key": "by-desk", "item": "fig" });
    let (ordered, paid) = tokio::join!(
        world.call("/Desk/order", ordering),
        world.call("/Order/by-desk/pay", json!("cash"))
    );
    paid?;
    let receipt = json!({ "item": "fig", "paid": "cash" });
    assert_eq!(ordered?, json!({ "receipt": receipt, "code": null, "message": null }));

    // What is purged is forgotten with its promises and its state, and its key is free.
    world.order(&id, "purge").await?;
    world.until_value("/Order/once/look", &json!({ "item": null, "paid": null })).await?;
    let again = world.send("/Order/once/run", json!("kiwi")).await?;
    assert_eq!(again, id);
    world.until_value("/Order/once/look", &json!({ "item": "kiwi", "paid": null })).await?;
    world.call("/Order/once/pay", json!("again")).await?;
    assert_eq!(world.answer(&again).await?, json!({ "item": "kiwi", "paid": "again" }));
    Ok(())
}
