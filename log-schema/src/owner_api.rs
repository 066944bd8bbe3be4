//! What a gateway asks the owner of a partition: over HTTP/2 in a cluster, in process in
//! `everlog dev`. Gateway and executor do not depend on each other; they meet here.
//!
//! **Invariant:** each question of the trait has its [`Question`], and each answer its [`Reply`], so
//! that nothing can be asked in process that cannot be asked over a network.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    AttemptError, DeploymentId, FutureTree, InboxOffset, InvocationId, InvocationRow, JournalRow,
    Millis, Outcome, PartitionId, RequestId, StandingAnswer, StandingQuestion, Status, StatusKind,
    Target,
};

/// A future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The questions.
pub trait OwnerApi: Send + Sync + 'static {
    /// Waits until the invocation has completed and answers with its outcome.
    ///
    /// `after` is the inbox offset of the caller's own message: the owner says
    /// [`OwnerError::NotFound`] only once it has taken that in. May be dropped at any time, and
    /// asked again.
    fn attach(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>>;

    /// Tells how far the invocation has come.
    fn output(&self, id: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>>;

    /// Waits until the message at `after` is taken in and tells whether it created the invocation
    /// (it, or a copy of the same request) or found it there.
    fn verdict(
        &self,
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>>;

    /// Shows an invocation as it stands once the message at `after` is taken in. Without one, it
    /// says [`OwnerError::NotFound`] only once all is taken in that stood in the inbox when asked.
    fn invocation(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>>;

    /// Tells what the code of a running invocation waits for, if it has said so: a hint, out of date
    /// as soon as it is there.
    fn awaiting_on(
        &self,
        id: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>>;

    /// Lists invocations of one partition, in order of their ids.
    fn invocations(
        &self,
        partition: PartitionId,
        query: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>>;

    /// Reads a journal from entry `from` on, as much of it as is sensible to send at once.
    fn journal(
        &self,
        id: InvocationId,
        from: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>>;

    /// Reads an object's state, in order of its keys, above the key `after`, as much of it as is
    /// sensible to send at once.
    fn state(
        &self,
        service: String,
        key: String,
        after: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>>;

    /// Reads rows of a partition as they are stored, in order of their keys, as many as is sensible
    /// to send at once. Those of one page stood so at one moment.
    fn rows(
        &self,
        partition: PartitionId,
        ranges: Vec<RowRange>,
    ) -> BoxFuture<'_, Result<RowPage, OwnerError>>;
}

/// Which invocations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvocationQuery {
    /// Of this service.
    pub service: Option<String>,
    /// Of this handler.
    pub handler: Option<String>,
    /// Of this object key.
    pub key: Option<String>,
    /// In one of these; in any if empty.
    pub statuses: Vec<StatusKind>,
    /// Of those that go on with the code of this deployment, or may: none is fixed for them yet.
    pub deployment: Option<DeploymentId>,
    /// Only above this id.
    pub after: Option<InvocationId>,
    /// At most so many.
    pub limit: usize,
}

impl InvocationQuery {
    /// Tells whether an invocation is one of those asked for.
    #[must_use]
    pub fn matches(&self, row: &InvocationRow) -> bool {
        let is = |wanted: &Option<String>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        is(&self.service, Some(&row.target.service))
            && is(&self.handler, Some(&row.target.handler))
            && is(&self.key, row.target.key.as_deref())
            && (self.deployment.is_none()
                || row
                    .pin
                    .as_ref()
                    .is_none_or(|pin| Some(&pin.deployment) == self.deployment.as_ref()))
            && (self.statuses.is_empty() || self.statuses.contains(&row.status.kind()))
    }
}

/// Some invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvocationPage {
    /// Those found. May be empty though more follow: each page looks at a bounded number of rows.
    pub found: Vec<(InvocationId, InvocationRow)>,
    /// Where the next page goes on; none at the end.
    pub next: Option<InvocationId>,
}

/// Some of an object's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatePage {
    /// Keys and values, in order.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Where the next page goes on; none at the end.
    pub next: Option<Bytes>,
}

/// Some row keys that follow each other, in bytes as [`RowKey::to_bytes`](crate::RowKey::to_bytes)
/// writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRange {
    /// The lowest.
    pub from: Bytes,
    /// Above the highest.
    pub below: Bytes,
}

/// Some rows as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowPage {
    /// Keys and values, in order.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Where the next page goes on, within what was asked for; none at the end.
    pub next: Option<Bytes>,
}

/// How far an invocation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// To its end.
    Completed(Answer),
    /// Not so far.
    Unfinished {
        /// Where it stands.
        status: Status,
        /// Why its last failed attempt failed, if one did.
        last_error: Option<AttemptError>,
    },
}

/// A completed invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whom it called.
    pub target: Target,
    /// How it ended.
    pub outcome: Outcome,
    /// When it will be forgotten, where its call had an idempotency key.
    pub expires_at: Option<Millis>,
}

/// What became of an `Invoke`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It created the invocation.
    Accepted,
    /// The invocation was there before.
    PreviouslyAccepted,
}

/// Why the owner has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// No such invocation, or it is forgotten.
    #[error("invocation not found")]
    NotFound,
    /// The partition has no owner here now: ask again, the answer is not lost.
    #[error("partition is not available: {0}")]
    Unavailable(String),
    /// The partition has stopped, and stays so until somebody mends what is broken.
    #[error("partition has stopped: {0}")]
    Stopped(String),
}

/// A question as it crosses the network: those of [`OwnerApi`], and the one that executors have for
/// each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// [`OwnerApi::attach`].
    Attach {
        /// To which invocation.
        id: InvocationId,
        /// The caller's own message.
        after: Option<InboxOffset>,
    },
    /// [`OwnerApi::output`].
    Output {
        /// Of which invocation.
        id: InvocationId,
    },
    /// [`OwnerApi::verdict`].
    Verdict {
        /// On which invocation.
        id: InvocationId,
        /// Which request.
        request: RequestId,
        /// In which message.
        after: InboxOffset,
    },
    /// [`OwnerApi::invocation`].
    Invocation {
        /// Which.
        id: InvocationId,
        /// The message that must be taken in.
        after: Option<InboxOffset>,
    },
    /// [`OwnerApi::awaiting_on`].
    AwaitingOn {
        /// Whose code.
        id: InvocationId,
    },
    /// [`OwnerApi::invocations`].
    Invocations {
        /// Of which partition.
        partition: PartitionId,
        /// Which.
        query: InvocationQuery,
    },
    /// [`OwnerApi::journal`].
    Journal {
        /// Of which invocation.
        id: InvocationId,
        /// The first entry.
        from: u32,
    },
    /// [`OwnerApi::state`].
    State {
        /// The service.
        service: String,
        /// The object key.
        key: String,
        /// The key of the state that the page begins behind.
        after: Option<Bytes>,
    },
    /// [`OwnerApi::rows`].
    Rows {
        /// Of which partition.
        partition: PartitionId,
        /// Which: ranges that follow each other.
        ranges: Vec<RowRange>,
    },
    /// How the process stands with a partition.
    Standing {
        /// Which.
        partition: PartitionId,
        /// The question.
        question: StandingQuestion,
    },
}

/// An answer as it crosses the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Question::Attach`], and to [`Question::Output`] of a completed invocation.
    Completed(Answer),
    /// To [`Question::Output`].
    Unfinished {
        /// Where it stands.
        status: Status,
        /// Why its last failed attempt failed, if one did.
        last_error: Option<AttemptError>,
    },
    /// To [`Question::Verdict`].
    Verdict(Verdict),
    /// To [`Question::Invocation`].
    Invocation(Box<InvocationRow>),
    /// To [`Question::AwaitingOn`].
    AwaitingOn(Option<FutureTree>),
    /// To [`Question::Invocations`].
    Invocations(InvocationPage),
    /// To [`Question::Journal`].
    Journal(Vec<JournalRow>),
    /// To [`Question::State`].
    State(StatePage),
    /// To [`Question::Rows`].
    Rows(RowPage),
    /// To [`Question::Standing`].
    Standing(StandingAnswer),
    /// To any question but the last.
    Refused(OwnerError),
}
