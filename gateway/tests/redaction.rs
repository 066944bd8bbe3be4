//! What a service does not want shown is not shown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::endpoint::{Script, serve_script};
use common::made::{id, row};
use common::stored::completed;
use common::{Ask, World, ask, start_empty};
use everlog_gateway::GatewayLimits;
use everlog_log_schema::{
    AttemptError, CompletionId, Entry, Failure, InvocationRow, JournalRow, Millis, NotificationId,
    NotificationResult, Outcome, Target, kinds,
};
use http::Method;
use serde_json::{Value, json};

/// What a function says of its failure: it must be nowhere.
const SECRET: &str = "card 4711 was declined";

async fn get(world: &World, path: &str) -> Value {
    world.admin(Method::GET, path).await.json()
}

/// Registers an object with these labels, whose handlers have those.
async fn register(world: &World, name: &str, of_service: Value, of_handler: Value) {
    let handlers = json!([{ "name": "pay", "metadata": of_handler }, { "name": "look" }]);
    let manifest = json!({
        "protocolMode": "BIDI_STREAM", "minProtocolVersion": 5, "maxProtocolVersion": 6,
        "services": [{ "name": name, "ty": "VIRTUAL_OBJECT", "handlers": handlers,
            "metadata": of_service }],
    });
    let address = serve_script(Script::manifest(manifest.to_string())).await;
    let body = json!({ "uri": format!("http://{address}") }).to_string();
    let answer = ask(world.addresses.admin, Ask::post("/deployments", body), false).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
}

fn failure() -> Failure {
    Failure { code: 422, message: SECRET.into(), metadata: vec![] }
}

/// Puts an invocation there that failed, with a journal that says so twice.
fn put(world: &World, number: u64, service: &str, handler: &str) {
    let target = Target { service: service.into(), key: Some("k".into()), handler: handler.into() };
    let error = AttemptError {
        code: 500,
        message: format!("[RT0007] {SECRET}"),
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    };
    let ended = InvocationRow { last_error: Some(error), entries: 2, ..row(target, completed()) };
    world.owner.put(id(number), ended);
    let entry = |entry| JournalRow { at: Millis(1), attempts: 1, entry };
    let step = NotificationId::Completion { id: CompletionId(1), kind: kinds::CALL_COMPLETION };
    world.owner.put_journal(
        id(number),
        vec![
            entry(Entry::Notification { id: step, result: NotificationResult::Failure(failure()) }),
            entry(Entry::Output { name: String::new(), outcome: Outcome::Failure(failure()) }),
        ],
    );
}

/// All that is shown of an invocation.
async fn shown(world: &World, number: u64) -> String {
    let path = format!("/invocations/{}", id(number));
    let one = get(world, &path).await;
    let journal = get(world, &format!("{path}/journal")).await;
    let list = get(world, "/invocations").await;
    let listed = list["invocations"].as_array().unwrap().iter();
    let listed = listed.filter(|of| of["id"] == id(number).to_string());
    format!("{one}{journal}{}", listed.map(Value::to_string).collect::<String>())
}

#[tokio::test]
async fn payloads_are_shown_where_their_service_does_not_mind() {
    let world = start_empty(GatewayLimits::default()).await;
    let says_so = json!({ "everlog.redacted": "true" });
    register(&world, "Vault", says_so.clone(), json!({})).await;
    register(&world, "Shop", json!({ "everlog.redacted": "false" }), says_so).await;
    for (number, (service, handler, hidden)) in
        (1..).zip([("Vault", "pay", true), ("Shop", "pay", true), ("Shop", "look", false)])
    {
        put(&world, number, service, handler);
        let shown = shown(&world, number).await;
        assert_eq!(shown.contains(SECRET), !hidden, "{service}/{handler}: {shown}");
        assert_eq!(shown.matches("(redacted)").count(), if hidden { 5 } else { 0 }, "{shown}");
        assert!(shown.contains("[RT0007]") && shown.contains("422"), "{shown}");
    }
}

#[tokio::test]
async fn state_is_shown_where_no_handler_of_its_service_minds() {
    let world = start_empty(GatewayLimits::default()).await;
    register(&world, "Shop", json!({}), json!({ "everlog.redacted": "true" })).await;
    register(&world, "Cart", json!({}), json!({})).await;
    for service in ["Shop", "Cart"] {
        world.owner.put_state(service, "k", &[(b"card", b"4711")]);
    }
    let hidden = get(&world, "/services/Shop/state/k").await;
    assert_eq!(hidden["entries"], json!([{ "key": "card", "redacted": true }]));
    assert_eq!(hidden["version"], json!(null), "a hash tells much of what is short");
    let open = get(&world, "/services/Cart/state/k").await;
    let entry = json!({ "key": "card", "value": "NDcxMQ==", "valueUtf8": "4711" });
    assert_eq!(open["entries"], json!([entry]));
}
