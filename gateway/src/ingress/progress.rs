//! Renders how far an invocation has come that has not completed.
//!
//! Its invariant: whoever asks learns why it takes so long. An invocation whose deployment is down
//! says so here, with the error of its last attempt, though nobody waits for it.

use everlog_log_schema::{AttemptError, InvocationId, Millis, Status, command_kind_name};
use serde_json::{Map, Value, json};

use super::answer::name_invocation;
use super::error::IngressError;
use crate::reply::Reply;
use crate::time::rfc3339;

/// Renders the answer to a question for an output that is not there yet.
pub(crate) fn render(id: InvocationId, status: &Status, error: Option<&AttemptError>) -> Reply {
    let sentence = describe(status);
    let mut progress = Map::new();
    progress.insert("status".into(), status.kind().name().into());
    if let Status::Scheduled { at } = status
        && let Some(at) = rfc3339(*at)
    {
        progress.insert("scheduledAt".into(), at.into());
    }
    if let Status::BackingOff { until } = status
        && let Some(until) = rfc3339(*until)
    {
        progress.insert("nextAttempt".into(), until.into());
    }
    if let Some(error) = error {
        progress.insert("lastError".into(), view(error));
    }
    let sentence = match error {
        Some(error) => format!("{sentence}; its last failed attempt: {}", error.message),
        None => sentence,
    };
    let error = IngressError::NotReady { id: id.to_string(), sentence, progress };
    let mut reply = error.into_reply();
    name_invocation(&mut reply, id);
    reply
}

fn describe(status: &Status) -> String {
    let at = |when: Millis| rfc3339(when).unwrap_or_else(|| "a time beyond all calendars".into());
    match status {
        Status::Scheduled { at: when } => format!("it waits for its time, {}", at(*when)),
        Status::Pending { .. } => "it waits for its object key".into(),
        Status::Running => "it runs".into(),
        Status::Suspended(_) => "it waits for a step to complete".into(),
        Status::BackingOff { until } => {
            format!("it failed and is tried again at {}", at(*until))
        }
        Status::Paused => "it is paused, and waits for somebody to resume it".into(),
        Status::Completed { at: when, .. } => {
            format!("it ended at {}, and its output is not there yet", at(*when))
        }
    }
}

fn view(error: &AttemptError) -> Value {
    let mut view = json!({ "code": error.code, "message": error.message });
    if let Some(fields) = view.as_object_mut() {
        if let Some(index) = error.command_index {
            fields.insert("commandIndex".into(), index.into());
        }
        if let Some(name) = &error.command_name {
            fields.insert("commandName".into(), name.as_str().into());
        }
        if let Some(kind) = error.command_kind {
            fields.insert("commandKind".into(), command_kind_name(kind).into());
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::PartitionKey;
    use http_body_util::BodyExt;

    use super::*;

    async fn rendered(status: Status, error: Option<&AttemptError>) -> Value {
        let id = InvocationId { partition_key: PartitionKey(1), uuid: 2 };
        let reply = render(id, &status, error);
        assert_eq!(reply.status().as_u16(), 470);
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn an_unfinished_invocation_says_where_it_stands() {
        for (status, word) in [
            (Status::Pending { place: 3 }, "pending"),
            (Status::Running, "running"),
            (Status::Paused, "paused"),
        ] {
            let json = rendered(status, None).await;
            assert_eq!(json["error"], "not-ready");
            assert_eq!(json["metadata"], json!({ "status": word }));
        }
        let json = rendered(Status::Scheduled { at: Millis(0) }, None).await;
        let at = "1970-01-01T00:00:00.000Z";
        assert_eq!(json["metadata"], json!({ "status": "scheduled", "scheduledAt": at }));
    }

    #[tokio::test]
    async fn the_last_error_is_shown() {
        let error = AttemptError {
            code: 502,
            message: "[RT0010] failed to connect".into(),
            command_index: Some(3),
            command_name: Some("pay".into()),
            command_kind: Some(0x0411),
            delay_by_function: false,
        };
        let json = rendered(Status::BackingOff { until: Millis(0) }, Some(&error)).await;
        let progress = &json["metadata"];
        assert_eq!(progress["status"], "backing-off");
        assert_eq!(progress["nextAttempt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(
            progress["lastError"],
            json!({
                "code": 502, "message": "[RT0010] failed to connect",
                "commandIndex": 3, "commandName": "pay", "commandKind": "Run",
            })
        );
        let message = json["message"].as_str().unwrap();
        assert!(message.contains("tried again at 1970") && message.contains("RT0010"), "{message}");
    }
}
