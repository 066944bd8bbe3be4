//! What a gateway asks the owner of a partition: over HTTP/2 in a cluster, in process in
//! `everlog dev`. Gateway and executor do not depend on each other; they meet here.

use std::future::Future;
use std::pin::Pin;

use crate::{AttemptError, InboxOffset, InvocationId, Outcome, RequestId, Status, Target};

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
