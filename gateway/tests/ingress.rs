//! Calls, sends and questions over HTTP, against a real log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::faulty::Fault;
use common::{Ask, DEADLINE, OK, World, ask, start, start_for_pages_of};
use everlog_log_schema::{
    AwakeableId, Failure, HandlerKind, Incarnation, InvocationId, Life, Millis, NotificationResult,
    PartitionKey, SignalId, Source, limits, partition_key_of,
};

#[tokio::test]
async fn a_call_is_answered_with_what_the_function_returned() {
    let world = start().await;
    for http2 in [false, true] {
        let call = Ask::post("/Greeter/greet", "\"hi\"");
        let answer = ask(world.addresses.ingress, call, http2).await;
        assert_eq!((answer.status, &answer.body[..]), (OK, &b"\"hi\""[..]));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("x-restate-id").unwrap().starts_with("inv_1"));
    }
    assert_eq!(world.get("/restate/call/Greeter/greet").await.status, OK);
    assert_eq!(world.post("/Cart/ann/add", "1").await.status, OK);
    assert_eq!(world.post("/restate/call/Cart/a%2Fb/view", "1").await.status, OK);
}

#[tokio::test]
async fn a_message_says_all_that_metadata_decides() {
    let world = start().await;
    let call = Ask::post("/Cart/ann/add?x=1", "7")
        .header("x-team", "blue")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("idempotency-key", "k1");
    assert_eq!(world.ask(call).await.status, OK);
    let envelope = world.owner.envelopes().remove(0);
    assert_eq!(envelope.metadata.0, 1);
    assert_eq!(envelope.source, Source::Gateway);
    let invoke = world.owner.only_invoke();
    assert_eq!(invoke.target.key.as_deref(), Some("ann"));
    assert_eq!(invoke.kind, HandlerKind::Exclusive);
    assert_eq!(invoke.id.partition_key, partition_key_of("ann"));
    assert_eq!(invoke.idempotency_key.as_deref(), Some("k1"));
    assert_eq!(invoke.retention, Millis(86_400_000));
    assert_eq!(invoke.retry.max_attempts, Some(70));
    assert_eq!(invoke.reply_to, Some(world.addresses.ingress.to_string()));
    assert!(invoke.traceparent.unwrap().starts_with("00-0af7"));
    assert_eq!(invoke.start_at, None);
    let header = |name: &str| {
        invoke.headers.iter().find(|header| header.key == name).map(|header| header.value.as_str())
    };
    assert_eq!(header("x-team"), Some("blue"));
    assert_eq!(header("x-restate-ingress-path"), Some("/Cart/ann/add?x=1"));
    assert_eq!(header("idempotency-key"), None);
    assert_eq!(header("host"), None);
}

#[tokio::test]
async fn a_result_is_kept_as_long_as_its_service_says() {
    let world = start().await;
    world.post("/Greeter/kept", "1").await;
    assert_eq!(world.owner.only_invoke().retention, Millis(3_600_000));
    let world = start().await;
    world.post("/Greeter/greet", "1").await;
    assert_eq!(world.owner.only_invoke().retention, Millis(600_000));
}

#[tokio::test]
async fn a_failure_of_the_function_is_told_from_one_of_the_ingress() {
    let world = start().await;
    let answer = world.post("/Greeter/fail", "1").await;
    assert_eq!(answer.error(), (418, "invocation-failed".into()));
    assert_eq!(answer.header("x-restate-error-source"), Some("invocation"));
    assert_eq!(answer.json()["message"], "no coffee");
    assert_eq!(answer.json()["metadata"]["pot"], "tea");
    let answer = world.post("/Greeter/unknown", "1").await;
    assert_eq!(answer.header("x-restate-error-source"), Some("ingress"));
    assert_eq!(answer.json()["source"], "ingress");
}

#[tokio::test]
async fn a_send_is_accepted_once_it_is_durable() {
    let world = start().await;
    for path in ["/Greeter/hang/send", "/restate/send/Greeter/hang"] {
        let answer = world.post(path, "1").await;
        assert_eq!(answer.status, 202);
        let json = answer.json();
        assert_eq!(json["status"], "Accepted");
        assert_eq!(json["executionTime"], serde_json::Value::Null);
        assert_eq!(answer.header("x-restate-id"), json["invocationId"].as_str());
    }
    world.owner.wait_for_messages(2).await;
}

#[tokio::test]
async fn a_delayed_send_starts_later() {
    let world = start().await;
    let answer = world.post("/Greeter/greet/send?delay=PT1H", "1").await;
    let execution_time = answer.json()["executionTime"].as_str().unwrap().to_owned();
    let execution_time: jiff::Timestamp = execution_time.parse().unwrap();
    world.owner.wait_for_messages(1).await;
    let start_at = world.owner.only_invoke().start_at.unwrap();
    assert_eq!(start_at.0, u64::try_from(execution_time.as_millisecond()).unwrap());
    let hour = jiff::SignedDuration::from_hours(1);
    let late = jiff::Timestamp::now().duration_since(execution_time - hour);
    assert!(late.as_secs() < 30 && !late.is_negative(), "{late}");
}

#[tokio::test]
async fn a_workflow_is_called_once_for_each_key() {
    let world = start().await;
    let first = world.post("/Order/o7/run", "1").await;
    assert_eq!((first.status, &first.body[..]), (200, &b"1"[..]));
    let run = everlog_log_schema::identity::of_workflow("Order", "o7").to_string();
    assert_eq!(first.header("x-restate-id"), Some(&*run));
    let invoke = world.owner.only_invoke();
    assert_eq!((invoke.kind, invoke.retention), (HandlerKind::Workflow, Millis(86_400_000)));

    let again = world.post("/Order/o7/run", "2").await;
    assert_eq!(again.error(), (409, "invocation-failed".into()));
    assert_eq!(again.json()["message"], "the workflow method was already invoked");
    assert_eq!(again.json()["source"], "invocation");
    assert_eq!(again.header("x-restate-id"), Some(&*run));
    let sent = world.post("/Order/o7/run/send", "3").await;
    assert_eq!(sent.json()["status"], "PreviouslyAccepted");
    assert_eq!(sent.json()["invocationId"], run);
    let other = world.post("/Order/o8/run/send", "3").await;
    assert_eq!(other.json()["status"], "Accepted");
    let shared = world.post("/Order/o7/pay", "4").await;
    assert_eq!(&shared.body[..], b"4");
    assert_ne!(shared.header("x-restate-id"), Some(&*run));

    for verb in ["attach", "output"] {
        let asked = world.ask(Ask::get(&format!("/restate/workflow/Order/o7/{verb}"))).await;
        assert_eq!(&asked.body[..], b"1", "{verb}");
    }
    let named = r#"{"target":"workflow","workflowName":"Order","workflowKey":"o7"}"#;
    assert_eq!(&world.post("/restate/attach", named).await.body[..], b"1");
    assert_eq!(world.post("/restate/lookup", named).await.json()["invocationId"], run);
}

#[tokio::test]
async fn equal_idempotency_keys_are_one_call() {
    let world = start().await;
    let call = |path, body| Ask::post(path, body).header("idempotency-key", "k1");
    let first = world.ask(call("/Greeter/greet", "1")).await;
    let again = world.ask(call("/Greeter/greet", "2")).await;
    assert_eq!((&first.body[..], &again.body[..]), (&b"1"[..], &b"1"[..]));
    assert_eq!(first.header("x-restate-id"), again.header("x-restate-id"));
    let sent = world.ask(call("/Greeter/greet/send", "3")).await;
    assert_eq!(sent.json()["status"], "PreviouslyAccepted");
    let fresh = world.ask(call("/Greeter/hang/send", "4")).await;
    assert_eq!(fresh.json()["status"], "Accepted");
    assert_ne!(fresh.header("x-restate-id"), first.header("x-restate-id"));
}

#[tokio::test]
async fn an_outcome_can_be_asked_for_in_every_form() {
    let world = start().await;
    let send = Ask::post("/Greeter/hang/send", "5").header("idempotency-key", "k/1");
    let id = world.ask(send).await.json()["invocationId"].as_str().unwrap().to_owned();
    let by_id = format!(r#"{{"target":"invocation","invocationId":"{id}"}}"#);
    let by_key = r#"{"target":"idempotentInvocation","service":"Greeter","handler":"hang","idempotencyKey":"k/1"}"#;
    let asks = |question: &str| {
        let posted = |body: &str| {
            let path = format!("/restate/{question}");
            (path, Some(body.to_owned()))
        };
        vec![
            (format!("/restate/{question}/{id}"), None),
            (format!("/restate/invocation/{id}/{question}"), None),
            (format!("/restate/invocation/Greeter/hang/k%2F1/{question}"), None),
            posted(&by_id),
            posted(by_key),
        ]
    };
    let send = |path: String, body: Option<String>| {
        let ingress = world.addresses.ingress;
        async move {
            match body {
                Some(body) => ask(ingress, Ask::post(&path, body), false).await,
                None => ask(ingress, Ask::get(&path), false).await,
            }
        }
    };
    for (path, body) in asks("output") {
        let answer = send(path.clone(), body).await;
        assert_eq!(answer.error(), (470, "not-ready".into()), "{path}");
        assert_eq!(answer.json()["metadata"]["status"], "running", "{path}");
        assert_eq!(answer.header("x-restate-id"), Some(id.as_str()), "{path}");
    }
    let mut attached = Vec::new();
    for (path, body) in asks("attach") {
        attached.push(tokio::spawn(send(path, body)));
    }
    world.owner.release();
    for attached in attached {
        let answer = attached.await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (OK, &b"5"[..]));
        assert_eq!(answer.header("x-restate-id"), Some(id.as_str()));
    }
    for (path, body) in asks("output") {
        assert_eq!(send(path.clone(), body).await.status, OK, "{path}");
    }
    let lookup = world.ask(Ask::post("/restate/lookup", by_key)).await;
    assert_eq!(lookup.json()["invocationId"].as_str(), Some(id.as_str()));
}

#[tokio::test]
async fn every_refusal_has_a_status_a_code_and_a_sentence() {
    let world = start().await;
    let key = "k".repeat(4_097);
    let large = "v".repeat(limits::HEADERS_BYTES_MAX);
    let long_key_path = format!("/Cart/{key}/add");
    let unknown = "/restate/attach/inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr";
    let unknown_output = unknown.replace("attach", "output");
    let cases = [
        (Ask::get("/"), 404, "unknown-path"),
        (Ask::get("/restate/x"), 404, "unknown-path"),
        (Ask::get("/openapi"), 404, "unknown-path"),
        (Ask::get("/Nobody/greet"), 404, "service-not-found"),
        (Ask::get("/Greeter/nothing"), 404, "handler-not-found"),
        (Ask::get("/Greeter"), 400, "malformed-path"),
        (Ask::get("/Cart/add"), 400, "malformed-path"),
        (Ask::get("/Greeter/%zz"), 400, "malformed-path"),
        (Ask::get("/Greeter/secret"), 400, "handler-private"),
        (Ask::get("/Hidden/greet"), 400, "handler-private"),
        (Ask::get("/Greeter/greet?delay=1s"), 400, "delay-on-call"),
        (Ask::get("/Greeter/greet/send?delay=soon"), 400, "malformed-delay"),
        (Ask::get("/Greeter/greet").header("idempotency-key", ""), 400, "malformed-header"),
        (Ask::get("/Greeter/greet").header("x-name", "Zoë"), 400, "malformed-header"),
        (Ask::get("/Greeter/greet").header("idempotency-key", &key), 400, "key-too-long"),
        (Ask::get(&long_key_path), 400, "key-too-long"),
        (Ask::post("/Greeter/strict", ""), 400, "body-required"),
        (Ask::post("/Greeter/void", "1"), 400, "body-unexpected"),
        (
            Ask { headers: vec![], ..Ask::post("/Greeter/strict", "1") },
            400,
            "content-type-mismatch",
        ),
        (Ask::get("/restate/attach/inv_2x"), 400, "malformed-invocation-id"),
        (Ask::get(unknown), 404, "invocation-not-found"),
        (Ask::get(&unknown_output), 404, "invocation-not-found"),
        (Ask::post("/restate/attach", "{}"), 400, "malformed-target"),
        (Ask::post("/restate/attach", "no json"), 400, "malformed-target"),
        (Ask::get("/restate/workflow/W/k/output"), 404, "invocation-not-found"),
        (
            Ask::get("/Order/o7/run").header("idempotency-key", "k1"),
            400,
            "idempotency-key-on-workflow",
        ),
        (Ask::get("/restate/scope/a%2Fb/call/Greeter/greet"), 400, "malformed-scope"),
        (Ask::get("/restate/scope/s/call/Greeter/greet?limit-key=a/b/c"), 400, "malformed-scope"),
        (Ask::get("/restate/scope/s/Greeter/greet"), 404, "unknown-path"),
        (Ask::post("/restate/awakeables/x/resolve", ""), 400, "malformed-awakeable-id"),
        (Ask::post("/restate/a/sign_1AAAA/reject", ""), 400, "malformed-awakeable-id"),
        (Ask::post("/restate/a/prom_1AAAA/reject", ""), 400, "malformed-awakeable-id"),
        (Ask::get("/restate/a/x/resolve"), 405, "method-not-allowed"),
        (Ask::get("/restate/a/x"), 404, "unknown-path"),
        (Ask::get("/Greeter/greet?limit-key=a"), 400, "limit-key-without-scope"),
        (
            Ask::get("/Greeter/greet").header("x-restate-limit-key", "a"),
            400,
            "limit-key-without-scope",
        ),
        (Ask::get("/Greeter/greet").header("x-large", &large), 431, "headers-too-large"),
        (Ask::get("/Greeter/greet").method(http::Method::PUT), 405, "method-not-allowed"),
        (Ask::post("/restate/health", ""), 405, "method-not-allowed"),
        (Ask::get("/restate/lookup"), 405, "method-not-allowed"),
    ];
    for (request, status, code) in cases {
        let path = request.path.to_owned();
        let answer = world.ask(request).await;
        assert_eq!(answer.error(), (status, code.into()), "{path}");
        assert_eq!(answer.json()["code"], status, "{path}");
        let sentence = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(sentence.ends_with(&format!(" (docs/errors/ingress.md#{code})")), "{sentence}");
        assert_eq!(answer.header("x-restate-error-source"), Some("ingress"), "{path}");
    }
    assert_eq!(world.owner.messages(), 0);
    assert_eq!(world.post("/Greeter/greet", "1").await.status, OK);
}

#[tokio::test]
async fn health_names_the_services() {
    let world = start().await;
    let answer = world.get("/restate/health").await;
    assert_eq!(answer.status, OK);
    assert_eq!(
        answer.json()["services"],
        serde_json::json!(["Cart", "Greeter", "Hidden", "Order"])
    );
}

#[tokio::test]
async fn no_web_page_may_call_unless_its_origin_is_named() {
    const SHOP: (&str, &str) = ("origin", "https://shop.example");
    let world = start().await;
    let call = |world: &World, method: http::Method| {
        let request = Ask::post("/Greeter/greet", "1").method(method);
        let request = request.header(SHOP.0, SHOP.1);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization");
        let ingress = world.addresses.ingress;
        async move { ask(ingress, request, false).await }
    };
    let refused = call(&world, http::Method::OPTIONS).await;
    assert_eq!(refused.error(), (405, "method-not-allowed".into()));
    assert_eq!(call(&world, http::Method::POST).await.header("access-control-allow-origin"), None);

    let world = start_for_pages_of(&["https://other.example"]).await;
    assert_eq!(call(&world, http::Method::OPTIONS).await.status, 405);
    assert_eq!(call(&world, http::Method::POST).await.header("access-control-allow-origin"), None);

    for (allowed, named) in [(SHOP.1, SHOP.1), ("*", "*")] {
        let world = start_for_pages_of(&[allowed]).await;
        let preflight = call(&world, http::Method::OPTIONS).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, POST"));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization"));
        for answer in [preflight, call(&world, http::Method::POST).await] {
            assert_eq!(answer.header("access-control-allow-origin"), Some(named));
            assert_eq!(answer.header("vary"), Some("origin"));
        }
        assert_eq!(world.owner.messages(), 1);
    }
}

#[tokio::test]
async fn an_awakeable_is_ended_by_its_id() {
    let world = start().await;
    let life = Life {
        invocation: InvocationId { partition_key: PartitionKey(u64::MAX / 2), uuid: 7 },
        incarnation: Incarnation(21),
    };
    let id = AwakeableId { life, signal: 17 };
    for (messages, path, body) in [(1, "awakeables", "[1]"), (2, "a", "")] {
        let answer = world.post(&format!("/restate/{path}/{id}/resolve"), body).await;
        assert_eq!((answer.status, &answer.body[..]), (202, &b""[..]));
        world.owner.wait_for_messages(messages).await;
        let signal = world.owner.signals().pop().unwrap();
        assert_eq!((signal.target, signal.incarnation), (life.invocation, Some(life.incarnation)));
        assert_eq!((signal.signal, signal.sender), (SignalId::Index(17), None));
    }
    let rejected = world.post(&format!("/restate/a/{id}/reject"), "too late").await;
    assert_eq!(rejected.status, 202);
    world.owner.wait_for_messages(3).await;
    let failure = Failure { code: 500, message: "too late".into(), metadata: vec![] };
    let results: Vec<_> = world.owner.signals().into_iter().map(|signal| signal.result).collect();
    let value = |body: &'static str| NotificationResult::Value(body.into());
    assert_eq!(results, [value("[1]"), value(""), NotificationResult::Failure(failure)]);

    let no_text = Ask::post("/", bytes::Bytes::from_static(b"\xff"));
    let path = format!("/restate/a/{id}/reject");
    let answer = world.ask(Ask { path: &path, ..no_text }).await;
    assert_eq!(answer.error(), (400, "body-not-text".into()));
}

#[tokio::test]
async fn an_awakeable_of_unknown_outcome_is_not_ended_twice() {
    let world = start().await;
    let invocation = InvocationId { partition_key: PartitionKey(1), uuid: 7 };
    let id = AwakeableId { life: Life { invocation, incarnation: Incarnation(2) }, signal: 18 };
    let path = format!("/restate/awakeables/{id}/resolve");
    for (faults, code) in [
        (&[Fault::UnknownLost][..], "outcome-unknown"),
        (&[Fault::UnknownLanded], "outcome-unknown"),
        (&[Fault::QueueFull], "log-busy"),
        (&[Fault::Refused, Fault::Refused], "log-refused"),
    ] {
        world.log.fail_next(faults.iter().copied());
        assert_eq!(world.post(&path, "1").await.error(), (503, code.into()), "{faults:?}");
    }
    world.owner.wait_for_messages(1).await;
    // What one appender refuses, the next one may take.
    world.log.fail_next([Fault::Refused]);
    assert_eq!(world.post(&path, "1").await.status, 202);
    world.owner.wait_for_messages(2).await;
    assert_eq!(world.owner.signals().len(), 2);
}

#[tokio::test]
async fn an_outcome_says_when_it_is_forgotten() {
    let world = start().await;
    let keyed = |path| Ask::post(path, "1").header("idempotency-key", "k1");
    let expires = Some("2026-11-18T11:06:40.123Z");
    assert_eq!(world.ask(keyed("/Greeter/greet")).await.header("idempotency-expires"), expires);
    for question in ["attach", "output"] {
        let path = format!("/restate/invocation/Greeter/greet/k1/{question}");
        assert_eq!(world.get(&path).await.header("idempotency-expires"), expires, "{question}");
    }
    let failed = world.ask(keyed("/Greeter/fail")).await;
    assert_eq!((failed.status, failed.header("idempotency-expires")), (418, expires));
    assert_eq!(world.post("/Greeter/greet", "1").await.header("idempotency-expires"), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_nothing() {
    let world = start().await;
    let waiting = {
        let ingress = world.addresses.ingress;
        let call = Ask::post("/Greeter/hang", "9").header("idempotency-key", "k9");
        tokio::spawn(ask(ingress, call, false))
    };
    world.owner.wait_for_messages(1).await;
    waiting.abort();
    world.owner.release();
    let attach = "/restate/invocation/Greeter/hang/k9/attach";
    let answer = tokio::time::timeout(DEADLINE, world.get(attach)).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (OK, &b"9"[..]));
}
