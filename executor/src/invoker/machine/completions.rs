//! The completions that a journal declares, and where each stands.
//!
//! **Invariants:** a completion is declared once, by one command; its result is proposed at most
//! once, and only that of a run; the function is told of it at most once, in a message of the type
//! that its command is answered with.

use std::collections::BTreeMap;

use everlog_log_schema::{CompletionId, Effect, SignalId, WaitSet, kinds};

use crate::invoker::error::Failure;
use crate::invoker::frame::kind;

/// The completions of one journal.
#[derive(Debug, Default)]
pub(super) struct Completions(BTreeMap<CompletionId, Completion>);

#[derive(Debug, Clone, Copy)]
struct Completion {
    /// The type of the message that brings it.
    kind: u16,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has said what came of it.
    Open,
    /// The function has said what came of its run; it is not durable yet.
    Proposed,
    /// The function is told of it.
    Done,
    /// The journal that the attempt began with has it.
    Known,
}

impl Completions {
    /// Notes what a command declares.
    pub(super) fn declare(&mut self, effect: &Effect) -> Result<(), Failure> {
        for (id, kind) in declared(effect).into_iter().flatten() {
            if id == CompletionId(0) {
                return Err(Failure::Violation(
                    "a command does not name its completion".to_owned(),
                ));
            }
            if self.0.insert(id, Completion { kind, stage: Stage::Open }).is_some() {
                return Err(Failure::Violation(format!("it declared completion {id} twice")));
            }
        }
        Ok(())
    }

    /// Notes that the function has sent the result of a run.
    pub(super) fn propose(&mut self, id: CompletionId) -> Result<(), Failure> {
        let wrong = match self.0.get_mut(&id) {
            Some(completion) if completion.kind != kind::RUN_COMPLETION => {
                "which is not that of a run"
            }
            Some(completion) if completion.stage == Stage::Open => {
                completion.stage = Stage::Proposed;
                return Ok(());
            }
            Some(_) => "which it has sent before",
            None => "which no command declared",
        };
        Err(Failure::Violation(format!("it sent the result of completion {id}, {wrong}")))
    }

    /// Notes that the function is told of a completion, in a message of type `kind`.
    pub(super) fn complete(&mut self, id: CompletionId, kind: u16) -> Result<(), Failure> {
        let wrong = match self.0.get_mut(&id) {
            Some(Completion { stage: Stage::Done | Stage::Known, .. }) => "came twice".to_owned(),
            Some(completion) if completion.kind != kind => {
                format!("came as {kind:#06x} instead of {:#06x}", completion.kind)
            }
            Some(completion) => {
                completion.stage = Stage::Done;
                return Ok(());
            }
            None => "was never declared".to_owned(),
        };
        Err(Failure::Internal(format!("completion {id} {wrong}")))
    }

    /// Notes that the attempt begins with all that has come so far.
    pub(super) fn begin(&mut self) {
        for completion in self.0.values_mut().filter(|of| of.stage == Stage::Done) {
            completion.stage = Stage::Known;
        }
    }

    /// Whether all that the function may wait for comes from others, and not from the function or
    /// right behind what it has just said.
    pub(super) fn come_from_others(&self) -> bool {
        self.0.values().all(|of| match of.stage {
            Stage::Open => {
                let own = [
                    kind::RUN_COMPLETION,
                    kinds::GET_STATE_COMPLETION,
                    kinds::GET_STATE_KEYS_COMPLETION,
                ];
                !own.contains(&of.kind)
            }
            Stage::Proposed => false,
            Stage::Done | Stage::Known => true,
        })
    }

    /// Refuses what nothing could ever end: to wait for what was not declared, for nothing, or only
    /// for the function's own runs, whose results nobody else can bring. Refuses also what would end
    /// at once, again and again: to wait for what the attempt began with.
    pub(super) fn check_wait_set(&self, waiting: &WaitSet) -> Result<(), Failure> {
        if *waiting == WaitSet::default() {
            return Err(Failure::Violation("it suspended without waiting for anything".to_owned()));
        }
        // An SDK adds the cancellation to whatever the function waits for.
        let only_cancel =
            waiting.signals.iter().all(|signal| SignalId::Index(*signal) == SignalId::CANCEL);
        let mut only_own_runs =
            waiting.named_signals.is_empty() && only_cancel && !waiting.completions.is_empty();
        for id in &waiting.completions {
            let Some(completion) = self.0.get(id) else {
                return Err(Failure::Violation(format!(
                    "it suspended on completion {id}, which no command declared"
                )));
            };
            if completion.stage == Stage::Known {
                return Err(Failure::Violation(format!(
                    "it suspended on completion {id}, which its journal has held from the beginning"
                )));
            }
            only_own_runs &=
                completion.kind == kind::RUN_COMPLETION && completion.stage == Stage::Open;
        }
        if only_own_runs {
            return Err(Failure::Violation(
                "it suspended on runs of its own whose results it never sent".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The completions that a command declares, with the types of the messages that bring them.
fn declared(effect: &Effect) -> [Option<(CompletionId, u16)>; 2] {
    let one = |id: &CompletionId, kind| [Some((*id, kind)), None];
    match effect {
        Effect::None
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. } => [None; 2],
        Effect::Run { completion } => one(completion, kind::RUN_COMPLETION),
        Effect::Sleep { completion, .. } => one(completion, kinds::SLEEP_COMPLETION),
        Effect::GetState { completion, .. } => one(completion, kinds::GET_STATE_COMPLETION),
        Effect::GetStateKeys { completion } => one(completion, kinds::GET_STATE_KEYS_COMPLETION),
        Effect::Attach { completion, .. } => one(completion, kinds::ATTACH_COMPLETION),
        Effect::GetOutput { completion, .. } => one(completion, kinds::OUTPUT_COMPLETION),
        Effect::Call(call) => [
            Some((call.id_completion, kinds::CALL_ID_COMPLETION)),
            call.completion.map(|id| (id, kinds::CALL_COMPLETION)),
        ],
    }
}
