//! `everlog state`: what virtual objects remember.

use std::io::Write;
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{AdminArguments, AdminFailure, encode, query};
use crate::output::{OutputArguments, Shown, Table, present};
use crate::say::complain;

/// What to do with state.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print the state of one object.
    Get(GetArguments),
}

/// The arguments of `everlog state get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog state get Cart ann
      All of it, as a table.
  everlog state get Cart ann items > items.json
      One value, byte for byte.

Exit codes: 0 printed, 1 the server cannot be asked or there is no such value.")]
pub(crate) struct GetArguments {
    /// The virtual object's service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The object's key.
    #[arg(value_name = "KEY")]
    key: String,
    /// Print this value alone, as it is.
    #[arg(value_name = "NAME", conflicts_with_all = ["json", "watch"])]
    name: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Value>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: String,
    value: Option<String>,
    value_utf8: Option<String>,
    #[serde(default)]
    redacted: bool,
}

/// Does it.
pub(crate) async fn run(command: StateCommand) -> ExitCode {
    let StateCommand::Get(arguments) = command;
    let Some(name) = &arguments.name else {
        return present(&arguments.output, async || show(&arguments).await).await;
    };
    match value(&arguments, name).await {
        Ok(bytes) => match std::io::stdout().write_all(&bytes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(format_args!("everlog: failed to print the value: {error}"));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            complain(format_args!("everlog: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn show(arguments: &GetArguments) -> Result<Shown, AdminFailure> {
    let entries = all(arguments).await?;
    let text = table(&arguments.server.read::<Vec<_>>(&entries)?);
    Ok(Shown { json: json!({ "entries": entries }), text })
}

async fn value(arguments: &GetArguments, name: &str) -> Result<Vec<u8>, AdminFailure> {
    let entries: Vec<Entry> = arguments.server.read(&all(arguments).await?)?;
    let found = entries.iter().find(|entry| entry.key == name);
    let entry = found.ok_or_else(|| AdminFailure::Absent {
        what: format!("{}/{} has no state `{name}`", arguments.service, arguments.key),
    })?;
    if entry.redacted {
        let what = format!("the state of {} is not shown: its service says so", arguments.service);
        return Err(AdminFailure::Absent { what });
    }
    bytes(entry).ok_or_else(|| arguments.server.strange("a value is not in base64"))
}

/// All entries of an object, from as many pages as there are.
async fn all(arguments: &GetArguments) -> Result<Value, AdminFailure> {
    let (service, key) = (encode(&arguments.service), encode(&arguments.key));
    let mut entries = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let query = query(&[("page", page.as_deref())]);
        let json = arguments.server.get(&format!("/services/{service}/state/{key}{query}")).await?;
        let found: Page = arguments.server.read(&json)?;
        entries.extend(found.entries);
        page = found.next;
        if page.is_none() {
            return Ok(entries.into());
        }
    }
}

fn bytes(entry: &Entry) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(entry.value.as_ref()?).ok()
}

fn table(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "There is no state.\n".into();
    }
    let mut table = Table::new(["NAME", "BYTES", "VALUE"]);
    for entry in entries {
        let size = bytes(entry).map_or_else(String::new, |bytes| bytes.len().to_string());
        let binary = || entry.value.as_ref().map(|value| format!("base64:{value}"));
        let value = entry.value_utf8.clone().or_else(binary);
        table.row([entry.key.clone(), size, value.unwrap_or_else(|| "(redacted)".into())]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn state_is_shown_as_text_where_it_is_text() {
        let entries: Vec<Entry> = serde_json::from_value(json!([
            { "key": "items", "value": "WzEsMl0=", "valueUtf8": "[1,2]" },
            { "key": "photo", "value": "/9j/" },
            { "key": "pin", "redacted": true },
        ]))
        .unwrap();
        expect![[r"
            NAME   BYTES  VALUE
            items  5      [1,2]
            photo  3      base64:/9j/
            pin           (redacted)
        "]]
        .assert_eq(&table(&entries));
        expect![[r"
            There is no state.
        "]]
        .assert_eq(&table(&[]));
        assert_eq!(bytes(&entries[0]).unwrap(), b"[1,2]");
    }
}
