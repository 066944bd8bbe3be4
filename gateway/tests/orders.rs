//! Giving orders about invocations at the admin port: one at a time, or many by a filter.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use common::faulty::Fault;
use common::made::{cart, id, put, row};
use common::stored::completed;
use common::{Answer, Ask, World, ask, start, start_with};
use everlog_gateway::GatewayLimits;
use everlog_log_schema::OrderAction::{Kill, Pause, Purge, Resume};
use everlog_log_schema::{
    DeploymentId, Entry, HandlerKind, InvocationId, InvocationRow, JournalRow, Millis, PartitionId,
    Pin, SignalId, Status, Target, WaitSet, partition_of,
};
use http::Method;
use serde_json::{Value, json};

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path).await
}

async fn patch(world: &World, id: InvocationId, verb: &str) -> Answer {
    world.admin(Method::PATCH, &format!("/invocations/{id}/{verb}")).await
}

#[tokio::test]
async fn an_order_is_answered_once_its_effect_can_be_seen() {
    let world = start().await;
    for (number, (status, verb, after, outcome)) in (1..).zip([
        (Status::Pending { place: 1 }, "cancel", "completed", "done"),
        (Status::Scheduled { at: Millis(1) }, "cancel", "completed", "done"),
        (Status::Running, "cancel", "running", "accepted"),
        (Status::Running, "kill", "completed", "done"),
        (Status::Running, "pause", "paused", "done"),
        (Status::Suspended(WaitSet::default().into()), "resume", "running", "done"),
        (Status::Paused, "resume", "running", "done"),
        (completed(), "purge", "purged", "done"),
    ]) {
        let id = put(&world, number, status);
        let answer = patch(&world, id, verb).await;
        let expected = json!({ "id": id.to_string(), "status": after, "outcome": outcome });
        let status = if outcome == "accepted" { 202 } else { 200 };
        assert_eq!((answer.status, answer.json()), (status, expected), "{verb}");
    }
    let signals = world.owner.signals();
    assert!(signals.iter().all(|signal| signal.signal == SignalId::CANCEL), "{signals:?}");
    assert!(signals.iter().all(|signal| signal.sender.is_none() && signal.incarnation.is_none()));
    let actions: Vec<_> = world.owner.orders().iter().map(|order| order.action).collect();
    assert_eq!((signals.len(), actions), (3, vec![Kill, Pause, Resume, Resume, Purge]));
    assert!(world.owner.row(id(8)).is_none());
}

#[tokio::test]
async fn an_order_that_changes_nothing_is_not_sent() {
    let world = start().await;
    for (number, (status, verb, after, outcome)) in (1..).zip([
        (Status::Paused, "pause", "paused", "already-paused"),
        (Status::Running, "resume", "running", "already-running"),
    ]) {
        let id = put(&world, number, status);
        let answer = patch(&world, id, verb).await;
        let expected = json!({ "id": id.to_string(), "status": after, "outcome": outcome });
        assert_eq!((answer.status, answer.json()), (200, expected), "{verb}");
    }
    for (number, (status, verb, code)) in (10..).zip([
        (Status::Scheduled { at: Millis(1) }, "pause", "invocation-not-started"),
        (Status::Pending { place: 1 }, "resume", "invocation-not-started"),
        (completed(), "cancel", "invocation-completed"),
        (completed(), "kill", "invocation-completed"),
        (completed(), "pause", "invocation-completed"),
        (completed(), "resume", "invocation-completed"),
        (Status::Running, "purge", "invocation-not-completed"),
    ]) {
        let id = put(&world, number, status);
        let status = if code == "invocation-not-started" { 425 } else { 409 };
        assert_eq!(patch(&world, id, verb).await.error(), (status, code.into()), "{verb}");
    }
    assert_eq!(world.owner.messages(), 0);
}

#[tokio::test]
async fn an_order_reaches_a_call_that_is_not_taken_in_yet() {
    let world = start().await;
    let sent = world.post("/Greeter/hang/send", "1").await;
    let id: InvocationId = sent.header("x-restate-id").unwrap().parse().unwrap();
    // Whether the owner has taken the call in by now or not, the order stands behind it.
    let killed = patch(&world, id, "kill").await.json();
    assert_eq!((&killed["status"], &killed["outcome"]), (&json!("completed"), &json!("done")));
    let attached = world.get(&format!("/restate/attach/{id}")).await;
    assert_eq!(attached.error(), (409, "invocation-failed".into()));
    assert_eq!(attached.json()["message"], "killed");
}

#[tokio::test]
async fn an_order_of_unknown_outcome_is_not_repeated() {
    let world = start().await;
    let id = put(&world, 1, Status::Running);
    for (faults, code) in [
        (&[Fault::UnknownLost][..], "order-outcome-unknown"),
        (&[Fault::UnknownLanded], "order-outcome-unknown"),
        (&[Fault::QueueFull], "log-unavailable"),
        (&[Fault::Refused, Fault::Refused], "log-unavailable"),
    ] {
        world.log.fail_next(faults.iter().copied());
        assert_eq!(patch(&world, id, "cancel").await.error(), (503, code.into()), "{faults:?}");
    }
    world.owner.wait_for_messages(1).await;
    assert_eq!(patch(&world, id, "cancel").await.status, 202);
    assert_eq!(world.owner.signals().len(), 2);
}

#[tokio::test]
async fn an_order_for_many_changes_those_that_it_applies_to() {
    let world = start().await;
    for number in 0..6 {
        put(&world, number, Status::Running);
    }
    put(&world, 6, completed());
    put(&world, 7, Status::Scheduled { at: Millis(1) });
    let greet = Target { service: "Greeter".into(), key: None, handler: "greet".into() };
    world.owner.put(id(8), row(greet, Status::Running));
    let post = async |path: &str| world.admin(Method::POST, path).await;

    let refused = post("/invocations/kill").await;
    assert_eq!(refused.error(), (400, "filter-required".into()));
    assert_eq!(world.owner.messages(), 0);
    let paused = post("/invocations/pause?service=Cart").await;
    assert_eq!(paused.json(), json!({ "matched": 8, "changed": 6, "next": null }));
    let again = post("/invocations/pause?service=Cart").await;
    assert_eq!(again.json(), json!({ "matched": 8, "changed": 0, "next": null }));

    let mut changed = Vec::new();
    let mut page = String::new();
    loop {
        let killed = post(&format!("/invocations/kill?all=true&limit=4{page}")).await.json();
        changed.push(killed["changed"].as_u64().unwrap());
        let Some(next) = killed["next"].as_str() else { break };
        page = format!("&page={next}");
    }
    assert_eq!(changed.iter().sum::<u64>(), 8, "{changed:?}");
    assert!(changed.len() > 1);
    let purged = post("/invocations/purge?status=completed").await.json();
    assert_eq!((&purged["matched"], &purged["changed"]), (&json!(9), &json!(9)));
    assert_eq!(get(&world, "/invocations").await.json()["invocations"], json!([]));
}

#[tokio::test]
async fn a_web_page_of_another_origin_is_not_obeyed() {
    let world = start().await;
    let id = put(&world, 1, Status::Running);
    let host = world.addresses.admin.to_string();
    let (own, secure) = (format!("http://{host}"), format!("https://{host}"));
    let other_port = world.addresses.ingress.to_string();
    let (other_port, longer) = (format!("http://{other_port}"), format!("{own}.example"));
    let path = "/invocations/kill?all=true";
    for http2 in [false, true] {
        for origin in ["https://shop.example", "null", "", &host, &other_port, &longer] {
            for request in [Ask::post(path, ""), Ask::get("/deployments"), Ask::get("/health")] {
                let answer = ask(world.addresses.admin, request.header("origin", origin), http2);
                assert_eq!(answer.await.error(), (403, "foreign-origin".into()), "{origin}");
            }
        }
        let two = Ask::post(path, "").header("origin", &own).header("origin", "null");
        assert_eq!(ask(world.addresses.admin, two, http2).await.status, 403);
        for origin in [&own, &secure] {
            let request = Ask::get("/deployments").header("origin", origin);
            assert_eq!(ask(world.addresses.admin, request, http2).await.status, 200, "{origin}");
        }
    }
    assert_eq!(world.owner.messages(), 0);
    let request = Ask::post(path, "").header("origin", &own);
    assert_eq!(ask(world.addresses.admin, request, false).await.json()["changed"], 1);
    assert_eq!(world.owner.row(id).map(|row| row.status), Some(completed()));
}

#[tokio::test]
async fn what_is_addressed_to_a_name_that_nobody_gave_is_not_obeyed() {
    let world = start().await;
    put(&world, 1, Status::Running);
    let path = "/invocations/kill?all=true";
    for http2 in [false, true] {
        for request in [Ask::post(path, ""), Ask::get("/deployments"), Ask::get("/health")] {
            // The page's own origin, as its name leads here by now.
            let request = request.header("host", "evil.example:9070");
            let request = request.header("origin", "http://evil.example:9070");
            let answer = ask(world.addresses.admin, request, http2).await;
            assert_eq!(answer.error(), (403, "foreign-host".into()));
        }
    }
    assert_eq!(world.owner.messages(), 0);
    let local = Ask::get("/deployments").header("host", "localhost:9070");
    assert_eq!(ask(world.addresses.admin, local, false).await.status, 200);
}

#[tokio::test]
async fn what_fails_for_one_is_done_for_the_others_and_told() {
    let world = start().await;
    let ids: Vec<_> = (0..4).map(|number| put(&world, number, Status::Running)).collect();
    let refused = [Fault::Refused, Fault::Refused];
    world.log.fail_next([Fault::QueueFull, Fault::UnknownLost].into_iter().chain(refused));
    let answer = world.admin(Method::POST, "/invocations/kill?all=true").await;
    assert_eq!(answer.status, 200);
    let killed = answer.json();
    assert_eq!((&killed["matched"], &killed["changed"]), (&json!(4), &json!(1)));
    let failed = killed["failed"].as_array().unwrap();
    let told: Vec<_> =
        failed.iter().map(|each| (each["id"].clone(), each["error"].clone())).collect();
    let expected = [
        (json!(ids[0].to_string()), json!("log-unavailable")),
        (json!(ids[1].to_string()), json!("order-outcome-unknown")),
        (json!(ids[2].to_string()), json!("log-unavailable")),
    ];
    assert_eq!(told, expected);
    assert!(failed[2]["message"].as_str().unwrap().contains("not today"), "{failed:?}");
    assert_eq!(world.owner.row(ids[3]).map(|row| row.status), Some(completed()));
    let again = world.admin(Method::POST, "/invocations/kill?all=true").await.json();
    assert_eq!(again, json!({ "matched": 4, "changed": 3, "next": null }));
}

#[tokio::test]
async fn an_order_whose_effect_cannot_be_seen_is_of_unknown_outcome() {
    let question_max = Duration::from_millis(50);
    let world = start_with(GatewayLimits { question_max, ..Default::default() }).await;
    let ids: Vec<_> = (0..8).map(|number| put(&world, number, Status::Running)).collect();
    world.owner.hide_effects(true);
    let one = patch(&world, ids[0], "pause").await;
    assert_eq!(one.error(), (503, "order-outcome-unknown".into()));
    let all = world.admin(Method::POST, "/invocations/kill?all=true").await.json();
    assert_eq!((&all["matched"], &all["changed"]), (&json!(8), &json!(0)));
    let failed = all["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 8);
    assert!(failed.iter().all(|each| each["error"] == "order-outcome-unknown"), "{failed:?}");
    world.owner.wait_for_messages(9).await;
}

#[tokio::test]
async fn a_stopped_partition_is_named_and_the_others_are_ordered_about() {
    let world = start().await;
    let mut reachable = 0;
    for number in 0..16 {
        let id = put(&world, number, Status::Running);
        let partition = partition_of(id.partition_key, common::PARTITIONS);
        reachable += usize::from(partition != PartitionId(0));
    }
    assert!((1..16).contains(&reachable), "{reachable}");
    world.owner.stop_listing(PartitionId(0));
    let left_out = json!([{ "partition": 0, "reason": "its log went back" }]);
    let list = get(&world, "/invocations").await.json();
    assert_eq!(list["invocations"].as_array().map(Vec::len), Some(reachable));
    assert_eq!((&list["unavailable"], &list["next"]), (&left_out, &json!(null)));
    let killed = world.admin(Method::POST, "/invocations/kill?all=true").await.json();
    let expected = json!({ "matched": reachable, "changed": reachable, "next": null,
        "unavailable": left_out });
    assert_eq!(killed, expected);
}

/// Gives an order about these invocations.
async fn batch(world: &World, order: &str, ids: &[String]) -> Answer {
    batch_of(world, order, &json!({ "invocation_ids": ids })).await
}

async fn batch_of(world: &World, order: &str, body: &Value) -> Answer {
    let path = format!("/internal/invocations_batch_operations/{order}");
    ask(world.addresses.admin, Ask::post(&path, body.to_string()), false).await
}

/// Puts an invocation there that has recorded a step on a deployment that is no more.
fn put_pinned(world: &World, number: u64, status: Status) -> String {
    let pin = Pin { deployment: DeploymentId("dp_old".into()), protocol_version: 6 };
    world.owner.put(id(number), InvocationRow { pin: Some(pin), ..row(cart("hang"), status) });
    id(number).to_string()
}

fn pinned_to(world: &World, id: &str) -> Option<String> {
    world.owner.row(id.parse().unwrap()).unwrap().pin.map(|pin| pin.deployment.0)
}

#[tokio::test]
async fn many_go_on_with_the_code_that_is_chosen() {
    let world = start().await;
    let paused = put_pinned(&world, 1, Status::Paused);
    let running = put_pinned(&world, 2, Status::Running);
    let without_step = put(&world, 3, Status::Paused).to_string();
    let ids = [&paused, &running, &without_step];
    let body = json!({ "invocation_ids": ids, "deployment": "dp_1" });
    let answer = batch_of(&world, "resume", &body).await;
    assert_eq!((answer.status, &answer.json()["succeeded"]), (200, &json!([paused])));
    let failed = answer.json()["failed"].as_array().unwrap().len();
    assert_eq!((failed, world.owner.messages()), (2, 1));
    assert_eq!(pinned_to(&world, &paused).as_deref(), Some("dp_1"));
    for deployment in [json!(null), json!("keep")] {
        let body = json!({ "invocation_ids": [without_step], "deployment": deployment });
        let answer = batch_of(&world, "resume", &body).await;
        assert_eq!(answer.json()["succeeded"], json!([without_step]), "{deployment}");
    }
    let refused = batch_of(&world, "kill", &body).await;
    assert_eq!(refused.error(), (400, "malformed-request".into()));
}

#[tokio::test]
async fn many_begin_anew_with_the_code_that_is_chosen() {
    let world = start().await;
    let old = put_pinned(&world, 1, completed());
    let never_begun = put(&world, 2, Status::Scheduled { at: Millis(1) }).to_string();
    for (deployment, pinned) in
        [(json!(null), None), (json!("latest"), None), (json!("dp_1"), Some("dp_1"))]
    {
        let body = json!({ "invocation_ids": [old, never_begun], "deployment": deployment });
        let answer = batch_of(&world, "restart-as-new", &body).await.json();
        assert_eq!(answer["failed"][0]["invocation_id"], json!(never_begun), "{answer}");
        let begun = &answer["succeeded"][0];
        assert_eq!(begun["old_invocation_id"], json!(old), "{answer}");
        let new = begun["new_invocation_id"].as_str().unwrap();
        assert_eq!(pinned_to(&world, new).as_deref(), pinned, "{deployment}");
    }
    // The code that it had is no more.
    let body = json!({ "invocation_ids": [old], "deployment": "keep" });
    let answer = batch_of(&world, "restart-as-new", &body).await.json();
    assert_eq!(answer["succeeded"], json!([]), "{answer}");
}

#[tokio::test]
async fn what_cannot_begin_anew_says_why_not() {
    let world = start().await;
    let refused = async |id: InvocationId, query: &str| {
        patch(&world, id, &format!("restart-as-new{query}")).await.error()
    };
    for (number, (status, expected)) in (1..).zip([
        (Status::Scheduled { at: Millis(1) }, (425, "invocation-not-started")),
        (Status::Pending { place: 1 }, (425, "invocation-not-started")),
        (Status::Running, (409, "invocation-not-completed")),
        (Status::Paused, (409, "invocation-not-completed")),
    ]) {
        let id = put(&world, number, status);
        for query in ["", "?from=1", "?from=1&deployment=latest"] {
            assert_eq!(refused(id, query).await, (expected.0, expected.1.to_owned()), "{query}");
        }
    }
    let over = put(&world, 5, completed());
    assert_eq!(refused(over, "?from=1").await, (410, "journal-gone".into()));
    let input = Entry::Input { headers: vec![], body: Bytes::new() };
    world.owner.put_journal(over, vec![JournalRow { at: Millis(1), attempts: 0, entry: input }]);
    assert_eq!(refused(over, "?from=1").await, (422, "restart-refused".into()));
    assert_eq!(refused(over, "?from=-1").await, (400, "malformed-query".into()));
    let run = InvocationRow { kind: HandlerKind::Workflow, ..row(cart("hang"), completed()) };
    world.owner.put(id(6), run);
    assert_eq!(refused(id(6), "?from=1").await, (422, "restart-refused".into()));
    assert_eq!(world.owner.messages(), 0);
}

#[tokio::test]
async fn an_order_may_name_many_invocations() {
    let world = start().await;
    let running = put(&world, 1, Status::Running).to_string();
    let paused = put(&world, 2, Status::Paused).to_string();
    let pending = put(&world, 3, Status::Pending { place: 1 }).to_string();
    let (unknown, malformed) = (id(9).to_string(), "inv_x".to_owned());
    let ids = [running, paused, pending, unknown, malformed];
    // Each is ordered about once, however often it is named.
    let twice = [&ids[..], &ids[..4]].concat();
    let answer = batch(&world, "pause", &twice).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let succeeded: BTreeSet<_> =
        answer["succeeded"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(succeeded, BTreeSet::from([ids[0].as_str(), ids[1].as_str()]));
    let failed = answer["failed"].as_array().unwrap();
    let failed: Vec<_> = failed.iter().map(|of| of["invocation_id"].as_str().unwrap()).collect();
    assert_eq!(failed, [&ids[4], &ids[2], &ids[3]]);
    assert_eq!(world.owner.orders().len(), 1);
    assert_eq!(batch(&world, "purge", &[]).await.json(), json!({ "succeeded": [], "failed": [] }));
}

#[tokio::test]
async fn an_order_names_so_many_invocations_and_no_more() {
    let world = start().await;
    let ids = |count| vec![String::from("x"); count];
    assert_eq!(batch(&world, "kill", &ids(1_000)).await.status, 200);
    let refused = batch(&world, "kill", &ids(1_001)).await;
    assert_eq!(refused.error(), (400, "too-many-invocations".into()));
    assert_eq!(batch(&world, "stop", &[]).await.error(), (404, "unknown-order".into()));
    let path = "/internal/invocations_batch_operations/kill";
    let malformed = ask(world.addresses.admin, Ask::post(path, "{}"), false).await;
    assert_eq!(malformed.error(), (400, "malformed-request".into()));
}

#[tokio::test]
async fn an_invocation_ends_as_older_tools_ask() {
    let world = start().await;
    for (number, (status, query, action)) in (1..).zip([
        (Status::Running, "?mode=Kill", Some(Kill)),
        (completed(), "?mode=purge", Some(Purge)),
        (Status::Running, "", None),
        (Status::Running, "?mode=cancel", None),
        (completed(), "?mode=kill", None),
    ]) {
        let before = world.owner.orders().len();
        let path = format!("/invocations/{}{query}", put(&world, number, status));
        assert_eq!(world.admin(Method::DELETE, &path).await.status, 202, "{query}");
        let orders = world.owner.orders();
        assert_eq!(orders.get(before).map(|order| order.action), action, "{query}");
    }
    assert_eq!(world.owner.signals().len(), 2);
    let path = format!("/invocations/{}?mode=stop", id(1));
    assert_eq!(world.admin(Method::DELETE, &path).await.error(), (400, "malformed-query".into()));
}
