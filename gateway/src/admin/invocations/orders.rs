//! Orders about invocations: cancel, kill, pause, resume, purge.
//!
//! Its invariant: an order is decided by its partition, in the order of its inbox. What is judged
//! here before it is sent only tells what its sender will want to know, and what it tells afterwards
//! is what the partition shows once the order is taken in.

use std::collections::BTreeMap;

use everlog_log_schema::{
    InboxOffset, InvocationId, InvocationRow, Message, MetadataOffset, NotificationResult, Order,
    OrderAction, PartitionId, Signal, SignalId, StatusKind,
};
use http::StatusCode;
use serde::Serialize;

use super::filter::{Filter, Parameters, Place};
use super::list::{Page, UnavailableView};
use super::one::parse_id;
use crate::admin::{Admin, AdminError};
use crate::inbox::{self, InboxError};
use crate::reply::{Reply, json_reply};

/// What becomes of a purged invocation's status.
const PURGED: &str = "purged";

/// An order was delivered, and its end is not seen.
const ACCEPTED: &str = "accepted";

/// What an order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Verb {
    /// Ask the function to end; what has not begun ends at once.
    Cancel,
    /// End at once.
    Kill,
    /// Start no attempt until somebody resumes it.
    Pause,
    /// Go on now.
    Resume,
    /// Forget it.
    Purge,
    /// Forget its journal.
    PurgeJournal,
}

/// What an order means for an invocation as it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Something will happen.
    Applies,
    /// What it asks for is so already.
    Already(&'static str),
    /// It cannot be done.
    Refused(AdminError),
}

#[derive(Serialize)]
struct OrderView<'a> {
    id: String,
    status: &'a str,
    outcome: &'a str,
}

#[derive(Serialize)]
struct BulkView {
    matched: usize,
    changed: usize,
    next: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unavailable: Vec<UnavailableView>,
}

/// An invocation of which an order about many does not know that it was carried out.
#[derive(Serialize)]
struct FailedView {
    id: String,
    error: &'static str,
    message: String,
}

impl FailedView {
    fn new(id: InvocationId, error: &AdminError) -> Self {
        let (code, ..) = error.code();
        Self { id: id.to_string(), error: code, message: error.to_string() }
    }
}

impl Verb {
    /// Reads the last segment of a path.
    pub(in crate::admin) fn parse(name: &str) -> Option<Self> {
        match name {
            "cancel" => Some(Self::Cancel),
            "kill" => Some(Self::Kill),
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "purge" => Some(Self::Purge),
            "purge-journal" => Some(Self::PurgeJournal),
            _ => None,
        }
    }

    fn message(self, target: InvocationId) -> Message {
        let action = match self {
            Self::Cancel => {
                return Message::Signal(Box::new(Signal {
                    target,
                    incarnation: None,
                    sender: None,
                    signal: SignalId::CANCEL,
                    result: NotificationResult::Void,
                }));
            }
            Self::Kill => OrderAction::Kill,
            Self::Pause => OrderAction::Pause,
            Self::Resume => OrderAction::Resume,
            Self::Purge => OrderAction::Purge,
            Self::PurgeJournal => OrderAction::PurgeJournal,
        };
        Message::Order(Order { target, sender: None, action })
    }

    pub(super) fn meaning(self, status: StatusKind) -> Meaning {
        match (self, status) {
            (Self::Purge | Self::PurgeJournal, StatusKind::Completed) => Meaning::Applies,
            (Self::Purge | Self::PurgeJournal, _) => Meaning::Refused(AdminError::NotCompleted),
            (_, StatusKind::Completed) => Meaning::Refused(AdminError::Completed(self.done())),
            (Self::Pause, StatusKind::Paused) => Meaning::Already("already-paused"),
            (Self::Resume, StatusKind::Running) => Meaning::Already("already-running"),
            (Self::Pause | Self::Resume, StatusKind::Scheduled | StatusKind::Pending) => {
                Meaning::Refused(AdminError::NotStarted(self.done()))
            }
            (Self::Cancel | Self::Kill, _)
            | (
                Self::Pause | Self::Resume,
                StatusKind::Running
                | StatusKind::Suspended
                | StatusKind::BackingOff
                | StatusKind::Paused,
            ) => Meaning::Applies,
        }
    }

    /// What became of an order that applied before it was taken in.
    pub(super) fn outcome(self, after: StatusKind) -> Result<&'static str, AdminError> {
        let done = match self {
            Self::Cancel | Self::Kill | Self::PurgeJournal => after == StatusKind::Completed,
            Self::Pause => after == StatusKind::Paused,
            // Since then it may have gone anywhere.
            Self::Resume => true,
            // It is there: this is not the one that was to be forgotten.
            Self::Purge => false,
        };
        if done {
            return Ok("done");
        }
        match self.meaning(after) {
            Meaning::Applies => Ok(ACCEPTED),
            Meaning::Already(_) => Ok("done"),
            Meaning::Refused(error) => Err(error),
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Kill => "killed",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Purge | Self::PurgeJournal => PURGED,
        }
    }
}

/// The partitions that have not answered, each asked as long as one request may.
#[derive(Default)]
pub(super) struct Silent(BTreeMap<PartitionId, AdminError>);

impl Silent {
    /// Asks a partition, unless it has not answered before.
    pub(super) async fn ask<T>(
        &mut self,
        partition: PartitionId,
        question: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, AdminError> {
        if let Some(error) = self.0.get(&partition) {
            return Err(error.clone());
        }
        let answer = question.await;
        answer.inspect_err(|error| drop(self.0.insert(partition, error.clone())))
    }
}

impl Admin {
    /// Gives an order about one invocation, and tells what became of it.
    pub(in crate::admin) async fn order(&self, verb: Verb, id: &str) -> Result<Reply, AdminError> {
        let id = parse_id(id)?;
        let before = self.invocation(id, None).await?;
        let before = kind(&before.ok_or(AdminError::InvocationNotFound(id))?);
        match verb.meaning(before) {
            Meaning::Applies => {}
            Meaning::Already(outcome) => return Ok(view(id, before.name(), outcome)),
            Meaning::Refused(error) => return Err(error),
        }
        let message = inbox::encode(MetadataOffset(0), verb.message(id))?;
        let offset = self.inbox.append(self.inbox.partition(id), message).await?;
        match self.after(id, offset).await?.as_ref().map(kind) {
            Some(after) => {
                let outcome = verb.outcome(after)?;
                let mut reply = view(id, after.name(), outcome);
                if outcome == ACCEPTED {
                    *reply.status_mut() = StatusCode::ACCEPTED;
                }
                Ok(reply)
            }
            None if verb == Verb::Purge => Ok(view(id, PURGED, "done")),
            None => Err(AdminError::InvocationNotFound(id)),
        }
    }

    /// Looks at an invocation once an order about it is taken in.
    pub(super) async fn after(
        &self,
        id: InvocationId,
        order: InboxOffset,
    ) -> Result<Option<InvocationRow>, AdminError> {
        let seen = self.invocation(id, Some(order)).await;
        seen.map_err(|error| AdminError::OrderUnknown(error.to_string()))
    }

    /// Gives an order about the invocations of a page of the list, and tells how many it changed and
    /// for which it failed: what fails for one is tried for the others all the same.
    pub(in crate::admin) async fn order_many(
        &self,
        verb: Verb,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let filter = Filter::parse(query)?;
        if !filter.is_any() && !filter.all {
            return Err(AdminError::FilterRequired);
        }
        let Page { found, next, unavailable } = self.page(&filter).await?;
        let wanted = found.iter().filter(|(_, row)| verb.meaning(kind(row)) == Meaning::Applies);
        let wanted = wanted.map(|(id, _)| *id);
        let mut changed = 0;
        let mut failed = Vec::new();
        for (id, seen) in self.carry_out(verb, wanted).await {
            match seen {
                Ok(after) => {
                    let done = after.is_none_or(|row| verb.outcome(kind(&row)).is_ok());
                    changed += usize::from(done);
                }
                Err(error) => failed.push(FailedView::new(id, &error)),
            }
        }
        let next = next.as_ref().map(Place::to_string);
        let matched = found.len();
        Ok(json_reply(StatusCode::OK, &BulkView { matched, changed, next, failed, unavailable }))
    }

    /// Gives an order about each, and looks at each once that is taken in.
    pub(super) async fn carry_out(
        &self,
        verb: Verb,
        wanted: impl Iterator<Item = InvocationId>,
    ) -> Vec<(InvocationId, Result<Option<InvocationRow>, AdminError>)> {
        let mut silent = Silent::default();
        let mut all = Vec::new();
        for (id, sent) in self.send_all(verb, wanted).await {
            let seen = match sent {
                Err(error) => Err(error),
                Ok(offset) => silent.ask(self.inbox.partition(id), self.after(id, offset)).await,
            };
            all.push((id, seen));
        }
        all
    }

    /// Ends an invocation, in the way that a query names: as older tools of the service protocol ask.
    pub(in crate::admin) async fn end_invocation(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let mode = parameters.take("mode")?;
        parameters.end()?;
        let verb = match mode.as_deref().unwrap_or("cancel").to_ascii_lowercase().as_str() {
            "cancel" => Verb::Cancel,
            "kill" => Verb::Kill,
            "purge" => Verb::Purge,
            _ => {
                let reason = "mode must be cancel, kill or purge".to_owned();
                return Err(AdminError::MalformedQuery(reason));
            }
        };
        let mut reply = match self.order(verb, id).await {
            // Older tools ask for an end that they may have already.
            Err(AdminError::Completed(_)) => {
                view(parse_id(id)?, StatusKind::Completed.name(), "done")
            }
            ordered => ordered?,
        };
        *reply.status_mut() = StatusCode::ACCEPTED;
        Ok(reply)
    }

    /// Sends an order about each, all at once, and waits until all are in their inboxes, or are
    /// known not to be, or nobody knows.
    async fn send_all(
        &self,
        verb: Verb,
        wanted: impl Iterator<Item = InvocationId>,
    ) -> Vec<(InvocationId, Result<InboxOffset, AdminError>)> {
        let queue = |id| {
            let message = inbox::encode(MetadataOffset(0), verb.message(id))?;
            self.inbox.queue(self.inbox.partition(id), message)
        };
        let queued: Vec<_> = wanted.map(|id| (id, queue(id))).collect();
        let mut sent = Vec::with_capacity(queued.len());
        for (id, queued) in queued {
            let offset = match queued {
                Ok(appending) => appending.await.map(InboxOffset).map_err(InboxError::from),
                Err(error) => Err(error),
            };
            sent.push((id, offset.map_err(AdminError::from)));
        }
        sent
    }
}

pub(super) fn kind(row: &InvocationRow) -> StatusKind {
    row.status.kind()
}

pub(super) fn view(id: InvocationId, status: &str, outcome: &str) -> Reply {
    json_reply(StatusCode::OK, &OrderView { id: id.to_string(), status, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(verb: Verb, status: StatusKind) -> &'static str {
        match verb.meaning(status) {
            Meaning::Applies => "applies",
            Meaning::Already(outcome) => outcome,
            Meaning::Refused(error) => error.code().0,
        }
    }

    #[test]
    fn an_order_means_something_or_says_why_not() {
        for (verb, meanings) in [
            (Verb::Cancel, ["applies"; 6]),
            (Verb::Kill, ["applies"; 6]),
            (
                Verb::Pause,
                [
                    "invocation-not-started",
                    "invocation-not-started",
                    "applies",
                    "applies",
                    "applies",
                    "already-paused",
                ],
            ),
            (
                Verb::Resume,
                [
                    "invocation-not-started",
                    "invocation-not-started",
                    "already-running",
                    "applies",
                    "applies",
                    "applies",
                ],
            ),
            (Verb::Purge, ["invocation-not-completed"; 6]),
            (Verb::PurgeJournal, ["invocation-not-completed"; 6]),
        ] {
            let live = StatusKind::ALL.into_iter().zip(meanings);
            for (status, expected) in live {
                assert_eq!(meaning(verb, status), expected, "{verb:?} {status:?}");
            }
        }
        let completed = |verb| meaning(verb, StatusKind::Completed);
        assert_eq!(completed(Verb::Cancel), "invocation-completed");
        assert_eq!(completed(Verb::Kill), "invocation-completed");
        assert_eq!(completed(Verb::Pause), "invocation-completed");
        assert_eq!(completed(Verb::Resume), "invocation-completed");
        assert_eq!(completed(Verb::Purge), "applies");
        assert_eq!(completed(Verb::PurgeJournal), "applies");
    }

    #[test]
    fn an_order_tells_what_became_of_it() {
        for (verb, after, expected) in [
            (Verb::Cancel, StatusKind::Completed, "done"),
            (Verb::Cancel, StatusKind::Running, "accepted"),
            (Verb::Kill, StatusKind::Completed, "done"),
            (Verb::Pause, StatusKind::Paused, "done"),
            (Verb::Pause, StatusKind::Completed, "invocation-completed"),
            (Verb::Pause, StatusKind::Running, "accepted"),
            (Verb::Resume, StatusKind::Running, "done"),
            (Verb::Resume, StatusKind::Completed, "done"),
            (Verb::Resume, StatusKind::Paused, "done"),
            (Verb::Purge, StatusKind::Running, "invocation-not-completed"),
            (Verb::PurgeJournal, StatusKind::Completed, "done"),
            (Verb::PurgeJournal, StatusKind::Running, "invocation-not-completed"),
        ] {
            let outcome = verb.outcome(after).unwrap_or_else(|error| error.code().0);
            assert_eq!(outcome, expected, "{verb:?} {after:?}");
        }
    }
}
