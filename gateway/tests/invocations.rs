//! Looking at invocations, objects and partitions at the admin port.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::made::{cart, id, put, row};
use common::stored::completed;
use common::{Answer, Ask, DEADLINE, World, ask, start};
use everlog_log_schema::{
    AttemptError, Caller, CompletionId, DeploymentId, Effect, Entry, Failure, Incarnation,
    InvocationId, InvocationRow, JournalRow, Life, Millis, NotificationId, NotificationResult,
    Outcome, PartitionKey, Pin, SignalId, SignalResult, Status, Target, WaitSet, partition_key_of,
};
use http::Method;
use serde_json::{Value, json};

const KNOWN_TO_NOBODY: &str = "inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr";

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path).await
}

async fn patch(world: &World, id: InvocationId, verb: &str) -> Answer {
    world.admin(Method::PATCH, &format!("/invocations/{id}/{verb}")).await
}

#[tokio::test]
async fn an_invocation_is_shown_with_all_that_is_known_of_it() {
    let world = start().await;
    let parent = InvocationId { partition_key: PartitionKey(1), uuid: 2 };
    let life = Life { invocation: parent, incarnation: Incarnation(4) };
    let waiting = WaitSet {
        completions: vec![CompletionId(3)],
        signals: vec![1, 17],
        named_signals: vec!["paid".into()],
    };
    let error = AttemptError {
        code: 500,
        message: "no luck".into(),
        command_index: Some(2),
        command_name: Some("pay".into()),
        command_kind: Some(0x0411),
        delay_by_function: false,
    };
    let shown = InvocationRow {
        idempotency_key: Some("k1".into()),
        scope: Some("tenant-3".into()),
        limit_key: Some("gold/eu".into()),
        caller: Some(Caller { life, completion: None }),
        pin: Some(Pin { deployment: DeploymentId("dp_1".into()), protocol_version: 6 }),
        attempts: 3,
        failures_since_progress: 2,
        entries: 7,
        commands: 4,
        journal_bytes: 99,
        last_error: Some(error),
        ..row(cart("add"), Status::Suspended(waiting.into()))
    };
    world.owner.put(id(3), shown);
    let answer = get(&world, &format!("/invocations/{}", id(3))).await;
    let expected = json!({
        "id": id(3).to_string(), "service": "Cart", "key": "ann", "handler": "add",
        "status": "suspended",
        "createdAt": "1970-01-01T00:00:01.000Z", "modifiedAt": "1970-01-01T00:00:01.000Z",
        "attempts": 3, "retryCount": 2,
        "journalEntries": 7, "journalCommands": 4, "journalBytes": 99,
        "idempotencyKey": "k1", "scope": "tenant-3", "limitKey": "gold/eu",
        "deployment": "dp_1", "protocolVersion": 6,
        "invokedBy": { "kind": "service", "id": parent.to_string() },
        "waitingFor": { "completions": [3], "signals": [1, 17], "namedSignals": ["paid"] },
        "lastError": {
            "code": 500, "message": "no luck",
            "commandIndex": 2, "commandName": "pay", "commandKind": "Run",
        },
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
}

#[tokio::test]
async fn a_running_invocation_is_shown_with_what_its_code_says_that_it_waits_for() {
    let world = start().await;
    let shown = async |number, status| {
        let id = put(&world, number, status);
        let waiting = WaitSet { completions: vec![CompletionId(3)], ..WaitSet::default() };
        world.owner.put_awaiting_on(id, waiting.into());
        get(&world, &format!("/invocations/{id}")).await.json()
    };
    let running = shown(1, Status::Running).await;
    let expected = json!({ "completions": [3], "signals": [], "namedSignals": [] });
    assert_eq!((&running["awaitingOn"], &running["waitingFor"]), (&expected, &Value::Null));
    let paused = shown(2, Status::Paused).await;
    assert_eq!(paused["awaitingOn"], Value::Null, "it has no code that runs");
}

#[tokio::test]
async fn times_and_outcomes_are_shown_where_there_are_any() {
    let world = start().await;
    let shown = async |number, status| {
        let id = put(&world, number, status);
        get(&world, &format!("/invocations/{id}")).await.json()
    };
    let scheduled = shown(1, Status::Scheduled { at: Millis(5_000) }).await;
    assert_eq!(scheduled["scheduledAt"], "1970-01-01T00:00:05.000Z");
    assert_eq!(scheduled["invokedBy"], json!({ "kind": "ingress" }));
    let anew = InvocationRow {
        restarted_from: Some(id(1)),
        ..row(cart("add"), Status::Scheduled { at: Millis(5_000) })
    };
    world.owner.put(id(4), anew);
    let anew = get(&world, &format!("/invocations/{}", id(4))).await.json();
    let old = id(1).to_string();
    assert_eq!(anew["invokedBy"], json!({ "kind": "restart_as_new", "id": old }));
    let backing_off = shown(2, Status::BackingOff { until: Millis(6_000) }).await;
    assert_eq!(backing_off["retryAt"], "1970-01-01T00:00:06.000Z");
    let killed = shown(3, completed()).await;
    assert_eq!(killed["completedAt"], "1970-01-01T00:00:02.000Z");
    assert_eq!(killed["outcome"], json!({ "code": 409, "message": "killed" }));

    let sent = world.post("/Greeter/greet/send", "1").await;
    world.owner.wait_for_messages(1).await;
    let path = format!("/invocations/{}", sent.header("x-restate-id").unwrap());
    let greeted = get(&world, &path).await.json();
    assert_eq!((&greeted["status"], &greeted["outcome"]), (&json!("completed"), &json!("success")));
    assert_eq!(greeted["key"], Value::Null);
    assert_eq!(greeted["idempotencyKey"], Value::Null);
}

#[tokio::test]
async fn a_list_goes_over_all_partitions_in_pages_and_misses_none() {
    let world = start().await;
    for number in 0..16 {
        put(&world, number, Status::Running);
    }
    for limit in [1, 5, 1_000] {
        let mut seen = Vec::new();
        let mut page = String::new();
        loop {
            let answer = get(&world, &format!("/invocations?limit={limit}{page}")).await.json();
            let found = answer["invocations"].as_array().unwrap();
            assert!(found.len() <= limit);
            seen.extend(found.iter().map(|each| each["id"].as_str().unwrap().to_owned()));
            match answer["next"].as_str() {
                Some(next) => page = format!("&page={next}"),
                None => break,
            }
        }
        let all: Vec<_> = (0..16).map(|number| id(number).to_string()).collect();
        let distinct: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!((seen.len(), distinct), (16, all.into_iter().collect()), "{limit}");
    }
}

#[tokio::test]
async fn a_list_holds_what_it_is_filtered_by() {
    let world = start().await;
    let bob = Target { key: Some("bob".into()), ..cart("add") };
    let of_bob = InvocationId { partition_key: partition_key_of("bob"), uuid: 1 };
    world.owner.put(of_bob, row(bob, Status::Paused));
    world.owner.put(id(1), row(cart("add"), Status::Running));
    let greet = Target { service: "Greeter".into(), key: None, handler: "greet".into() };
    world.owner.put(id(2), row(greet, completed()));
    let count = async |query: &str| {
        let list = get(&world, &format!("/invocations?{query}")).await.json();
        assert_eq!(list["next"], Value::Null, "{query}");
        list["invocations"].as_array().unwrap().len()
    };
    for (query, expected) in [
        ("", 3),
        ("service=Cart", 2),
        ("service=Cart&handler=add", 2),
        ("handler=greet", 1),
        ("key=bob", 1),
        ("key=b%6Fb&service=Greeter", 0),
        ("status=paused,completed", 2),
        ("status=scheduled", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_is_not_made_up_where_a_partition_does_not_answer() {
    let world = start().await;
    put(&world, 1, Status::Running);
    world.owner.go_away_for(2);
    assert_eq!(
        get(&world, "/invocations").await.json()["invocations"].as_array().unwrap().len(),
        1
    );
    assert_eq!(get(&world, "/invocations").await.json().get("unavailable"), None);
    world.owner.stop(true);
    let stopped = get(&world, &format!("/invocations/{}", id(1))).await;
    assert_eq!(stopped.error(), (503, "partition-stopped".into()));
    assert_eq!(stopped.header("retry-after"), None);
    let list = get(&world, "/invocations").await;
    let left_out = |partition| json!({ "partition": partition, "reason": "its log went back" });
    let all: Vec<Value> = (0..common::PARTITIONS).map(left_out).collect();
    let expected = json!({ "invocations": [], "next": null, "unavailable": all });
    assert_eq!((list.status, list.json()), (200, expected));
}

fn at(entry: Entry) -> JournalRow {
    JournalRow { at: Millis(1_000), attempts: 1, entry }
}

/// A journal with an entry of each form.
fn journal() -> Vec<JournalRow> {
    let secret = bytes::Bytes::from_static(b"secret");
    // The name `charge` in field 12.
    let named = bytes::Bytes::from_static(b"\x62\x06charge");
    let command = |kind, effect| at(Entry::Command { kind, bytes: named.clone(), effect });
    let completes = |id, kind, result| {
        at(Entry::Notification {
            id: NotificationId::Completion { id: CompletionId(id), kind },
            result,
        })
    };
    let failure = Failure { code: 409, message: "sold out".into(), metadata: vec![] };
    vec![
        at(Entry::Input { headers: vec![], body: secret.clone() }),
        command(0x0411, Effect::Run { completion: CompletionId(1) }),
        completes(1, 0x8011, NotificationResult::Value(secret)),
        command(0x040C, Effect::Sleep { completion: CompletionId(2), wake_at: Millis(9_000) }),
        command(
            0x0410,
            Effect::SendSignal {
                target: id(5),
                incarnation: None,
                signal: SignalId::Name("paid".into()),
                result: SignalResult::Void,
            },
        ),
        command(0x0412, Effect::Attach { completion: CompletionId(3), target: id(6) }),
        completes(3, 0x8012, NotificationResult::Failure(failure.clone())),
        completes(4, 0x800E, NotificationResult::InvocationId(id(7))),
        at(Entry::Notification {
            id: NotificationId::Signal(SignalId::CANCEL),
            result: NotificationResult::Void,
        }),
        at(Entry::Output { name: String::new(), outcome: Outcome::Failure(failure) }),
    ]
}

#[tokio::test]
async fn a_journal_is_told_without_what_it_carries() {
    let world = start().await;
    let journal = journal();
    let entries = u32::try_from(journal.len()).unwrap();
    world.owner.put(id(1), InvocationRow { entries, ..row(cart("add"), completed()) });
    world.owner.put_journal(id(1), journal);
    let (mut shown, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let path = format!("/invocations/{}/journal?from={next}", id(1));
        let page = get(&world, &path).await.json();
        assert!(!page.to_string().contains("secret"), "{page}");
        shown.extend(page["entries"].as_array().unwrap().clone());
        from = page["next"].as_u64();
    }
    let expected = [
        json!({ "type": "command", "kind": "Input", "bytes": 6 }),
        json!({ "type": "command", "kind": "Run", "name": "charge", "completion": 1, "bytes": 8 }),
        json!({ "type": "notification", "kind": "Run", "completion": 1, "bytes": 6,
            "resultKind": "value" }),
        json!({ "type": "command", "kind": "Sleep", "name": "charge", "completion": 2, "bytes": 8,
            "wakeAt": "1970-01-01T00:00:09.000Z" }),
        json!({ "type": "command", "kind": "SendSignal", "name": "charge", "bytes": 8,
            "signal": "paid", "callee": id(5).to_string() }),
        json!({ "type": "command", "kind": "AttachInvocation", "name": "charge", "completion": 3,
            "bytes": 8, "callee": id(6).to_string() }),
        json!({ "type": "notification", "kind": "AttachInvocation", "completion": 3, "bytes": 8,
            "resultKind": "failure", "failure": { "code": 409, "message": "sold out" } }),
        json!({ "type": "notification", "kind": "CallInvocationId", "completion": 4, "bytes": 0,
            "resultKind": "invocation-id", "callee": id(7).to_string() }),
        json!({ "type": "notification", "kind": "Signal", "signal": 1, "bytes": 0,
            "resultKind": "void" }),
        json!({ "type": "command", "kind": "Output", "bytes": 8,
            "resultKind": "failure", "failure": { "code": 409, "message": "sold out" } }),
    ];
    for (index, (entry, mut expected)) in shown.iter().zip(expected.clone()).enumerate() {
        expected["index"] = json!(index);
        expected["at"] = json!("1970-01-01T00:00:01.000Z");
        expected["attempts"] = json!(1);
        assert_eq!(*entry, expected);
    }
    assert_eq!(shown.len(), expected.len());
    let beyond = get(&world, &format!("/invocations/{}/journal?from={}", id(1), u32::MAX)).await;
    assert_eq!(beyond.json(), json!({ "entries": [], "next": null }));
    let outcome = get(&world, &format!("/invocations/{}", id(1))).await.json()["outcome"].clone();
    assert_eq!(outcome, json!({ "code": 409, "message": "sold out" }));
}

#[tokio::test]
async fn an_objects_state_is_read_page_by_page() {
    let world = start().await;
    let entries: [(&[u8], &[u8]); 3] = [(b"a", b"[1]"), (b"b", b"\xff"), (b"\xfe", b"")];
    world.owner.put_state("Cart", "a/b", &entries);
    let first = get(&world, "/services/Cart/state/a%2Fb").await.json();
    let next = first["next"].as_str().unwrap().to_owned();
    assert_eq!(
        first["entries"],
        json!([{ "key": "a", "value": "WzFd", "valueUtf8": "[1]" }, { "key": "b", "value": "/w==" }])
    );
    let second = get(&world, &format!("/services/Cart/state/a%2Fb?page={next}")).await.json();
    let last = json!({ "key": "\u{fffd}", "value": "", "valueUtf8": "" });
    assert_eq!(second, json!({ "entries": [last], "next": null }));
    let none = get(&world, "/services/Cart/state/nobody").await.json();
    assert_eq!((&none["entries"], &none["next"]), (&json!([]), &json!(null)));
    let version = none["version"].as_str().unwrap();
    assert_eq!(version, everlog_log_schema::identity::version_of_state([]));
}

#[tokio::test]
async fn the_state_of_an_object_alone_is_replaced_in_no_scope() {
    let world = start().await;
    for (service, scope, status, code) in [
        ("Cart", json!("shop"), 400, "malformed-request"),
        ("Order", json!(null), 422, "state-of-workflow"),
        ("Greeter", json!(null), 404, "not-found"),
        ("Nobody", json!(null), 404, "not-found"),
        ("Cart", json!(null), 202, "none"),
        ("Cart", json!(""), 202, "none"),
    ] {
        let body = json!({ "object_key": "ann", "new_state": {}, "version": null, "scope": scope });
        let path = format!("/services/{service}/state");
        let answer = ask(world.addresses.admin, Ask::post(&path, body.to_string()), false).await;
        assert_eq!(answer.error(), (status, code.into()), "{service} {scope}");
    }
    assert_eq!(world.owner.envelopes().len(), 2, "nothing else was recorded");
}

#[tokio::test]
async fn the_cluster_shows_how_its_partitions_stand() {
    let world = start().await;
    let expected = json!({ "version": "test", "partitions": [
        { "id": 0, "standing": "owner", "nextLog": 7, "nextInbox": 3 },
        { "id": 1, "standing": "stopped", "nextLog": null, "nextInbox": null },
    ]});
    assert_eq!(get(&world, "/cluster").await.json(), expected);
}

#[tokio::test]
async fn every_refusal_has_a_status_a_code_and_a_sentence() {
    let world = start().await;
    let of = |rest: &str| format!("/invocations/{KNOWN_TO_NOBODY}{rest}");
    let cases = [
        (Method::GET, "/invocations?sevrice=Cart".into(), 400, "malformed-query"),
        (Method::GET, "/invocations?status=runing".into(), 400, "malformed-query"),
        (Method::GET, "/invocations?limit=1001".into(), 400, "malformed-query"),
        (Method::GET, "/invocations?page=x".into(), 400, "malformed-query"),
        (Method::GET, "/invocations/%zz".into(), 400, "malformed-query"),
        (Method::GET, "/invocations/inv_2x".into(), 400, "malformed-invocation-id"),
        (Method::GET, "/invocations/inv_2x/journal".into(), 400, "malformed-invocation-id"),
        (Method::PATCH, "/invocations/inv_2x/kill".into(), 400, "malformed-invocation-id"),
        (Method::GET, of(""), 404, "invocation-not-found"),
        (Method::GET, of("/journal"), 404, "invocation-not-found"),
        (Method::GET, of("/journal?from=-1"), 400, "malformed-query"),
        (Method::GET, of("/journal?form=1"), 400, "malformed-query"),
        (Method::PATCH, of("/cancel"), 404, "invocation-not-found"),
        (Method::PATCH, of("/purge"), 404, "invocation-not-found"),
        (Method::PATCH, of("/forget"), 404, "unknown-path"),
        (Method::POST, of("/kill"), 405, "method-not-allowed"),
        (Method::DELETE, of(""), 404, "invocation-not-found"),
        (Method::PUT, of(""), 405, "method-not-allowed"),
        (Method::POST, "/invocations".into(), 405, "method-not-allowed"),
        (Method::GET, "/invocations/kill".into(), 405, "method-not-allowed"),
        (Method::POST, "/cluster".into(), 405, "method-not-allowed"),
        (Method::GET, "/services/Nobody/state/k".into(), 404, "not-found"),
        (Method::GET, "/services/Greeter/state/k".into(), 404, "not-found"),
        (Method::GET, "/services/Cart/state/k?page=%2B".into(), 400, "malformed-query"),
        (Method::GET, "/services/Cart/state/k?after=x".into(), 400, "malformed-query"),
    ];
    for (method, path, status, code) in cases {
        let answer = world.admin(method.clone(), &path).await;
        assert_eq!(answer.error(), (status, code.into()), "{method} {path}");
        let sentence = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(sentence.ends_with(&format!(" (docs/errors/admin.md#{code})")), "{sentence}");
    }
    assert_eq!(world.owner.messages(), 0);
}

#[tokio::test]
async fn the_admin_port_answers_while_the_ingress_is_full_and_sheds_its_own_load() {
    let limits = everlog_gateway::GatewayLimits {
        requests_max: 1,
        admin_requests_max: 1,
        ..Default::default()
    };
    let world = common::start_with(limits).await;
    let waiting = {
        let call = Ask::post("/Greeter/hang", "1");
        tokio::spawn(ask(world.addresses.ingress, call, false))
    };
    world.owner.wait_for_messages(1).await;
    assert_eq!(world.post("/Greeter/greet", "2").await.status, 429);
    assert_eq!(world.get("/restate/health").await.status, 200);
    let id = world.owner.only_invoke().id;
    assert_eq!(get(&world, &format!("/invocations/{id}")).await.status, 200);

    // A partition without an owner holds the only place.
    world.owner.go_away_for(usize::MAX);
    let admin = world.addresses.admin;
    let listing = tokio::spawn(ask(admin, Ask::get("/invocations"), false));
    let refusal = async {
        loop {
            let answer = get(&world, "/deployments").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(DEADLINE, refusal).await.unwrap();
    assert_eq!(refused.error(), (429, "too-many-requests".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(&world, "/health").await.status, 200);
    world.owner.go_away_for(0);
    assert_eq!(listing.await.unwrap().status, 200);
    assert_eq!(patch(&world, id, "kill").await.status, 200);
    assert_eq!(waiting.await.unwrap().status, 409);
}
