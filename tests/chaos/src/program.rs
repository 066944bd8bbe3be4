//! Random small programs over virtual objects, and what an interpreter of them answers.
//!
//! A program is data: the driver draws it, the functions interpret it, and the checks interpret it
//! once more, over the order in which the calls of a key came, to tell what each must have answered.
//!
//! **Invariant:** programs never wait for each other in a circle. A program calls, and lets itself be
//! woken by, keys with a higher number than its own; what it only sends may go to any.

use everlog_simulation::history::hash_of;
use everlog_simulation::rng::Rng;
use serde::{Deserialize, Serialize};

/// How deep programs contain programs.
const DEPTH_MAX: u32 = 2;
/// How many operations the outermost program has at most.
const OPS_MAX: u64 = 5;
/// The longest that a sleep or a delay lasts, in milliseconds.
const SLEEP_MS_MAX: u64 = 400;
/// The names of an object's notes.
const NOTES: [&str; 3] = ["a", "b", "c"];

/// What one invocation is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// A name that no other program of the run has.
    pub id: String,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Op {
    /// Reads a note of the object.
    Get {
        /// Which.
        name: String,
    },
    /// Writes a note of the object.
    Set {
        /// Which.
        name: String,
        /// What it then says.
        value: String,
    },
    /// Removes a note of the object.
    Clear {
        /// Which.
        name: String,
    },
    /// Adds to the object's sum.
    Add {
        /// How much.
        by: u64,
    },
    /// Acts on the outside world.
    Effect,
    /// Calls another key and waits for its answer.
    Call {
        /// Which.
        key: u32,
        /// What it is to do.
        program: Program,
    },
    /// Sends another key a program and goes on.
    Send {
        /// Which.
        key: u32,
        /// What it is to do.
        program: Program,
    },
    /// Sends another key a program that begins later.
    SendLater {
        /// Which.
        key: u32,
        /// What it is to do.
        program: Program,
        /// How much later, in milliseconds.
        millis: u64,
    },
    /// Sleeps.
    Sleep {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Waits for an awakeable.
    Await {
        /// The key that resolves it; the outside world where there is none.
        helper: Option<u32>,
    },
    /// Resolves the awakeable of another program.
    Resolve {
        /// Which.
        awakeable: String,
        /// With what.
        value: String,
    },
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "camelCase")]
pub enum Did {
    /// It has nothing to tell.
    Done,
    /// A note was read.
    Got {
        /// What it says, where it is there.
        value: Option<String>,
    },
    /// The sum was added to.
    Added {
        /// What it then is.
        sum: u64,
    },
    /// The outside world was acted on.
    Had {
        /// What it answered: names one act and no other.
        token: String,
    },
    /// Another key has answered.
    Called {
        /// Where the callee came to stand.
        place: Place,
    },
    /// A program was sent.
    Sent {
        /// When, in milliseconds of Unix time, or a little earlier.
        at: u64,
    },
    /// A sleep is over.
    Slept {
        /// When it began, or a little earlier, in milliseconds of Unix time.
        from: u64,
        /// When it was over, or a little later.
        to: u64,
    },
    /// An awakeable was resolved.
    Woken {
        /// With what.
        value: String,
    },
}

/// Where a program stands among those of its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The program.
    pub id: String,
    /// How many ran on the key before it.
    pub position: u64,
    /// The chained hash of their ids and its own.
    pub hash: String,
}

/// What an invocation answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Where it stands.
    pub place: Place,
    /// When it began, in milliseconds of Unix time.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// What its operations came to, in order.
    pub did: Vec<Did>,
}

/// What an object holds beside its notes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// How many programs have run on it.
    pub length: u64,
    /// The chained hash of their ids.
    pub hash: String,
}

impl Chain {
    /// Puts a program at the end, and tells where it stands.
    pub fn push(&mut self, id: &str) -> Place {
        let position = self.length;
        self.hash = format!("{:016x}", hash_of(format!("{}{id}", self.hash).as_bytes()));
        self.length += 1;
        Place { id: id.to_owned(), position, hash: self.hash.clone() }
    }
}

impl Program {
    /// Draws a program for a key, of `keys` keys.
    pub fn draw(rng: &mut Rng, id: String, key: u32, keys: u32) -> Self {
        Self::at_depth(rng, id, key, keys, 0)
    }

    fn at_depth(rng: &mut Rng, id: String, key: u32, keys: u32, depth: u32) -> Self {
        let count = 1 + rng.below(OPS_MAX - u64::from(2 * depth));
        let ops = (0..count).map(|step| draw_op(rng, &id, step, (key, keys), depth)).collect();
        Self { id, ops }
    }

    /// The programs that it makes others run, with their keys: what a helper is sent is among them.
    pub fn children(&self) -> Vec<(u32, Program)> {
        let child = |(step, op): (usize, &Op)| match op {
            Op::Call { key, program }
            | Op::Send { key, program }
            | Op::SendLater { key, program, .. } => Some((*key, program.clone())),
            // Which awakeable it is is known at run time alone.
            Op::Await { helper: Some(key) } => Some((*key, self.helper(step, String::new()))),
            Op::Await { helper: None }
            | Op::Get { .. }
            | Op::Set { .. }
            | Op::Clear { .. }
            | Op::Add { .. }
            | Op::Effect
            | Op::Sleep { .. }
            | Op::Resolve { .. } => None,
        };
        self.ops.iter().enumerate().filter_map(child).collect()
    }

    /// The program that resolves the awakeable of a step.
    #[must_use]
    pub fn helper(&self, step: usize, awakeable: String) -> Self {
        let value = self.wakes_with(step);
        Self { id: self.child_id(step), ops: vec![Op::Resolve { awakeable, value }] }
    }

    /// What the awakeable of a step is resolved with.
    pub fn wakes_with(&self, step: usize) -> String {
        format!("{}/{step}", self.id)
    }

    fn child_id(&self, step: usize) -> String {
        format!("{}.{step}", self.id)
    }
}

fn draw_op(rng: &mut Rng, id: &str, step: u64, (key, keys): (u32, u32), depth: u32) -> Op {
    let child =
        |rng: &mut Rng, key| Program::at_depth(rng, format!("{id}.{step}"), key, keys, depth + 1);
    let above = (key + 1 < keys).then(|| key + 1 + below(rng, keys - key - 1));
    let any = below(rng, keys);
    let name = NOTES.get(rng.index(NOTES.len())).map_or_else(String::new, ToString::to_string);
    let nests = depth < DEPTH_MAX;
    match (rng.below(20), above) {
        (0 | 1, _) => Op::Get { name },
        (2 | 3, _) => Op::Set { name, value: format!("{id}.{step}") },
        (4, _) => Op::Clear { name },
        (5..=8, _) => Op::Add { by: 1 + rng.below(100) },
        (9 | 10, Some(key)) if nests => Op::Call { key, program: child(rng, key) },
        (11, _) if nests => Op::Send { key: any, program: child(rng, any) },
        (12, _) if nests => {
            let millis = 1 + rng.below(SLEEP_MS_MAX);
            Op::SendLater { key: any, program: child(rng, any), millis }
        }
        (13, _) => Op::Sleep { millis: 1 + rng.below(SLEEP_MS_MAX) },
        (14, _) => Op::Await { helper: None },
        (15, Some(key)) => Op::Await { helper: Some(key) },
        _ => Op::Effect,
    }
}

fn below(rng: &mut Rng, bound: u32) -> u32 {
    u32::try_from(rng.below(u64::from(bound))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_keys(key: u32, program: &Program) {
        for op in &program.ops {
            if let Op::Call { key: callee, .. } | Op::Await { helper: Some(callee) } = op {
                assert!(*callee > key, "{key} waits for {callee}");
            }
        }
        for (key, child) in program.children() {
            check_keys(key, &child);
        }
    }

    #[test]
    fn no_program_waits_for_a_lower_key() {
        let mut rng = Rng::new(7);
        for number in 0..2_000 {
            let key = number % 5;
            check_keys(key, &Program::draw(&mut rng, number.to_string(), key, 5));
        }
    }

    #[test]
    fn a_seed_draws_the_same_programs_and_every_operation() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..200).map(|n: u32| Program::draw(&mut rng, n.to_string(), 0, 3)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        let text = serde_json::to_string(&draw(1)).unwrap();
        let ops =
            ["get", "set", "clear", "add", "effect", "call", "send", "sendLater", "sleep", "await"];
        for op in ops {
            assert!(text.contains(&format!("{{\"op\":\"{op}\"")), "no program has {op}");
        }
    }
}
