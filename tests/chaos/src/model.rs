//! What an object must answer: the interpreter once more, without Everlog, one program after another.

use std::collections::BTreeMap;

use crate::program::{Chain, Did, Op, Place, Program};

/// One object as its programs make it.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// The programs that have run.
    pub chain: Chain,
    /// The sum.
    pub sum: u64,
    notes: BTreeMap<String, String>,
}

impl Object {
    /// Runs a program. Tells where it stands, and what each operation must come to; nothing of those
    /// whose answer comes from elsewhere.
    pub fn run(&mut self, program: &Program) -> (Place, Vec<Option<Did>>) {
        let place = self.chain.push(&program.id);
        let steps = program.ops.iter().enumerate();
        let did = steps.map(|(step, op)| self.step(program, step, op)).collect();
        (place, did)
    }

    fn step(&mut self, program: &Program, step: usize, op: &Op) -> Option<Did> {
        Some(match op {
            Op::Get { name } => Did::Got { value: self.notes.get(name).cloned() },
            Op::Set { name, value } => {
                self.notes.insert(name.clone(), value.clone());
                Did::Done
            }
            Op::Clear { name } => {
                self.notes.remove(name);
                Did::Done
            }
            Op::Add { by } => {
                self.sum += by;
                Did::Added { sum: self.sum }
            }
            Op::Await { .. } => Did::Woken { value: program.wakes_with(step) },
            Op::Resolve { .. } => Did::Done,
            Op::Effect
            | Op::Call { .. }
            | Op::Send { .. }
            | Op::SendLater { .. }
            | Op::Sleep { .. } => return None,
        })
    }
}
