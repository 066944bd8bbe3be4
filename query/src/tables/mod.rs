//! The tables over rows of partitions, a module each, with the names of the service protocol's tools.
//!
//! Where a column has no meaning here it is there all the same, and holds nothing.

mod inbox;
mod invocation;
mod invocation_parts;
mod journal;
mod keyed_status;
mod promise;
mod state;

use std::fmt::Write as _;

use everlog_log_schema::{HandlerKind, Target};

pub(crate) use inbox::Inbox;
pub(crate) use invocation::Invocation;
pub(crate) use invocation_parts::{InvocationState, InvocationStatus};
pub(crate) use journal::Journal;
pub(crate) use keyed_status::KeyedStatus;
pub(crate) use promise::Promise;
pub(crate) use state::State;

/// Whom a call is for, in one text: `Service/key/handler`.
fn target_text(target: &Target) -> String {
    let mut text = target.service.clone();
    if let Some(key) = &target.key {
        let _ = write!(text, "/{key}");
    }
    let _ = write!(text, "/{}", target.handler);
    text
}

/// What kind of service a handler is of.
fn service_type(kind: HandlerKind) -> &'static str {
    match kind {
        HandlerKind::Plain => "service",
        HandlerKind::Exclusive | HandlerKind::Shared => "virtual_object",
        HandlerKind::Workflow | HandlerKind::WorkflowShared => "workflow",
    }
}
