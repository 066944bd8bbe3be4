//! What an object's handlers have stored under its key, shown and replaced.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use everlog_log_schema::identity::version_of_state;
use everlog_log_schema::limits::{KEY_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX};
use everlog_log_schema::metadata::ServiceKind;
use everlog_log_schema::owner_api::{Answer, StatePage};
use everlog_log_schema::{
    EDIT_STATE, HandlerKind, InvocationId, Invoke, Millis, OTHER_STATE_VERSION, Outcome, RequestId,
    StateEdit, Target, VERSIONED_STATE_BYTES_MAX, partition_key_of,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::invocations::Parameters;
use super::{Admin, AdminError, newest, not_found, read_json};
use crate::reply::{Reply, json_reply};

/// How long an edit is kept among the invocations, in milliseconds: a day.
const EDIT_KEPT: Millis = Millis(24 * 3_600_000);

#[derive(Serialize)]
struct StateView {
    entries: Vec<StateEntry>,
    next: Option<String>,
    /// That of all of it, where it is all here.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditRequest {
    object_key: String,
    new_state: BTreeMap<String, NewValue>,
    version: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value is an array of bytes, or text")]
enum NewValue {
    Bytes(Vec<u8>),
    Text(String),
}

impl EditRequest {
    /// Reads what the state is to be, and of which object.
    fn read(body: &[u8]) -> Result<(String, StateEdit), AdminError> {
        let Self { object_key, new_state, version, scope } = read_json(body)?;
        let refused = |what: String| Err(AdminError::MalformedRequest(what));
        if scope.is_some_and(|scope| !scope.is_empty()) {
            let what = "scope: there is no scoped state, and an object has one state in all scopes";
            return refused(what.into());
        }
        if object_key.len() > KEY_BYTES_MAX {
            return refused(format!("object_key has more than {KEY_BYTES_MAX} bytes"));
        }
        if new_state.keys().any(|name| name.len() > STATE_KEY_BYTES_MAX) {
            return refused(format!(
                "a name in new_state has more than {STATE_KEY_BYTES_MAX} bytes"
            ));
        }
        if new_state.len() > STATE_KEYS_MAX as usize {
            return refused(format!("new_state has more than {STATE_KEYS_MAX} names"));
        }
        let encoded = |value| match value {
            NewValue::Bytes(bytes) => STANDARD.encode(bytes),
            NewValue::Text(text) => STANDARD.encode(text),
        };
        let new_state = new_state.into_iter().map(|(name, value)| (name, encoded(value))).collect();
        Ok((object_key, StateEdit { new_state, version }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateEntry {
    /// With a mark in place of what is no text.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_utf8: Option<String>,
    /// Whether the service's payloads are not to be shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

impl Admin {
    /// Answers with a page of an object's state.
    pub(super) async fn show_state(
        &self,
        service: &str,
        key: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let after = parameters.take("page")?.map(|page| {
            let page = URL_SAFE_NO_PAD.decode(page).map(Bytes::from);
            let wrong = "page is not the `next` of an answer".to_owned();
            page.map_err(|_| AdminError::MalformedQuery(wrong))
        });
        let after = after.transpose()?;
        parameters.end()?;
        let metadata = self.metadata.borrow().clone();
        let object = metadata.service(service);
        if !object.is_some_and(|(_, service)| service.kind.is_keyed()) {
            return Err(not_found("virtual object", service));
        }
        let question = || self.owner.state(service.to_owned(), key.to_owned(), after.clone());
        let redacted = metadata.is_redacted(service, None);
        let page = self.ask(question).await?.unwrap_or_default();
        let entries = page.entries.iter().map(|(key, value)| StateEntry {
            key: String::from_utf8_lossy(key).into_owned(),
            value: (!redacted).then(|| STANDARD.encode(value)),
            value_utf8: str::from_utf8(value).ok().filter(|_| !redacted).map(str::to_owned),
            redacted,
        });
        let version = version_of(&page).filter(|_| after.is_none() && !redacted);
        let next = page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next));
        Ok(json_reply(StatusCode::OK, &StateView { entries: entries.collect(), next, version }))
    }

    /// Replaces the state of an object, when its turn comes among the object's exclusive calls. Waits for
    /// that a while.
    pub(super) async fn edit_state(&self, service: &str, body: &[u8]) -> Result<Reply, AdminError> {
        let (key, edit) = EditRequest::read(body)?;
        let metadata = self.metadata.borrow().clone();
        let (_, object) = newest(&metadata, service)?;
        match object.kind {
            ServiceKind::VirtualObject => {}
            ServiceKind::Service => return Err(not_found("virtual object", service)),
            // It is the run's own, which holds no lock that an edit could wait for.
            ServiceKind::Workflow => return Err(AdminError::StateOfWorkflow),
        }
        let id = InvocationId { partition_key: partition_key_of(&key), uuid: rand::random() };
        let target = Target { service: service.into(), key: Some(key), handler: EDIT_STATE.into() };
        let argument = serde_json::to_vec(&edit).expect("names and texts are JSON");
        let invoke = Invoke {
            id,
            request_id: RequestId(rand::random()),
            resent: false,
            target,
            kind: HandlerKind::Exclusive,
            headers: Vec::new(),
            body: argument.into(),
            idempotency_key: None,
            scope: None,
            limit_key: None,
            reply_to: None,
            start_at: None,
            retention: EDIT_KEPT,
            journal_retention: None,
            state_ttl: object.handlers.iter().find_map(|handler| handler.state_ttl),
            retry: self.retry.clone(),
            traceparent: None,
            caller: None,
        };
        let offset = self.inbox.append_call(metadata.next, invoke).await?;
        let applied = match self.ask(|| self.owner.attach(id, Some(offset))).await {
            Ok(Some(Answer { outcome: Outcome::Success(_), .. })) => true,
            Ok(Some(Answer { outcome: Outcome::Failure(failure), .. })) => {
                return Err(match failure.code {
                    OTHER_STATE_VERSION => AdminError::StateVersion(failure.message),
                    _ => AdminError::EditEnded(failure.message),
                });
            }
            // It is recorded, and will have its turn.
            Ok(None) | Err(AdminError::PartitionUnavailable(_)) => false,
            Err(error) => return Err(error),
        };
        let body = json!({ "invocation_id": id.to_string(), "applied": applied });
        Ok(json_reply(StatusCode::ACCEPTED, &body))
    }
}

/// The version of a state that is on one page.
fn version_of(page: &StatePage) -> Option<String> {
    let bytes: usize = page.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
    // A name that is no text cannot be written back.
    let is_text = page.entries.iter().all(|(name, _)| str::from_utf8(name).is_ok());
    let is_all = page.next.is_none() && bytes as u64 <= VERSIONED_STATE_BYTES_MAX && is_text;
    let entries = page.entries.iter().map(|(name, value)| (&name[..], &value[..]));
    is_all.then(|| version_of_state(entries))
}
