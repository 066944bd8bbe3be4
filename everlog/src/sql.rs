//! `everlog sql`: a question in SQL, and its answer as a table.
//!
//! Its invariant: what is shown has the columns in the order in which they were asked for.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::{AdminArguments, AdminFailure};
use crate::output::{OutputArguments, Shown, Table, present};

/// The arguments of `everlog sql`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog sql \"SELECT status, COUNT(*) FROM sys_invocation GROUP BY status\"
      How many invocations there are in each status.
  everlog sql \"SELECT id, last_failure FROM sys_invocation WHERE status = 'backing-off'\"
      What fails, and why.
  everlog sql --json \"SELECT * FROM state WHERE service_name = 'Cart' AND service_key = 'ann'\"
      The state of one object, for a program.
  everlog sql \"SHOW TABLES\"
      Which tables there are; `DESCRIBE sys_invocation` shows the columns of one.

docs/sql.md has all tables. Exit codes: 0 answered, 1 the server cannot be asked, or refuses the query.")]
pub(crate) struct SqlArguments {
    /// The query.
    #[arg(value_name = "QUERY")]
    query: String,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
struct Answer {
    rows: Vec<Row>,
}

/// The cells of a row, with the names of their columns, in order.
#[derive(Debug, PartialEq)]
struct Row(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Row(cells))
            }
        }
        deserializer.deserialize_map(Cells)
    }
}

/// Does it.
pub(crate) async fn run(arguments: SqlArguments) -> ExitCode {
    present(&arguments.output, async || ask(&arguments).await).await
}

async fn ask(arguments: &SqlArguments) -> Result<Shown, AdminFailure> {
    let question = json!({ "query": arguments.query });
    let text = arguments.server.ask_for_text(Method::POST, "/query", Some(&question)).await?;
    let strange = |error: serde_json::Error| arguments.server.strange(&error.to_string());
    let json = serde_json::from_slice(&text).map_err(strange)?;
    let Answer { rows } = serde_json::from_slice(&text).map_err(strange)?;
    Ok(Shown { json, text: table(&rows) })
}

fn table(rows: &[Row]) -> String {
    let Some(Row(first)) = rows.first() else { return "There are no rows.\n".into() };
    let headings = first.iter().map(|(name, _)| name.to_uppercase()).collect();
    let cells = rows.iter().map(|Row(cells)| cells.iter().map(|(_, cell)| shown(cell)).collect());
    Table::of(std::iter::once(headings).chain(cells)).to_string()
}

/// A cell as people read it: texts without quotes, and nothing where there is nothing.
fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => cell.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn rows(json: &str) -> Vec<Row> {
        let Answer { rows } = serde_json::from_str(json).unwrap();
        rows
    }

    #[test]
    fn columns_stand_in_the_order_of_the_answer() {
        let answer = r#"{"rows":[
            {"status":"running","count":12,"about":null,"list":[1,2]},
            {"status":"completed","count":3,"about":"x\u001b","list":null}
        ]}"#;
        expect![[r"
            STATUS     COUNT  ABOUT  LIST
            running    12            [1,2]
            completed  3      x�
        "]]
        .assert_eq(&table(&rows(answer)));
    }

    #[test]
    fn an_empty_answer_is_said_to_be_one() {
        expect![[r"
            There are no rows.
        "]]
        .assert_eq(&table(&rows(r#"{"rows":[]}"#)));
    }
}
