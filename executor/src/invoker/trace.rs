//! The spans of an attempt: its own, and those of the steps that it takes.
//!
//! They are made of what the attempt says and is told, on the way. The span of a call has the id
//! that its command was stored with, which is what the called function's attempts belong below.
//!
//! **Invariant:** nothing here changes what happens. What is open when an attempt ends, however
//! that comes about, is sent as it stands.

use std::collections::BTreeMap;

use everlog_log_schema::{
    CompletionId, Effect, Entry, NotificationId, NotificationResult, Outcome, Target, command_name,
};
use everlog_traces::{Attribute, Span, SpanId, SpanKind, TraceContext, Tracer, UnixNanos};

use super::{AttemptEventKind, AttemptStart, Notice};

/// The longest name of a span, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What is traced of an attempt.
#[derive(Debug)]
pub(super) struct AttemptTrace {
    tracer: Tracer,
    /// Its end is set at the end.
    span: Span,
    /// The invocation's id.
    invocation: String,
    /// The steps that wait for their completion.
    steps: BTreeMap<CompletionId, Span>,
    outcome: &'static str,
}

impl AttemptTrace {
    /// Begins the span of an attempt, unless its invocation is not traced.
    pub(super) fn begin(tracer: &Tracer, start: &AttemptStart) -> Option<Box<Self>> {
        if !tracer.is_on() {
            return None;
        }
        let call: TraceContext = start.traceparent.as_ref()?.parse().ok()?;
        if !call.is_sampled() {
            return None;
        }
        let invocation = start.invocation.to_string();
        let mut attributes = about(&start.target);
        attributes.push(("everlog.deployment.id", start.deployment.id.to_string().into()));
        attributes.push(("everlog.attempt.failures", start.failures_since_progress.into()));
        let Target { service, handler, .. } = &start.target;
        let now = UnixNanos::now();
        let mut trace = Box::new(Self {
            tracer: tracer.clone(),
            span: Span {
                context: call.with_span(SpanId::random()),
                parent: Some(call.span),
                name: shortened(format!("attempt {service}/{handler}")),
                kind: SpanKind::Client,
                start: now,
                end: now,
                attributes,
                is_error: false,
            },
            invocation,
            steps: BTreeMap::new(),
            // Unless it says something else, the shell has ended it.
            outcome: "stopped",
        });
        trace.take_up(start);
        Some(trace)
    }

    /// The context that the function is told: its own spans belong below the attempt's.
    pub(super) fn traceparent(&self) -> String {
        self.span.context.to_string()
    }

    /// Begins the steps that an attempt before has left without a result: runs, which the function
    /// takes anew, and does not say when; and, where that attempt ended with its owner and told
    /// nobody, whatever else it waited for.
    fn take_up(&mut self, start: &AttemptStart) {
        let mut left = BTreeMap::new();
        for entry in &start.journal {
            match entry {
                Entry::Command { effect, .. } => {
                    left.extend(completion_of(effect).map(|completion| (completion, entry)));
                }
                Entry::Notification { id: NotificationId::Completion { id, .. }, .. } => {
                    left.remove(id);
                }
                Entry::Notification { .. } | Entry::Input { .. } | Entry::Output { .. } => {}
            }
        }
        let is_first_of_term = start.attempt.counter == 0;
        let is_run =
            |entry: &Entry| matches!(entry, Entry::Command { effect: Effect::Run { .. }, .. });
        for entry in left.into_values().filter(|entry| is_first_of_term || is_run(entry)) {
            self.took(entry);
        }
    }

    /// Hears what the attempt did.
    pub(super) fn said(&mut self, event: &AttemptEventKind) {
        match event {
            AttemptEventKind::Entries { entries, .. } => {
                for entry in entries {
                    self.took(entry);
                }
            }
            AttemptEventKind::Suspended { .. } => self.outcome = "suspended",
            AttemptEventKind::Ended => self.outcome = "ended",
            AttemptEventKind::Failed { error, .. } => {
                self.outcome = "failed";
                self.fail(error.code);
            }
            AttemptEventKind::AwaitingOn(_) | AttemptEventKind::ReadState(_) => {}
        }
    }

    /// Hears what the function is told.
    pub(super) fn told(&mut self, Notice { entry, .. }: &Notice) {
        if let Entry::Notification { id, result } = entry {
            self.end_step(id, result);
        }
    }

    fn took(&mut self, entry: &Entry) {
        match entry {
            Entry::Command { bytes, effect, .. } => {
                if let Some(completion) = completion_of(effect) {
                    let step = self.step(effect, bytes);
                    self.steps.insert(completion, step);
                }
            }
            // The result of a run, as the function proposes it.
            Entry::Notification { id, result } => self.end_step(id, result),
            Entry::Output { outcome: Outcome::Failure(failure), .. } => self.fail(failure.code),
            Entry::Output { .. } | Entry::Input { .. } => {}
        }
    }

    /// The span of a step that begins now.
    fn step(&self, effect: &Effect, command: &[u8]) -> Span {
        let own = self.span.context;
        let now = UnixNanos::now();
        let mut span = Span {
            context: own.with_span(SpanId::random()),
            parent: Some(own.span),
            name: String::new(),
            kind: SpanKind::Internal,
            start: now,
            end: now,
            attributes: Vec::new(),
            is_error: false,
        };
        if let Effect::Call(call) = effect {
            let Target { service, handler, .. } = &call.target;
            let waits = call.completion.is_some();
            let (word, kind) =
                if waits { ("call", SpanKind::Client) } else { ("send", SpanKind::Producer) };
            span.name = shortened(format!("{word} {service}/{handler}"));
            span.kind = kind;
            let stored = call.traceparent.as_ref().and_then(|stored| stored.parse().ok());
            span.context = stored.unwrap_or(span.context);
            span.attributes = about(&call.target);
            span.attributes.push(("everlog.callee.id", call.callee.to_string().into()));
            return span;
        }
        let word = if matches!(effect, Effect::Run { .. }) { "run" } else { "sleep" };
        span.name = match command_name(command) {
            Some(name) => shortened(format!("{word} {name}")),
            None => word.to_owned(),
        };
        span
    }

    fn end_step(&mut self, id: &NotificationId, result: &NotificationResult) {
        let NotificationId::Completion { id, .. } = id else { return };
        let Some(mut span) = self.steps.remove(id) else { return };
        span.is_error = matches!(result, NotificationResult::Failure(_));
        let outcome = if span.is_error { "failed" } else { "done" };
        self.send(span, outcome);
    }

    fn fail(&mut self, code: u32) {
        self.span.is_error = true;
        self.span.attributes.push(("everlog.error.code", code.into()));
    }

    fn send(&self, mut span: Span, outcome: &'static str) {
        span.end = UnixNanos::now();
        let invocation = Attribute::from(self.invocation.as_str());
        span.attributes.push(("everlog.invocation.id", invocation));
        span.attributes.push(("everlog.outcome", outcome.into()));
        self.tracer.finish(span);
    }
}

impl Drop for AttemptTrace {
    fn drop(&mut self) {
        for span in std::mem::take(&mut self.steps).into_values() {
            self.send(span, "open");
        }
        self.send(self.span.clone(), self.outcome);
    }
}

/// What ends the step that a command is, where it is one that takes time. A call that nobody waits
/// for ends when it is recorded, and its id known.
fn completion_of(effect: &Effect) -> Option<CompletionId> {
    match effect {
        Effect::Run { completion }
        | Effect::Sleep { completion, .. }
        | Effect::GetPromise { completion, .. } => Some(*completion),
        Effect::Call(call) => Some(call.completion.unwrap_or(call.id_completion)),
        Effect::None
        | Effect::GetState { .. }
        | Effect::GetStateKeys { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. }
        | Effect::Attach { .. }
        | Effect::GetOutput { .. }
        | Effect::PeekPromise { .. }
        | Effect::CompletePromise { .. } => None,
    }
}

/// Names a handler, and not the key: that is the user's own.
fn about(target: &Target) -> Vec<(&'static str, Attribute)> {
    vec![
        ("everlog.service", target.service.as_str().into()),
        ("everlog.handler", target.handler.as_str().into()),
    ]
}

/// Cuts a name to the longest of a span, between characters.
fn shortened(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}
