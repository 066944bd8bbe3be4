//! What the tables show of the rows that are stored.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::ipc::reader::StreamReader;
use everlog_gateway::SqlForm;
use everlog_log_schema::metadata::{Change, Deployment, Metadata, MetadataChange};
use everlog_log_schema::{
    AttemptError, Caller, CompletionId, DeploymentId, Effect, Entry, Failure, Header, Incarnation,
    InvocationRow, JournalRow, Life, LockRow, MetadataOffset, Millis, Outcome, Pin, REDACTED_LABEL,
    Row, RowKey, Status, WaitSet, strategies,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::{World, fill, id, invocation, target, text};

/// The columns that tools of the service protocol know.
const KNOWN: [(&str, &str); 10] = [
    (
        "sys_invocation",
        "id vqueue_id target target_service_name target_service_key target_handler_name target_service_ty \
         scope limit_key idempotency_key invoked_by invoked_by_service_name invoked_by_id \
         invoked_by_subscription_id invoked_by_target restarted_from pinned_deployment_id \
         pinned_service_protocol_version trace_id journal_size journal_commands_size created_at \
         created_using_restate_version modified_at inboxed_at scheduled_at scheduled_start_at running_at \
         completed_at completion_retention journal_retention suspended_waiting_for_completions \
         suspended_waiting_for_signals suspended_waiting_future_json retry_count last_start_at next_retry_at \
         last_attempt_deployment_id last_attempt_server last_failure last_failure_error_code \
         last_failure_related_entry_index last_failure_related_entry_name last_failure_related_entry_type \
         last_failure_related_command_index last_failure_related_command_name \
         last_failure_related_command_type last_awaiting_on_future_json status completion_result \
         completion_failure partition_key",
    ),
    ("sys_invocation_status", "id target status created_at modified_at completion_result"),
    ("sys_invocation_state", "id in_flight retry_count next_retry_at last_failure"),
    (
        "sys_journal",
        "partition_key id index entry_type name completed invoked_id invoked_target sleep_wakeup_at \
         promise_name raw raw_length version entry_json entry_lite_json appended_at",
    ),
    ("sys_inbox", "service_name service_key id sequence_number created_at"),
    ("sys_keyed_service_status", "service_name service_key invocation_id"),
    (
        "sys_promise",
        "scope service_name service_key key completed completion_success_value \
         completion_success_value_utf8 completion_failure",
    ),
    ("state", "scope service_name service_key key key_length value_utf8 value value_length"),
    ("sys_service", "name revision public ty deployment_id"),
    (
        "sys_deployment",
        "id ty endpoint created_at min_service_protocol_version max_service_protocol_version services",
    ),
];

fn put_invocation(world: &World, key: &str, uuid: u128, row: InvocationRow) {
    world.tables.put(&RowKey::Invocation(id(key, uuid)), Row::Invocation(Box::new(row)));
}

fn entry(at: u64, entry: Entry) -> JournalRow {
    JournalRow { at: Millis(at), attempts: 1, entry }
}

fn output(outcome: Outcome) -> JournalRow {
    entry(4, Entry::Output { name: String::new(), outcome })
}

fn failed() -> Outcome {
    Outcome::Failure(Failure { code: 409, message: "canceled".into(), metadata: vec![] })
}

/// A deployment that means nothing, but has services.
fn deployment() -> Deployment {
    let mut runner = TestRunner::deterministic();
    let with_services = strategies::metadata_change().prop_filter_map("services", |change| {
        let Change::RegisterDeployment(deployment) = change.change else { return None };
        (!deployment.services.is_empty()).then_some(deployment)
    });
    with_services.new_tree(&mut runner).unwrap().current()
}

fn register(world: &World, deployment: &Deployment) -> Metadata {
    let mut metadata = Metadata::default();
    let change = Change::RegisterDeployment(deployment.clone());
    metadata.fold(MetadataOffset(0), MetadataChange { replaces: MetadataOffset(0), change });
    world.metadata.send_replace(Arc::new(metadata.clone()));
    metadata
}

#[tokio::test]
async fn tables_have_the_columns_that_tools_know() {
    let world = World::new();
    for (table, columns) in KNOWN {
        for column in columns.split_whitespace() {
            // `index` is a word of SQL.
            let sql = format!("SELECT \"{column}\" FROM {table}");
            assert_eq!(world.rows(&sql).await, Ok(vec![]), "{sql}");
        }
        assert_eq!(world.rows(&format!("SELECT * FROM {table}")).await, Ok(vec![]), "{table}");
    }
}

#[tokio::test]
async fn an_invocation_is_shown_as_it_stands() {
    let world = World::new();
    let life = Life { invocation: id("caller", 1), incarnation: Incarnation(0) };
    let error = AttemptError {
        code: 500,
        message: "not yet".into(),
        command_index: Some(2),
        command_name: Some("charge".into()),
        command_kind: Some(0x0411),
        delay_by_function: false,
    };
    let row = invocation(
        &target("Cart", Some("ann"), "add"),
        Status::BackingOff { until: Millis(1_795_000_001_000) },
    );
    let row = InvocationRow {
        caller: Some(Caller { life, completion: Some(CompletionId(1)) }),
        idempotency_key: Some("once".into()),
        scope: Some("shop".into()),
        limit_key: Some("gold".into()),
        pin: Some(Pin { deployment: DeploymentId("dp_1".into()), protocol_version: 6 }),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        entries: 7,
        commands: 5,
        modified_at: Millis(1_795_000_000_500),
        retention: Millis(600_000),
        journal_retention: None,
        policy_attempts: 3,
        last_error: Some(error),
        ..row
    };
    put_invocation(&world, "ann", 1, row);
    let shown = world.rows("SELECT * FROM sys_invocation").await.unwrap();
    let shown: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(shown.into_iter().next().unwrap()).unwrap();
    let expected = json!({
        "id": id("ann", 1).to_string(),
        "target": "Cart/ann/add",
        "target_service_name": "Cart",
        "target_service_key": "ann",
        "target_handler_name": "add",
        "idempotency_key": "once",
        "invoked_by": "service",
        "limit_key": "gold",
        "scope": "shop",
        "invoked_by_id": id("caller", 1).to_string(),
        "pinned_deployment_id": "dp_1",
        "pinned_service_protocol_version": 6,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "journal_size": 7,
        "journal_commands_size": 5,
        "created_at": "2026-11-18T11:06:40.123Z",
        "modified_at": "2026-11-18T11:06:40.500Z",
        "completion_retention": "PT600S",
        "journal_retention": "PT600S",
        "retry_count": 3,
        "next_retry_at": "2026-11-18T11:06:41Z",
        "last_attempt_deployment_id": "dp_1",
        "last_failure": "not yet",
        "last_failure_error_code": "500",
        "last_failure_related_command_index": 2,
        "last_failure_related_command_name": "charge",
        "last_failure_related_command_type": "Run",
        "status": "backing-off",
        "partition_key": id("ann", 1).partition_key.0,
    });
    let there: BTreeMap<_, _> = shown
        .into_iter()
        .filter(|(name, value)| !value.is_null() && name != "target_service_ty")
        .collect();
    assert_eq!(json!(there), expected);
    let parts = "SELECT s.status, a.in_flight, a.retry_count FROM sys_invocation_status s JOIN sys_invocation_state a ON s.id = a.id";
    assert_eq!(
        world.cells(parts).await,
        [json!([false, 3, "invoked"]).as_array().unwrap().clone()]
    );
}

#[tokio::test]
async fn who_began_an_invocation_is_told() {
    let world = World::new();
    let life = Life { invocation: id("caller", 1), incarnation: Incarnation(0) };
    let caller = Some(Caller { life, completion: None });
    let from = Some(id("k", 0));
    for (uuid, (caller, restarted_from)) in (0..).zip([(None, None), (caller, None), (None, from)])
    {
        let row = invocation(&target("Cart", Some("k"), "add"), Status::Running);
        put_invocation(&world, "k", uuid, InvocationRow { caller, restarted_from, ..row });
    }
    let columns = "invoked_by AS a, invoked_by_id AS b, restarted_from AS c";
    let expected = json!([
        ["ingress", null, null],
        ["service", id("caller", 1).to_string(), null],
        ["restart_as_new", null, id("k", 0).to_string()],
    ]);
    for table in ["sys_invocation", "sys_invocation_status"] {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY id");
        assert_eq!(json!(world.cells(&sql).await), expected, "{table}");
    }
}

#[tokio::test]
async fn each_status_has_its_name_and_its_columns() {
    let world = World::new();
    let waiting = WaitSet {
        completions: vec![CompletionId(3), CompletionId(4)],
        signals: vec![17],
        named_signals: vec!["go".into()],
    };
    let statuses = [
        Status::Scheduled { at: Millis(1_000) },
        Status::Pending { place: 1 },
        Status::Running,
        Status::Suspended(waiting.into()),
        Status::BackingOff { until: Millis(1_000) },
        Status::Paused,
        Status::Completed { at: Millis(2_000), parts: 1, expired: false },
    ];
    for (uuid, status) in statuses.into_iter().enumerate() {
        put_invocation(
            &world,
            "k",
            uuid as u128,
            invocation(&target("Cart", Some("k"), "add"), status),
        );
    }
    let sql = "SELECT i.status AS a, s.status AS b, scheduled_start_at AS c, i.completed_at AS d, \
               i.suspended_waiting_for_completions AS e, i.suspended_waiting_for_signals AS f \
               FROM (SELECT * FROM sys_invocation) i JOIN (SELECT id AS other, status FROM sys_invocation_status) s \
               ON i.id = s.other ORDER BY i.id";
    let shown = world.cells(sql).await;
    let expected = json!([
        ["scheduled", "scheduled", "1970-01-01T00:00:01Z", null, null, null],
        ["pending", "inboxed", null, null, null, null],
        ["running", "invoked", null, null, null, null],
        ["suspended", "suspended", null, null, [3, 4], ["17", "go"]],
        ["backing-off", "invoked", null, null, null, null],
        ["paused", "paused", null, null, null, null],
        ["completed", "completed", null, "1970-01-01T00:00:02Z", null, null],
    ]);
    assert_eq!(json!(shown), expected);
    // Of what has completed there are no attempts.
    assert_eq!(world.cell("SELECT COUNT(*) FROM sys_invocation_state").await, json!(6));
}

#[tokio::test]
async fn how_invocations_ended_is_read_where_it_is_asked_for() {
    let world = World::new();
    let target = target("Cart", Some("k"), "add");
    let ends = [Outcome::Success(text("1")), failed(), failed(), Outcome::Success(text("2"))];
    for (uuid, outcome) in ends.into_iter().enumerate() {
        let uuid = uuid as u128;
        let completed = Status::Completed { at: Millis(5), parts: 2, expired: false };
        put_invocation(&world, "k", uuid, invocation(&target, completed));
        let journal = entry(1, Entry::Input { headers: vec![], body: text("in") });
        world.tables.put(&RowKey::Packed(id("k", uuid), 0), Row::Packed(vec![journal]));
        world.tables.put(&RowKey::Packed(id("k", uuid), 1), Row::Packed(vec![output(outcome)]));
    }
    put_invocation(&world, "k", 9, invocation(&target, Status::Running));
    // This one was forgotten between one page and the next.
    put_invocation(
        &world,
        "k",
        10,
        invocation(&target, Status::Completed { at: Millis(5), parts: 1, expired: false }),
    );
    let sql =
        "SELECT completion_result AS a, completion_failure AS b FROM sys_invocation ORDER BY id";
    let (success, failure) = (json!(["success", null]), json!(["failure", "[409] canceled"]));
    let nothing = json!([null, null]);
    let expected = json!([success, failure, failure, success, nothing, nothing]);
    assert_eq!(json!(world.cells(sql).await), expected);
    let count = "SELECT COUNT(*) FROM sys_invocation WHERE completion_result =";
    assert_eq!(world.cell(&format!("{count} 'failure'")).await, json!(2));
    assert_eq!(world.cell(&format!("{count} 'success' AND status = 'completed'")).await, json!(2));
    assert_eq!(world.cell(&format!("{count} 'success' AND status = 'running'")).await, json!(0));
}

#[tokio::test]
async fn journals_are_shown_live_and_packed() {
    let world = World::new();
    let command = |effect| Entry::Command { kind: 0x040C, bytes: text("\x62\x03nap"), effect };
    let sleep = command(Effect::Sleep { completion: CompletionId(1), wake_at: Millis(3_000) });
    let input = entry(1_000, Entry::Input { headers: vec![], body: text("in") });
    let journal = [input.clone(), entry(2_000, sleep)];
    for (index, row) in (0..).zip(journal.clone()) {
        world.tables.put(&RowKey::Journal(id("live", 1), index), Row::Journal(row));
    }
    let packed = |part| RowKey::Packed(id("packed", 1), part);
    world.tables.put(&packed(0), Row::Packed(journal.to_vec()));
    world.tables.put(&packed(1), Row::Packed(vec![output(failed())]));
    // It was packed while its partition was read: its entries have been told.
    world.tables.put(&RowKey::Packed(id("live", 1), 0), Row::Packed(vec![input]));
    let columns = "\"index\" AS a, entry_type AS b, name AS c, raw AS d, raw_length AS e, \
                   sleep_wakeup_at AS f, appended_at AS g";
    let shown = async |key| {
        let id = id(key, 1);
        let sql = format!("SELECT {columns} FROM sys_journal WHERE id = '{id}' ORDER BY \"index\"");
        world.cells(&sql).await
    };
    let first = json!([0, "Command: Input", null, null, 2, null, "1970-01-01T00:00:01Z"]);
    let second = json!([
        1,
        "Command: Sleep",
        "nap",
        null,
        5,
        "1970-01-01T00:00:03Z",
        "1970-01-01T00:00:02Z"
    ]);
    let third = json!([2, "Command: Output", null, null, 8, null, "1970-01-01T00:00:00.004Z"]);
    assert_eq!(json!(shown("live").await), json!([first, second]));
    assert_eq!(json!(shown("packed").await), json!([first, second, third]));
    assert_eq!(world.cell("SELECT COUNT(*) FROM sys_journal").await, json!(5));
}

#[tokio::test]
async fn objects_are_shown_with_their_state_holder_and_queue() {
    let world = World::new();
    let (service, key) = ("Cart".to_owned(), "ann".to_owned());
    let lock = LockRow { holder: id("ann", 1), first_place: 2, next_place: 3 };
    let queue = RowKey::Queue { service: service.clone(), key: key.clone(), place: 2 };
    world.tables.put(&queue, Row::Queue(id("ann", 2)));
    let (s, k) = (service.clone(), key.clone());
    world.tables.put(&RowKey::Lock { service: s, key: k }, Row::Lock(lock));
    for (name, value) in [("items", &b"[1]"[..]), ("photo", &[0xFF, 0xD8])] {
        let (service, key) = (service.clone(), key.clone());
        let key = RowKey::State { service, key, name: text(name) };
        world.tables.put(&key, Row::State(value.to_vec().into()));
    }
    let sql = "SELECT service_name AS a, service_key AS b, key AS c, key_length AS d, value_utf8 AS e, \
               value AS f, value_length AS g FROM state ORDER BY key";
    let expected = json!([
        ["Cart", "ann", "items", 5, "[1]", "5b315d", 3],
        ["Cart", "ann", "photo", 5, null, "ffd8", 2],
    ]);
    assert_eq!(json!(world.cells(sql).await), expected);
    let sql =
        "SELECT service_name AS a, service_key AS b, id AS c, sequence_number AS d FROM sys_inbox";
    let expected = json!([["Cart", "ann", id("ann", 2).to_string(), 2]]);
    assert_eq!(json!(world.cells(sql).await), expected);
    let sql = "SELECT service_name AS a, service_key AS b, invocation_id AS c FROM sys_keyed_service_status";
    assert_eq!(json!(world.cells(sql).await), json!([["Cart", "ann", id("ann", 1).to_string()]]));
}

#[tokio::test]
async fn what_is_registered_is_shown_as_it_is_now() {
    let world = World::new();
    assert_eq!(world.cell("SELECT COUNT(*) FROM sys_service").await, json!(0));
    let deployment = deployment();
    let metadata = register(&world, &deployment);
    let names = world.cells("SELECT name FROM sys_service ORDER BY name").await.concat();
    assert_eq!(json!(names), json!(metadata.services.keys().collect::<Vec<_>>()));
    let shown =
        world.cells("SELECT id AS a, endpoint AS b, services AS c FROM sys_deployment").await;
    let services: Vec<_> = deployment.services.iter().map(|service| &service.name).collect();
    assert_eq!(json!(shown), json!([[deployment.id.0, deployment.uri, services]]));
}

#[tokio::test]
async fn an_answer_in_arrow_has_the_same_rows() {
    let world = World::new();
    fill(&world, "Cart", &["a", "b", "c"], 10);
    let answer =
        world.ask("SELECT id, created_at FROM sys_invocation", SqlForm::Arrow).await.unwrap();
    let batches = StreamReader::try_new(Cursor::new(answer.body), None).unwrap();
    assert_eq!(batches.schema().field(0).name(), "id");
    let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 30);
    let empty = world.ask("SELECT id FROM state_of_nothing", SqlForm::Arrow).await;
    assert!(empty.is_err());
    let answer = world.ask("SELECT key FROM state", SqlForm::Arrow).await.unwrap();
    assert_eq!(StreamReader::try_new(Cursor::new(answer.body), None).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_service_does_not_want_shown_is_not_shown() {
    let world = World::new();
    let mut deployment = deployment();
    let service = deployment.services.first_mut().unwrap();
    service.name = "Secret".into();
    service.metadata = vec![Header { key: REDACTED_LABEL.into(), value: "true".into() }];
    register(&world, &deployment);
    for service in ["Secret", "Open"] {
        let name = RowKey::State { service: service.into(), key: "k".into(), name: text("n") };
        world.tables.put(&name, Row::State(text("a secret")));
        let target = target(service, Some("k"), "add");
        let error = AttemptError {
            code: 500,
            message: "a secret".into(),
            command_index: None,
            command_name: None,
            command_kind: None,
            delay_by_function: false,
        };
        let uuid = u128::from(service == "Open");
        let row =
            invocation(&target, Status::Completed { at: Millis(5), parts: 1, expired: false });
        put_invocation(&world, "k", uuid, InvocationRow { last_error: Some(error), ..row });
        let outcome =
            Outcome::Failure(Failure { code: 409, message: "a secret".into(), metadata: vec![] });
        world.tables.put(&RowKey::Packed(id("k", uuid), 0), Row::Packed(vec![output(outcome)]));
    }
    let state = "SELECT value AS a, value_utf8 AS b, value_length AS c FROM state ORDER BY service_name DESC";
    let expected = json!([[null, null, 8], ["6120736563726574", "a secret", 8]]);
    assert_eq!(json!(world.cells(state).await), expected);
    let failures =
        "SELECT completion_failure AS a, last_failure AS b FROM sys_invocation ORDER BY id";
    let expected = json!([["[409] (redacted)", "(redacted)"], ["[409] a secret", "a secret"]]);
    assert_eq!(json!(world.cells(failures).await), expected);
    for condition in ["last_failure = 'a secret'", "completion_failure LIKE '%secret'"] {
        let sql = format!("SELECT target_service_name FROM sys_invocation WHERE {condition}");
        assert_eq!(json!(world.cells(&sql).await), json!([["Open"]]), "{sql}");
    }
    assert_eq!(
        world.cell("SELECT COUNT(*) FROM state WHERE value_utf8 = 'a secret'").await,
        json!(1)
    );
}
