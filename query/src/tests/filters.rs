//! What of the tables a query asks for.

use everlog_log_schema::{
    InvocationId, LockRow, PartitionId, Row, RowKey, Status, partition_key_of, partition_of,
};
use serde_json::json;

use super::{PARTITIONS, World, fill, id, invocation, target, text};

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn partition(key: &str) -> PartitionId {
    partition_of(partition_key_of(key), PARTITIONS)
}

fn all() -> Vec<PartitionId> {
    (0..PARTITIONS).map(PartitionId).collect()
}

#[tokio::test]
async fn an_id_leads_to_its_row_alone() {
    let world = World::new();
    fill(&world, "Cart", &KEYS, 4);
    let wanted = id("c", 2);
    let sql = format!("SELECT target_service_key FROM sys_invocation WHERE id = '{wanted}'");
    assert_eq!(world.cell(&sql).await, json!("c"));
    assert_eq!(world.tables.questions(), [partition("c")]);

    let (one, other, strange) = (id("a", 1), id("b", 2), id("a", 99));
    let sql = format!(
        "SELECT COUNT(*) FROM sys_invocation WHERE id IN ('{one}', '{strange}', 'inv_1', '{other}')"
    );
    assert_eq!(world.cell(&sql).await, json!(2));
    let mut asked = vec![partition("a"), partition("b")];
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(world.tables.asked(), asked);

    assert_eq!(world.cell("SELECT COUNT(*) FROM sys_journal WHERE id = 'no id'").await, json!(0));
    assert!(world.tables.questions().is_empty());
}

#[tokio::test]
async fn a_key_leads_to_its_partition() {
    let world = World::new();
    fill(&world, "Cart", &KEYS, 4);
    fill(&world, "Cart", &["b\0", "", "bb"], 1);
    let count = "SELECT COUNT(*) FROM sys_invocation WHERE target_service_key";
    for (condition, found, asked) in [
        ("= 'b'", 4, vec![partition("b")]),
        ("= 'b' AND target_service_name = 'Cart'", 4, vec![partition("b")]),
        ("= 'b' AND target_service_name = 'Other'", 0, vec![partition("b")]),
        ("= 'b' AND target_service_key = 'c'", 0, vec![]),
        ("<> 'b'", 31, all()),
        ("LIKE 'b%'", 6, all()),
    ] {
        let sql = format!("{count} {condition}");
        assert_eq!(world.cell(&sql).await, json!(found), "{sql}");
        assert_eq!(world.tables.asked(), asked, "{sql}");
    }
}

#[tokio::test]
async fn a_service_and_key_lead_to_the_rows_of_an_object() {
    let world = World::new();
    for service in ["Cart", "Cart2"] {
        for key in KEYS {
            let (service, key) = (service.to_owned(), key.to_owned());
            for name in ["x", "y"] {
                let key =
                    RowKey::State { service: service.clone(), key: key.clone(), name: text(name) };
                world.tables.put(&key, Row::State(text("1")));
            }
            let row = LockRow { holder: id(&key, 1), first_place: 0, next_place: 1 };
            let queue = RowKey::Queue { service: service.clone(), key: key.clone(), place: 7 };
            world.tables.put(&queue, Row::Queue(id(&key, 2)));
            world.tables.put(&RowKey::Lock { service, key }, Row::Lock(row));
        }
    }
    for (table, each) in [("state", 2), ("sys_inbox", 1), ("sys_keyed_service_status", 1)] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(world.cell(&count).await, json!(each * 16), "{table}");
        assert_eq!(world.tables.asked(), all(), "{table}");
        for (condition, found, keys) in [
            ("service_name = 'Cart' AND service_key = 'c'", each, vec!["c"]),
            ("service_key = 'c'", 2 * each, vec!["c"]),
            (
                "service_key IN ('c', 'd') AND service_name IN ('Cart', 'No')",
                2 * each,
                vec!["c", "d"],
            ),
            ("service_name = 'No' AND service_key = 'c'", 0, vec!["c"]),
        ] {
            let sql = format!("{count} WHERE {condition}");
            assert_eq!(world.cell(&sql).await, json!(found), "{sql}");
            let mut asked: Vec<_> = keys.into_iter().map(partition).collect();
            asked.sort_unstable();
            asked.dedup();
            assert_eq!(world.tables.asked(), asked, "{sql}");
        }
        let sql = format!("{count} WHERE service_name = 'Cart2'");
        assert_eq!(world.cell(&sql).await, json!(8 * each), "{sql}");
        assert_eq!(world.tables.asked(), all(), "{table}");
    }
}

#[tokio::test]
async fn conditions_are_met_whether_they_are_checked_early_or_late() {
    let world = World::new();
    fill(&world, "Cart", &KEYS, 3);
    let running = invocation(&target("Cart", Some("a"), "pay"), Status::Running);
    let plain = invocation(&target("Mail", None, "send"), Status::Paused);
    let plain_id = InvocationId { uuid: 70, ..id("x", 0) };
    for (id, row) in [(id("a", 50), running), (plain_id, plain)] {
        world.tables.put(&RowKey::Invocation(id), Row::Invocation(Box::new(row)));
    }
    for (condition, found) in [
        ("status = 'running'", 1),
        ("'running' = status", 1),
        ("status IN ('running', 'paused', 'completed', 'suspended')", 2),
        ("status = 'running' OR status = 'paused'", 2),
        ("status = 'running' OR target_service_name = 'Mail'", 2),
        ("status NOT IN ('running', 'paused')", 24),
        ("NOT (status = 'running')", 25),
        ("status = 'pending' AND target_handler_name = 'add'", 24),
        ("status = 'pending' AND target_handler_name = 'pay'", 0),
        ("target_service_key IS NULL", 1),
        ("target_service_key = NULL", 0),
        ("target_service_key = ''", 0),
        ("vqueue_id = 'x'", 0),
        ("status = target_handler_name", 0),
        ("status = 'Running'", 0),
        ("lower(upper(status)) = 'running'", 1),
        ("created_at < now()", 26),
        ("created_at > TIMESTAMP '2026-11-18T11:06:40.122Z'", 26),
        ("created_at > TIMESTAMP '2026-11-18T11:06:40.123Z'", 0),
    ] {
        let sql = format!("SELECT COUNT(*) FROM sys_invocation WHERE {condition}");
        assert_eq!(world.cell(&sql).await, json!(found), "{sql}");
    }
}

#[tokio::test]
async fn a_limit_spares_the_rest() {
    let world = World::new();
    fill(&world, "Cart", &KEYS, 100);
    let rows = world.rows("SELECT id FROM sys_invocation").await.unwrap();
    assert_eq!(rows.len(), 800);
    let whole = world.tables.questions().len();
    for condition in ["", "WHERE status = 'pending' AND target_service_name = 'Cart'"] {
        let sql = format!("SELECT id FROM sys_invocation {condition} LIMIT 5");
        assert_eq!(world.rows(&sql).await.unwrap().len(), 5);
        let some = world.tables.questions().len();
        assert!(some * 10 < whole, "{some} of {whole}");
    }
}

#[tokio::test]
async fn many_ids_are_asked_for_in_as_many_questions_as_they_need() {
    let world = World::new();
    fill(&world, "Cart", &["a"], 800);
    let ids: Vec<String> = (0..800).map(|uuid| format!("'{}'", id("a", uuid))).collect();
    let sql = format!("SELECT COUNT(*) FROM sys_invocation WHERE id IN ({})", ids.join(","));
    assert_eq!(world.cell(&sql).await, json!(800));
    assert_eq!(world.tables.asked(), [partition("a")]);
}
