//! What becomes of deployments and services after their registration: they are described anew,
//! patched, watched until nothing needs them, and removed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;

use common::endpoint::{Cart, Script, serve_script, serve_sdk};
use common::made::{id, row};
use common::stored::completed;
use common::{Answer, Ask, World, ask, start, start_empty};
use everlog_gateway::GatewayLimits;
use everlog_log_schema::{DeploymentId, InvocationId, InvocationRow, Millis, Pin, Status, Target};
use http::Method;
use restate_sdk::prelude::Endpoint;
use serde_json::{Value, json};

async fn world() -> World {
    start_empty(GatewayLimits::default()).await
}

async fn send(world: &World, method: Method, path: &str, body: &Value) -> Answer {
    let request = Ask::post(path, body.to_string()).method(method);
    ask(world.addresses.admin, request, false).await
}

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path).await
}

/// Serves a plain service with these handlers.
async fn serve(service: &str, handlers: &[&str]) -> SocketAddr {
    let handlers: Vec<Value> = handlers.iter().map(|name| json!({ "name": name })).collect();
    let manifest = json!({
        "protocolMode": "BIDI_STREAM",
        "minProtocolVersion": 5,
        "maxProtocolVersion": 6,
        "services": [{ "name": service, "ty": "SERVICE", "handlers": handlers }],
    });
    serve_script(Script::manifest(manifest.to_string())).await
}

fn at(address: SocketAddr) -> Value {
    json!({ "uri": format!("http://{address}") })
}

/// Registers what answers there, and tells its id.
async fn register(world: &World, address: SocketAddr) -> String {
    let answer = send(world, Method::POST, "/deployments", &at(address)).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn greet() -> Target {
    Target { service: "Greeter".into(), key: None, handler: "greet".into() }
}

/// Puts an invocation there that goes on with the code of a deployment.
fn put_pinned(world: &World, number: u64, deployment: &str, status: Status) -> InvocationId {
    let pin = Pin { deployment: DeploymentId(deployment.into()), protocol_version: 6 };
    world.owner.put(id(number), InvocationRow { pin: Some(pin), ..row(greet(), status) });
    id(number)
}

#[tokio::test]
async fn a_deployment_is_described_anew() {
    let world = world().await;
    let old = serve("Greeter", &["greet"]).await;
    let id = register(&world, old).await;
    let path = format!("/deployments/{id}");
    let moved = serve("Greeter", &["greet", "wave"]).await;
    let mut request = at(moved);
    request["dry_run"] = json!(true);
    assert_eq!(send(&world, Method::PATCH, &path, &request).await.status, 200);
    assert_eq!(get(&world, &path).await.json()["uri"], at(old)["uri"]);

    request["dry_run"] = json!(false);
    request["additional_headers"] = json!({ "authorization": "Bearer x" });
    request["metadata"] = json!({ "team": "blue" });
    for method in [Method::PATCH, Method::PUT] {
        let updated = send(&world, method, &path, &request).await;
        assert_eq!((updated.status, &updated.json()["id"]), (200, &json!(id)));
    }
    let shown = get(&world, &path).await.json();
    assert_eq!(
        (&shown["uri"], &shown["metadata"]),
        (&at(moved)["uri"], &json!({ "team": "blue" }))
    );
    assert_eq!(shown["additional_headers"], json!({ "authorization": "***" }));
    // Nothing but what was said has changed since.
    assert_eq!(send(&world, Method::PATCH, &path, &json!({})).await.status, 200);
    assert_eq!(get(&world, &path).await.json(), shown);
    assert_eq!(get(&world, "/services/Greeter").await.json()["revision"], 1);
}

#[tokio::test]
async fn other_code_does_not_take_a_deployments_place_unseen() {
    let world = world().await;
    let first = register(&world, serve("Greeter", &["greet", "wave"]).await).await;
    let path = format!("/deployments/{first}");
    let lacking = at(serve("Greeter", &["greet"]).await);
    let other = at(serve("Other", &["greet", "wave"]).await);
    let keyed = at(serve_sdk(Endpoint::builder().bind(Cart).build()).await);
    for request in [&lacking, &other, &keyed] {
        let answer = send(&world, Method::PATCH, &path, request).await;
        assert_eq!(answer.error(), (409, "deployment-not-similar".into()));
        assert_eq!(answer.json()["restate_code"], "META0016");
    }
    let mut forced = lacking.clone();
    forced["overwrite"] = json!(true);
    assert_eq!(send(&world, Method::PATCH, &path, &forced).await.status, 200);
    let service = get(&world, "/services/Greeter").await.json();
    assert_eq!(service["handlers"].as_array().unwrap().len(), 1);

    // The same code elsewhere keeps what was set for its services; other code begins without it.
    let hidden = json!({ "public": false });
    assert_eq!(send(&world, Method::PATCH, "/services/Greeter", &hidden).await.status, 200);
    for (handlers, public) in [(&["greet"][..], false), (&["greet", "wave"], true)] {
        let mut elsewhere = at(serve("Greeter", handlers).await);
        elsewhere["overwrite"] = json!(true);
        assert_eq!(send(&world, Method::PATCH, &path, &elsewhere).await.status, 200);
        assert_eq!(get(&world, "/services/Greeter").await.json()["public"], public, "{handlers:?}");
    }

    let taken = serve("Hello", &["hello"]).await;
    register(&world, taken).await;
    let mut taken = at(taken);
    taken["overwrite"] = json!(true);
    let answer = send(&world, Method::PATCH, &path, &taken).await;
    assert_eq!(answer.error(), (409, "deployment-conflict".into()));
    for (path, body, expected) in [
        ("/deployments/dp_none", json!({}), (404, "not-found")),
        (&path, json!({ "url": "http://x" }), (400, "malformed-request")),
        (&path, json!({ "uri": "x" }), (400, "malformed-request")),
    ] {
        let answer = send(&world, Method::PATCH, path, &body).await.error();
        assert_eq!(answer, (expected.0, expected.1.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn an_invocation_goes_on_only_where_its_version_is_spoken() {
    let world = world().await;
    let deployment = register(&world, serve("Greeter", &["greet"]).await).await;
    let paused = InvocationRow {
        pin: Some(Pin { deployment: DeploymentId("dp_gone".into()), protocol_version: 7 }),
        ..row(greet(), Status::Paused)
    };
    world.owner.put(id(1), paused);
    let path = format!("/invocations/{}/resume?deployment={deployment}", id(1));
    let answer = world.admin(Method::PATCH, &path).await;
    assert_eq!(answer.error(), (400, "version-not-spoken".into()));
    assert_eq!(answer.json()["restate_code"], "RT0014");
    assert_eq!(world.owner.messages(), 0, "nothing was ordered");
}

#[tokio::test]
async fn a_deployment_goes_once_nothing_needs_it() {
    let world = world().await;
    let first = register(&world, serve("Greeter", &["greet"]).await).await;
    let path = format!("/deployments/{first}");
    let drain = format!("{path}/drain");
    let fresh = get(&world, &drain).await.json();
    let expected = json!({ "id": first, "drained": false, "newest_of": ["Greeter"],
        "open_invocations": 0, "starting_invocations": 0 });
    assert_eq!(fresh, expected);
    let second = register(&world, serve("Greeter", &["greet", "wave"]).await).await;

    let open = put_pinned(&world, 1, &first, Status::Paused);
    put_pinned(&world, 2, &first, completed());
    put_pinned(&world, 3, &second, Status::Running);
    // What has begun before the second version came may have begun on the first; what has not
    // begun, or later, has not.
    world.owner.put(id(4), row(greet(), Status::Running));
    world.owner.put(id(5), row(greet(), Status::Pending { place: 1 }));
    let late = InvocationRow { modified_at: Millis::MAX, ..row(greet(), Status::Running) };
    world.owner.put(id(6), late);
    let other = Target { service: "Other".into(), ..greet() };
    world.owner.put(id(7), row(other, Status::Running));
    let expected = json!({ "id": first, "drained": false, "newest_of": [],
        "open_invocations": 1, "starting_invocations": 1 });
    assert_eq!(get(&world, &drain).await.json(), expected);
    let refused = world.admin(Method::DELETE, &path).await;
    assert_eq!(refused.error(), (409, "deployment-in-use".into()));

    world.owner.put(open, row(greet(), completed()));
    let refused = world.admin(Method::DELETE, &path).await;
    assert_eq!(refused.error(), (409, "deployment-in-use".into()));
    world.owner.put(id(4), row(greet(), completed()));
    assert_eq!(get(&world, &drain).await.json()["drained"], true);
    assert_eq!(world.admin(Method::DELETE, &path).await.status, 202);
    assert_eq!(get(&world, &path).await.error(), (404, "not-found".into()));
    assert_eq!(get(&world, "/services/Greeter").await.json()["deployment_id"], second);

    let newest = format!("/deployments/{second}");
    let refused = world.admin(Method::DELETE, &newest).await.json();
    assert!(refused["message"].as_str().unwrap().contains("new calls of Greeter"), "{refused}");
    assert_eq!(world.admin(Method::DELETE, &format!("{newest}?force=yes")).await.status, 400);
    assert_eq!(world.admin(Method::DELETE, &format!("{newest}?force=true")).await.status, 202);
    assert_eq!(get(&world, "/services/Greeter").await.error(), (404, "not-found".into()));
    let call = world.post("/Greeter/greet", "1").await;
    assert_eq!(call.error(), (404, "service-not-found".into()));
    assert_eq!(world.admin(Method::DELETE, &newest).await.error(), (404, "not-found".into()));
}

#[tokio::test]
async fn a_stopped_partition_keeps_a_deployment() {
    let world = world().await;
    let first = register(&world, serve("Greeter", &["greet"]).await).await;
    register(&world, serve("Greeter", &["greet", "wave"]).await).await;
    world.owner.stop(true);
    let path = format!("/deployments/{first}");
    assert_eq!(world.admin(Method::DELETE, &path).await.error(), (503, "partition-stopped".into()));
    let drain = get(&world, &format!("{path}/drain")).await;
    assert_eq!(drain.error(), (503, "partition-stopped".into()));
    assert_eq!(get(&world, &path).await.status, 200);
}

#[tokio::test]
async fn what_is_set_for_a_service_lasts_until_its_next_version() {
    let world = world().await;
    let address = serve("Greeter", &["greet"]).await;
    let id = register(&world, address).await;
    let patch = async |body: Value| send(&world, Method::PATCH, "/services/Greeter", &body).await;
    let set = patch(json!({ "public": false, "idempotency_retention": "1h 30m" })).await;
    assert_eq!((set.status, &set.json()["public"]), (200, &json!(false)));
    let set = patch(json!({ "journal_retention": "PT10S", "inactivity_timeout": "5s",
        "abort_timeout": "0s" }));
    let service = set.await.json();
    assert_eq!((&service["revision"], &service["public"]), (&json!(1), &json!(false)));
    let handler = &service["handlers"][0];
    for (field, value) in [
        ("idempotency_retention", "1h 30m"),
        ("journal_retention", "10s"),
        ("inactivity_timeout", "5s"),
        ("abort_timeout", "0s"),
    ] {
        assert_eq!(handler[field], value, "{field}");
    }
    let call = world.post("/Greeter/greet", "1").await;
    assert_eq!(call.error(), (400, "handler-private".into()));
    let again = send(&world, Method::POST, "/deployments", &at(address)).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));
    assert_eq!(get(&world, "/services/Greeter").await.json(), service);

    for (body, code) in [
        (json!({ "idempotency_retention": "long" }), "malformed-request"),
        (json!({ "abort_timeout": 5 }), "malformed-request"),
        (json!({ "private": true }), "malformed-request"),
    ] {
        assert_eq!(patch(body).await.error(), (400, code.into()));
    }
    let none = send(&world, Method::PATCH, "/services/None", &json!({})).await;
    assert_eq!(none.error(), (404, "not-found".into()));

    register(&world, serve("Greeter", &["greet", "wave"]).await).await;
    let service = get(&world, "/services/Greeter").await.json();
    assert_eq!((&service["revision"], &service["public"]), (&json!(2), &json!(true)));
    assert_eq!(service["handlers"][0]["idempotency_retention"], "24h");
}

#[tokio::test]
async fn a_service_is_described_for_other_tools() {
    let world = world().await;
    let functions = serve_sdk(Endpoint::builder().bind(Cart).build()).await;
    register(&world, functions).await;
    let document = get(&world, "/services/Cart/openapi").await.json();
    assert_eq!(
        (&document["openapi"], &document["info"]["title"]),
        (&json!("3.1.0"), &json!("Cart"))
    );
    let url = format!("http://{}", world.addresses.ingress);
    assert_eq!(document["servers"][0]["url"], url);
    let add = &document["paths"]["/Cart/{key}/add"]["post"];
    let input = &add["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(input, "#/components/schemas/addInput");
    let schema = document.pointer(input.as_str().unwrap().trim_start_matches('#')).unwrap();
    assert_eq!(schema["type"], "integer", "{schema}");
    assert_eq!(get(&world, "/services/None/openapi").await.error(), (404, "not-found".into()));
}

#[tokio::test]
async fn a_cluster_is_well_when_each_partition_has_an_owner() {
    let world = start().await;
    let health = get(&world, "/cluster-health").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["partitions_without_owner"], json!([1, 2, 3]));
    assert_eq!(health.json()["metadata_cluster_health"]["members"][0]["name"], "everlog");
}
