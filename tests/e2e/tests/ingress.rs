//! Every path of the ingress against a real server and functions of the official SDKs: both families
//! of paths, bodies and headers in and out, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::{Context as _, Result, ensure};
use everlog_e2e::{Language, Mode, World};
use everlog_harness::Reply;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// A body beyond the largest that is taken, in bytes.
const TOO_LARGE: usize = (32 << 20) + 1;

async fn send(world: &World, method: Method, path: &str, body: &str) -> Result<Reply> {
    let uri = format!("http://{}{path}", world.everlog.ingress);
    let mut request = Request::builder().method(method).uri(uri);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    world.everlog.http.send(request.body(Full::from(body.to_owned()))?).await
}

async fn get(world: &World, path: &str) -> Result<Reply> {
    send(world, Method::GET, path, "").await
}

async fn post(world: &World, path: &str, body: &Value) -> Result<Reply> {
    send(world, Method::POST, path, &body.to_string()).await
}

fn read(reply: Reply) -> Result<Value> {
    Ok(serde_json::from_slice(&reply.success()?.body)?)
}

fn id_of(reply: &Reply) -> Result<String> {
    let id = reply.headers.get("x-restate-id").context("no x-restate-id")?;
    ensure!(id.as_bytes().starts_with(b"inv_1"), "{id:?}");
    Ok(id.to_str()?.to_owned())
}

/// The status, the source and the stable code of an error, whose body and header must agree.
fn error(reply: &Reply) -> Result<(u16, String, String)> {
    let body: Value = serde_json::from_slice(&reply.body)?;
    ensure!(body["code"] == reply.status.as_u16(), "{body}");
    ensure!(body["message"].is_string(), "{body}");
    let source = body["source"].as_str().context("no source")?.to_owned();
    ensure!(reply.headers["x-restate-error-source"] == source.as_str(), "{body}");
    Ok((reply.status.as_u16(), source, body["error"].as_str().context("no error")?.to_owned()))
}

async fn calls_and_sends(world: &World) -> Result<()> {
    for path in ["/Steps/run", "/restate/call/Steps/run"] {
        let reply = post(world, path, &json!(2)).await?;
        assert_eq!(reply.headers["content-type"], "application/json");
        id_of(&reply)?;
        assert_eq!(read(reply)?.as_array().unwrap().len(), 2);
    }
    // A key is percent-decoded, and a handler without an input is called by GET as well.
    for path in ["/History/a%2Fb/read", "/restate/call/History/a%2Fb/read"] {
        assert_eq!(read(get(world, path).await?)?["entries"], json!([]));
    }
    for (path, item) in
        [("/History/a%2Fb/append/send", "one"), ("/restate/send/History/a%2Fb/append", "two")]
    {
        let sent = post(world, path, &json!(item)).await?;
        let (status, id) = (sent.status, id_of(&sent)?);
        let body = read(sent)?;
        assert_eq!((status.as_u16(), &body["invocationId"]), (202, &json!(id)));
        assert_eq!((&body["status"], body.get("executionTime")), (&json!("Accepted"), None));
        read(get(world, &format!("/restate/attach/{id}")).await?)?;
    }
    assert_eq!(world.history("a%2Fb", 2).await?, ["one", "two"]);
    for delay in ["100ms", "PT0.1S", "0.1%20sec"] {
        let path = format!("/Steps/run/send?delay={delay}");
        let sent = post(world, &path, &json!(1)).await?;
        let id = id_of(&sent)?;
        assert!(read(sent)?["executionTime"].is_string(), "{delay}");
        assert_eq!(world.answer(&id).await?.as_array().unwrap().len(), 1);
    }
    Ok(())
}

async fn attaches_and_outputs(world: &World) -> Result<()> {
    let blocked = world.send("/Waiter/paths/awakeable", Value::Null).await?;
    let awakeable = world.noted("paths", "awakeable").await?;
    let target = json!({ "target": "invocation", "invocationId": blocked });
    for path in
        [format!("/restate/output/{blocked}"), format!("/restate/invocation/{blocked}/output")]
    {
        let early = get(world, &path).await?;
        assert_eq!(error(&early)?, (470, "ingress".into(), "not-ready".into()));
        assert_eq!(id_of(&early)?, blocked);
    }
    assert_eq!(post(world, "/restate/output", &target).await?.status, 470);
    let path = format!("/restate/a/{awakeable}/resolve");
    let resolved = post(world, &path, &json!("done")).await?;
    assert_eq!((resolved.status.as_u16(), resolved.body.len()), (202, 0));
    for path in [
        format!("/restate/attach/{blocked}"),
        format!("/restate/output/{blocked}"),
        format!("/restate/invocation/{blocked}/attach"),
        format!("/restate/invocation/{blocked}/output"),
    ] {
        let reply = get(world, &path).await?;
        assert_eq!(id_of(&reply)?, blocked, "{path}");
        assert_eq!(read(reply)?, "done", "{path}");
    }
    for path in ["/restate/attach", "/restate/output"] {
        assert_eq!(read(post(world, path, &target).await?)?, "done");
    }
    let looked_up = read(post(world, "/restate/lookup", &target).await?)?;
    assert_eq!(looked_up, json!({ "invocationId": blocked }));

    let rejected = world.send("/Waiter/rejected/awakeable", Value::Null).await?;
    let awakeable = world.noted("rejected", "awakeable").await?;
    let path = format!("/restate/awakeables/{awakeable}/reject");
    assert_eq!(send(world, Method::POST, &path, "no room").await?.status, 202);
    let refused = world.attach(&rejected).await?;
    assert_eq!(error(&refused)?, (500, "invocation".into(), "invocation-failed".into()));
    assert!(refused.text().contains("no room"), "{}", refused.text());
    Ok(())
}

async fn idempotency_keys(world: &World) -> Result<()> {
    for (path, named, target) in [
        (
            "/Steps/run",
            "Steps/run/k%2F1",
            json!({ "target": "idempotentInvocation", "service": "Steps", "handler": "run",
                "idempotencyKey": "k/1" }),
        ),
        (
            "/restate/call/History/keyed/append",
            "History/keyed/append/k%2F1",
            json!({ "target": "idempotentInvocation", "service": "History", "key": "keyed",
                "handler": "append", "idempotencyKey": "k/1" }),
        ),
    ] {
        let body = if path == "/Steps/run" { "2" } else { "\"x\"" };
        let call = || world.everlog.call(path, &[("idempotency-key", "k/1")], body);
        let first = call().await?.success()?;
        let id = id_of(&first)?;
        assert!(first.headers.contains_key("idempotency-expires"));
        let again = call().await?.success()?;
        assert_eq!((id_of(&again)?, &again.body), (id.clone(), &first.body));
        let one_way = format!("{path}/send");
        let sent = world.everlog.call(&one_way, &[("idempotency-key", "k/1")], body);
        if path.starts_with("/restate") {
            // Here `send` is part of the path, and no handler.
            assert_eq!(error(&sent.await?)?.2, "malformed-path");
        } else {
            assert_eq!(read(sent.await?)?["status"], "PreviouslyAccepted");
        }
        for verb in ["attach", "output"] {
            let reply = get(world, &format!("/restate/invocation/{named}/{verb}")).await?;
            assert_eq!((id_of(&reply)?, &reply.body), (id.clone(), &first.body));
            let reply = post(world, &format!("/restate/{verb}"), &target).await?;
            assert_eq!((id_of(&reply)?, &reply.body), (id.clone(), &first.body));
        }
        let looked_up = read(post(world, "/restate/lookup", &target).await?)?;
        assert_eq!(looked_up["invocationId"], id);
    }
    Ok(())
}

/// Equal keys in different scopes are of different calls.
async fn scopes(world: &World) -> Result<()> {
    let mut ids = Vec::new();
    for path in ["/restate/scope/eu/call/Steps/run", "/restate/scope/us/send/Steps/run"] {
        let path = format!("{path}?limit-key=gold/1");
        let call = async || world.everlog.call(&path, &[("idempotency-key", "scoped")], "2").await;
        let id = id_of(&call().await?.success()?)?;
        assert_eq!(id_of(&call().await?.success()?)?, id, "{path}");
        ids.push(id);
    }
    for (scope, id) in [(Some("eu"), Some(&ids[0])), (Some("us"), Some(&ids[1])), (None, None)] {
        let target = json!({ "target": "idempotentInvocation", "service": "Steps", "handler": "run",
            "idempotencyKey": "scoped", "scope": scope });
        let found = post(world, "/restate/attach", &target).await?;
        assert_eq!(found.status == 200, id.is_some(), "{scope:?}");
        assert_eq!(id_of(&found).ok().as_ref(), id);
    }
    let shown = world.everlog.admin_get(&format!("/invocations/{}", ids[0])).await?;
    let shown: Value = serde_json::from_slice(&shown.body)?;
    assert_eq!((&shown["scope"], &shown["limitKey"]), (&json!("eu"), &json!("gold/1")));
    Ok(())
}

async fn refusals(world: &World) -> Result<()> {
    for (method, path, body, status, code) in [
        (Method::POST, "/Nobody/run", "1", 404, "service-not-found"),
        (Method::POST, "/Steps/nothing", "1", 404, "handler-not-found"),
        (Method::POST, "/restate/nothing", "1", 404, "unknown-path"),
        (Method::GET, "/openapi", "", 404, "unknown-path"),
        (Method::DELETE, "/Steps/run", "", 405, "method-not-allowed"),
        (Method::GET, "/restate/attach", "", 405, "method-not-allowed"),
        (Method::POST, "/Steps/key/run", "1", 400, "malformed-path"),
        (Method::POST, "/History/read", "", 400, "malformed-path"),
        (Method::POST, "/Steps/run?delay=1s", "1", 400, "delay-on-call"),
        (Method::POST, "/Steps/run/send?delay=soon", "1", 400, "malformed-delay"),
        (Method::POST, "/Steps/run?limit-key=a", "1", 400, "limit-key-without-scope"),
        (Method::POST, "/restate/scope/a%20b/call/Steps/run", "1", 400, "malformed-scope"),
        (Method::GET, "/restate/attach/inv_1x", "", 400, "malformed-invocation-id"),
        (Method::POST, "/restate/a/sign_1x/resolve", "1", 400, "malformed-awakeable-id"),
        (Method::POST, "/restate/lookup", "{}", 400, "malformed-target"),
        (
            Method::GET,
            "/restate/output/inv_1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "",
            400,
            "malformed-invocation-id",
        ),
        (Method::GET, "/restate/invocation/Steps/run/none/output", "", 404, "invocation-not-found"),
    ] {
        let reply = send(world, method, path, body).await?;
        assert_eq!(error(&reply)?, (status, "ingress".into(), code.into()), "{path}");
    }
    let text = [("content-type", "text/plain")];
    let reply = world.everlog.http.send(
        Request::post(format!("http://{}/Steps/run", world.everlog.ingress))
            .header(text[0].0, text[0].1)
            .body(Full::from("1"))?,
    );
    assert_eq!(error(&reply.await?)?.2, "content-type-mismatch");
    let large = world.everlog.http.post(
        world.everlog.ingress,
        "/History/large/append",
        &[],
        "x".repeat(TOO_LARGE),
    );
    assert_eq!(error(&large.await?)?, (413, "ingress".into(), "body-too-large".into()));
    let declined = send(world, Method::POST, "/Failing/terminally", "").await?;
    assert_eq!(error(&declined)?, (422, "invocation".into(), "invocation-failed".into()));
    Ok(())
}

/// What is private is called by functions alone, until it is public again.
async fn privacy(world: &World) -> Result<()> {
    world.everlog.patch_service("History", r#"{"public": false}"#).await?;
    let refused = get(world, "/History/private/read").await?;
    assert_eq!(error(&refused)?, (400, "ingress".into(), "handler-private".into()));
    let input = json!({ "key": "private", "item": "by a function" });
    read(post(world, "/Caller/append", &input).await?)?;
    world.everlog.patch_service("History", r#"{"public": true}"#).await?;
    assert_eq!(world.history("private", 1).await?, ["by a function"]);
    Ok(())
}

async fn every_path_is_served(language: Language, mode: Mode) -> Result<()> {
    let world = World::start(language, mode).await?;
    let health = read(get(&world, "/restate/health").await?)?;
    assert!(health["services"].as_array().unwrap().contains(&json!("Steps")), "{health}");
    calls_and_sends(&world).await?;
    attaches_and_outputs(&world).await?;
    idempotency_keys(&world).await?;
    scopes(&world).await?;
    refusals(&world).await?;
    privacy(&world).await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_served_in_rust() -> Result<()> {
    every_path_is_served(Language::Rust, Mode::Streaming).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_served_in_rust_where_attempts_suspend() -> Result<()> {
    every_path_is_served(Language::Rust, Mode::Suspending).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_served_in_typescript() -> Result<()> {
    every_path_is_served(Language::TypeScript, Mode::Streaming).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_served_in_python() -> Result<()> {
    every_path_is_served(Language::Python, Mode::Suspending).await
}
