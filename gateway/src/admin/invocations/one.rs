//! One invocation, as it stands.

use everlog_log_schema::owner_api::Progress;
use everlog_log_schema::{
    FutureTree, IdError, InboxOffset, InvocationId, InvocationRow, Outcome, Status, Target,
};
use http::StatusCode;

use super::views;
use crate::admin::{Admin, AdminError};
use crate::reply::{Reply, json_reply};

impl Admin {
    /// Answers with an invocation, and how it ended if it has.
    pub(in crate::admin) async fn show_invocation(&self, id: &str) -> Result<Reply, AdminError> {
        let id = parse_id(id)?;
        let row = self.invocation(id, None).await?.ok_or(AdminError::InvocationNotFound(id))?;
        let outcome = match row.status {
            Status::Completed { .. } => self.outcome(id).await?,
            Status::Scheduled { .. }
            | Status::Pending { .. }
            | Status::Running
            | Status::Suspended(_)
            | Status::BackingOff { .. }
            | Status::Paused => None,
        };
        let hidden = self.hides(&row.target);
        let awaiting_on = match row.status {
            Status::Running => self.awaiting_on(id).await,
            Status::Scheduled { .. }
            | Status::Pending { .. }
            | Status::Suspended(_)
            | Status::BackingOff { .. }
            | Status::Paused
            | Status::Completed { .. } => None,
        };
        let view = views::invocation(id, &row, outcome.as_ref(), hidden);
        Ok(json_reply(StatusCode::OK, &view.with_awaiting_on(awaiting_on.as_ref())))
    }

    /// Whether what a handler is given and says is not to be shown.
    pub(super) fn hides(&self, target: &Target) -> bool {
        self.metadata.borrow().is_redacted(&target.service, Some(&target.handler))
    }

    /// Asks for an invocation as it stands once the message at `after` is taken in.
    pub(super) async fn invocation(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> Result<Option<InvocationRow>, AdminError> {
        self.ask(|| self.owner.invocation(id, after)).await
    }

    /// What its code waits for, if that can be said now: nobody waits for a hint.
    async fn awaiting_on(&self, id: InvocationId) -> Option<FutureTree> {
        self.owner.awaiting_on(id).await.ok().flatten()
    }

    async fn outcome(&self, id: InvocationId) -> Result<Option<Outcome>, AdminError> {
        Ok(match self.ask(|| self.owner.output(id)).await? {
            Some(Progress::Completed(answer)) => Some(answer.outcome),
            Some(Progress::Unfinished { .. }) | None => None,
        })
    }
}

/// Reads the id of an invocation.
pub(super) fn parse_id(text: &str) -> Result<InvocationId, AdminError> {
    const SHOWN_CHARS_MAX: usize = 80;
    text.parse().map_err(|error: IdError| AdminError::MalformedId {
        id: text.chars().take(SHOWN_CHARS_MAX).collect(),
        reason: error.to_string(),
    })
}
