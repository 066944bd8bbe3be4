//! Invocations and their journals, as the admin port gives them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::printable;

/// An invocation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) service: String,
    pub(super) key: Option<String>,
    pub(super) handler: String,
    pub(super) status: String,
    pub(super) created_at: Timestamp,
    pub(super) modified_at: Timestamp,
    pub(super) scheduled_at: Option<Timestamp>,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) attempts: u64,
    pub(super) retry_count: u64,
    pub(super) journal_entries: u64,
    pub(super) journal_bytes: u64,
    pub(super) idempotency_key: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) limit_key: Option<String>,
    pub(super) deployment: Option<String>,
    pub(super) protocol_version: Option<u32>,
    pub(super) invoked_by: Option<InvokedBy>,
    pub(super) waiting_for: Option<WaitingFor>,
    pub(super) awaiting_on: Option<WaitingFor>,
    pub(super) last_error: Option<LastError>,
    pub(super) outcome: Option<Outcome>,
}

/// A partition that was left out, because it has stopped.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Unavailable {
    pub(super) partition: u32,
    pub(super) reason: String,
}

impl Unavailable {
    /// Says what is missing.
    pub(super) fn line(&self) -> String {
        let Self { partition, reason } = self;
        printable(&format!("Left out: partition {partition} has stopped ({reason})"))
    }
}

/// Who made a call.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct InvokedBy {
    pub(super) kind: String,
    pub(super) id: Option<String>,
}

/// What an invocation waits for: any of these, unless `together` says something else.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WaitingFor {
    pub(super) completions: Vec<u64>,
    pub(super) signals: Vec<u64>,
    pub(super) named_signals: Vec<String>,
    pub(super) together: Option<String>,
}

/// Why the last attempt failed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastError {
    pub(super) code: Value,
    pub(super) message: String,
    pub(super) command_index: Option<u64>,
    pub(super) command_name: Option<String>,
    pub(super) command_kind: Option<String>,
}

/// How an invocation ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// It failed.
    Failure { code: u16, message: String },
    /// It returned.
    Word(String),
}

/// A journal entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) at: Timestamp,
    pub(super) attempts: u64,
    #[serde(rename = "type")]
    pub(super) side: Side,
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) completion: Option<u64>,
    pub(super) signal: Option<Value>,
    pub(super) bytes: u64,
    pub(super) result_kind: Option<String>,
    pub(super) wake_at: Option<Timestamp>,
    pub(super) callee: Option<String>,
    pub(super) failure: Option<Value>,
}

/// Which side made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// The function.
    Command,
    /// Everlog.
    Notification,
}

impl Invocation {
    /// Whom it calls, as a call writes it.
    pub(super) fn target(&self) -> String {
        let key = self.key.as_ref().map_or_else(String::new, |key| format!("/{key}"));
        format!("{}{key}/{}", self.service, self.handler)
    }
}

impl LastError {
    /// The error in one line.
    pub(super) fn line(&self) -> String {
        let index = self.command_index.map(|index| format!(" command {index}"));
        let name = self.command_name.as_ref().map(|name| format!(" `{name}`"));
        let kind = self.command_kind.as_ref().map(|kind| format!(" ({kind})"));
        let place: String = [index, name, kind].into_iter().flatten().collect();
        let at = if place.is_empty() { "" } else { ", at" };
        format!("[{}] {}{at}{place}", plain(&self.code), self.message)
    }
}

/// A text or a number as it is read.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Data for tests.
#[cfg(test)]
pub(super) mod samples {
    use serde_json::json;

    use super::{Entry, Invocation, Timestamp, Value};

    /// The time at which the samples are looked at.
    pub(in super::super) fn now() -> Timestamp {
        "2026-11-18T11:00:10Z".parse().unwrap()
    }

    /// An invocation of an object, ten seconds old, with these fields besides.
    pub(in super::super) fn invocation(besides: Value) -> Invocation {
        let mut json = json!({
            "id": "inv_1", "service": "Cart", "key": "ann", "handler": "checkout",
            "status": "running", "createdAt": "2026-11-18T11:00:00.000Z",
            "modifiedAt": "2026-11-18T11:00:00.500Z", "attempts": 1, "retryCount": 0,
            "journalEntries": 1, "journalCommands": 1, "journalBytes": 2048,
            "invokedBy": { "kind": "ingress" },
        });
        let Value::Object(besides) = besides else { panic!("an object") };
        json.as_object_mut().unwrap().extend(besides);
        serde_json::from_value(json).unwrap()
    }

    /// A journal entry, so many milliseconds after the invocation began.
    pub(in super::super) fn entry(
        index: u64,
        at: i64,
        side: &str,
        kind: &str,
        besides: Value,
    ) -> Entry {
        let start: Timestamp = "2026-11-18T11:00:00Z".parse().unwrap();
        let at = Timestamp::from_millisecond(start.as_millisecond() + at).unwrap();
        let mut json = json!({ "index": index, "at": at.to_string(), "attempts": 1, "type": side,
            "kind": kind, "bytes": 10 });
        let Value::Object(besides) = besides else { panic!("an object") };
        json.as_object_mut().unwrap().extend(besides);
        serde_json::from_value(json).unwrap()
    }
}
