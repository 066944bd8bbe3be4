//! A history, put in order: who asked for what, what was answered, and what is stored.

use std::collections::BTreeMap;

use everlog_simulation::properties::Violation;

use super::demand;
use crate::history::{Event, How, Line};
use crate::program::{Chain, Digest, Program};

/// One request of a caller.
#[derive(Debug)]
pub struct Call {
    /// In which way it was made.
    pub how: How,
    /// The program.
    pub id: String,
    /// The key.
    pub key: u32,
    /// When it was made.
    pub begun: u64,
    /// When the first answer had come.
    pub ended: Option<u64>,
    /// All answers, with their invocations.
    pub answers: Vec<(String, Digest)>,
    /// The invocation that a send was told.
    pub accepted: Option<String>,
    /// Whether the caller gave up.
    pub unknown: bool,
}

/// A program that there may be.
#[derive(Debug)]
pub struct Planned {
    /// Its key.
    pub key: u32,
    /// What it does.
    pub program: Program,
    /// The program that makes it run, and the step.
    pub parent: Option<(String, usize)>,
}

/// An outcome in the log.
#[derive(Debug)]
pub struct Stored {
    /// Whose.
    pub invocation: String,
    /// What it answered.
    pub digest: Digest,
}

/// An act on the outside world.
#[derive(Debug)]
pub struct Act {
    /// When.
    pub at: u64,
    /// Who named itself.
    pub invocation: String,
    /// The program and its step.
    pub step: (String, usize),
    /// What it was answered.
    pub token: String,
}

/// A shared read.
#[derive(Debug)]
pub struct Read {
    /// The key.
    pub key: u32,
    /// When it was asked.
    pub asked: u64,
    /// When it was answered.
    pub told: u64,
    /// What it told.
    pub chain: Chain,
}

/// A history in order.
#[derive(Debug, Default)]
pub struct Story {
    /// All requests.
    pub calls: BTreeMap<u64, Call>,
    /// All programs that the requests contain, by id.
    pub planned: BTreeMap<String, Planned>,
    /// What is stored, by program. One each, if all is well.
    pub stored: BTreeMap<String, Vec<Stored>>,
    /// All acts on the outside world, in order.
    pub acts: Vec<Act>,
    /// When the result of an act was stored, by token.
    pub runs_stored: BTreeMap<String, u64>,
    /// When a partition had a new owner.
    pub announced: Vec<(u64, u32)>,
    /// When faults began, and when what they broke was back.
    pub faults: BTreeMap<usize, (u64, Option<u64>)>,
    /// What the outside world resolved awakeables with.
    pub resolved: BTreeMap<(String, usize), String>,
    /// All shared reads.
    pub reads: Vec<Read>,
    /// What the objects hold at the end.
    pub ended: BTreeMap<u32, (Chain, u64)>,
}

impl Story {
    /// Reads a history.
    pub fn tell(lines: &[Line], violations: &mut Vec<Violation>) -> Self {
        let mut story = Self::default();
        for line in lines {
            story.take(line, violations);
        }
        story
    }

    fn take(&mut self, line: &Line, violations: &mut Vec<Violation>) {
        let at = line.at;
        match line.event.clone() {
            Event::Called { call, key, how, program } => {
                self.plan(key, &program, None);
                let (id, accepted) = (program.id, None);
                let (ended, answers, unknown) = (None, Vec::new(), false);
                let call_made = Call { how, id, key, begun: at, ended, answers, accepted, unknown };
                self.calls.insert(call, call_made);
            }
            Event::Accepted { call, invocation } => {
                self.with(call, |call| call.accepted = Some(invocation));
            }
            Event::Answered { call, invocation, digest, .. } => self.with(call, |call| {
                call.ended.get_or_insert(at);
                call.answers.push((invocation, digest));
            }),
            Event::Failed { call, what } => {
                demand!(violations, "no lost invocation", false, "call {call} failed: {what}");
            }
            Event::Unknown { call, .. } => self.with(call, |call| call.unknown = true),
            Event::Read { key, asked, chain } => {
                self.reads.push(Read { key, asked, told: at, chain });
            }
            Event::Effect { invocation, program, step, token } => {
                self.acts.push(Act { at, invocation, step: (program, step), token });
            }
            Event::Resolved { program, step, value } => {
                self.resolved.insert((program, step), value);
            }
            Event::Fault { number, .. } => {
                self.faults.insert(number, (at, None));
            }
            Event::Healed { number } => {
                if let Some((_, healed)) = self.faults.get_mut(&number) {
                    *healed = Some(at);
                }
            }
            Event::Stored { invocation, outcome: Ok(digest), .. } => {
                let id = digest.place.id.clone();
                self.stored.entry(id).or_default().push(Stored { invocation, digest });
            }
            Event::Stored { invocation, outcome: Err(failure), .. } => {
                let what = format!("{invocation} is stored as failed: {failure}");
                violations.push(Violation::new("no lost invocation", what));
            }
            Event::RunStored { token } => {
                let again = self.runs_stored.insert(token.clone(), at);
                demand!(violations, "exactly-once journal", again.is_none(), "{token} twice");
            }
            Event::Announced { partition, .. } => self.announced.push((at, partition)),
            Event::Ended { key, chain, sum } => {
                self.ended.insert(key, (chain, sum));
            }
        }
    }

    fn with(&mut self, call: u64, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.calls.get_mut(&call) {
            change(call);
        }
    }

    fn plan(&mut self, key: u32, program: &Program, parent: Option<(String, usize)>) {
        for (child_key, child) in program.children() {
            let step = child.id.rsplit_once('.').and_then(|(_, step)| step.parse().ok());
            let parent = Some((program.id.clone(), step.unwrap_or_default()));
            self.plan(child_key, &child, parent);
        }
        let planned = Planned { key, program: program.clone(), parent };
        self.planned.insert(program.id.clone(), planned);
    }

    /// What a program came to, by the log.
    pub fn outcome(&self, id: &str) -> Option<&Digest> {
        self.stored.get(id)?.first().map(|stored| &stored.digest)
    }

    /// What the history holds, in numbers.
    pub fn figures(&self) -> Vec<String> {
        let unknown = self.calls.values().filter(|call| call.unknown).count();
        let answers: usize = self.calls.values().map(|call| call.answers.len()).sum();
        vec![
            format!("{} calls, {unknown} of them with an unknown end", self.calls.len()),
            format!("{answers} answers, {} shared reads", self.reads.len()),
            format!("{} programs stored, on {} keys", self.stored.len(), self.ended.len()),
            format!("{} acts on the outside world", self.acts.len()),
        ]
    }
}
