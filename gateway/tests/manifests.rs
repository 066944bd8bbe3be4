//! What the manifest of a deployment may say, and what comes of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::unused_async)]

mod common;

use common::registering::{admin, greeter, manifest, register, scripted, world};
use everlog_log_schema::limits::{EAGER_STATE_KEYS_MAX, STATE_KEY_BYTES_MAX};
use serde_json::{Value, json};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of what is refused")]
async fn what_a_manifest_must_not_say_is_refused_with_the_reason() {
    let world = world().await;
    let service = |change: Value| {
        let mut service =
            json!({ "name": "Greeter", "ty": "SERVICE", "handlers": [{ "name": "greet" }] });
        service.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        manifest(&json!([service]))
    };
    let handler = |change: Value| {
        let mut handler = json!({ "name": "greet" });
        handler.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        service(json!({ "handlers": [handler] }))
    };
    let object = |change: Value| {
        let mut object = json!({ "ty": "VIRTUAL_OBJECT" });
        object.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        service(object)
    };
    let workflow = |handlers: Value| {
        manifest(&json!([{ "name": "W", "ty": "WORKFLOW", "handlers": handlers }]))
    };
    let endpoint = |change: Value| {
        let mut manifest = manifest(&greeter(&["greet"]));
        manifest.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        manifest
    };
    let bad = [
        (endpoint(json!({ "services": [] })), "no services"),
        (endpoint(json!({ "protocolMode": null })), "protocolMode"),
        (endpoint(json!({ "protocolMode": "CARRIER_PIGEON" })), "CARRIER_PIGEON"),
        (endpoint(json!({ "minProtocolVersion": 7, "maxProtocolVersion": 5 })), "versions 7 to 5"),
        (endpoint(json!({ "minProtocolVersion": 0 })), "versions 0 to 7"),
        (endpoint(json!({ "minProtocolVersion": "5" })), "invalid type"),
        (endpoint(json!({ "surprise": 1 })), "surprise"),
        (service(json!({ "name": "restateGreeter" })), "reserved"),
        (service(json!({ "name": "OpenApi" })), "reserved"),
        (service(json!({ "name": "1st" })), "letter"),
        (service(json!({ "name": "a/b" })), "letters"),
        (service(json!({ "name": "a".repeat(257) })), "256"),
        (service(json!({ "handlers": [] })), "no handlers"),
        (service(json!({ "handlers": [{ "name": "a" }, { "name": "a" }] })), "twice"),
        (service(json!({ "handlers": [{}] })), "name"),
        (handler(json!({ "name": "a-b" })), "letters"),
        (handler(json!({ "ty": "EXCLUSIVE" })), "type"),
        (handler(json!({ "ty": "WORKFLOW" })), "type"),
        (handler(json!({ "workflowCompletionRetention": 1 })), "workflow"),
        (handler(json!({ "retryPolicyExponentiationFactor": 0.5 })), "between 1 and"),
        (handler(json!({ "retryPolicyMaxAttempts": 0 })), "first attempt"),
        (handler(json!({ "idempotencyRetention": u64::MAX })), "hundred years"),
        (handler(json!({ "idempotencyRetention": -1 })), "invalid value"),
        (handler(json!({ "input": { "contentType": "no type" } })), "content type"),
        (handler(json!({ "output": { "contentType": "a/b\n" } })), "content type"),
        (handler(json!({ "input": { "surprise": 1 } })), "surprise"),
        (service(json!({ "metadata": { "everlog.state-ttl": "1 day" } })), "virtual objects"),
        (object(json!({ "metadata": { "everlog.state-ttl": "soon" } })), "everlog.state-ttl"),
        (object(json!({ "metadata": { "everlog.state-ttl": "0.9s" } })), "a second"),
        (object(json!({ "metadata": { "everlog.state-ttl": "101y" } })), "hundred years"),
        (manifest(&json!([greeter(&["a"])[0], greeter(&["a"])[0]])), "twice"),
        (workflow(json!([{ "name": "pay", "ty": "SHARED" }])), "has 0 handlers of type WORKFLOW"),
        (workflow(json!([{ "name": "a" }, { "name": "b" }])), "has 2 handlers of type WORKFLOW"),
        (workflow(json!([{ "name": "run", "ty": "EXCLUSIVE" }])), "EXCLUSIVE"),
        (workflow(json!([{ "name": "run", "idempotencyRetention": 1 }])), "no idempotency keys"),
        (
            workflow(json!([
                { "name": "run" },
                { "name": "pay", "ty": "SHARED", "workflowCompletionRetention": 1 }
            ])),
            "no workflow's run",
        ),
    ];
    for (manifest, reason) in bad {
        let answer = register(&world, scripted(&manifest).await).await;
        assert_eq!(answer.error(), (400, "bad-discovery".into()), "{manifest}: {:?}", answer.body);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{message} does not name {reason}");
    }
    let old = register(
        &world,
        scripted(&endpoint(json!({ "minProtocolVersion": 1, "maxProtocolVersion": 4 }))).await,
    )
    .await;
    assert_eq!(old.error(), (400, "no-common-version".into()));
    let new = register(
        &world,
        scripted(&endpoint(json!({ "minProtocolVersion": 9, "maxProtocolVersion": 10 }))).await,
    )
    .await;
    assert_eq!(new.json()["restate_code"], "META0012");
    assert_eq!(admin(&world, "/services").await.json()["services"], json!([]));
}

/// As the Java SDK does.
#[tokio::test]
async fn a_plain_service_may_say_that_its_handlers_are_shared() {
    let world = world().await;
    let services = json!([{
        "name": "Greeter", "ty": "SERVICE", "handlers": [{ "name": "greet", "ty": "SHARED" }],
    }]);
    let answer = register(&world, scripted(&manifest(&services)).await).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let shown = admin(&world, "/services/Greeter").await.json();
    assert_eq!((&shown["ty"], &shown["handlers"][0]["ty"]), (&json!("Service"), &Value::Null));
}

#[tokio::test]
async fn a_workflow_has_its_own_retention() {
    let world = world().await;
    let services = json!([{
        "name": "Order", "ty": "WORKFLOW", "idempotencyRetention": 5_000,
        "handlers": [
            { "name": "run", "workflowCompletionRetention": 60_000 },
            { "name": "pay", "ty": "SHARED" },
        ],
    }]);
    let answer = register(&world, scripted(&manifest(&services)).await).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let shown = admin(&world, "/services/Order").await.json();
    assert_eq!(shown["ty"], "Workflow");
    let [run, pay] = ["run", "pay"].map(|name| {
        let handlers = shown["handlers"].as_array().unwrap();
        handlers.iter().find(|handler| handler["name"] == name).unwrap().clone()
    });
    assert_eq!((&run["ty"], &pay["ty"]), (&json!("Workflow"), &json!("Shared")));
    assert_eq!(run["workflow_completion_retention"], "1m");
    assert_eq!(run["idempotency_retention"], Value::Null);
    assert_eq!(pay["idempotency_retention"], "5s");
}

#[tokio::test]
async fn what_a_manifest_may_say_is_kept() {
    let world = world().await;
    let services = json!([{
        "name": "_1.Greeter-x", "ty": "VIRTUAL_OBJECT", "documentation": "Greets.",
        "metadata": { "team": "blue" }, "ingressPrivate": true,
        "idempotencyRetention": 60_000, "retryPolicyMaxAttempts": 3, "enableLazyState": true,
        "inactivityTimeout": 1_000,
        "handlers": [
            { "name": "_1", "ty": "SHARED", "idempotencyRetention": 1_000,
              "retryPolicyOnMaxAttempts": "KILL", "retryPolicyExponentiationFactor": 1.5,
              "input": { "required": true, "contentType": "application/json", "jsonSchema": { "type": "string" } },
              "output": { "contentType": "text/plain" }, "metadata": { "a": "b" } },
            { "name": "greet", "retryPolicyInitialInterval": 0, "journalRetention": 0,
              "eagerStateKeysWhitelist": ["b", "a", "b"] }
        ],
    }]);
    assert_eq!(register(&world, scripted(&manifest(&services)).await).await.status, 201);
    let service = admin(&world, "/services/_1.Greeter-x").await.json();
    assert_eq!(service["metadata"], json!({ "team": "blue" }));
    assert_eq!((&service["public"], &service["documentation"]), (&json!(false), &json!("Greets.")));
    let shared = &service["handlers"][0];
    assert_eq!(shared["idempotency_retention"], "1s");
    assert_eq!(shared["input_json_schema"], json!({ "type": "string" }));
    let retry = json!({ "initial_interval": "500ms", "exponentiation_factor": 1.5,
        "max_interval": "1m", "max_attempts": 3, "on_max_attempts": "Kill" });
    assert_eq!(shared["retry_policy"], retry);
    assert_eq!(shared["metadata"], json!({ "a": "b" }));
    assert_eq!(shared["enable_lazy_state"], true);
    assert_eq!(shared["eager_state_keys_whitelist"], Value::Null);
    let greet = &service["handlers"][1];
    assert_eq!(greet["metadata"], json!({}));
    assert_eq!(greet["enable_lazy_state"], true);
    assert_eq!(greet["eager_state_keys_whitelist"], json!(["a", "b"]));
    assert_eq!(
        (&greet["ty"], &greet["idempotency_retention"]),
        (&json!("Exclusive"), &json!("1m"))
    );
    assert_eq!(
        (&greet["journal_retention"], &greet["inactivity_timeout"]),
        (&json!("0s"), &json!("1s"))
    );
    let call = world.post("/_1.Greeter-x/k/greet", "1").await;
    assert_eq!(call.error(), (400, "handler-private".into()));
}

#[tokio::test]
async fn a_handler_says_better_than_its_service_which_state_it_begins_with() {
    let world = world().await;
    let of = |settings: Value| {
        let mut of = json!({ "name": "h" });
        of.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        of
    };
    for (number, (service, handler, lazy, keys)) in (0..).zip([
        (json!({}), json!({}), false, json!(null)),
        (json!({ "enableLazyState": true }), json!({}), true, json!(null)),
        (
            json!({ "enableLazyState": true }),
            json!({ "enableLazyState": false }),
            false,
            json!(null),
        ),
        (json!({ "eagerStateKeysWhitelist": ["a"] }), json!({}), true, json!(["a"])),
        (
            json!({ "eagerStateKeysWhitelist": ["a"] }),
            json!({ "enableLazyState": false }),
            false,
            json!(null),
        ),
        (
            json!({ "enableLazyState": false }),
            json!({ "eagerStateKeysWhitelist": ["b"] }),
            true,
            json!(["b"]),
        ),
        (json!({}), json!({ "eagerStateKeysWhitelist": [] }), true, json!(null)),
        (
            json!({}),
            json!({ "enableLazyState": true, "eagerStateKeysWhitelist": ["c"] }),
            true,
            json!(["c"]),
        ),
    ]) {
        let name = format!("S{number}");
        let mut offered =
            json!({ "name": name, "ty": "VIRTUAL_OBJECT", "handlers": [of(handler)] });
        offered.as_object_mut().unwrap().extend(service.as_object().unwrap().clone());
        let address = scripted(&manifest(&json!([offered]))).await;
        assert_eq!(register(&world, address).await.status, 201);
        let shown = admin(&world, &format!("/services/{name}/handlers/h")).await.json();
        assert_eq!(shown["enable_lazy_state"], lazy, "{offered}");
        assert_eq!(shown["eager_state_keys_whitelist"], keys, "{offered}");
    }
}

#[tokio::test]
async fn eager_state_keys_have_limits() {
    let world = world().await;
    let object = |name: &str, keys: Vec<String>| {
        manifest(&json!([{ "name": name, "ty": "VIRTUAL_OBJECT",
            "handlers": [{ "name": "h", "eagerStateKeysWhitelist": keys }] }]))
    };
    let many = |count: usize| (0..count).map(|key| key.to_string()).collect();
    let long = |bytes: usize| vec!["k".repeat(bytes)];
    for (number, keys, status) in [
        (0, many(EAGER_STATE_KEYS_MAX), 201),
        (1, many(EAGER_STATE_KEYS_MAX + 1), 400),
        (2, long(STATE_KEY_BYTES_MAX), 201),
        (3, long(STATE_KEY_BYTES_MAX + 1), 400),
    ] {
        let address = scripted(&object(&format!("S{number}"), keys)).await;
        assert_eq!(register(&world, address).await.status, status, "{number}");
    }
}
