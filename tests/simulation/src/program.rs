//! Programs: what a function does, known from its input alone.
//!
//! **Invariant:** the n-th command of a program is the same in every attempt. Calls go to object
//! keys of the next depth only, so that no two invocations can wait for each other.

use bytes::Bytes;
use everlog_log_schema::{
    Awaited, CompletionId, HandlerKind, InvocationId, Life, Millis, OnMaxAttempts, RetryPolicy,
    SignalId, Target, identity,
};

use crate::future::Plain;
use crate::rng::Rng;

/// The key of an object's state that counts.
pub const COUNTER: Bytes = Bytes::from_static(b"n");
/// Calls are made down to this depth.
const DEPTH_MAX: u8 = 2;
/// The first number of an awakeable.
const AWAKEABLE: u32 = 17;
/// The first number of those that a combining step waits for.
const COMBINED: u32 = 1_000;

/// One step of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Run,
    Sleep(u64),
    TwoRuns,
    RunAndSleep(u64),
    RunOrSleep(u64),
    /// Calls and waits, beside a run.
    Call(u64),
    /// Calls one way, then attaches to the call, once or a few times.
    SendAndAttach(u64),
    /// Calls one way, and signals the callee, which waits for it.
    SendAndSignal(u64),
    /// Asks for the outcome of a call that it has just sent.
    SendAndPeek(u64),
    /// Counts in the object's state.
    Count,
    /// Lists the keys of the object's state, then clears them all.
    ClearAll,
    /// Clears the counter.
    Clear,
    /// Waits for some futures that are settled together in some way.
    Combine(u64),
    /// Waits for a signal.
    Await,
    /// Waits for a promise of its workflow three times over, or for a while.
    PromiseOrSleep(u8, u64),
    /// Completes a promise of its workflow.
    Promise(u8),
    /// Looks whether a promise of its workflow is completed.
    PeekPromise(u8),
    /// Completes a promise of its workflow and waits for it.
    OwnPromise(u8),
}

/// One command of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Run,
    Sleep(u64),
    Call {
        child: u64,
        waits: bool,
        expects_ping: bool,
    },
    /// Attaches to the call that so many commands before has sent.
    Attach(u32),
    Peek,
    Ping,
    GetCounter,
    SetCounter,
    ClearCounter,
    Keys,
    ClearAll,
    GetPromise(u8),
    PeekPromise(u8),
    CompletePromise(u8),
}

impl Step {
    /// Its commands, in order.
    pub(crate) fn parts(self) -> Vec<Part> {
        let send = |child| Part::Call { child, waits: false, expects_ping: false };
        match self {
            Step::Run => vec![Part::Run],
            Step::Sleep(ms) => vec![Part::Sleep(ms)],
            Step::TwoRuns => vec![Part::Run, Part::Run],
            Step::RunAndSleep(ms) | Step::RunOrSleep(ms) => vec![Part::Run, Part::Sleep(ms)],
            Step::Call(child) => {
                vec![Part::Call { child, waits: true, expects_ping: false }, Part::Run]
            }
            Step::SendAndAttach(child) => {
                let times = if child.is_multiple_of(4) { 4 } else { 1 };
                std::iter::once(send(child)).chain((1..=times).map(Part::Attach)).collect()
            }
            Step::SendAndPeek(child) => vec![send(child), Part::Peek],
            Step::SendAndSignal(child) => {
                vec![Part::Call { child, waits: false, expects_ping: true }, Part::Ping]
            }
            Step::Count => vec![Part::GetCounter, Part::SetCounter],
            Step::ClearAll => vec![Part::Keys, Part::ClearAll],
            Step::Clear => vec![Part::ClearCounter],
            Step::Combine(child) => {
                let ms = |most: u64| 1 + child % most;
                let call = Part::Call { child, waits: true, expects_ping: false };
                vec![Part::Sleep(ms(9_000)), call, Part::Run, Part::Sleep(ms(4_000))]
            }
            Step::Await => Vec::new(),
            Step::PromiseOrSleep(name, ms) => {
                let get = Part::GetPromise(name);
                vec![get, get, get, Part::Sleep(ms)]
            }
            Step::Promise(name) => vec![Part::CompletePromise(name)],
            Step::PeekPromise(name) => vec![Part::PeekPromise(name)],
            Step::OwnPromise(name) => vec![Part::CompletePromise(name), Part::GetPromise(name)],
        }
    }
}

impl Part {
    /// Whether something comes back for it that the function waits for.
    pub(crate) fn completes(self) -> bool {
        match self {
            Part::Run
            | Part::Sleep(_)
            | Part::Attach(_)
            | Part::Peek
            | Part::GetCounter
            | Part::Keys
            | Part::GetPromise(_)
            | Part::PeekPromise(_)
            | Part::CompletePromise(_) => true,
            Part::Call { waits, .. } => waits,
            Part::Ping | Part::SetCounter | Part::ClearCounter | Part::ClearAll => false,
        }
    }
}

/// What a function does.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its steps, in order.
    pub(crate) steps: Vec<Step>,
    /// Whether it ends in a failure.
    pub(crate) fails: bool,
    /// How deep in a tree of calls it is.
    pub(crate) depth: u8,
}

impl Program {
    /// Reads a program from an input: a seed, the depth, and whether it waits for a ping first.
    pub(crate) fn of(input: &[u8], kind: HandlerKind) -> Self {
        let depth = input.get(8).copied().unwrap_or(DEPTH_MAX);
        let expects_ping = input.get(9) == Some(&1);
        let mut rng = Rng::new(crate::history::hash_of(input));
        let count = rng.below(if depth == 0 { 5 } else { 3 });
        let mut steps = Vec::new();
        if expects_ping {
            steps.push(Step::Await);
        }
        for _ in 0..count {
            steps.push(step(&mut rng, kind, depth));
        }
        Self { steps, fails: rng.chance(150), depth }
    }
}

/// The signals that the combining step at `position` of a program waits for, beside its completions.
pub(crate) fn combined(position: usize) -> [SignalId; 2] {
    let first = COMBINED + 2 * u32::try_from(position).unwrap_or_default();
    [SignalId::Index(first), SignalId::Index(first + 1)]
}

/// What the combining step at `position` waits for, whose first command has this number.
pub(crate) fn futures(seed: u64, position: usize, first: u32) -> Plain {
    let step = Step::Combine(seed);
    let numbers = (first..).zip(step.parts()).filter(|(_, part)| part.completes());
    let completions = numbers.map(|(number, _)| Awaited::Completion(CompletionId(number)));
    let leaves = completions.chain(combined(position).map(Awaited::Signal));
    Plain::draw(&mut Rng::new(seed ^ 0xf0_7012e5), leaves.collect())
}

/// Which signal the step at `position` of the program with this input waits for.
pub(crate) fn awaited(position: usize, input: &[u8]) -> SignalId {
    if position == 0 && input.get(9) == Some(&1) {
        return ping();
    }
    SignalId::Index(AWAKEABLE + u32::try_from(position).unwrap_or_default())
}

fn step(rng: &mut Rng, kind: HandlerKind, depth: u8) -> Step {
    let ms = 1 + rng.below(15_000);
    let child = rng.draw();
    let calls = depth < DEPTH_MAX;
    let writes = matches!(kind, HandlerKind::Exclusive | HandlerKind::Workflow);
    if kind.is_of_workflow() && rng.chance(500) {
        let name = u8::from(rng.chance(500));
        return match rng.below(8) {
            0..4 => Step::PromiseOrSleep(name, ms),
            4 | 5 => Step::Promise(name),
            6 => Step::PeekPromise(name),
            _ => Step::OwnPromise(name),
        };
    }
    match rng.below(27) {
        4 => Step::Sleep(ms),
        5 => Step::TwoRuns,
        6 | 7 => Step::RunAndSleep(ms),
        8 => Step::RunOrSleep(ms),
        3 | 9 => Step::Await,
        10..=13 if calls => Step::Call(child),
        14 | 15 if calls => Step::SendAndAttach(child),
        16 if calls => Step::SendAndSignal(child),
        17 if calls => Step::SendAndPeek(child),
        18..=20 if writes => Step::Count,
        21 if writes => Step::ClearAll,
        22 if writes => Step::Clear,
        24..=26 if calls => Step::Combine(child),
        _ => Step::Run,
    }
}

/// The signal that a callee waits for which was told to expect one.
pub(crate) fn ping() -> SignalId {
    SignalId::Name("ping".into())
}

/// The name of a promise.
pub(crate) fn promise(number: u8) -> String {
    format!("p{number}")
}

/// A call that a function makes, as metadata would resolve it.
#[derive(Debug, Clone)]
pub(crate) struct Callee {
    /// Whom.
    pub(crate) target: Target,
    /// How it is run.
    pub(crate) kind: HandlerKind,
    /// The key that makes it the same call as another's.
    pub(crate) idempotency_key: Option<String>,
    /// Its argument.
    pub(crate) input: Bytes,
    /// How much later it begins.
    pub(crate) delay_ms: u64,
    /// What its failures lead to. Nobody resumes a callee, so it never pauses.
    pub(crate) retry: RetryPolicy,
    /// How long its outcome is kept.
    pub(crate) retention: Millis,
    /// After how long without a write the state of its object is reset.
    pub(crate) state_ttl: Option<Millis>,
}

impl Callee {
    /// Draws the callee of a call, at the depth below its caller's.
    pub(crate) fn of(child: u64, depth: u8, expects_ping: bool) -> Self {
        let shared = Rng::new(child).chance(400) && !expects_ping;
        // What has the same idempotency key is the same call, whoever makes it.
        let seed = if shared { child % 2 } else { child };
        let mut rng = Rng::new(seed ^ 0xca11);
        let depth = depth + 1;
        let kind = match rng.below(10) {
            0..4 => HandlerKind::Plain,
            4..7 => HandlerKind::Exclusive,
            7 => HandlerKind::Shared,
            8 => HandlerKind::Workflow,
            _ => HandlerKind::WorkflowShared,
        };
        // What is a run in one call is a run in all: workflows have keys of their own.
        let of = if kind.is_of_workflow() { 'w' } else { 'k' };
        let key = (kind != HandlerKind::Plain).then(|| format!("d{depth}{of}{}", rng.below(2)));
        let shared = shared && kind != HandlerKind::Workflow;
        let input = [&seed.to_be_bytes()[..], &[depth, u8::from(expects_ping)]].concat();
        Self {
            target: Target { service: "s".into(), key, handler: "h".into() },
            kind,
            idempotency_key: shared.then(|| format!("i{depth}-{seed}")),
            input: input.into(),
            delay_ms: if rng.chance(200) { rng.below(20_000) } else { 0 },
            retry: RetryPolicy {
                initial_interval: Millis(50),
                factor_permille: 2_000,
                max_interval: Millis(5_000),
                max_attempts: rng.chance(500).then_some(2),
                on_max_attempts: OnMaxAttempts::Kill,
            },
            retention: Millis(rng.below(2) * 400_000),
            state_ttl: (kind == HandlerKind::Exclusive && rng.chance(400))
                .then(|| Millis(1_000 + rng.below(30_000))),
        }
    }

    /// Its id, where the command `number` of `life` calls it.
    pub(crate) fn id(&self, life: Life, number: u32) -> InvocationId {
        if let (HandlerKind::Workflow, Some(key)) = (self.kind, &self.target.key) {
            return identity::of_workflow(&self.target.service, key);
        }
        let key = self.idempotency_key.as_deref();
        identity::child_id(life, number, &self.target, None, key)
    }
}
