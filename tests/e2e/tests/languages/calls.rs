//! Calls between functions: awaited, one-way, delayed, with idempotency keys.

use std::time::Duration;

use anyhow::Result;
use everlog_e2e::{World, next_hash};
use serde_json::{Value, json};

const DELAY: Duration = Duration::from_millis(300);

pub(crate) async fn a_call_returns_what_its_callee_returns(world: &mut World) -> Result<()> {
    let answer = world.call("/Caller/append", json!({ "key": "called", "item": "x" })).await?;
    assert_eq!(answer, json!({ "position": 0, "hash": next_hash("", "x") }));
    let failure = world.call("/Caller/failure", Value::Null).await?;
    assert_eq!(failure, json!({ "code": 422, "message": "the card was declined" }));

    let steps = world.call("/Steps/run", json!(5)).await?;
    let mut tokens: Vec<String> = serde_json::from_value(steps)?;
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "{tokens:?}");

    // A handler attaches to an invocation that it did not start.
    let sent = world.send("/History/called/append", json!("y")).await?;
    let attached = world.call("/Caller/attach", json!(sent)).await?;
    assert_eq!(attached["position"], 1);
    assert_eq!(attached, world.answer(&sent).await?);
    Ok(())
}

pub(crate) async fn calls_with_one_idempotency_key_are_one_call(world: &mut World) -> Result<()> {
    let answer = world.call("/Caller/twice", json!({ "key": "once", "item": "x" })).await?;
    let place = json!({ "position": 0, "hash": next_hash("", "x") });
    assert_eq!(answer["answers"], json!([place, place]));
    assert_eq!(answer["ids"][0], answer["ids"][1]);
    assert_eq!(world.history("once", 1).await?, ["x"]);
    // The same key from outside means the same invocation.
    let headers = [("idempotency-key", "twice-x")];
    let outside = world.everlog.call("/History/once/append", &headers, "\"x\"").await?.success()?;
    assert_eq!(Some(outside.headers["x-restate-id"].to_str()?), answer["ids"][0].as_str());
    assert_eq!(world.history("once", 1).await?, ["x"]);
    Ok(())
}

pub(crate) async fn one_way_calls_arrive_in_order(world: &mut World) -> Result<()> {
    let items: Vec<String> = (0..20).map(|item| format!("item {item}")).collect();
    let input = json!({ "key": "ordered", "items": items });
    let ids = world.call("/Caller/sendAll", input).await?;
    let ids: Vec<String> = serde_json::from_value(ids)?;
    assert_eq!(world.history("ordered", items.len()).await?, items);
    for (position, id) in ids.iter().enumerate() {
        assert_eq!(world.answer(id).await?["position"], position, "{id}");
    }
    Ok(())
}

pub(crate) async fn nothing_wakes_or_arrives_early(world: &mut World) -> Result<()> {
    let delay = u64::try_from(DELAY.as_millis())?;
    let napped = world.call("/Timer/nap", json!(delay)).await?;
    let (asleep, awake): (u64, u64) = serde_json::from_value(napped)?;
    assert!(awake - asleep >= delay, "slept {} ms of {delay} ms", awake - asleep);

    let sent = world.call("/Caller/stampLater", json!({ "key": "late", "millis": delay })).await?;
    let stamped: u64 = world.noted("late", "stamped").await?.parse()?;
    let took = stamped - sent.as_u64().unwrap();
    assert!(took >= delay, "the delayed call arrived after {took} ms of {delay} ms");
    Ok(())
}
