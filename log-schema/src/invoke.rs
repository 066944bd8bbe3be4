//! The message that creates an invocation, with all that metadata decided about it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::list;
use crate::limits::{self, LimitExceeded};
use crate::{Caller, Header, InvocationId, Millis, RequestId};

/// Asks for an invocation. Whoever sends it has resolved the target against metadata: a partition
/// never reads metadata itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoke {
    /// The identity, minted by the sender: a repeated message has the same.
    pub id: InvocationId,
    /// Names this request: the same one again is a resend.
    pub request_id: RequestId,
    /// Whether a gateway sends it again, since it may be in the inbox already: it never begins the call
    /// anew where the one that it joined has expired meanwhile.
    pub resent: bool,
    /// Whom to call.
    pub target: Target,
    /// How the handler wants to be run.
    pub kind: HandlerKind,
    /// The caller's headers, in order.
    #[serde(with = "list::headers")]
    pub headers: Vec<Header>,
    /// The argument.
    pub body: Bytes,
    /// The key under which a repeated call is the same call.
    pub idempotency_key: Option<String>,
    /// The scope that the call was made in: part of what an idempotency key names.
    pub scope: Option<String>,
    /// The limit key that the call was made with.
    pub limit_key: Option<String>,
    /// The gateway that waits for the answer; none for a send.
    pub reply_to: Option<String>,
    /// The function that calls, if one does.
    pub caller: Option<Caller>,
    /// Not before this time, if given.
    pub start_at: Option<Millis>,
    /// How long the outcome is kept after completion (a duration).
    pub retention: Millis,
    /// How long the journal is kept after completion, where that is less (a duration).
    pub journal_retention: Option<Millis>,
    /// After how long without a write the state of the object is reset (a duration); never if none.
    pub state_ttl: Option<Millis>,
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// The caller's W3C trace context.
    pub traceparent: Option<String>,
}

impl Invoke {
    /// Checks the parts that have limits of their own. Nothing beyond them is ever written to an
    /// inbox, or taken in from one.
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        let (scope, limit_key) = (self.scope.as_deref(), self.limit_key.as_deref());
        check_names(self.idempotency_key.as_deref(), scope, limit_key)?;
        check_call(&self.target, &self.headers)?;
        limits::check("body", self.body.len(), limits::BODY_BYTES_MAX)
    }
}

/// Checks what a call has beside its body, whoever makes it.
pub(crate) fn check_call(target: &Target, headers: &[Header]) -> Result<(), LimitExceeded> {
    let check = limits::check;
    check("service name", target.service.len(), limits::NAME_BYTES_MAX)?;
    check("handler name", target.handler.len(), limits::NAME_BYTES_MAX)?;
    check("object key", text_bytes(target.key.as_deref()), limits::KEY_BYTES_MAX)?;
    let headers = headers.iter().map(|header| header.key.len() + header.value.len());
    check("set of headers", headers.sum(), limits::HEADERS_BYTES_MAX)
}

/// Checks what a call may be named by.
pub(crate) fn check_names(
    idempotency_key: Option<&str>,
    scope: Option<&str>,
    limit_key: Option<&str>,
) -> Result<(), LimitExceeded> {
    let check = limits::check;
    check("idempotency key", text_bytes(idempotency_key), limits::KEY_BYTES_MAX)?;
    check("scope", text_bytes(scope), limits::SCOPE_BYTES_MAX)?;
    check("limit key", text_bytes(limit_key), limits::LIMIT_KEY_BYTES_MAX)
}

fn text_bytes(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

/// Whom a call is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The service.
    pub service: String,
    /// The object key; present for services addressed by key.
    pub key: Option<String>,
    /// The handler.
    pub handler: String,
}

/// How a handler is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandlerKind {
    /// Of a plain service: no key, no limit on concurrency.
    Plain,
    /// Of a virtual object: one at a time per key.
    Exclusive,
    /// Of a virtual object: beside others of its key.
    Shared,
    /// The run of a workflow: once for each key.
    Workflow,
    /// Of a workflow: beside its run, and before and after it.
    WorkflowShared,
}

impl HandlerKind {
    /// Whether it is of a workflow, and so may use its promises.
    #[must_use]
    pub fn is_of_workflow(self) -> bool {
        match self {
            Self::Plain | Self::Exclusive | Self::Shared => false,
            Self::Workflow | Self::WorkflowShared => true,
        }
    }
}

/// When and how often a failed attempt is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The delay before the first retry (a duration).
    pub initial_interval: Millis,
    /// By how much each delay exceeds the one before, in thousandths: 2000 doubles it.
    pub factor_permille: u32,
    /// No delay is longer (a duration).
    pub max_interval: Millis,
    /// How many attempts there are in all; without end if none.
    pub max_attempts: Option<u32>,
    /// What follows the last of them.
    pub on_max_attempts: OnMaxAttempts,
}

/// What follows the last attempt that a policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnMaxAttempts {
    /// The invocation waits for somebody to resume it.
    Pause,
    /// The invocation ends with the last error.
    Kill,
}
