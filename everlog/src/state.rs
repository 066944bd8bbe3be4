//! `everlog state`: what virtual objects remember.

use std::io::Write;
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{AdminArguments, AdminFailure, encode, query};
use crate::ask::{read_file, read_stdin};
use crate::output::{OutputArguments, Shown, Table, present};
use crate::say::{complain, say};

/// What to do with state.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print the state of one object.
    Get(GetArguments),
    /// Replace the state of one object.
    Set(SetArguments),
}

/// The arguments of `everlog state set`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog state set Cart ann state.json --version 4f0c…
      The whole state, if it still has the version that `everlog state get` has printed.
  echo '{}' | everlog state set Cart ann -
      No state at all.

  everlog state get Cart ann --json > state.json; vi state.json; everlog state set Cart ann state.json
      What was printed, edited, if nobody has changed the state meanwhile.

The file is a JSON object: the names, with a text or an array of bytes for each; or what `everlog state
get --json` prints, where `valueUtf8` counts before `value` and the version is the one it must still have.
The state is replaced when no exclusive handler holds the key.

Exit codes: 0 replaced, or recorded and waiting for its turn; 1 refused.")]
pub(crate) struct SetArguments {
    /// The virtual object's service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The object's key.
    #[arg(value_name = "KEY")]
    key: String,
    /// Where the new state is; `-` is the standard input.
    #[arg(value_name = "FILE")]
    file: String,
    /// Replace it only where it has this version.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
struct Replaced {
    invocation_id: String,
    applied: bool,
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
    version: Option<String>,
}

/// What `everlog state get --json` prints.
#[derive(Debug, Deserialize)]
struct Printed {
    entries: Vec<Entry>,
    version: Option<String>,
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
    let done = match command {
        StateCommand::Get(arguments) => match &arguments.name {
            None => return present(&arguments.output, async || show(&arguments).await).await,
            Some(name) => print(&arguments, name).await,
        },
        StateCommand::Set(arguments) => set(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            complain(format_args!("everlog: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints one value, byte for byte.
async fn print(arguments: &GetArguments, name: &str) -> Result<(), String> {
    let bytes = value(arguments, name).await.map_err(|error| error.to_string())?;
    let printed = std::io::stdout().write_all(&bytes);
    printed.map_err(|error| format!("failed to print the value: {error}"))
}

async fn show(arguments: &GetArguments) -> Result<Shown, AdminFailure> {
    let (entries, version) = all(arguments).await?;
    let mut text = table(&arguments.server.read::<Vec<_>>(&entries)?);
    if let Some(version) = &version {
        text = format!("{text}\nVersion {version}\n");
    }
    Ok(Shown { json: json!({ "entries": entries, "version": version }), text })
}

/// Replaces the state, and says so.
async fn set(arguments: &SetArguments) -> Result<(), String> {
    let SetArguments { service, key, file, version, server } = arguments;
    let text = if file == "-" { read_stdin() } else { read_file(file) };
    let text = text.map_err(|error| error.to_string())?;
    let given = Given::read(&text, version.as_deref());
    let Given { entries, version } =
        given.map_err(|reason| format!("failed to read {file}: {reason}"))?;
    let body = json!({ "object_key": key, "new_state": entries, "version": version });
    let path = format!("/services/{}/state", encode(service));
    let answer = server.ask(Method::POST, &path, Some(&body)).await;
    let replaced = answer.and_then(|answer| server.read(&answer));
    say(format_args!("{}", told(&replaced.map_err(|error| error.to_string())?)));
    Ok(())
}

/// A state that is to be.
#[derive(Debug, PartialEq)]
struct Given {
    /// Names, with a text or an array of bytes for each.
    entries: Value,
    version: Option<String>,
}

impl Given {
    /// Reads a file, of which the state is to have a version, if the command line names one.
    fn read(text: &[u8], wanted: Option<&str>) -> Result<Self, String> {
        let entries: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if !is_printed(&entries) {
            return Ok(Self { entries, version: wanted.map(ToOwned::to_owned) });
        }
        let Printed { entries, version } =
            serde_json::from_value(entries).map_err(|error| error.to_string())?;
        let Some(version) = version else {
            let reason = "a state that was printed without a version cannot be written back: it is large, or has a \
                          name that is no text";
            return Err(reason.into());
        };
        if wanted.is_some_and(|wanted| wanted != version) {
            return Err(format!("it has the version {version}, and --version names another"));
        }
        let entries = entries.into_iter().map(|entry| {
            let value = match (&entry.value_utf8, bytes(&entry)) {
                (Some(text), _) => json!(text),
                (None, Some(bytes)) => json!(bytes),
                (None, None) => return Err(format!("`{}` has no value in base64", entry.key)),
            };
            Ok((entry.key, value))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, version: Some(version) })
    }
}

/// Whether it is what `everlog state get --json` prints: no value of a state is a list of objects.
fn is_printed(state: &Value) -> bool {
    let are_objects = |entries: &Vec<Value>| entries.iter().all(Value::is_object);
    state.as_object().is_some_and(|state| {
        let entries = state.get("entries").and_then(Value::as_array);
        state.len() == 2 && state.contains_key("version") && entries.is_some_and(are_objects)
    })
}

fn told(replaced: &Replaced) -> String {
    let Replaced { invocation_id: id, applied } = replaced;
    if *applied {
        return "Replaced.".to_owned();
    }
    format!(
        "Recorded as {id}, and not done yet: its turn may not have come. See with \
         `everlog invocations show {id}`."
    )
}

async fn value(arguments: &GetArguments, name: &str) -> Result<Vec<u8>, AdminFailure> {
    let entries: Vec<Entry> = arguments.server.read(&all(arguments).await?.0)?;
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

/// All entries of an object, from as many pages as there are; and their version, where it is one.
async fn all(arguments: &GetArguments) -> Result<(Value, Option<String>), AdminFailure> {
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
            return Ok((entries.into(), found.version));
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
    fn what_is_printed_can_be_given_back() {
        let read_at = |given: &Value, version| {
            let read = Given::read(given.to_string().as_bytes(), version);
            read.map(|Given { entries, version }| (entries, version))
        };
        let read = |given: Value| read_at(&given, None);
        // A name like any other: its value is no list of objects.
        let plain = json!({ "entries": [], "items": "[]" });
        assert_eq!(read(plain.clone()), Ok((plain.clone(), None)));
        assert_eq!(read_at(&plain, Some("1")), Ok((plain, Some("1".into()))));
        let items = json!({ "key": "items", "value": "WzEsMl0=", "valueUtf8": "[3]" });
        let photo = json!({ "key": "photo", "value": "/9j/" });
        let printed = json!({ "entries": [&items, photo], "version": "4f0c" });
        let state = json!({ "items": "[3]", "photo": [255, 216, 255] });
        assert_eq!(read_at(&printed, Some("4f0c")), read(printed.clone()));
        assert!(read_at(&printed, Some("1")).unwrap_err().contains("another"));
        assert_eq!(read(printed), Ok((state, Some("4f0c".into()))));
        let large = json!({ "entries": [items], "version": null });
        assert!(read_at(&large, None).unwrap_err().contains("without a version"));
        assert!(read_at(&large, Some("1")).unwrap_err().contains("without a version"));
        let odd = json!({ "entries": [{ "key": "pin", "value": "no base64" }], "version": "1" });
        assert_eq!(read(odd), Err("`pin` has no value in base64".into()));
        assert_eq!(
            Given::read(b"{", None).unwrap_err(),
            "EOF while parsing an object at line 1 column 1"
        );
    }

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
