//! Questions in SQL, as they come over HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Ask, OK, World, ask, start};
use http::Method;
use serde_json::json;

async fn query(world: &World, body: serde_json::Value, accept: Option<&str>) -> common::Answer {
    let mut request = Ask::post("/query", body.to_string());
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    ask(world.addresses.admin, request, false).await
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    let world = start().await;
    let arrow = ("application/vnd.apache.arrow.stream", "Arrow: SELECT 1");
    let json = ("application/json", "Json: SELECT 1");
    for (accept, (kind, text)) in [
        (None, arrow),
        (Some("*/*"), arrow),
        (Some("application/vnd.apache.arrow.stream"), arrow),
        (Some("application/json"), json),
        (Some("text/html, Application/JSON;q=0.9"), json),
    ] {
        let answer = query(&world, json!({ "query": "SELECT 1" }), accept).await;
        assert_eq!((answer.status, answer.header("content-type")), (OK, Some(kind)), "{accept:?}");
        assert_eq!(answer.body, text, "{accept:?}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_status_and_code() {
    let world = start().await;
    for (sql, status, code) in [
        ("malformed", 400, "malformed-sql"),
        ("invalid", 400, "invalid-sql"),
        ("not allowed", 400, "sql-not-allowed"),
        ("too complex", 400, "query-too-complex"),
        ("too long", 422, "query-time-exceeded"),
        ("too much", 422, "query-memory-exceeded"),
        ("too many", 422, "query-rows-exceeded"),
        ("unavailable", 503, "partition-unavailable"),
        ("stopped", 503, "partition-stopped"),
        ("failed", 500, "query-failed"),
    ] {
        let answer = query(&world, json!({ "query": sql }), None).await;
        assert_eq!(answer.error(), (status, code.to_owned()), "{sql}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&format!("(docs/errors/admin.md#{code})")), "{message}");
        assert_eq!(answer.header("retry-after").is_some(), sql == "unavailable", "{sql}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let world = start().await;
    for body in
        [json!({}), json!({ "query": 7 }), json!("SELECT 1"), json!({ "query": "", "x": 1 })]
    {
        let answer = query(&world, body.clone(), None).await;
        assert_eq!(answer.error(), (400, "malformed-request".into()), "{body}");
    }
    let answer = world.admin(Method::GET, "/query").await;
    assert_eq!(answer.error(), (405, "method-not-allowed".into()));
    assert_eq!(answer.header("allow"), Some("POST"));
}
