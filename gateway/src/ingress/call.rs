//! Calls and sends: from a request to a message in an inbox, and from there to an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everlog_log_schema::metadata::{Handler, Metadata};
use everlog_log_schema::owner_api::Verdict;
use everlog_log_schema::{
    HandlerKind, InboxOffset, InvocationId, Invoke, Millis, RequestId, Target, check_scope,
};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;

use super::error::IngressError;
use super::paths::Verb;
use super::trace::CallSpan;
use super::{Ingress, answer, body, delay, headers, ids, input, keep, target};
use crate::metrics::METRICS;
use crate::places::{NoPlace, Place};
use crate::reply::{Reply, json_reply};
use crate::time::{now, rfc3339};

/// What the path, query and headers of a call say: all but its body.
struct CallHead {
    target: Target,
    verb: Verb,
    handler: Handler,
    delay: Option<Duration>,
    headers: Vec<everlog_log_schema::Header>,
    idempotency_key: Option<String>,
    scope: Option<String>,
    limit_key: Option<String>,
    traceparent: Option<String>,
}

/// A message that stands in an inbox.
struct Sent {
    id: InvocationId,
    request_id: RequestId,
    offset: InboxOffset,
    start_at: Option<Millis>,
}

/// The body of the answer to a send.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SendBody {
    invocation_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_time: Option<String>,
}

impl Ingress {
    /// Answers a call or a send: what the path says of which it is, and of its scope.
    pub(super) async fn invoke(
        &self,
        how: (Option<Verb>, Option<String>),
        segments: &[String],
        parts: Parts,
        incoming: Incoming,
    ) -> Result<Reply, IngressError> {
        let metadata = self.metadata()?;
        let mut head = read_head(&metadata, how, segments, &parts)?;
        let traceparent = &mut head.traceparent;
        let span = CallSpan::begin(&self.tracer, head.verb, &head.target, traceparent);
        let taken = self.take_in(&metadata, head, &parts, incoming).await;
        let reply = taken.unwrap_or_else(IngressError::into_reply);
        span.end(&reply);
        Ok(reply)
    }

    /// Records a call, and waits for what its caller is told.
    async fn take_in(
        &self,
        metadata: &Arc<Metadata>,
        head: CallHead,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Reply, IngressError> {
        let place = self.place_of_call(&head)?;
        let announced = content_length(&parts.headers);
        let body = body::read(incoming, announced, &self.body_room, &self.limits).await?;
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        input::check(&head.handler.input, content_type, body.bytes.is_empty())?;
        let (verb, keyed) = (head.verb, head.idempotency_key.is_some());
        let runs = head.handler.kind == HandlerKind::Workflow;
        let started = Instant::now();
        let sent = self.send(metadata, head, body.bytes).await?;
        drop(body.room);
        METRICS.append_seconds.observe(started.elapsed().as_secs_f64());
        let answered = match verb {
            Verb::Call if runs => self.answer_run(&sent, started).await,
            Verb::Call => self.answer_call(&sent, started).await,
            Verb::Send if keyed || runs => {
                let verdict = self.verdict(sent.id, sent.request_id, sent.offset).await;
                verdict.map(|verdict| render_send(&sent, verdict))
            }
            Verb::Send => Ok(render_send(&sent, Verdict::Accepted)),
        };
        // The call is recorded: whoever gets no answer now can ask for it by this id.
        let reply = answered.unwrap_or_else(|error| {
            let mut reply = error.into_reply();
            answer::name_invocation(&mut reply, sent.id);
            reply
        });
        Ok(keep(reply, place))
    }

    /// Answers a call with its outcome.
    async fn answer_call(&self, sent: &Sent, started: Instant) -> Result<Reply, IngressError> {
        let answer = self.wait_for_outcome(sent.id, Some(sent.offset)).await?;
        METRICS.call_seconds.observe(started.elapsed().as_secs_f64());
        self.deliver(sent.id, Some(sent.offset), answer).await
    }

    /// Answers a call of a workflow's run. A run that was there before has the same id, and is not
    /// this call: whoever wants its outcome attaches.
    async fn answer_run(&self, sent: &Sent, started: Instant) -> Result<Reply, IngressError> {
        let verdict = loop {
            match self.verdict(sent.id, sent.request_id, sent.offset).await {
                // Told to come back, the caller would hear that the run was called before.
                Err(IngressError::PartitionUnavailable(_)) if !*self.closing.borrow() => {}
                verdict => break verdict?,
            }
        };
        match verdict {
            Verdict::Accepted => self.answer_call(sent, started).await,
            Verdict::PreviouslyAccepted => Ok(answer::already_invoked(sent.id)),
        }
    }

    fn place_of_call(&self, head: &CallHead) -> Result<Place, NoPlace> {
        match head.verb {
            Verb::Call => self.places.call(&head.target.service),
            Verb::Send => self.places.short(),
        }
    }

    /// Puts the call into the inbox of its partition.
    async fn send(
        &self,
        metadata: &Arc<Metadata>,
        head: CallHead,
        body: Bytes,
    ) -> Result<Sent, IngressError> {
        let (scope, key) = (head.scope.as_deref(), head.idempotency_key.as_deref());
        let id = ids::mint(&head.target, head.handler.kind, scope, key);
        self.refuse_if_stopped(id).await?;
        let request_id = RequestId(rand::random());
        let start_at = head.delay.map(|delay| Millis(now().0 + Millis::from(delay).0));
        let keyed = head.idempotency_key.is_some();
        let retention = head.handler.retention(keyed, self.unkeyed_retention);
        let invoke = Invoke {
            id,
            request_id,
            resent: false,
            target: head.target,
            kind: head.handler.kind,
            headers: head.headers,
            body,
            idempotency_key: head.idempotency_key,
            scope: head.scope,
            limit_key: head.limit_key,
            reply_to: (head.verb == Verb::Call).then(|| self.name.clone()),
            start_at,
            retention,
            journal_retention: head.handler.journal_retention(retention),
            state_ttl: head.handler.state_ttl,
            retry: head.handler.retry,
            traceparent: head.traceparent,
            caller: None,
        };
        let offset = self.inbox.append_call(metadata.next, invoke).await?;
        Ok(Sent { id, request_id, offset, start_at })
    }
}

fn read_head(
    metadata: &Metadata,
    (verb, scope): (Option<Verb>, Option<String>),
    segments: &[String],
    parts: &Parts,
) -> Result<CallHead, IngressError> {
    let resolved = target::resolve(metadata, verb, segments)?;
    let delay = delay::delay_of(parts.uri.query())?;
    if delay.is_some() && resolved.verb == Verb::Call {
        return Err(IngressError::DelayOnCall);
    }
    let limit_key = headers::limit_key(&parts.headers, parts.uri.query())?;
    check_scope(scope.as_deref(), limit_key.as_deref())?;
    let idempotency_key = headers::idempotency_key(&parts.headers)?;
    if idempotency_key.is_some() && resolved.handler.kind == HandlerKind::Workflow {
        return Err(IngressError::KeyOnWorkflow);
    }
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(CallHead {
        delay: delay.filter(|delay| !delay.is_zero()),
        headers: headers::passed_on(&parts.headers, path_and_query)?,
        idempotency_key,
        scope,
        limit_key,
        traceparent: headers::traceparent(&parts.headers),
        handler: resolved.handler.clone(),
        target: resolved.target,
        verb: resolved.verb,
    })
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn render_send(sent: &Sent, verdict: Verdict) -> Reply {
    let body = SendBody {
        invocation_id: sent.id.to_string(),
        status: match verdict {
            Verdict::Accepted => "Accepted",
            Verdict::PreviouslyAccepted => "PreviouslyAccepted",
        },
        execution_time: match verdict {
            Verdict::Accepted => sent.start_at.and_then(rfc3339),
            Verdict::PreviouslyAccepted => None,
        },
    };
    let mut reply = json_reply(StatusCode::ACCEPTED, &body);
    answer::name_invocation(&mut reply, sent.id);
    reply
}
