//! Per-key order and exactly-once state, while everything is killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use everlog_e2e::{World, call_until_answered, next_hash};
use everlog_harness::{Http, within};
use serde::Deserialize;
use serde_json::{Value, json};

const CALLERS: usize = 64;
const KEYS: usize = 10;
const CALLS_PER_CALLER: usize = 8;
/// Of each, the server and the functions.
const KILLS: usize = 5;
/// How long all of it may take: a bound that tells a hang from a slow machine.
const TEST_MAX: Duration = Duration::from_mins(4);

/// Where an item came to stand.
#[derive(Debug, Deserialize)]
struct Place {
    position: usize,
    hash: String,
}

/// One call, as its caller saw it.
struct Seen {
    key: String,
    item: String,
    begun: Instant,
    ended: Instant,
    place: Place,
}

/// Calls with an item as idempotency key, and reads the answer.
async fn ask(http: &Http, at: SocketAddr, path: &str, once: &str, input: &Value) -> Result<Value> {
    let input = input.to_string();
    let reply = call_until_answered(http, at, path, once, &input, TEST_MAX).await?;
    Ok(serde_json::from_slice(&reply.body)?)
}

/// Waits for the answer of an invocation that a function has sent.
async fn attach(http: &Http, at: SocketAddr, id: &str) -> Result<Value> {
    let deadline = Instant::now() + TEST_MAX;
    loop {
        // What was sent may not have arrived yet.
        match http.get(at, &format!("/restate/attach/{id}")).await {
            Ok(reply) if reply.status.is_success() => {
                return Ok(serde_json::from_slice(&reply.body)?);
            }
            answer if Instant::now() > deadline => bail!("{id} got no answer: {answer:?}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Appends an item in one of three ways: itself, by a function that calls, or by one that sends.
async fn append(http: &Http, at: SocketAddr, call: usize, key: &str, item: &str) -> Result<Place> {
    let place = match call % 3 {
        0 => ask(http, at, &format!("/History/{key}/append"), item, &json!(item)).await?,
        1 => ask(http, at, "/Caller/append", item, &json!({ "key": key, "item": item })).await?,
        _ => {
            let input = json!({ "key": key, "items": [item] });
            let sent = ask(http, at, "/Caller/sendAll", item, &input).await?;
            attach(http, at, sent[0].as_str().context("no id")?).await?
        }
    };
    Ok(serde_json::from_value(place)?)
}

async fn run_caller(caller: usize, at: SocketAddr, done: Arc<AtomicUsize>) -> Result<Vec<Seen>> {
    let http = Http::default();
    let mut seen = Vec::new();
    for call in 0..CALLS_PER_CALLER {
        let key = format!("key-{}", (caller + call) % KEYS);
        let item = format!("{caller}-{call}");
        let begun = Instant::now();
        let place = append(&http, at, caller + call, &key, &item).await?;
        seen.push(Seen { key, item, begun, ended: Instant::now(), place });
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(seen)
}

pub(crate) async fn each_history_survives_sixty_four_callers_and_kills(
    world: &mut World,
) -> Result<()> {
    let (done, at) = (Arc::new(AtomicUsize::new(0)), world.everlog.ingress);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(run_caller(caller, at, Arc::clone(&done))))
        .collect();
    for kill in 0..KILLS * 2 {
        let wanted = (kill + 1) * CALLERS * CALLS_PER_CALLER / (KILLS * 2 + 1);
        within(TEST_MAX, &format!("{wanted} answers before kill {kill}"), || async {
            done.load(Ordering::Relaxed) >= wanted
        })
        .await?;
        if kill % 2 == 0 {
            world.everlog.kill().await?;
            world.everlog.restart().await?;
        } else {
            world.functions.kill().await?;
            world.functions.restart().await?;
        }
    }
    let mut by_key: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for caller in callers {
        for seen in caller.await?? {
            by_key.entry(seen.key.clone()).or_default().push(seen);
        }
    }
    assert_eq!(by_key.len(), KEYS);
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), CALLERS * CALLS_PER_CALLER);
    for (key, seen) in by_key {
        check(world, &key, seen).await?;
    }
    Ok(())
}

/// Checks that a history holds each item once, where its caller was told, linked by its hashes,
/// and in an order that agrees with what happened before what.
async fn check(world: &World, key: &str, mut seen: Vec<Seen>) -> Result<()> {
    seen.sort_by_key(|seen| seen.place.position);
    let items: Vec<_> = seen.iter().map(|seen| seen.item.clone()).collect();
    assert_eq!(world.history(key, items.len()).await?, items, "{key}");
    let mut last = String::new();
    let mut latest_begin: Option<Instant> = None;
    for (position, seen) in seen.iter().enumerate() {
        assert_eq!(seen.place.position, position, "{key}: {}", seen.item);
        last = next_hash(&last, &seen.item);
        assert_eq!(seen.place.hash, last, "{key}: {}", seen.item);
        let in_order = latest_begin.is_none_or(|begin| seen.ended >= begin);
        assert!(in_order, "{key}: {} ended before one in front of it began", seen.item);
        latest_begin = latest_begin.max(Some(seen.begun));
    }
    let read = world.call(&format!("/History/{key}/read"), Value::Null).await?;
    assert_eq!(read["hash"], json!(last), "{key}");
    Ok(())
}
