//! What holds for any rows.

use everlog_log_schema::{InvocationId, Row, RowKey, strategies};
use proptest::prelude::*;
use serde_json::Value;

use super::World;

/// The tables over rows of partitions.
const TABLES: [&str; 8] = [
    "sys_invocation",
    "sys_invocation_status",
    "sys_invocation_state",
    "sys_journal",
    "sys_inbox",
    "sys_keyed_service_status",
    "state",
    "sys_promise",
];

/// A literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of an answer in some order of their own.
async fn sorted(world: &World, sql: &str) -> Vec<String> {
    let rows = world.rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

/// Stores rows as they could stand: an entry's id is an invocation's that stands in one partition.
fn store(world: &World, rows: &[(RowKey, Row)]) {
    for (key, row) in rows {
        world.tables.put(key, row.clone());
    }
}

/// A text for each column that leads somewhere, of a row that is there.
fn leads(key: &RowKey, row: &Row) -> Vec<(&'static str, String)> {
    let of_object = |service: &str, key: &str| {
        ["state", "sys_inbox", "sys_keyed_service_status"].map(|table| {
            let condition =
                format!("service_name = {} AND service_key = {}", quoted(service), quoted(key));
            (table, condition)
        })
    };
    let of_id = |id: &InvocationId| format!("id = '{id}'");
    match (key, row) {
        (RowKey::Invocation(id), Row::Invocation(row)) => {
            let mut leads = vec![
                ("sys_invocation", of_id(id)),
                ("sys_invocation_status", of_id(id)),
                ("sys_invocation_state", of_id(id)),
            ];
            let service = quoted(&row.target.service);
            leads.push(("sys_invocation", format!("target_service_name = {service}")));
            leads
        }
        (RowKey::Journal(id, _) | RowKey::Packed(id, _), _) => {
            vec![("sys_journal", of_id(id))]
        }
        (
            RowKey::Lock { service, key }
            | RowKey::Queue { service, key, .. }
            | RowKey::State { service, key, .. },
            _,
        ) => of_object(service, key).into(),
        _ => vec![],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_can_be_shown_and_a_short_cut_finds_what_the_long_way_finds(
        rows in proptest::collection::vec(strategies::row(), 0..40),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new();
            store(&world, &rows);
            for table in TABLES {
                let all = sorted(&world, &format!("SELECT * FROM {table}")).await;
                let counted = world.cell(&format!("SELECT COUNT(*) FROM {table}")).await;
                assert_eq!(counted, Value::from(all.len()), "{table}");
            }
            for (table, condition) in rows.iter().take(8).flat_map(|(key, row)| leads(key, row)) {
                let short = sorted(&world, &format!("SELECT * FROM {table} WHERE {condition}")).await;
                // A condition that nobody can look into.
                let hidden = condition.replace(" = ", " || '' = ");
                let long = sorted(&world, &format!("SELECT * FROM {table} WHERE {hidden}")).await;
                assert_eq!(short, long, "{table}: {condition}");
            }
        });
    }
}
