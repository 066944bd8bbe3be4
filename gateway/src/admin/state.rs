//! What an object's handlers have stored under its key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::invocations::Parameters;
use super::{Admin, AdminError, not_found};
use crate::reply::{Reply, json_reply};

#[derive(Serialize)]
struct StateView {
    entries: Vec<StateEntry>,
    next: Option<String>,
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
        let next = page.next.map(|next| URL_SAFE_NO_PAD.encode(next));
        Ok(json_reply(StatusCode::OK, &StateView { entries: entries.collect(), next }))
    }
}
