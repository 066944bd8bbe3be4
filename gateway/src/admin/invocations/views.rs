//! How invocations and their journals are shown. What a function was given and has returned is not.

use std::borrow::Cow;

use everlog_log_schema::{
    AttemptError, CompletionId, Effect, Entry, Failure, FutureTree, InvocationId, InvocationRow,
    JournalRow, NotificationId, NotificationResult, Outcome, SignalId, Status, command_kind_name,
    command_name, notification_kind_name, redacted,
};
use serde::Serialize;

use super::waiting::{WaitingFor, waiting_for};
use crate::time::rfc3339;

/// An invocation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvocationView<'a> {
    id: String,
    service: &'a str,
    key: Option<&'a str>,
    handler: &'a str,
    status: &'static str,
    created_at: Option<String>,
    modified_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    attempts: u32,
    retry_count: u32,
    journal_entries: u32,
    journal_commands: u32,
    journal_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<u32>,
    invoked_by: InvokedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<WaitingFor>,
    /// What the code of a running one waits for, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    awaiting_on: Option<WaitingFor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeView<'a>>,
}

/// Who began it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum InvokedBy {
    /// Somebody outside.
    Ingress,
    /// A function.
    Service {
        /// The invocation that it runs in.
        id: String,
    },
    /// Somebody who wanted a completed one to begin anew.
    RestartAsNew {
        /// The completed one.
        id: String,
    },
}

/// Why an attempt failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorView<'a> {
    code: u32,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_kind: Option<&'static str>,
}

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OutcomeView<'a> {
    /// The word `success`.
    Success(&'static str),
    /// Not well.
    Failure(FailureView<'a>),
}

/// A terminal failure.
#[derive(Debug, Serialize)]
struct FailureView<'a> {
    code: u32,
    message: Cow<'a, str>,
}

/// An entry of a journal.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryView<'a> {
    index: u32,
    at: Option<String>,
    attempts: u32,
    r#type: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<SignalView<'a>>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wake_at: Option<String>,
    /// The other invocation: the one that is called, asked or told.
    #[serde(skip_serializing_if = "Option::is_none")]
    callee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView<'a>>,
}

/// A signal, by its number or name.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum SignalView<'a> {
    Index(u32),
    Name(&'a str),
}

impl InvocationView<'_> {
    /// Adds what its code waits for, if it has said so.
    pub(super) fn with_awaiting_on(mut self, awaiting_on: Option<&FutureTree>) -> Self {
        self.awaiting_on = awaiting_on.map(waiting_for);
        self
    }
}

/// Shows an invocation; with how it ended, where that was asked for. Where payloads are to be `hidden`,
/// it shows of failures their codes alone.
pub(super) fn invocation<'a>(
    id: InvocationId,
    row: &'a InvocationRow,
    outcome: Option<&'a Outcome>,
    hidden: bool,
) -> InvocationView<'a> {
    let status = &row.status;
    InvocationView {
        id: id.to_string(),
        service: &row.target.service,
        key: row.target.key.as_deref(),
        handler: &row.target.handler,
        status: status.kind().name(),
        created_at: rfc3339(row.created_at),
        modified_at: rfc3339(row.modified_at),
        scheduled_at: if let Status::Scheduled { at } = status { rfc3339(*at) } else { None },
        retry_at: if let Status::BackingOff { until } = status { rfc3339(*until) } else { None },
        completed_at: if let Status::Completed { at, .. } = status { rfc3339(*at) } else { None },
        attempts: row.attempts,
        retry_count: row.failures_since_progress,
        journal_entries: row.entries,
        journal_commands: row.commands,
        journal_bytes: row.journal_bytes,
        idempotency_key: row.idempotency_key.as_deref(),
        scope: row.scope.as_deref(),
        limit_key: row.limit_key.as_deref(),
        deployment: row.pin.as_ref().map(|pin| pin.deployment.0.as_str()),
        protocol_version: row.pin.as_ref().map(|pin| pin.protocol_version),
        invoked_by: match (row.restarted_from, row.caller) {
            (Some(old), _) => InvokedBy::RestartAsNew { id: old.to_string() },
            (None, Some(caller)) => InvokedBy::Service { id: caller.life.invocation.to_string() },
            (None, None) => InvokedBy::Ingress,
        },
        waiting_for: if let Status::Suspended(waiting) = status {
            Some(waiting_for(waiting))
        } else {
            None
        },
        awaiting_on: None,
        last_error: row.last_error.as_ref().map(|of| error(of, hidden)),
        outcome: outcome.map(|outcome| match outcome {
            Outcome::Success(_) => OutcomeView::Success("success"),
            Outcome::Failure(failure) => OutcomeView::Failure(failed(failure, hidden)),
        }),
    }
}

fn error(error: &AttemptError, hidden: bool) -> ErrorView<'_> {
    ErrorView {
        code: error.code,
        message: shown(&error.message, hidden),
        command_index: error.command_index,
        command_name: error.command_name.as_deref(),
        command_kind: error.command_kind.map(command_kind_name),
    }
}

fn failed(failure: &Failure, hidden: bool) -> FailureView<'_> {
    FailureView { code: failure.code, message: shown(&failure.message, hidden) }
}

/// What a function says of its failure, as far as that is to be shown.
fn shown(message: &str, hidden: bool) -> Cow<'_, str> {
    if hidden { redacted(message).into() } else { message.into() }
}

/// Shows an entry of a journal.
pub(super) fn entry(index: u32, row: &JournalRow, hidden: bool) -> EntryView<'_> {
    let view = EntryView {
        index,
        at: rfc3339(row.at),
        attempts: row.attempts,
        r#type: "command",
        bytes: row.entry.payload_bytes(),
        ..EntryView::default()
    };
    match &row.entry {
        Entry::Input { .. } => EntryView { kind: "Input", ..view },
        Entry::Command { kind, bytes, effect } => EntryView {
            kind: command_kind_name(*kind),
            name: command_name(bytes),
            ..of_effect(effect, view)
        },
        Entry::Output { name, outcome } => EntryView {
            kind: "Output",
            name: (!name.is_empty()).then(|| name.clone()),
            result_kind: Some(match outcome {
                Outcome::Success(_) => "value",
                Outcome::Failure(_) => "failure",
            }),
            failure: match outcome {
                Outcome::Success(_) => None,
                Outcome::Failure(failure) => Some(failed(failure, hidden)),
            },
            ..view
        },
        Entry::Notification { id, result } => {
            let view = EntryView { r#type: "notification", ..of_result(result, view, hidden) };
            match id {
                NotificationId::Completion { id, kind } => EntryView {
                    kind: notification_kind_name(*kind),
                    completion: Some(id.0),
                    ..view
                },
                NotificationId::Signal(id) => {
                    EntryView { kind: "Signal", signal: Some(signal(id)), ..view }
                }
            }
        }
    }
}

fn of_effect<'a>(effect: &'a Effect, view: EntryView<'a>) -> EntryView<'a> {
    let completes = |completion: CompletionId| Some(completion.0);
    match effect {
        Effect::None
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState => view,
        Effect::Run { completion }
        | Effect::GetState { completion, .. }
        | Effect::GetStateKeys { completion }
        | Effect::GetPromise { completion, .. }
        | Effect::PeekPromise { completion, .. }
        | Effect::CompletePromise { completion, .. } => {
            EntryView { completion: completes(*completion), ..view }
        }
        Effect::Sleep { completion, wake_at } => {
            EntryView { completion: completes(*completion), wake_at: rfc3339(*wake_at), ..view }
        }
        Effect::Call(call) => EntryView {
            completion: call.completion.and_then(completes),
            wake_at: call.start_at.and_then(rfc3339),
            callee: Some(call.callee.to_string()),
            ..view
        },
        Effect::SendSignal { target, signal: id, .. } => {
            EntryView { signal: Some(signal(id)), callee: Some(target.to_string()), ..view }
        }
        Effect::Attach { completion, target } | Effect::GetOutput { completion, target } => {
            EntryView {
                completion: completes(*completion),
                callee: Some(target.to_string()),
                ..view
            }
        }
    }
}

fn of_result<'a>(
    result: &'a NotificationResult,
    view: EntryView<'a>,
    hidden: bool,
) -> EntryView<'a> {
    let result_kind = Some(match result {
        NotificationResult::Void => "void",
        NotificationResult::Value(_) => "value",
        NotificationResult::Failure(_) => "failure",
        NotificationResult::InvocationId(_) => "invocation-id",
        NotificationResult::StateKeys(_) => "state-keys",
    });
    match result {
        NotificationResult::Failure(failure) => {
            EntryView { result_kind, failure: Some(failed(failure, hidden)), ..view }
        }
        NotificationResult::InvocationId(id) => {
            EntryView { result_kind, callee: Some(id.to_string()), ..view }
        }
        NotificationResult::Void
        | NotificationResult::Value(_)
        | NotificationResult::StateKeys(_) => EntryView { result_kind, ..view },
    }
}

fn signal(id: &SignalId) -> SignalView<'_> {
    match id {
        SignalId::Index(index) => SignalView::Index(*index),
        SignalId::Name(name) => SignalView::Name(name),
    }
}
