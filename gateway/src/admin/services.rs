//! What an operator sets for a service in place of what its author wrote.
//!
//! Its invariant: it is recorded with the version of the service that it was set for, and ends with
//! that version.

use everlog_log_schema::Millis;
use everlog_log_schema::metadata::{Change, Deployment, ServicePatch};
use http::StatusCode;
use serde::Deserialize;

use super::record::Decision;
use super::{Admin, AdminError, newest, read_json, views};
use crate::reply::{Reply, json_reply};
use crate::time::duration;

/// A request to set something for a service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchRequest {
    public: Option<bool>,
    idempotency_retention: Option<String>,
    workflow_completion_retention: Option<String>,
    journal_retention: Option<String>,
    inactivity_timeout: Option<String>,
    abort_timeout: Option<String>,
}

impl Admin {
    /// Sets something for a service, until its next version.
    pub(super) async fn patch_service(&self, name: &str, body: &[u8]) -> Result<Reply, AdminError> {
        let request: PatchRequest = read_json(body)?;
        let patch = ServicePatch {
            public: request.public,
            idempotency_retention: period("idempotency_retention", request.idempotency_retention)?,
            workflow_completion_retention: period(
                "workflow_completion_retention",
                request.workflow_completion_retention,
            )?,
            journal_retention: period("journal_retention", request.journal_retention)?,
            inactivity_timeout: period("inactivity_timeout", request.inactivity_timeout)?,
            abort_timeout: period("abort_timeout", request.abort_timeout)?,
        };
        self.change(|metadata| {
            let (deployment, service) = newest(metadata, name)?;
            let patched = service.clone().patched(patch);
            if patched == *service {
                return Ok(Decision::Done(()));
            }
            let services = deployment.services.iter();
            let services = services.map(|of| if of.name == name { &patched } else { of }).cloned();
            let change = Deployment { services: services.collect(), ..deployment.clone() };
            Ok(Decision::Record(Box::new(Change::UpdateDeployment(change)), ()))
        })
        .await?;
        let metadata = self.metadata.borrow().clone();
        let (deployment, service) = newest(&metadata, name)?;
        Ok(json_reply(StatusCode::OK, &views::service(&metadata, deployment, service)))
    }
}

fn period(name: &str, text: Option<String>) -> Result<Option<Millis>, AdminError> {
    let read = |text: String| {
        let period = duration(&text).map(Millis::from);
        period.ok_or_else(|| {
            let reason = format!("`{name}` is no duration such as 10s, 1h 30m or PT10S");
            AdminError::MalformedRequest(reason)
        })
    };
    text.map(read).transpose()
}
