//! Registering deployments: those of the real SDK, and those that are broken or hostile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::unused_async)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::endpoint::{Cart, Greeter, Script, serve_bytes, serve_script, serve_sdk};
use common::registering::{
    admin, greeter, manifest, post, register, register_by_force, scripted, world,
};
use common::{Ask, any_port, ask, start, start_empty};
use everlog_gateway::GatewayLimits;
use restate_sdk::prelude::Endpoint;
use serde_json::{Value, json};

#[tokio::test]
async fn functions_of_the_sdk_are_registered_and_shown() {
    let world = world().await;
    let functions = serve_sdk(Endpoint::builder().bind(Greeter).bind(Cart).build()).await;
    let registered = register(&world, functions).await;
    assert_eq!(registered.status, 201, "{:?}", registered.body);
    let deployment = registered.json();
    let id = deployment["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("dp_"));
    assert_eq!(deployment["protocol_type"], "BidiStream");
    assert!(deployment["sdk_version"].as_str().unwrap().starts_with("restate-sdk-rust/"));

    let again = register(&world, functions).await;
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())));
    let trailing = post(&world, &json!({ "uri": format!("http://{functions}/") })).await;
    assert_eq!((trailing.status, trailing.json()["id"].as_str()), (200, Some(id.as_str())));

    let list = admin(&world, "/deployments").await.json();
    assert_eq!(list["deployments"].as_array().unwrap().len(), 1);
    let shown = admin(&world, &format!("/deployments/{id}")).await.json();
    assert_eq!(shown["uri"], format!("http://{functions}"));
    let services = admin(&world, "/services").await.json();
    let named = |index: usize| services["services"][index]["name"].clone();
    assert_eq!((named(0), named(1)), (json!("Cart"), json!("Greeter")));
    let cart = admin(&world, "/services/Cart").await.json();
    assert_eq!((&cart["ty"], &cart["revision"]), (&json!("VirtualObject"), &json!(1)));
    let handlers = admin(&world, "/services/Cart/handlers").await.json();
    assert_eq!(handlers["handlers"].as_array().unwrap().len(), 2);
    let view = admin(&world, "/services/Cart/handlers/view").await.json();
    assert_eq!(view["ty"], "Shared");
    assert_eq!(view["retry_policy"]["max_attempts"], 70);
    assert_eq!(view["idempotency_retention"], "24h");

    let call = world.post("/Greeter/greet", "\"Ann\"").await;
    assert_eq!(call.status, common::OK);
    let wrong = Ask { headers: vec![], ..Ask::post("/Greeter/greet", "\"Ann\"") };
    assert_eq!(world.ask(wrong).await.error(), (400, "content-type-mismatch".into()));
    assert_eq!(world.post("/Greeter/part", "1").await.error(), (400, "body-unexpected".into()));
}

#[tokio::test]
async fn changed_code_at_the_same_address_needs_force() {
    let world = world().await;
    let script = |handlers: &[&str]| manifest(&greeter(handlers)).to_string();
    // One address, whose code changes: a server that is replaced on the same port.
    let first = serve_script(Script::manifest(script(&["greet"]))).await;
    assert_eq!(register(&world, first).await.status, 201);
    let other = serve_script(Script::manifest(script(&["greet", "wave"]))).await;
    assert_eq!(register(&world, other).await.status, 201);
    let revision = admin(&world, "/services/Greeter").await.json()["revision"].clone();
    assert_eq!(revision, 2);

    let headers = json!({ "uri": format!("http://{other}"), "additional_headers": { "a": "b" } });
    let conflict = post(&world, &headers).await;
    assert_eq!(conflict.error(), (409, "deployment-conflict".into()));
    assert_eq!(conflict.json()["restate_code"], "META0004");
    let before = register(&world, other).await.json()["id"].clone();
    let mut forced = headers.clone();
    forced["force"] = json!(true);
    let replaced = post(&world, &forced).await;
    assert_eq!((replaced.status, &replaced.json()["id"]), (200, &before));
    assert_eq!(replaced.json()["additional_headers"], json!({ "a": "***" }));
    assert_eq!(
        admin(&world, "/deployments").await.json()["deployments"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_service_that_would_break_its_callers_needs_to_say_so() {
    let world = world().await;
    let first = scripted(&manifest(&greeter(&["greet", "wave"]))).await;
    assert_eq!(register(&world, first).await.status, 201);
    let fewer = scripted(&manifest(&greeter(&["greet"]))).await;
    let other_kind = json!([{ "name": "Greeter", "ty": "VIRTUAL_OBJECT",
        "handlers": [{ "name": "greet" }, { "name": "wave" }] }]);
    let object = scripted(&manifest(&other_kind)).await;
    for address in [fewer, object] {
        let refused = register(&world, address).await;
        assert_eq!(refused.error(), (409, "breaking-change".into()));
        assert_eq!(refused.json()["restate_code"], "META0006");
    }
    let breaking = json!({ "uri": format!("http://{fewer}"), "breaking": true });
    assert_eq!(post(&world, &breaking).await.status, 201);
    assert_eq!(register_by_force(&world, object).await.status, 201);
}

#[tokio::test]
async fn a_dry_run_records_nothing() {
    let world = world().await;
    let address = scripted(&manifest(&greeter(&["greet"]))).await;
    let answer =
        post(&world, &json!({ "uri": format!("http://{address}"), "dry_run": true })).await;
    assert_eq!(answer.status, 201);
    assert!(answer.json()["info"][0].as_str().unwrap().contains("dry_run"));
    assert_eq!(answer.json()["services"][0]["revision"], 1);
    assert_eq!(admin(&world, "/services").await.json()["services"], json!([]));

    // It is shown with the number that it would get.
    assert_eq!(register(&world, address).await.status, 201);
    let next = scripted(&manifest(&greeter(&["greet", "wave"]))).await;
    let path = admin(&world, "/services/Greeter").await.json();
    let path = format!("/deployments/{}", path["deployment_id"].as_str().unwrap());
    for (uri, revision) in [(address, 1), (next, 2)] {
        let request = json!({ "uri": format!("http://{uri}"), "dry_run": true });
        assert_eq!(post(&world, &request).await.json()["services"][0]["revision"], revision);
        let update = json!({ "uri": format!("http://{uri}"), "dry_run": true, "overwrite": true });
        let update = Ask::post(&path, update.to_string()).method(http::Method::PATCH);
        let updated = ask(world.addresses.admin, update, false).await.json();
        assert_eq!(updated["services"][0]["revision"], revision);
    }
    assert_eq!(admin(&world, "/services/Greeter").await.json()["revision"], 1);
}

#[tokio::test]
async fn null_stands_for_what_is_left_out() {
    let world = world().await;
    let address = scripted(&manifest(&greeter(&["greet"]))).await;
    let uri = format!("http://{address}");
    let request = json!({ "uri": uri, "additional_headers": null, "metadata": null, "force": null,
        "breaking": null, "dry_run": null, "use_http_11": null, "arn": null, "auth": null,
        "assume_role_arn": null });
    let registered = post(&world, &request).await;
    assert_eq!(registered.status, 201, "{:?}", registered.body);
    let id = registered.json()["id"].as_str().unwrap().to_owned();
    let update = json!({ "uri": null, "additional_headers": null, "metadata": null,
        "use_http_11": null, "overwrite": null, "dry_run": null, "arn": null, "auth": null,
        "assume_role_arn": null });
    let settings = json!({ "public": null, "idempotency_retention": null,
        "workflow_completion_retention": null, "journal_retention": null,
        "inactivity_timeout": null, "abort_timeout": null });
    let deployment = format!("/deployments/{id}");
    for (path, body) in [(deployment.as_str(), update), ("/services/Greeter", settings)] {
        let request = Ask::post(path, body.to_string()).method(http::Method::PATCH);
        let answer = ask(world.addresses.admin, request, false).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    }
    assert_eq!(admin(&world, &deployment).await.json()["uri"], uri);
}

#[tokio::test]
async fn many_may_register_at_once() {
    let world = std::sync::Arc::new(world().await);
    let mut registering = tokio::task::JoinSet::new();
    for number in 0..8 {
        let services = json!([{ "name": format!("S{number}"), "ty": "SERVICE",
            "handlers": [{ "name": "run" }] }]);
        let world = std::sync::Arc::clone(&world);
        registering.spawn(async move {
            let address = scripted(&manifest(&services)).await;
            register(&world, address).await.status
        });
    }
    while let Some(status) = registering.join_next().await {
        assert_eq!(status.unwrap(), 201);
    }
    assert_eq!(admin(&world, "/services").await.json()["services"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn a_deployment_that_is_down_or_no_deployment_is_explained() {
    let limits = GatewayLimits {
        discovery_max: Duration::from_millis(300),
        manifest_bytes_max: 10_000,
        ..GatewayLimits::default()
    };
    let world = start_empty(limits).await;
    let good = manifest(&greeter(&["greet"])).to_string();
    let closed = tokio::net::TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
    let script = Script::manifest(good.clone());
    let large =
        manifest(&json!([{ "name": "G", "ty": "SERVICE", "documentation": "x".repeat(10_000),
        "handlers": [{ "name": "h" }] }]));
    let http1 = Script { http2: false, ..script.clone() };
    let cases = [
        (closed, "deployment-unreachable", "META0003"),
        (serve_bytes(b"", false).await, "deployment-unreachable", "META0003"),
        (serve_bytes(b"", true).await, "bad-discovery", "META0013"),
        (serve_bytes(b"SSH-2.0-OpenSSH_9.2\r\n", true).await, "bad-discovery", "META0013"),
        (serve_script(Script { status: 500, ..script.clone() }).await, "bad-discovery", "META0013"),
        (serve_script(Script { status: 404, ..script.clone() }).await, "bad-discovery", "META0013"),
        (
            serve_script(Script { content_type: "text/html", ..script.clone() }).await,
            "bad-discovery",
            "META0013",
        ),
        (serve_script(Script::manifest("{")).await, "bad-discovery", "META0013"),
        (serve_script(Script::manifest("[]")).await, "bad-discovery", "META0013"),
        (serve_script(Script::manifest("\u{0}\u{1}")).await, "bad-discovery", "META0013"),
        (serve_script(Script::manifest(large.to_string())).await, "bad-discovery", "META0013"),
        (serve_script(http1.clone()).await, "http-1-only", "META0014"),
    ];
    for (address, code, restate_code) in cases {
        let answer = register(&world, address).await;
        assert_eq!(answer.error(), (400, code.into()), "{:?}", answer.body);
        assert_eq!(answer.json()["restate_code"], restate_code);
        assert!(answer.json()["message"].as_str().unwrap().contains(&address.to_string()));
    }
    assert_eq!(admin(&world, "/deployments").await.json()["deployments"], json!([]));
    assert_eq!(register(&world, serve_script(script).await).await.status, 201);
}

#[tokio::test]
async fn the_labels_of_a_registration_are_kept() {
    let world = world().await;
    let address = scripted(&manifest(&greeter(&["greet"]))).await;
    let labelled =
        |labels: Value| json!({ "uri": format!("http://{address}"), "metadata": labels });
    let first = post(&world, &labelled(json!({ "team": "blue", "commit": "1a" }))).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.json()["metadata"], json!({ "team": "blue", "commit": "1a" }));
    assert_eq!(first.json()["info"], Value::Null);
    let same = post(&world, &labelled(json!({ "commit": "1a", "team": "blue" }))).await;
    assert_eq!(same.status, 200);
    let list = admin(&world, "/deployments").await.json();
    assert_eq!(list["deployments"][0]["metadata"], json!({ "team": "blue", "commit": "1a" }));
    let other = post(&world, &labelled(json!({ "team": "red" }))).await;
    assert_eq!(other.error(), (409, "deployment-conflict".into()));
}

#[tokio::test]
async fn every_refusal_of_a_request_has_a_status_and_a_code() {
    let world = world().await;
    let large = json!({ "uri": "x".repeat(2 << 20) });
    for (body, status, code) in [
        (json!({}), 400, "malformed-request"),
        (json!([]), 400, "malformed-request"),
        (json!({ "uri": 1 }), 400, "malformed-request"),
        (json!({ "uri": "127.0.0.1:9080" }), 400, "malformed-request"),
        (json!({ "uri": "http://x", "froce": true }), 400, "malformed-request"),
        (
            json!({ "uri": "http://x", "additional_headers": { "TE": "x" } }),
            400,
            "malformed-request",
        ),
        (json!({ "arn": "arn:aws:lambda:eu:1:function:f:1" }), 501, "not-supported-yet"),
        (large, 413, "body-too-large"),
    ] {
        assert_eq!(post(&world, &body).await.error(), (status, code.into()));
    }
    for (path, status, code) in [
        ("/", 404, "unknown-path"),
        ("/nothing", 404, "unknown-path"),
        ("/deployments/dp_1", 404, "not-found"),
        ("/services/Greeter", 404, "not-found"),
        ("/services/Greeter/handlers/greet", 404, "not-found"),
    ] {
        assert_eq!(admin(&world, path).await.error(), (status, code.into()), "{path}");
    }
    let patch = Ask::get("/deployments").method(http::Method::PATCH);
    let answer = ask(world.addresses.admin, patch, false).await;
    assert_eq!(answer.error(), (405, "method-not-allowed".into()));
    assert_eq!(answer.header("allow"), Some("GET, POST"));
}

#[tokio::test]
async fn the_document_of_this_port_has_every_path_and_method_that_is_answered() {
    let world = start().await;
    let document = admin(&world, "/openapi").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods: BTreeSet<_> =
            methods.as_object().unwrap().keys().map(|of| of.to_uppercase()).collect();
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
            let request = Ask::post(&path, "").method(method.parse().unwrap());
            let answer = ask(world.addresses.admin, request, false).await;
            if !methods.contains(method) {
                assert_eq!(answer.status, 405, "{method} {path}");
                let allowed = answer.header("allow").unwrap().split(", ").map(str::to_owned);
                assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
            } else if answer.status == 404 {
                assert_ne!(answer.json()["error"], "unknown-path", "{method} {path}");
            } else {
                assert_ne!(answer.status, 405, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_registered_by_metadata_that_nobody_follows() {
    let mut world = start().await;
    world.metadata = None;
    let functions = scripted(&manifest(&greeter(&["greet"]))).await;
    let answer = register(&world, functions).await;
    assert_eq!(answer.error(), (503, "metadata-lost".into()));
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(admin(&world, "/health").await.status, 503);
}

#[tokio::test]
async fn health_version_and_metrics_are_served() {
    let world = world().await;
    let health = admin(&world, "/health").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let version = admin(&world, "/version").await.json();
    assert_eq!(version["version"], "test");
    assert_eq!(version["request_identity_public_keys"], json!([]));
    assert_eq!(version["ingress_endpoint"], format!("http://{}", world.addresses.ingress));
    world.get("/restate/health").await;
    let metrics = admin(&world, "/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        text.contains("everlog_gateway_requests_total{port=\"ingress\",status=\"200\"}"),
        "{text}"
    );
}
