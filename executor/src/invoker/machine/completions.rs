//! The completions that a journal declares, and where each stands.
//!
//! **Invariants:** a completion is declared once, by one command; its result is proposed at most
//! once, and only that of a run; the function is told of it at most once, in a message of the type
//! that its command is answered with.

use std::collections::BTreeMap;

use everlog_log_schema::{
    Awaited, CompletionId, Effect, FutureTree, NotificationResult, SignalId, kinds,
};
use everlog_partition::{Prospect, Settled, Standing, could_settle, resolve};

use crate::invoker::error::Failure;
use crate::invoker::frame::kind;

/// The completions of one journal.
#[derive(Debug, Default)]
pub(super) struct Completions {
    declared: BTreeMap<CompletionId, Completion>,
    /// How many the function has been told of.
    told: u32,
}

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
    Proposed {
        /// Whether it needs only be told when it is.
        acknowledge: bool,
    },
    /// The function is told of it.
    Done(Settled),
    /// The journal that the attempt began with has it.
    Known(Settled),
}

impl Completions {
    /// Notes what a command declares.
    pub(super) fn declare(&mut self, effect: &Effect) -> Result<(), Failure> {
        for (id, kind) in effect.completions().into_iter().flatten() {
            if id == CompletionId(0) {
                return Err(Failure::Violation(
                    "a command does not name its completion".to_owned(),
                ));
            }
            if self.declared.insert(id, Completion { kind, stage: Stage::Open }).is_some() {
                return Err(Failure::Violation(format!("it declared completion {id} twice")));
            }
        }
        Ok(())
    }

    /// Notes that the function has sent the result of a run, and whether it wants to be told in short
    /// when that is durable.
    pub(super) fn propose(&mut self, id: CompletionId, acknowledge: bool) -> Result<(), Failure> {
        let wrong = match self.declared.get_mut(&id) {
            Some(completion) if completion.kind != kind::RUN_COMPLETION => {
                "which is not that of a run"
            }
            Some(completion) if completion.stage == Stage::Open => {
                completion.stage = Stage::Proposed { acknowledge };
                return Ok(());
            }
            Some(_) => "which it has sent before",
            None => "which no command declared",
        };
        Err(Failure::Violation(format!("it sent the result of completion {id}, {wrong}")))
    }

    /// Notes that the function is told of a completion, in a message of type `kind`. Returns whether
    /// it is told in short, as it has proposed the result itself and asked for that.
    pub(super) fn complete(
        &mut self,
        id: CompletionId,
        kind: u16,
        result: &NotificationResult,
    ) -> Result<bool, Failure> {
        let wrong = match self.declared.get_mut(&id) {
            Some(Completion { stage: Stage::Done(_) | Stage::Known(_), .. }) => {
                "came twice".to_owned()
            }
            Some(completion) if completion.kind != kind => {
                format!("came as {kind:#06x} instead of {:#06x}", completion.kind)
            }
            Some(completion) => {
                let in_short = completion.stage == Stage::Proposed { acknowledge: true };
                let well = !matches!(result, NotificationResult::Failure(_));
                completion.stage = Stage::Done(Settled { at: self.told, well });
                self.told += 1;
                return Ok(in_short);
            }
            None => "was never declared".to_owned(),
        };
        Err(Failure::Internal(format!("completion {id} {wrong}")))
    }

    /// Notes that the attempt begins with all that has come so far.
    pub(super) fn begin(&mut self) {
        for completion in self.declared.values_mut() {
            if let Stage::Done(settled) = completion.stage {
                completion.stage = Stage::Known(settled);
            }
        }
    }

    /// Whether all that the function may wait for comes from others, and not from the function or
    /// right behind what it has just said.
    pub(super) fn come_from_others(&self) -> bool {
        self.declared.values().all(|of| match of.stage {
            Stage::Open => {
                let own = [
                    kind::RUN_COMPLETION,
                    kinds::GET_STATE_COMPLETION,
                    kinds::GET_STATE_KEYS_COMPLETION,
                    kinds::PEEK_PROMISE_COMPLETION,
                    kinds::COMPLETE_PROMISE_COMPLETION,
                ];
                !own.contains(&of.kind)
            }
            Stage::Proposed { .. } => false,
            Stage::Done(_) | Stage::Known(_) => true,
        })
    }

    /// Refuses what nothing could ever end: to wait for what was not declared. Refuses also what would
    /// end at once, again and again: to wait for what the attempt began with; and, where it has done
    /// nothing else (`is_idle`), for the function's own runs, whose results nobody else can bring.
    pub(super) fn check_wait(&self, waiting: &FutureTree, is_idle: bool) -> Result<(), Failure> {
        let mut known = None;
        let mut has_own_runs = false;
        for awaited in waiting.leaves() {
            let Awaited::Completion(id) = awaited else { continue };
            let Some(completion) = self.declared.get(&id) else {
                return Err(Failure::Violation(format!(
                    "it suspended on completion {id}, which no command declared"
                )));
            };
            if matches!(completion.stage, Stage::Known(_)) {
                known = known.or(Some(id));
            }
            has_own_runs |= prospect(*completion) == Prospect::NONE;
        }
        if let (Some(id), Standing::Settled(_)) = (known, resolve(waiting, |of| self.known(of))) {
            return Err(Failure::Violation(format!(
                "it suspended on completion {id}, which its journal has held from the beginning"
            )));
        }
        if is_idle && has_own_runs && !could_settle(waiting, |of| self.prospect(of)) {
            return Err(Failure::Violation(
                "it suspended on runs of its own whose results it never sent".to_owned(),
            ));
        }
        Ok(())
    }

    fn known(&self, awaited: &Awaited) -> Option<Settled> {
        let Awaited::Completion(id) = awaited else { return None };
        match self.declared.get(id)?.stage {
            Stage::Known(settled) => Some(settled),
            Stage::Open | Stage::Proposed { .. } | Stage::Done(_) => None,
        }
    }

    /// What may come of something without the function's help. An SDK adds the cancellation to
    /// whatever the function waits for.
    fn prospect(&self, awaited: &Awaited) -> Prospect {
        match awaited {
            Awaited::Completion(id) => {
                self.declared.get(id).map_or(Prospect::NONE, |of| prospect(*of))
            }
            Awaited::Signal(signal) if *signal == SignalId::CANCEL => Prospect::NONE,
            Awaited::Signal(_) => Prospect::ANY,
        }
    }
}

fn prospect(completion: Completion) -> Prospect {
    match (completion.kind, completion.stage) {
        (kind::RUN_COMPLETION, Stage::Open) => Prospect::NONE,
        (kinds::SLEEP_COMPLETION, _) => Prospect::WELL,
        (_, Stage::Open | Stage::Proposed { .. } | Stage::Done(_) | Stage::Known(_)) => {
            Prospect::ANY
        }
    }
}
