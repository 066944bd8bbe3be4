//! Registering deployments behind TLS and over HTTP/1.1, in both modes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::endpoint::{Script, serve_bytes, serve_script};
use common::{Answer, Ask, World, ask, start_empty};
use everlog_gateway::{GatewayLimits, RegisterOutcome, RegisterRequest};
use http::Method;
use serde_json::{Value, json};

async fn world() -> World {
    let discovery_max = Duration::from_secs(5);
    start_empty(GatewayLimits { discovery_max, ..GatewayLimits::default() }).await
}

async fn register(world: &World, body: Value) -> Answer {
    ask(world.addresses.admin, Ask::post("/deployments", body.to_string()), false).await
}

fn manifest(mode: &str) -> Bytes {
    let handlers = json!([{ "name": "greet" }]);
    let manifest = json!({
        "protocolMode": mode, "minProtocolVersion": 5, "maxProtocolVersion": 7,
        "services": [{ "name": "Greeter", "ty": "SERVICE", "handlers": handlers }],
    });
    manifest.to_string().into()
}

/// Serves a manifest of this mode, over HTTP/2 or HTTP/1.1 alone, with TLS or without.
async fn serve(mode: &str, http2: bool, tls: bool) -> String {
    let tls = tls.then_some("localhost");
    let script = Script { http2, tls, ..Script::manifest(manifest(mode)) };
    let port = serve_script(script).await.port();
    format!("{}://localhost:{port}", if tls.is_some() { "https" } else { "http" })
}

const BOTH_WAYS: &str = "BIDI_STREAM";
const IN_TURN: &str = "REQUEST_RESPONSE";

#[tokio::test]
async fn each_way_of_talking_is_registered_as_it_is() {
    let world = world().await;
    for (mode, http2, tls, use_http_11, shown) in [
        (IN_TURN, true, false, false, ("RequestResponse", "HTTP/2.0")),
        (IN_TURN, false, false, true, ("RequestResponse", "HTTP/1.1")),
        (BOTH_WAYS, false, false, true, ("BidiStream", "HTTP/1.1")),
        (BOTH_WAYS, true, true, false, ("BidiStream", "HTTP/2.0")),
        (IN_TURN, true, true, false, ("RequestResponse", "HTTP/2.0")),
        (IN_TURN, false, true, false, ("RequestResponse", "HTTP/2.0")),
        (IN_TURN, false, true, true, ("RequestResponse", "HTTP/1.1")),
        (BOTH_WAYS, false, true, true, ("BidiStream", "HTTP/1.1")),
    ] {
        let uri = serve(mode, http2, tls).await;
        let body = json!({ "uri": uri, "use_http_11": use_http_11 });
        let answer = register(&world, body).await;
        assert_eq!(answer.status, 201, "{mode} {http2} {tls}: {:?}", answer.body);
        let deployment = answer.json();
        let field = |name: &str| deployment[name].as_str().unwrap().to_owned();
        assert_eq!(field("uri"), uri);
        assert_eq!((&*field("protocol_type"), &*field("http_version")), shown);
    }
}

#[tokio::test]
async fn another_way_of_talking_is_another_registration() {
    let world = world().await;
    let uri = serve(IN_TURN, false, true).await;
    assert_eq!(register(&world, json!({ "uri": uri })).await.status, 201);
    assert_eq!(register(&world, json!({ "uri": uri })).await.status, 200);
    let other = register(&world, json!({ "uri": uri, "use_http_11": true })).await;
    assert_eq!(other.error(), (409, "deployment-conflict".into()));
}

#[tokio::test]
async fn what_is_registered_again_is_asked_and_kept_as_its_operator_set_it() {
    let world = world().await;
    let uri = serve(IN_TURN, false, false).await;
    let headers = json!({ "authorization": "x" });
    let body = json!({ "uri": uri, "use_http_11": true, "additional_headers": headers,
        "metadata": { "team": "blue" } });
    assert_eq!(register(&world, body).await.status, 201);
    let registrar = world.gateway.registrar();
    let again = RegisterRequest { uri: Some(uri.clone()), force: true, ..Default::default() };
    let without = registrar.register(&again).await.unwrap_err();
    assert_eq!(without.code().0, "http-1-only");
    let again = RegisterRequest { keep_settings: true, ..again };
    let registered = registrar.register(&again).await.unwrap();
    assert_eq!(registered.outcome, RegisterOutcome::Unchanged);
    let shown = world.admin(Method::GET, "/deployments").await.json();
    let shown = &shown["deployments"][0];
    assert_eq!(shown["http_version"], "HTTP/1.1");
    assert_eq!(shown["metadata"], json!({ "team": "blue" }));
}

#[tokio::test]
async fn streaming_both_ways_needs_a_transport_that_can() {
    let world = world().await;
    for (uri, code, restate_code) in [
        (serve(BOTH_WAYS, false, true).await, "not-bidirectional", "META0015"),
        (serve(BOTH_WAYS, false, false).await, "http-1-only", "META0014"),
        (serve(IN_TURN, false, false).await, "http-1-only", "META0014"),
    ] {
        let answer = register(&world, json!({ "uri": uri })).await;
        assert_eq!(answer.error(), (400, code.into()), "{uri}: {:?}", answer.body);
        assert_eq!(answer.json()["restate_code"], restate_code);
        assert!(answer.json()["message"].as_str().unwrap().contains("use_http_11"));
    }
    let uri = serve(IN_TURN, true, false).await;
    let answer = register(&world, json!({ "uri": uri, "use_http_11": true })).await;
    assert_eq!(answer.error(), (400, "bad-discovery".into()), "it speaks HTTP/2 alone");
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_is_not_asked() {
    let world = world().await;
    let script = Script { tls: Some("elsewhere.example"), ..Script::manifest(manifest(IN_TURN)) };
    let stranger = serve_script(script).await;
    let plain = serve_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    for (uri, reason) in [
        (format!("https://localhost:{}", stranger.port()), "certificate is not for localhost"),
        (format!("https://localhost:{}", plain.port()), "does not speak TLS"),
    ] {
        let answer = register(&world, json!({ "uri": uri })).await;
        assert_eq!(answer.error(), (400, "deployment-unreachable".into()));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason) && message.contains(&uri), "{message}");
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_given_up() {
    let discovery_max = Duration::from_millis(300);
    let world = start_empty(GatewayLimits { discovery_max, ..GatewayLimits::default() }).await;
    let silent = serve_bytes(b"", false).await;
    let answer = register(&world, json!({ "uri": format!("https://{silent}") })).await;
    assert_eq!(answer.error(), (400, "deployment-unreachable".into()));
}

#[tokio::test]
async fn lambda_is_refused_with_a_sentence() {
    let world = world().await;
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:greeter:1";
    let answer = register(&world, json!({ "arn": arn })).await;
    assert_eq!(answer.error(), (501, "not-supported-yet".into()));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Lambda") && message.contains("uri"), "{message}");
}
