//! The span of a call at the ingress, from its head to its answer.
//!
//! **Invariant:** what follows from a call stands in its trace, whatever becomes of this process:
//! the span's context goes into the log with the call, before anything follows from it.

use everlog_log_schema::Target;
use everlog_traces::{Attribute, Span, SpanKind, Tracer, UnixNanos};
use http::StatusCode;

use super::answer::INVOCATION_ID;
use super::paths::Verb;
use crate::reply::Reply;

/// The span of a call, which ends when this is dropped.
pub(super) struct CallSpan<'t>(Option<Box<Live<'t>>>);

struct Live<'t> {
    tracer: &'t Tracer,
    /// Its end is set at the end. One without a status was not answered: its caller went away.
    span: Option<Span>,
}

impl<'t> CallSpan<'t> {
    /// Begins the span of a call that came with `traceparent`, and puts its context there for all
    /// that follows. Where nothing is traced it stays as it is.
    pub(super) fn begin(
        tracer: &'t Tracer,
        verb: Verb,
        target: &Target,
        traceparent: &mut Option<String>,
    ) -> Self {
        // One that nobody can read is none.
        let caller = || traceparent.as_ref()?.parse().ok();
        let entered = if tracer.is_on() { tracer.enter(caller()) } else { None };
        let Some(entered) = entered else { return Self(None) };
        *traceparent = Some(entered.context.to_string());
        if !entered.context.is_sampled() {
            return Self(None);
        }
        let Target { service, handler, .. } = target;
        let word = match verb {
            Verb::Call => "call",
            Verb::Send => "send",
        };
        let now = UnixNanos::now();
        let span = Span {
            context: entered.context,
            parent: entered.parent,
            name: format!("{word} {service}/{handler}"),
            kind: SpanKind::Server,
            start: now,
            end: now,
            attributes: vec![
                ("everlog.service", service.as_str().into()),
                ("everlog.handler", handler.as_str().into()),
            ],
            is_error: false,
        };
        Self(Some(Box::new(Live { tracer, span: Some(span) })))
    }

    /// Ends the span with what the caller is told.
    pub(super) fn end(mut self, reply: &Reply) {
        let Some(Live { span: Some(span), .. }) = self.0.as_deref_mut() else { return };
        let status = reply.status();
        span.attributes.push(("http.response.status_code", status.as_u16().into()));
        let id = reply.headers().get(INVOCATION_ID).and_then(|id| id.to_str().ok());
        span.attributes.extend(id.map(|id| ("everlog.invocation.id", Attribute::from(id))));
        span.is_error = status >= StatusCode::INTERNAL_SERVER_ERROR;
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            self.tracer.finish(Span { end: UnixNanos::now(), ..span });
        }
    }
}
