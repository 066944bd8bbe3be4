//! Registering deployments, and what they say of themselves.

use std::net::SocketAddr;

use everlog_gateway::GatewayLimits;
use serde_json::{Value, json};

use super::endpoint::{Script, serve_script};
use super::{Answer, Ask, World, ask, start_empty};

pub async fn world() -> World {
    start_empty(GatewayLimits::default()).await
}

pub async fn admin(world: &World, path: &str) -> Answer {
    ask(world.addresses.admin, Ask::get(path), false).await
}

pub async fn post(world: &World, body: &Value) -> Answer {
    ask(world.addresses.admin, Ask::post("/deployments", body.to_string()), false).await
}

pub async fn register(world: &World, address: SocketAddr) -> Answer {
    post(world, &json!({ "uri": format!("http://{address}") })).await
}

pub async fn register_by_force(world: &World, address: SocketAddr) -> Answer {
    post(world, &json!({ "uri": format!("http://{address}"), "force": true })).await
}

/// A manifest with these services.
pub fn manifest(services: &Value) -> Value {
    json!({
        "protocolMode": "BIDI_STREAM",
        "minProtocolVersion": 5,
        "maxProtocolVersion": 7,
        "services": services,
    })
}

pub fn greeter(handlers: &[&str]) -> Value {
    let handlers: Vec<Value> = handlers.iter().map(|name| json!({ "name": name })).collect();
    json!([{ "name": "Greeter", "ty": "SERVICE", "handlers": handlers }])
}

pub async fn scripted(manifest: &Value) -> SocketAddr {
    serve_script(Script::manifest(manifest.to_string())).await
}
