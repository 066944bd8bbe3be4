//! Who calls: gateways with their callers, and another partition that sends numbered messages.
//!
//! A gateway sends a request again until the inbox acknowledges it, for at most five minutes, and
//! asks for the answer every ten seconds until it has one.

use std::rc::Rc;

use everlog_log_schema::{
    Envelope, HandlerKind, InboxOffset, InvocationId, Invoke, Level, Message, MetadataOffset,
    Millis, OnMaxAttempts, PartitionId, PartitionKey, RequestId, RetryPolicy, Seq, Source, Status,
    Target, identity,
};
use everlog_partition::{MemoryTables, reads};

use crate::coverage::Case;
use crate::env::{Env, Reply};
use crate::executor::{Executor, Process, Waiter};
use crate::history::{CallId, Event};
use crate::inbox::Item;
use crate::operators;
use crate::rng::{Rng, mix};

/// How long a gateway resends, and a message may be under way, in milliseconds.
const RESEND_FOR_MS: u64 = 300_000;
/// How often a gateway asks for an answer, in milliseconds.
const ASK_AGAIN_MS: u64 = 10_000;
/// How often a gateway sends a request again that is not acknowledged, in milliseconds.
const SEND_AGAIN_MS: u64 = 2_000;
/// The number of the sending partition.
const SENDER: PartitionId = PartitionId(7);
/// The messages of a window that the sending partition has under way.
const WINDOW: usize = 3;

/// One request and what became of it.
#[derive(Debug)]
struct Call {
    id: CallId,
    invoke: Invoke,
    /// Present for calls of the sending partition.
    seq: Option<Seq>,
    first_sent: Option<Millis>,
    /// Whether a message with it is in the inbox, or was under way.
    resent: bool,
    acknowledged: Option<InboxOffset>,
    next_try: Millis,
    settled: bool,
    asked: u32,
}

/// A message under way to the inbox.
#[derive(Debug)]
struct Flight {
    call: usize,
    until: Millis,
}

/// All callers of a world.
#[derive(Debug)]
pub struct Callers {
    calls: Vec<Call>,
    flights: Vec<Flight>,
    /// How many of the sender's messages are certainly in the inbox, in order.
    sender_acknowledged: usize,
    numbered: Vec<usize>,
}

impl Callers {
    /// Draws the calls of a seed. They begin at any time while the faults last.
    pub fn draw(rng: &mut Rng, step_ms: u64) -> Self {
        let gateway_calls = 4 + rng.below(10);
        let sender_calls = rng.below(5);
        // Where hours pass, one id can live several times.
        let few = rng.chance(if step_ms > 10_000 { 800 } else { 300 });
        let ids = 1 + rng.below(if few { 2 } else { gateway_calls });
        let salt = rng.draw();
        let calls: Vec<Call> = (0..gateway_calls + sender_calls)
            .map(|number| {
                let numbered = number >= gateway_calls;
                let seq = numbered.then(|| Seq(number - gateway_calls + 1));
                let uuid = if numbered { 1_000 + number } else { rng.below(ids) };
                let later_ms = rng.below(2) * rng.below(400 * step_ms);
                Call::new(number, (uuid, salt), seq, Millis(1_000_000 + later_ms), rng)
            })
            .collect();
        let numbered = (0..calls.len()).filter(|&at| calls.get(at).is_some_and(Call::is_numbered));
        Self { numbered: numbered.collect(), calls, flights: Vec::new(), sender_acknowledged: 0 }
    }

    /// Whether every request is over: answered, or acknowledged and nobody waits, or given up, or
    /// its invocation is paused.
    pub fn are_settled(&self, tables: &MemoryTables) -> bool {
        self.flights.is_empty()
            && self.calls.iter().all(|call| call.settled || call.waits_for_paused(tables))
    }

    /// Lets one caller do something.
    pub fn step(&mut self, env: &mut Env, executors: &mut [Executor]) {
        if env.rng.chance(200) {
            operators::signal(env);
            operators::resume(env);
        }
        if env.rng.chance(env.faults.order) {
            operators::order(env);
        }
        if env.rng.chance(10) {
            operators::release(env);
        }
        if env.faults.order > 0 && env.rng.chance(200) {
            operators::purge_owing(env);
        }
        let at = env.rng.index(self.calls.len() + 1);
        let Some(call) = self.calls.get_mut(at) else {
            self.send_window(env);
            return;
        };
        if call.settled || call.is_numbered() || env.now < call.next_try {
            return;
        }
        if let Some(after) = call.acknowledged {
            call.ask(env, executors, after);
            return;
        }
        call.call_once(env);
        let until = Millis(call.first_sent.unwrap_or(env.now).0 + RESEND_FOR_MS);
        if env.now > until {
            call.settled = true;
            return;
        }
        call.next_try = Millis(env.now.0 + SEND_AGAIN_MS);
        self.flights.push(Flight { call: at, until });
        if env.rng.chance(env.faults.duplicate) {
            env.coverage.hit(Case::Duplicate);
            self.flights.push(Flight { call: at, until });
        }
    }

    /// Lets one message arrive, or get lost.
    pub fn deliver(&mut self, env: &mut Env) {
        if self.flights.is_empty() {
            return;
        }
        let flight = self.flights.swap_remove(env.rng.index(self.flights.len()));
        let Some(call) = self.calls.get_mut(flight.call) else { return };
        if env.now > flight.until || env.rng.chance(env.faults.loss) {
            return;
        }
        if env.rng.chance(env.faults.garbage) {
            env.inbox.append(Rc::new(Item::Garbage(Source::Gateway)));
        }
        if env.rng.chance(env.faults.marker) {
            env.inbox.skip();
        }
        let offset = env.inbox.append(Rc::new(call.message()));
        call.resent = true;
        let id = call.id;
        env.note(|| format!("inbox {offset} <- call {} of {:x}", id.0, call.invoke.id.uuid));
        if !env.rng.chance(env.faults.loss) && call.acknowledged.is_none() {
            call.acknowledge(env, offset);
        }
    }

    /// Sends the next of the sending partition's messages. After a failed or unknown send all from
    /// that one on are sent again.
    fn send_window(&mut self, env: &mut Env) {
        let mut in_order = true;
        for &at in self.numbered.iter().skip(self.sender_acknowledged).take(WINDOW) {
            let Some(call) = self.calls.get_mut(at) else { return };
            call.call_once(env);
            if env.rng.chance(env.faults.loss) {
                in_order = false;
                continue;
            }
            let source = Source::Partition { partition: SENDER, seq: call.seq.unwrap_or_default() };
            let garbage = call.seq.is_some_and(|seq| seq.0 % 4 == 3);
            let item = if garbage { Item::Garbage(source) } else { call.message() };
            let offset = env.inbox.append(Rc::new(item));
            let (id, seq) = (call.id, call.seq);
            env.note(|| format!("inbox {offset} <- call {} as {seq:?}", id.0));
            in_order = in_order && !env.rng.chance(env.faults.loss);
            if in_order {
                self.sender_acknowledged += 1;
                call.settled = true;
                if !garbage {
                    env.observe(&Event::Acknowledged { call: id, offset: None });
                }
            }
        }
    }

    /// Hands a reply to its caller, or loses it.
    pub fn receive(&mut self, env: &mut Env) {
        if env.replies.is_empty() {
            return;
        }
        let (id, reply) = env.replies.swap_remove(env.rng.index(env.replies.len()));
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id && !call.settled) else {
            return;
        };
        if env.rng.chance(env.faults.loss) {
            env.coverage.hit(Case::LostAnswer);
            return;
        }
        env.note(|| format!("call {} of {:x} gets {reply:?}", id.0, call.invoke.id.uuid));
        call.settled = true;
        match &reply {
            Reply::Answer(outcome) => env.observe(&Event::Answered { call: id, outcome }),
            Reply::NotFound => env.observe(&Event::NotFound { call: id }),
        }
    }
}

impl Call {
    fn new(
        number: u64,
        (uuid, salt): (u64, u64),
        seq: Option<Seq>,
        next_try: Millis,
        rng: &mut Rng,
    ) -> Self {
        // What an id of a world stands for follows from the id, as with idempotency keys.
        let mut of_id = Rng::new(mix(uuid ^ salt));
        let (request, numbered) = (rng.draw(), seq.is_some());
        let waits = !numbered && rng.chance(800);
        let invoke = invoke(uuid, request, &mut of_id, numbered, waits);
        Self {
            id: CallId(u32::try_from(number).unwrap_or_default()),
            invoke,
            seq,
            first_sent: None,
            resent: false,
            acknowledged: None,
            next_try,
            settled: false,
            asked: 0,
        }
    }

    fn waits_for_paused(&self, tables: &MemoryTables) -> bool {
        let row = reads::invocation(tables, self.invoke.id);
        let paused = matches!(row, Ok(Some(row)) if row.status == Status::Paused);
        self.acknowledged.is_some() && paused
    }

    fn is_numbered(&self) -> bool {
        self.seq.is_some()
    }

    fn call_once(&mut self, env: &mut Env) {
        if self.first_sent.is_none() {
            self.first_sent = Some(env.now);
            let (call, id, request) = (self.id, self.invoke.id, self.invoke.request_id);
            env.observe(&Event::Called { call, id, request });
        }
    }

    fn message(&self) -> Item {
        let source = match self.seq {
            Some(seq) => Source::Partition { partition: SENDER, seq },
            None => Source::Gateway,
        };
        let invoke = Invoke { resent: self.resent, ..self.invoke.clone() };
        let message = Message::Invoke(Box::new(invoke));
        Item::Message(Envelope { level: Level(1), metadata: MetadataOffset(0), source, message })
    }

    fn acknowledge(&mut self, env: &mut Env, offset: InboxOffset) {
        self.acknowledged = Some(offset);
        self.settled = self.invoke.reply_to.is_none();
        self.next_try = env.now;
        env.observe(&Event::Acknowledged { call: self.id, offset: Some(offset) });
    }

    /// Asks a process that may own the partition.
    fn ask(&mut self, env: &mut Env, executors: &mut [Executor], after: InboxOffset) {
        self.next_try = Millis(env.now.0 + ASK_AGAIN_MS);
        self.asked += 1;
        let start = env.rng.index(executors.len());
        let (before, from) = executors.split_at_mut(start);
        for executor in from.iter_mut().chain(before) {
            if executor.process == Process::Up {
                let waiter = Waiter::new(self.id, self.invoke.id, after);
                if executor.attach(env, waiter) {
                    return;
                }
            }
        }
        self.next_try = Millis(env.now.0 + 100);
    }
}

fn invoke(uuid: u64, request: u64, of_id: &mut Rng, numbered: bool, waits: bool) -> Invoke {
    let kind = match of_id.below(10) {
        0..3 => HandlerKind::Plain,
        3..6 => HandlerKind::Exclusive,
        6 => HandlerKind::Shared,
        // What becomes of a numbered call is known by its own life, and a run has one for all.
        7 | 8 if !numbered => HandlerKind::Workflow,
        _ => HandlerKind::WorkflowShared,
    };
    let of = if kind.is_of_workflow() { 'w' } else { 'k' };
    let key = (kind != HandlerKind::Plain).then(|| format!("{of}{}", of_id.below(2)));
    let expires = kind == HandlerKind::Exclusive && of_id.chance(400);
    let id = match (kind, &key) {
        (HandlerKind::Workflow, Some(key)) => identity::of_workflow("s", key),
        _ => InvocationId { partition_key: PartitionKey(uuid % 3), uuid: u128::from(uuid) },
    };
    let limited = of_id.chance(500);
    let pauses = kind == HandlerKind::Plain && of_id.chance(500);
    Invoke {
        id,
        request_id: RequestId(u128::from(request)),
        resent: false,
        target: Target { service: "s".into(), key, handler: "h".into() },
        kind,
        headers: Vec::new(),
        body: [&of_id.draw().to_be_bytes()[..], &[0, 0]].concat().into(),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: waits.then(|| "http://gateway".into()),
        caller: None,
        start_at: of_id.chance(200).then(|| Millis(1_000_000 + of_id.below(40_000))),
        retention: Millis(of_id.below(3) * 400_000),
        state_ttl: expires.then(|| Millis(1_000 + of_id.below(30_000))),
        journal_retention: of_id.chance(300).then(|| Millis(of_id.below(3) * 300_000)),
        retry: RetryPolicy {
            initial_interval: Millis(50),
            factor_permille: 2_000,
            max_interval: Millis(5_000),
            max_attempts: limited.then_some(2),
            on_max_attempts: if pauses { OnMaxAttempts::Pause } else { OnMaxAttempts::Kill },
        },
        traceparent: None,
    }
}
