//! Changes what is registered: decides on it as it stands, records the decision in the metadata
//! topic, and waits until this gateway has read it back.
//!
//! The record names the version of the metadata that it replaces, and the first change made against
//! a version wins: two gateways that change something at once cannot overwrite each other unseen.

use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::{AppendError, ChangeError, append_metadata_change};
use everlog_log_schema::MetadataOffset;
use everlog_log_schema::metadata::{Change, Metadata, MetadataChange};
use tokio::time::{Instant, timeout_at};

use super::{Admin, AdminError};
use crate::backoff::Backoff;

/// How long a change may take to be recorded and read back.
const RECORD_MAX: Duration = Duration::from_secs(30);

/// What is decided, and what is answered once it is so.
pub(super) enum Decision<T> {
    /// Nothing is to be recorded.
    Done(T),
    /// This is.
    Record(Box<Change>, T),
}

impl Admin {
    /// Decides and records. Decides anew, on what others have left, where their change came first.
    pub(super) async fn change<T>(
        &self,
        decide: impl Fn(&Metadata) -> Result<Decision<T>, AdminError>,
    ) -> Result<T, AdminError> {
        let deadline = Instant::now() + RECORD_MAX;
        let mut backoff = Backoff::new();
        let mut unsure: Option<String> = None;
        loop {
            let Some(metadata) = self.current_metadata() else {
                return Err(unsure.map_or(AdminError::MetadataLost, AdminError::OutcomeUnknown));
            };
            let (change, answer) = match decide(&metadata)? {
                Decision::Done(answer) => return Ok(answer),
                Decision::Record(change, answer) => (*change, answer),
            };
            match self.record(metadata.version, change, deadline).await {
                Ok(true) => return Ok(answer),
                Ok(false) => {}
                Err(AdminError::OutcomeUnknown(reason)) => unsure = Some(reason),
                Err(error) if unsure.is_none() && !worth_another_try(&error, deadline) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "a change is not recorded yet"),
            }
            if Instant::now() >= deadline {
                let reason =
                    unsure.unwrap_or_else(|| "others make changes at the same time".into());
                return Err(AdminError::OutcomeUnknown(reason));
            }
            backoff.pause().await;
        }
    }

    /// Appends the change and waits until it is folded. Returns whether it took effect.
    async fn record(
        &self,
        replaces: MetadataOffset,
        change: Change,
        deadline: Instant,
    ) -> Result<bool, AdminError> {
        let change = MetadataChange { replaces, change };
        let appended = append_metadata_change(self.log.as_ref(), &change).await;
        let offset = appended.map_err(|error| match error {
            ChangeError::Encode(error) => AdminError::MalformedRequest(error.to_string()),
            ChangeError::Append(AppendError::Unknown(reason)) => AdminError::OutcomeUnknown(reason),
            ChangeError::Append(_) | ChangeError::Log(_) => {
                AdminError::LogUnavailable(error.to_string())
            }
        })?;
        let mut metadata = self.metadata.clone();
        let folded = metadata.wait_for(|metadata| metadata.next.0 > offset.0);
        match timeout_at(deadline, folded).await {
            Ok(Ok(metadata)) => Ok(is_so(&metadata, &change.change)),
            Ok(Err(_stopped)) => Err(AdminError::OutcomeUnknown(
                "this process no longer follows the metadata".into(),
            )),
            Err(_elapsed) => Err(AdminError::OutcomeUnknown("it was not read back in time".into())),
        }
    }

    /// What is registered, to decide by: not once it is no longer followed.
    pub(super) fn current_metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.has_changed().ok().map(|_| Arc::clone(&self.metadata.borrow()))
    }
}

/// What will be registered once a change is recorded.
pub(super) fn foreseen(metadata: &Metadata, change: Change) -> Metadata {
    let mut foreseen = metadata.clone();
    let change = MetadataChange { replaces: foreseen.version, change };
    foreseen.fold(foreseen.next, change);
    foreseen
}

/// Whether what a change says is so, by it or by another.
fn is_so(metadata: &Metadata, change: &Change) -> bool {
    match change {
        Change::RegisterDeployment(deployment) | Change::UpdateDeployment(deployment) => {
            metadata.deployments.get(&deployment.id) == Some(deployment)
        }
        Change::RemoveDeployment(id) => !metadata.deployments.contains_key(id),
    }
}

fn worth_another_try(error: &AdminError, deadline: Instant) -> bool {
    matches!(error, AdminError::LogUnavailable(_)) && Instant::now() < deadline
}
