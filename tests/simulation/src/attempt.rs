//! Attempts: functions that run, and the streams that lead to them.
//!
//! What a function does follows from its program and the journal it is shown, save for what a
//! fault makes of it. It runs outside of the process that drives it, and goes on while that sleeps.
//!
//! **Invariant:** what is said to a function after its input was closed is not heard.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use everlog_log_schema::{
    AttemptId, Call, CompletionId, Effect as Asks, Entry, Epoch, Failure, FutureTree, HandlerKind,
    InvocationId, Life, MetadataOffset, Millis, NotificationId, NotificationResult, Outcome,
    PromiseResult, SignalId, SignalResult, Span, Term, WaitSet, identity, kinds,
};

use crate::coverage::Case;
use crate::env::Env;
use crate::future::{Came, event};
use crate::history::{Effect, Event, Seen};
use crate::program::{
    COUNTER, Callee, Part, Program, Step, awaited, combined, futures, ping, promise,
};
use crate::rng::mix;

/// Where the value of a command stands behind the command's number.
const VALUE_AT: u32 = 4;
/// Added to a call's completion, the notification of the callee's id.
const ID_COMPLETION: u32 = 1_000_000;

/// What a function says next.
#[derive(Debug, Clone)]
pub enum Frame {
    /// A command, an output or the result of a run.
    Entry(Entry),
    /// It ends until one of these comes, having been told so many signals.
    Suspended(FutureTree, u32),
    /// It ends for good.
    Ended,
    /// It failed, or its stream broke.
    Failed,
}

/// Where a function stands in its program.
enum Place {
    /// In the step at this position, whose first command has this number.
    In(usize, Step, u32),
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
    input: Bytes,
    program: Program,
    entries: u32,
    results: BTreeMap<CompletionId, NotificationResult>,
    signals: Vec<SignalId>,
    /// Results and signals together, in order.
    came: Came,
    seen: Seen,
    issued: u32,
    output_issued: bool,
    closures: Vec<CompletionId>,
    input_closed: bool,
    over: bool,
}

impl Attempt {
    /// Starts an attempt on a journal, whose first entry is the input.
    pub fn start(
        invocation: InvocationId,
        id: AttemptId,
        term: (Epoch, Term),
        kind: HandlerKind,
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
            program: Program::of(&input, kind),
            input,
            entries: 0,
            results: BTreeMap::new(),
            signals: Vec::new(),
            came: Came::new(),
            seen: Seen::default(),
            issued: 0,
            output_issued: false,
            closures: Vec::new(),
            input_closed: false,
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

    fn life(&self) -> Life {
        Life { invocation: self.invocation, incarnation: self.id.incarnation }
    }

    /// Hands over an entry of the journal. One that is known already is passed over.
    pub fn learn(&mut self, index: u32, entry: &Entry) {
        if index < self.entries || self.input_closed {
            return;
        }
        self.entries = index + 1;
        let Entry::Notification { id, result } = entry else { return };
        match id {
            NotificationId::Completion { id, .. } if self.results.contains_key(id) => return,
            NotificationId::Completion { id, .. } => {
                self.results.insert(*id, result.clone());
            }
            NotificationId::Signal(signal) => self.signals.push(signal.clone()),
        }
        self.came.push(event(id, result));
        self.seen.add(id, result);
    }

    /// Closes the function's input: it suspends where it can go no further.
    pub fn ask_to_suspend(&mut self) {
        self.input_closed = true;
    }

    /// Runs begun in an earlier attempt whose results are not stored are run again.
    fn reopen_closures(&mut self) {
        if let Place::In(_, step, first) = self.place() {
            for (number, part) in (first..).zip(step.parts()) {
                let completion = CompletionId(number);
                let begun = number <= self.issued && !self.results.contains_key(&completion);
                if begun && matches!(part, Part::Run) {
                    self.closures.push(completion);
                }
            }
        }
    }

    fn place(&self) -> Place {
        if self.signals.contains(&SignalId::CANCEL) {
            return Place::Done;
        }
        let mut first = 1;
        for (position, &step) in self.program.steps.iter().enumerate() {
            let parts = step.parts();
            let count = u32::try_from(parts.len()).unwrap_or_default();
            let mut waited = (first..).zip(&parts).filter(|(_, part)| part.completes());
            let done = |number| self.results.contains_key(&CompletionId(number));
            let satisfied = match step {
                Step::RunOrSleep(_) | Step::PromiseOrSleep(..) => {
                    waited.any(|(number, _)| done(number))
                }
                Step::Combine(seed) => futures(seed, position, first).state(&self.came).is_some(),
                Step::Await => self.signals.contains(&awaited(position, &self.input)),
                Step::Run
                | Step::Sleep(_)
                | Step::TwoRuns
                | Step::RunAndSleep(_)
                | Step::Call(_)
                | Step::SendAndAttach(_)
                | Step::SendAndSignal(_)
                | Step::SendAndPeek(_)
                | Step::Count
                | Step::ClearAll
                | Step::Clear
                | Step::Promise(_)
                | Step::PeekPromise(_)
                | Step::OwnPromise(_) => waited.all(|(number, _)| done(number)),
            };
            // Commands are issued in order, even those that a race has made idle.
            if !satisfied || self.issued + 1 < first + count {
                return Place::In(position, step, first);
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
                Place::In(position, step, first) => self.go_on(env, position, step, first),
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
        let life = crate::history::Life { id: self.invocation, incarnation: self.id.incarnation };
        let (attempt, term, seen) = (self.id, self.term, self.seen);
        env.note(|| format!("effect {:x}/{step} by {attempt:?}", life.id.uuid));
        env.observe(&Event::Effect(Effect { life, step, attempt, term, value, seen }));
        self.frames.push_back(Frame::Entry(Entry::Notification {
            id: NotificationId::Completion { id: step, kind: kinds::RUN_COMPLETION },
            result: NotificationResult::Value(Bytes::copy_from_slice(&value.to_be_bytes())),
        }));
    }

    fn go_on(&mut self, env: &mut Env, position: usize, step: Step, first: u32) {
        let parts = step.parts();
        let next = (first..).zip(&parts).find(|(number, _)| *number > self.issued);
        if let Some((number, &part)) = next {
            // What depends on a result that has not come waits for it.
            let depends = matches!(part, Part::SetCounter | Part::ClearAll);
            if !depends || self.results.contains_key(&CompletionId(number - 1)) {
                self.issue(env, number, part);
                return;
            }
        }
        let mut waiting = WaitSet { signals: vec![1], ..WaitSet::default() };
        if matches!(step, Step::Await) {
            let signal = awaited(position, &self.input);
            env.await_signal(self.life(), &signal);
            match signal {
                SignalId::Index(index) => waiting.signals.push(index),
                SignalId::Name(name) => waiting.named_signals.push(name),
            }
        }
        if let Step::Combine(_) = step {
            let told = combined(position).into_iter().filter(|of| !self.signals.contains(of));
            told.for_each(|signal| env.await_signal(self.life(), &signal));
        }
        if self.input_closed && self.closures.is_empty() {
            let waited = (first..).zip(&parts).filter(|(_, part)| part.completes());
            let numbers = waited.map(|(number, _)| CompletionId(number));
            let open = |id: &CompletionId| id.0 <= self.issued && !self.results.contains_key(id);
            waiting.completions = numbers.filter(open).collect();
            let told = u32::try_from(self.signals.len()).unwrap_or_default();
            let tree = if let Step::Combine(seed) = step {
                futures(seed, position, first).left(&self.came).or_cancelled()
            } else {
                waiting.into()
            };
            self.say_last(Frame::Suspended(tree, told));
        }
    }

    /// Issues a command: its bytes are its number, and the value that it carries behind it.
    fn issue(&mut self, env: &Env, number: u32, part: Part) {
        self.issued = number;
        let completion = CompletionId(number);
        let mut value = Bytes::new();
        let (kind, effect) = match part {
            Part::Run => {
                self.closures.push(completion);
                (0x0411, Asks::Run { completion })
            }
            Part::Sleep(ms) => {
                (0x040c, Asks::Sleep { completion, wake_at: Millis(env.now.0 + ms) })
            }
            Part::GetCounter => (0x0402, Asks::GetState { completion, key: COUNTER }),
            Part::SetCounter => {
                value = self.incremented(CompletionId(number - 1));
                (0x0403, Asks::SetState { key: COUNTER, value: span(&value) })
            }
            Part::ClearCounter => (0x0404, Asks::ClearState { key: COUNTER }),
            Part::Keys => (0x0406, Asks::GetStateKeys { completion }),
            Part::ClearAll => (0x0405, Asks::ClearAllState),
            Part::Call { child, waits, expects_ping } => {
                let callee = Callee::of(child, self.program.depth, expects_ping);
                value.clone_from(&callee.input);
                let call = self.resolve(callee, number, waits, env.now);
                (if waits { 0x040d } else { 0x040e }, Asks::Call(Box::new(call)))
            }
            Part::Attach(back) => {
                (0x0412, Asks::Attach { completion, target: self.sent(number - back) })
            }
            Part::Peek => (0x0413, Asks::GetOutput { completion, target: self.sent(number - 1) }),
            Part::GetPromise(name) => {
                (0x0409, Asks::GetPromise { completion, name: promise(name) })
            }
            Part::PeekPromise(name) => {
                (0x040a, Asks::PeekPromise { completion, name: promise(name) })
            }
            Part::CompletePromise(name) => {
                value = Bytes::copy_from_slice(
                    &mix(u64::from(number) ^ self.id.incarnation.0).to_be_bytes(),
                );
                let settled = PromiseResult::Value(span(&value));
                (0x040b, Asks::CompletePromise { completion, name: promise(name), settled })
            }
            Part::Ping => {
                let target = self.sent(number - 1);
                let (signal, result) = (ping(), SignalResult::Void);
                (0x0410, Asks::SendSignal { target, incarnation: None, signal, result })
            }
        };
        let bytes = [&number.to_be_bytes()[..], &value].concat().into();
        self.frames.push_back(Frame::Entry(Entry::Command { kind, bytes, effect }));
    }

    fn resolve(&self, callee: Callee, number: u32, waits: bool, now: Millis) -> Call {
        let id = callee.id(self.life(), number);
        let Callee { target, kind, idempotency_key, input, delay_ms, retry, retention, state_ttl } =
            callee;
        let (life, delays) = (self.life(), delay_ms > 0 && !waits);
        Call {
            id_completion: CompletionId(ID_COMPLETION + number),
            completion: waits.then_some(CompletionId(number)),
            callee: id,
            request_id: identity::child_request(life, number),
            target,
            kind,
            headers: Vec::new(),
            parameter: span(&input),
            idempotency_key,
            scope: None,
            limit_key: None,
            start_at: delays.then_some(Millis(now.0 + delay_ms)),
            retention,
            journal_retention: None,
            state_ttl,
            retry,
            traceparent: None,
            metadata: MetadataOffset(0),
        }
    }

    /// The id of the call that command `number` has sent.
    fn sent(&self, number: u32) -> InvocationId {
        let named = self.results.get(&CompletionId(ID_COMPLETION + number));
        if let Some(NotificationResult::InvocationId(id)) = named {
            return *id;
        }
        // It follows from the command alone.
        let mut first = 1;
        for step in &self.program.steps {
            for part in step.parts() {
                if let Part::Call { child, expects_ping, .. } = part
                    && first == number
                {
                    let callee = Callee::of(child, self.program.depth, expects_ping);
                    return callee.id(self.life(), number);
                }
                first += 1;
            }
        }
        unreachable!("command {number} is a call")
    }

    /// The counter that was read, and one more.
    fn incremented(&self, read: CompletionId) -> Bytes {
        let before = match self.results.get(&read) {
            Some(NotificationResult::Value(value)) => {
                value.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default()
            }
            _ => 0,
        };
        Bytes::copy_from_slice(&(before + 1).to_be_bytes())
    }

    fn put_out(&mut self) {
        self.output_issued = true;
        let output = self.seen.to_bytes();
        let failure = |code, message: String| {
            Outcome::Failure(Failure { code, message, metadata: Vec::new() })
        };
        let outcome = if self.signals.contains(&SignalId::CANCEL) {
            failure(409, "canceled".into())
        } else if self.program.fails {
            failure(400, format!("failed having seen {}", self.seen.count))
        } else {
            Outcome::Success(output.into())
        };
        self.frames.push_back(Frame::Entry(Entry::Output { name: String::new(), outcome }));
    }
}

fn span(value: &Bytes) -> Span {
    Span { start: VALUE_AT, bytes: u32::try_from(value.len()).unwrap_or_default() }
}
