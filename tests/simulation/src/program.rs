//! Functions: small programs, and the attempts that run them.
//!
//! What a function does follows from its program and the journal it is shown, save for what a
//! fault makes of it. It runs outside of the process that drives it, and goes on while that sleeps.
//!
//! **Invariant:** the n-th command of a program is the same in every attempt.

use std::collections::VecDeque;

use bytes::Bytes;
use everlog_log_schema::{
    AttemptId, CompletionId, Effect as Asks, Entry, Epoch, Failure, InvocationId, Millis,
    NotificationId, NotificationResult, Outcome, Term, WaitSet,
};

use crate::coverage::Case;
use crate::env::Env;
use crate::history::{Effect, Event, Life, Seen};
use crate::rng::Rng;

/// The kind of a run's result on the wire.
pub const RUN_COMPLETION: u16 = 0x8011;

/// One step of a program.
#[derive(Debug, Clone, Copy)]
enum Step {
    Run,
    Sleep(u64),
    TwoRuns,
    RunAndSleep(u64),
    RunOrSleep(u64),
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Run,
    Sleep(u64),
}

impl Step {
    fn parts(self) -> Vec<Part> {
        match self {
            Step::Run => vec![Part::Run],
            Step::Sleep(ms) => vec![Part::Sleep(ms)],
            Step::TwoRuns => vec![Part::Run, Part::Run],
            Step::RunAndSleep(ms) | Step::RunOrSleep(ms) => vec![Part::Run, Part::Sleep(ms)],
        }
    }
}

/// What a function does, known from its input.
#[derive(Debug, Clone)]
struct Program {
    steps: Vec<Step>,
    fails: bool,
}

impl Program {
    fn of(input: &[u8]) -> Self {
        let mut rng = Rng::new(crate::history::hash_of(input));
        let count = rng.below(5);
        let steps = (0..count).map(|_| {
            let ms = 1 + rng.below(15_000);
            match rng.below(8) {
                0..=2 => Step::Run,
                3 => Step::Sleep(ms),
                4 => Step::TwoRuns,
                5 | 6 => Step::RunAndSleep(ms),
                _ => Step::RunOrSleep(ms),
            }
        });
        Self { steps: steps.collect(), fails: rng.chance(150) }
    }
}

/// What a function says next.
#[derive(Debug, Clone)]
pub enum Frame {
    /// A command, an output or the result of a run.
    Entry(Entry),
    /// It ends until one of these comes.
    Suspended(WaitSet),
    /// It ends for good.
    Ended,
    /// It failed, or its stream broke.
    Failed,
}

/// Where a function stands in its program.
enum Place {
    /// In a step whose first command has this number.
    In(Step, u32),
    Done,
}

/// A live attempt: the function's side and the stream between.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a stream")]
pub struct Attempt {
    /// Whose attempt.
    pub invocation: InvocationId,
    /// Which.
    pub id: AttemptId,
    /// The ownership that started it.
    pub term: (Epoch, Term),
    /// Frames that the owner has not taken yet.
    pub frames: VecDeque<Frame>,
    /// How many commands the owner has taken from this stream, the input and replayed ones included.
    pub commands_taken: u32,
    /// Whether the invocation's code is still to be recorded.
    pub unpinned: bool,
    /// When it hung, if it did.
    pub hung_at: Option<Millis>,
    program: Program,
    entries: u32,
    completed: Vec<CompletionId>,
    seen: Seen,
    issued: u32,
    output_issued: bool,
    closures: Vec<CompletionId>,
    asked_to_suspend: bool,
    over: bool,
}

impl Attempt {
    /// Starts an attempt on a journal, whose first entry is the input.
    pub fn start(
        invocation: InvocationId,
        id: AttemptId,
        term: (Epoch, Term),
        journal: &[Entry],
        unpinned: bool,
    ) -> Self {
        let input = match journal.first() {
            Some(Entry::Input { body, .. }) => body.clone(),
            _ => Bytes::new(),
        };
        let mut attempt = Self {
            invocation,
            id,
            term,
            frames: VecDeque::new(),
            commands_taken: 1,
            unpinned,
            hung_at: None,
            program: Program::of(&input),
            entries: 0,
            completed: Vec::new(),
            seen: Seen::default(),
            issued: 0,
            output_issued: false,
            closures: Vec::new(),
            asked_to_suspend: false,
            over: false,
        };
        for (index, entry) in (0_u32..).zip(journal) {
            match entry {
                Entry::Command { .. } => attempt.issued += 1,
                Entry::Output { .. } => attempt.output_issued = true,
                Entry::Input { .. } | Entry::Notification { .. } => {}
            }
            attempt.learn(index, entry);
        }
        attempt.commands_taken += attempt.issued + u32::from(attempt.output_issued);
        attempt.reopen_closures();
        attempt
    }

    /// Hands over an entry of the journal. One that is known already is passed over.
    pub fn learn(&mut self, index: u32, entry: &Entry) {
        if index < self.entries {
            return;
        }
        self.entries = index + 1;
        if let Entry::Notification { id: NotificationId::Completion { id, .. }, result } = entry
            && !self.completed.contains(id)
        {
            self.completed.push(*id);
            self.seen.add(*id, result);
        }
    }

    /// Closes the function's input: it suspends where it can go no further.
    pub fn ask_to_suspend(&mut self) {
        self.asked_to_suspend = true;
    }

    /// Runs begun in an earlier attempt whose results are not stored are run again.
    fn reopen_closures(&mut self) {
        if let Place::In(step, first) = self.place() {
            for (number, part) in (first..).zip(step.parts()) {
                let completion = CompletionId(number);
                let begun = number <= self.issued && !self.completed.contains(&completion);
                if begun && matches!(part, Part::Run) {
                    self.closures.push(completion);
                }
            }
        }
    }

    fn place(&self) -> Place {
        let mut first = 1;
        for &step in &self.program.steps {
            let count = u32::try_from(step.parts().len()).unwrap_or_default();
            let mut numbers = first..first + count;
            let done = |number| self.completed.contains(&CompletionId(number));
            let satisfied = match step {
                Step::RunOrSleep(_) => numbers.any(done),
                Step::Run | Step::Sleep(_) | Step::TwoRuns | Step::RunAndSleep(_) => {
                    numbers.all(done)
                }
            };
            // Commands are issued in order, even those that a race has made idle.
            if !satisfied || self.issued < first + count - 1 {
                return Place::In(step, first);
            }
            first += count;
        }
        Place::Done
    }

    /// Lets the function do one thing.
    pub fn poll(&mut self, env: &mut Env) {
        if self.over || self.hung_at.is_some() {
            return;
        }
        if env.rng.chance(env.faults.hang) {
            self.hung_at = Some(env.now);
        } else if env.rng.chance(env.faults.failure) {
            self.say_last(Frame::Failed);
        } else if !self.closures.is_empty() && env.rng.chance(700) {
            self.run_closure(env);
        } else {
            match self.place() {
                Place::In(step, first) => self.go_on(step, first, env.now),
                Place::Done if self.output_issued => self.say_last(Frame::Ended),
                Place::Done => self.put_out(),
            }
        }
    }

    /// Lets a function that hung go on at the moment when its owner gives it up.
    pub fn go_on_unheard(&mut self, env: &mut Env) {
        for _ in 0..env.rng.below(6) {
            self.hung_at = None;
            self.poll(env);
        }
    }

    fn say_last(&mut self, frame: Frame) {
        self.frames.push_back(frame);
        self.over = true;
    }

    /// Causes the effect of a run. Its result is proposed and not yet durable.
    pub fn run_closure(&mut self, env: &mut Env) {
        if self.closures.is_empty() {
            return;
        }
        let step = self.closures.swap_remove(env.rng.index(self.closures.len()));
        self.cause(env, step);
        if env.rng.chance(env.faults.twice) {
            env.coverage.hit(Case::SecondResult);
            self.cause(env, step);
        }
    }

    fn cause(&mut self, env: &mut Env, step: CompletionId) {
        let value = env.rng.draw();
        let life = Life { id: self.invocation, incarnation: self.id.incarnation };
        let (attempt, term, seen) = (self.id, self.term, self.seen);
        env.note(|| format!("effect {:x}/{step} by {attempt:?}", life.id.uuid));
        env.observe(&Event::Effect(Effect { life, step, attempt, term, value, seen }));
        self.frames.push_back(Frame::Entry(Entry::Notification {
            id: NotificationId::Completion { id: step, kind: RUN_COMPLETION },
            result: NotificationResult::Value(Bytes::copy_from_slice(&value.to_be_bytes())),
        }));
    }

    fn go_on(&mut self, step: Step, first: u32, now: Millis) {
        let parts = step.parts();
        let next = (first..).zip(&parts).find(|(number, _)| *number > self.issued);
        if let Some((number, &part)) = next {
            self.issued = number;
            let completion = CompletionId(number);
            let (kind, effect) = match part {
                Part::Run => (0x0411, Asks::Run { completion }),
                Part::Sleep(ms) => {
                    (0x040c, Asks::Sleep { completion, wake_at: Millis(now.0 + ms) })
                }
            };
            let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
            self.frames.push_back(Frame::Entry(Entry::Command { kind, bytes, effect }));
            if matches!(part, Part::Run) {
                self.closures.push(completion);
            }
        } else if self.asked_to_suspend && self.closures.is_empty() {
            let numbers = (first..).zip(&parts).map(|(number, _)| CompletionId(number));
            let completions = numbers.filter(|id| !self.completed.contains(id)).collect();
            self.say_last(Frame::Suspended(WaitSet { completions, ..WaitSet::default() }));
        }
    }

    fn put_out(&mut self) {
        self.output_issued = true;
        let output = self.seen.to_bytes();
        let outcome = if self.program.fails {
            let message = format!("failed having seen {}", self.seen.count);
            Outcome::Failure(Failure { code: 400, message, metadata: Vec::new() })
        } else {
            Outcome::Success(output.into())
        };
        self.frames.push_back(Frame::Entry(Entry::Output { name: String::new(), outcome }));
    }
}
