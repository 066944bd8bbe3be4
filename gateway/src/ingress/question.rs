//! Questions to the owner of a partition: the outcome of an invocation, awaited or not, and what
//! became of a send.
//!
//! Its invariant: a partition without an owner, and an owner that went away, delay an answer and
//! never change it. The question is asked again.

use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::owner_api::{Answer, BoxFuture, OwnerError, Progress, Verdict};
use everlog_log_schema::{InboxOffset, InvocationId, Outcome, RequestId, Target, check_scope};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::error::IngressError;
use super::paths::Question;
use super::{Ingress, answer, body, ids, progress, target};
use crate::asking::ask;
use crate::backoff::Backoff;
use crate::metrics::METRICS;
use crate::reply::{PIECE_BYTES_MAX, Reply, json_reply};

/// How long an owner may be silent before a waiting caller is attached anew: an owner that lost
/// the question would otherwise never answer it.
const REATTACH_AFTER: Duration = Duration::from_secs(10);

/// The body of a question by `POST`.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "target",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum TargetBody {
    /// An id.
    Invocation { invocation_id: String },
    /// What a call with an idempotency key named.
    IdempotentInvocation {
        service: String,
        key: Option<String>,
        handler: String,
        idempotency_key: String,
        scope: Option<String>,
    },
    /// A workflow's run: a scope does not part those of one key.
    #[serde(rename = "workflow")]
    Workflow { workflow_name: String, workflow_key: String, scope: Option<String> },
}

/// The body of the answer to a lookup.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LookupBody {
    invocation_id: String,
}

impl Ingress {
    /// Answers a question about an invocation.
    pub(super) async fn answer(
        &self,
        question: Question,
        id: InvocationId,
    ) -> Result<Reply, IngressError> {
        match question {
            Question::Attach => {
                let answer = self.wait_for_outcome(id, None).await?;
                self.deliver(id, None, answer).await
            }
            Question::Output => match self.output(id).await? {
                Progress::Completed(answer) => self.deliver(id, None, answer).await,
                Progress::Unfinished { status, last_error } => {
                    Ok(progress::render(id, &status, last_error.as_ref()))
                }
            },
            Question::Lookup => {
                let body = LookupBody { invocation_id: id.to_string() };
                Ok(json_reply(StatusCode::OK, &body))
            }
        }
    }

    /// Reads which invocation the body of a question names.
    pub(super) async fn named_by_body(
        &self,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<InvocationId, IngressError> {
        let announced = super::call::content_length(&parts.headers);
        let body = body::read(incoming, announced, &self.body_room, &self.limits).await?;
        let named = serde_json::from_slice(&body.bytes)
            .map_err(|error| IngressError::MalformedTarget(error.to_string()))?;
        match named {
            TargetBody::Invocation { invocation_id } => parse_id(&invocation_id),
            TargetBody::IdempotentInvocation { service, key, handler, idempotency_key, scope } => {
                check_scope(scope.as_deref(), None)?;
                let target = Target { service, key, handler };
                Ok(ids::of_scoped_key(&target, scope.as_deref(), &idempotency_key))
            }
            TargetBody::Workflow { workflow_name, workflow_key, scope } => {
                check_scope(scope.as_deref(), None)?;
                Ok(ids::of_workflow(&workflow_name, &workflow_key))
            }
        }
    }

    /// Waits until an invocation has completed, for as long as the caller does.
    pub(super) async fn wait_for_outcome(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> Result<Answer, IngressError> {
        let mut closing = self.closing.clone();
        let mut backoff = Backoff::new();
        loop {
            let attached = tokio::select! {
                attached = timeout(REATTACH_AFTER, self.owner.attach(id, after)) => attached,
                _ = closing.wait_for(|closing| *closing) => return Err(IngressError::ShuttingDown),
            };
            match attached {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(OwnerError::NotFound)) => {
                    return Err(IngressError::InvocationNotFound(id.to_string()));
                }
                Ok(Err(OwnerError::Unavailable(reason))) => {
                    tracing::debug!(%id, reason, "owner is not available: attaching again");
                    backoff.pause().await;
                }
                Ok(Err(OwnerError::Stopped(reason))) => {
                    return Err(self.note_stopped(id, reason));
                }
                Err(_silent) => {}
            }
            METRICS.reattaches.inc();
        }
    }

    /// Renders an answer, once there is room for it where it is large. Until then it waits where it
    /// is stored: callers that read slowly hold up other large answers, and no memory beyond that
    /// room. `after` is the caller's own message, if it has one.
    pub(super) async fn deliver(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
        answer: Answer,
    ) -> Result<Reply, IngressError> {
        let bytes = match &answer.outcome {
            Outcome::Success(body) if body.len() > PIECE_BYTES_MAX => body.len(),
            Outcome::Success(_) | Outcome::Failure(_) => {
                return Ok(answer::render(id, answer, &self.last_metadata()));
            }
        };
        let bytes = u32::try_from(bytes.min(self.limits.answer_bytes_in_flight_max));
        let bytes = bytes.expect("a body has less than 4 GiB");
        let room = || Arc::clone(&self.answer_room);
        let (answer, taken) = if let Ok(taken) = room().try_acquire_many_owned(bytes) {
            (answer, taken)
        } else {
            drop(answer);
            let taken = room().acquire_many_owned(bytes).await.expect("the room is never closed");
            (self.wait_for_outcome(id, after).await?, taken)
        };
        let reply = answer::render(id, answer, &self.last_metadata());
        Ok(reply.map(|body| body.hold(taken, self.limits.answer_total_max)))
    }

    async fn output(&self, id: InvocationId) -> Result<Progress, IngressError> {
        self.ask(id, || self.owner.output(id)).await
    }

    /// Refuses a call to a partition that has stopped, before it is recorded: it would run whenever
    /// that is mended, beside all the repeats of a caller that did not give up. Only where a stop
    /// is known of the owner is asked, so that no other call waits for that.
    pub(super) async fn refuse_if_stopped(&self, id: InvocationId) -> Result<(), IngressError> {
        let partition = self.inbox.partition(id);
        if !self.stopped.holds(partition) {
            return Ok(());
        }
        match timeout(self.limits.question_max, self.owner.output(id)).await {
            Ok(Err(OwnerError::Stopped(reason))) => {
                Err(IngressError::PartitionStopped { reason, recorded: false })
            }
            Ok(Ok(_) | Err(OwnerError::NotFound | OwnerError::Unavailable(_))) | Err(_) => {
                self.stopped.remove(partition);
                Ok(())
            }
        }
    }

    fn note_stopped(&self, id: InvocationId, reason: String) -> IngressError {
        self.stopped.insert(self.inbox.partition(id));
        IngressError::PartitionStopped { reason, recorded: true }
    }

    /// Asks what became of a message.
    pub(super) async fn verdict(
        &self,
        id: InvocationId,
        request_id: RequestId,
        after: InboxOffset,
    ) -> Result<Verdict, IngressError> {
        self.ask(id, || self.owner.verdict(id, request_id, after)).await
    }

    /// Asks a question that does not wait for an invocation.
    async fn ask<'a, T>(
        &'a self,
        id: InvocationId,
        question: impl Fn() -> BoxFuture<'a, Result<T, OwnerError>>,
    ) -> Result<T, IngressError> {
        ask(self.limits.question_max, question).await.map_err(|error| match error {
            OwnerError::NotFound => IngressError::InvocationNotFound(id.to_string()),
            OwnerError::Unavailable(reason) => IngressError::PartitionUnavailable(reason),
            OwnerError::Stopped(reason) => self.note_stopped(id, reason),
        })
    }
}

/// Reads the id of an invocation.
pub(super) fn parse_id(text: &str) -> Result<InvocationId, IngressError> {
    text.parse().map_err(|error: everlog_log_schema::IdError| IngressError::MalformedId {
        id: target::shortened(text),
        reason: error.to_string(),
    })
}

/// Reads the names of a call with an idempotency key.
pub(super) fn named_by_path(names: &[String]) -> Result<InvocationId, IngressError> {
    let (target, idempotency_key) = target::keyed_target(names)?;
    Ok(ids::of_scoped_key(&target, None, &idempotency_key))
}
