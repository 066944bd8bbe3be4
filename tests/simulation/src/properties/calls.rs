//! Calls between functions: each is sent once, taken in, and answered with what its callee came to.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    CompletionId, Effect as Asks, Entry, Failure, HandlerKind, InvocationId, Message,
    NotificationId, NotificationResult, Outcome, RequestId, Row, RowKey, kinds,
};
use everlog_partition::Action;

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::history::{Change, Life, Recorded};

const NAME: &str = "calls";
/// The status code of what is not known.
const NOT_FOUND: u32 = 404;

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Whose outcome a completion is.
    asked: BTreeMap<(Life, CompletionId), InvocationId>,
    /// By which request a completion is the outcome of a workflow's run.
    runs: BTreeMap<(Life, CompletionId), RequestId>,
    /// The requests that have created an invocation.
    created: BTreeSet<RequestId>,
    made: BTreeMap<RequestId, Life>,
    sent: BTreeSet<RequestId>,
    taken: BTreeSet<RequestId>,
    /// Which invocations have expired, and are still there.
    expired: BTreeSet<InvocationId>,
    /// All outcomes that the lives of an id have come to.
    outcomes: BTreeMap<InvocationId, Vec<Outcome>>,
}

impl Calls {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for message in recorded.messages() {
            if let Message::Invoke(invoke) = message {
                self.taken.insert(invoke.request_id);
            }
        }
        for added in recorded.own_entries() {
            match &added.entry {
                Entry::Command { effect, .. } => self.asks(added.life, effect, coverage),
                Entry::Output { outcome, .. } => {
                    self.outcomes.entry(added.life.id).or_default().push(outcome.clone());
                }
                Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
                    self.answered(added.life, *id, *kind, result, coverage)?;
                }
                Entry::Notification { id: NotificationId::Signal(_), .. } => {
                    coverage.hit(Case::Signalled);
                }
                Entry::Input { .. } => {}
            }
        }
        self.lives(recorded, coverage)?;
        let joins = recorded.messages().any(|message| {
            matches!(message, Message::Invoke(invoke)
                if invoke.caller.is_some() && !self.created.contains(&invoke.request_id))
        });
        if joins {
            coverage.hit(Case::Joined);
        }
        for action in recorded.actions {
            if let Action::Send { row, .. } = action
                && let Message::Invoke(invoke) = &row.message
            {
                let first = self.sent.insert(invoke.request_id);
                demand!(NAME, first, "{:?} is sent twice", invoke.request_id);
            }
        }
        Ok(())
    }

    /// A call whose invocation has expired begins the next life.
    fn lives(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        let begun = |id| {
            let change =
                recorded.changes.iter().find(|change| change.key == RowKey::Invocation(id));
            change.is_some_and(|change| begins(change).is_some())
        };
        for message in recorded.messages() {
            let Message::Invoke(invoke) = message else { continue };
            let anew = self.expired.contains(&invoke.id) && !invoke.resent;
            if anew && !self.created.contains(&invoke.request_id) {
                demand!(NAME, begun(invoke.id), "{:?} joins what has expired", invoke.request_id);
                coverage.hit(Case::BegunAnew);
            }
        }
        for change in recorded.changes {
            self.created.extend(begins(change));
            let RowKey::Invocation(id) = change.key else { continue };
            if matches!(&change.new, Some(Row::Invocation(row)) if row.has_expired()) {
                self.expired.insert(id);
            } else {
                self.expired.remove(&id);
            }
        }
        Ok(())
    }

    fn asks(&mut self, life: Life, effect: &Asks, coverage: &mut Coverage) {
        match effect {
            Asks::Call(call) => {
                coverage.hit(Case::Called);
                self.made.insert(call.request_id, life);
                if let Some(completion) = call.completion {
                    self.asked.insert((life, completion), call.callee);
                    if call.kind == HandlerKind::Workflow {
                        self.runs.insert((life, completion), call.request_id);
                    }
                }
            }
            Asks::Attach { completion, target } | Asks::GetOutput { completion, target } => {
                self.asked.insert((life, *completion), *target);
            }
            Asks::None
            | Asks::Run { .. }
            | Asks::Sleep { .. }
            | Asks::GetState { .. }
            | Asks::GetStateKeys { .. }
            | Asks::SetState { .. }
            | Asks::ClearState { .. }
            | Asks::ClearAllState
            | Asks::SendSignal { .. }
            | Asks::GetPromise { .. }
            | Asks::PeekPromise { .. }
            | Asks::CompletePromise { .. } => {}
        }
    }

    fn answered(
        &self,
        life: Life,
        completion: CompletionId,
        kind: u16,
        result: &NotificationResult,
        coverage: &mut Coverage,
    ) -> Judged {
        let attached = kind == kinds::ATTACH_COMPLETION || kind == kinds::OUTPUT_COMPLETION;
        if kind != kinds::CALL_COMPLETION && !attached {
            return Ok(());
        }
        if let Some(request) = self.runs.get(&(life, completion)) {
            let refused = *result == NotificationResult::Failure(Failure::already_invoked());
            let ran = self.created.contains(request);
            demand!(NAME, ran != refused, "{life:?} is told {result:?}, and its call ran: {ran}");
            if refused {
                coverage.hit(Case::RunRefused);
                return Ok(());
            }
        }
        let outcome = match result {
            NotificationResult::Value(value) => Outcome::Success(value.clone()),
            NotificationResult::Failure(failure) if attached && failure.code == NOT_FOUND => {
                return Ok(());
            }
            NotificationResult::Failure(failure) => Outcome::Failure(failure.clone()),
            NotificationResult::Void if kind == kinds::OUTPUT_COMPLETION => return Ok(()),
            other @ (NotificationResult::Void
            | NotificationResult::InvocationId(_)
            | NotificationResult::StateKeys(_)) => {
                let what = format!("{life:?} is answered {other:?} for {completion}");
                return Err(super::Violation::new(NAME, what));
            }
        };
        let callee = self.asked.get(&(life, completion));
        let stored = callee.and_then(|callee| self.outcomes.get(callee));
        let real = stored.is_some_and(|outcomes| outcomes.contains(&outcome));
        demand!(NAME, real, "{life:?} is answered {outcome:?} for {completion} of {callee:?}");
        Ok(())
    }

    pub(super) fn finish(&self) -> Judged {
        for (request, life) in &self.made {
            let taken = self.taken.contains(request);
            demand!(NAME, taken, "a call of {life:?} was never taken in");
        }
        Ok(())
    }
}

/// The request that begins a life of an invocation, where the change is that.
fn begins(change: &Change) -> Option<RequestId> {
    let Some(Row::Invocation(new)) = &change.new else { return None };
    let goes_on = matches!(&change.old, Some(Row::Invocation(old))
        if old.incarnation == new.incarnation);
    (!goes_on).then_some(new.request_id)
}
