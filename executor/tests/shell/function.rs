//! One attempt of a function that behaves as one behind an SDK does: it replays its journal, then
//! takes steps, and believes in a step's result only once it is told that this is durable.

mod state;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use everlog_executor::invoker::{
    AttemptEvent, AttemptEventKind, AttemptStart, EventSender, Reaction, Told,
};
use everlog_log_schema::identity::child_request;
use everlog_log_schema::{
    AttemptError, Call, CompletionId, Effect, Entry, Failure, FutureTree, HandlerKind,
    InvocationId, Life, MetadataOffset, Millis, NotificationId, NotificationResult, OnMaxAttempts,
    Outcome, PartitionKey, RetryPolicy, SignalId, SignalResult, Span, Target, WaitSet,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::functions::{Deed, Functions, now};

const SLEEP: u16 = 0x040C;
const CALL: u16 = 0x040D;
const SEND: u16 = 0x040E;
const SIGNAL: u16 = 0x0410;
const RUN: u16 = 0x0411;
const RUN_DONE: u16 = 0x8011;
/// The signal that [`Function::awaits`](Function) waits for.
const AWAITED: u32 = 17;

/// One attempt.
pub(crate) struct Function {
    start: AttemptStart,
    events: EventSender,
    told: mpsc::UnboundedReceiver<Told>,
    functions: Arc<Functions>,
    /// Recorded commands that are not replayed yet.
    replay: std::vec::IntoIter<Entry>,
    results: BTreeMap<CompletionId, NotificationResult>,
    signals: VecDeque<(SignalId, NotificationResult)>,
    signals_told: u32,
    /// All entries of the journal below are known.
    known: u32,
    commands: u32,
    completions: u32,
}

impl Function {
    pub(crate) fn replay(
        start: AttemptStart,
        events: EventSender,
        told: mpsc::UnboundedReceiver<Told>,
        functions: Arc<Functions>,
    ) -> Self {
        let (notifications, commands): (Vec<Entry>, Vec<Entry>) = start
            .journal
            .iter()
            .cloned()
            .partition(|entry| matches!(entry, Entry::Notification { .. }));
        let mut replay = commands.into_iter();
        assert!(matches!(replay.next(), Some(Entry::Input { .. })));
        let known = u32::try_from(start.journal.len()).unwrap();
        let mut function = Self {
            start,
            events,
            told,
            functions,
            replay,
            results: BTreeMap::new(),
            signals: VecDeque::new(),
            signals_told: 0,
            known,
            commands: 1,
            completions: 0,
        };
        for entry in notifications {
            function.learn(entry);
        }
        function
    }

    fn learn(&mut self, entry: Entry) {
        match entry {
            Entry::Notification { id: NotificationId::Completion { id, .. }, result } => {
                assert!(self.results.insert(id, result).is_none(), "{id} has come twice");
            }
            Entry::Notification { id: NotificationId::Signal(signal), result } => {
                self.signals_told += 1;
                self.signals.push_back((signal, result));
            }
            Entry::Input { .. } | Entry::Command { .. } | Entry::Output { .. } => {
                panic!("notified of {entry:?}")
            }
        }
    }

    /// Runs until there is nothing more to do, or to do now.
    pub(crate) async fn run_to_its_end(mut self) {
        let kind = match self.run().await {
            Ok(value) => self.output(Outcome::Success(value)).await,
            Err(Ended::For(failure)) => self.output(Outcome::Failure(failure)).await,
            Err(Ended::ForNow(kind)) => kind,
        };
        self.tell(kind).await;
    }

    /// The handlers.
    async fn run(&mut self) -> Result<Bytes, Ended> {
        let handler = self.start.target.handler.clone();
        match handler.as_str() {
            "echo" => Ok(self.input()),
            "steps" => {
                let mut values = Vec::new();
                for step in ["reserve", "charge", "ship"] {
                    values.push(String::from_utf8(self.step(step).await?.to_vec()).unwrap());
                }
                Ok(values.join(",").into())
            }
            "gated" => {
                self.step("before").await?;
                self.come_to_the_gate().await;
                self.step("after").await
            }
            "sleep" => {
                let millis: u64 =
                    String::from_utf8(self.input().to_vec()).unwrap().parse().unwrap();
                self.sleep(millis).await?;
                self.step("woken").await
            }
            "pairs" => {
                let mut last = Bytes::new();
                for step in ["reserve", "charge", "ship"] {
                    last = self.step_at_once(step).await;
                }
                Ok(last)
            }
            "peeks" => {
                let before = self.peek("n").await.unwrap_or_default();
                self.set("n", "9").await;
                let own = self.peek("n").await.unwrap_or_default();
                let missing = self.peek("m").await;
                Ok(format!("{before:?} {own:?} {missing:?}").into())
            }
            "flaky" => {
                let attempts = self.functions.attempts(self.start.invocation);
                if attempts < 3 { Err(failed("not yet", None)) } else { Ok("at last".into()) }
            }
            "asks" => {
                let attempts = self.functions.attempts(self.start.invocation);
                if attempts < 2 { Err(failed("busy", Some(Millis(50)))) } else { Ok("free".into()) }
            }
            "huge" => Ok(vec![0; 40 << 20].into()),
            "calls" => self.call(false).await,
            "calls-and-leaves" => self.call(true).await,
            "sends" => self.send().await,
            "awaits" => self.awaits(),
            "hears" => {
                // Never leaves: it is told, or waits for ever.
                while self.signals.is_empty() {
                    self.hear().await;
                }
                self.awaits()
            }
            "deaf" => {
                // What is told meanwhile is not heard.
                self.come_to_the_gate().await;
                self.awaits()
            }
            "signals" => self.signal().await,
            "count" => self.count().await,
            "append" => self.append().await,
            "show" => Ok(self.state_map().into()),
            other => panic!("no handler {other}"),
        }
    }

    fn input(&self) -> Bytes {
        match &self.start.journal[0] {
            Entry::Input { body, .. } => body.clone(),
            Entry::Command { .. } | Entry::Output { .. } | Entry::Notification { .. } => {
                panic!("the journal does not begin with the input")
            }
        }
    }

    async fn come_to_the_gate(&self) {
        let invocation = self.start.invocation;
        self.functions.waiting.send_modify(|waiting| waiting.push(invocation));
        let mut gate = self.functions.gate.subscribe();
        gate.wait_for(|open| *open).await.unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8(self.input().to_vec()).unwrap()
    }

    /// Takes a callee out of the input, such as `1:echo:hello`: its partition (of two), handler
    /// and body. It is named after the caller.
    fn callee(&self) -> (InvocationId, Target, String) {
        let input = self.text();
        let mut parts = input.splitn(3, ':');
        let mut next = || parts.next().unwrap().to_owned();
        let (partition, handler, body) = (next(), next(), next());
        let partition_key = PartitionKey(if partition == "0" { 0 } else { u64::MAX });
        let id = callee_of(self.start.invocation, partition_key);
        (id, Target { service: "Plain".into(), key: None, handler }, body)
    }

    async fn call_command(&mut self, kind: u16) -> (InvocationId, Option<CompletionId>) {
        let (callee, target, body) = self.callee();
        let id_completion = self.next_completion();
        let completion = (kind == CALL).then(|| self.next_completion());
        let life =
            Life { invocation: self.start.invocation, incarnation: self.start.attempt.incarnation };
        let call = Call {
            id_completion,
            completion,
            callee,
            request_id: child_request(life, self.commands),
            target,
            kind: HandlerKind::Plain,
            headers: Vec::new(),
            parameter: Span { start: 0, bytes: u32::try_from(body.len()).unwrap() },
            idempotency_key: None,
            scope: None,
            limit_key: None,
            start_at: None,
            retention: self.start.unkeyed_retention,
            journal_retention: None,
            state_ttl: None,
            retry: RetryPolicy {
                initial_interval: Millis(20),
                factor_permille: 2_000,
                max_interval: Millis(1_000),
                max_attempts: Some(5),
                on_max_attempts: OnMaxAttempts::Kill,
            },
            traceparent: None,
            metadata: MetadataOffset(0),
        };
        self.command(kind, &body, Effect::Call(Box::new(call))).await;
        let named = self.result(id_completion).await;
        assert_eq!(named, NotificationResult::InvocationId(callee));
        (callee, completion)
    }

    /// Calls, and waits for what comes of it: here, or by leaving.
    async fn call(&mut self, leaves: bool) -> Result<Bytes, Ended> {
        let (_, completion) = self.call_command(CALL).await;
        let completion = completion.unwrap();
        if leaves && !self.results.contains_key(&completion) {
            return Err(self.suspend(WaitSet {
                completions: vec![completion],
                signals: vec![1],
                ..WaitSet::default()
            }));
        }
        match self.outcome(completion).await? {
            NotificationResult::Value(value) => Ok(value),
            NotificationResult::Failure(failure) => Err(Ended::For(failure)),
            other => panic!("a call came to {other:?}"),
        }
    }

    /// Waits for what comes of a call; leaves where somebody else needs the place.
    async fn outcome(&mut self, completion: CompletionId) -> Result<NotificationResult, Ended> {
        let lender = self.start.lender.clone().unwrap();
        tokio::select! {
            result = self.result(completion) => Ok(result),
            () = lender.wants_back(Instant::now()) => {
                let completions = vec![completion];
                Err(self.suspend(WaitSet { completions, ..WaitSet::default() }))
            }
        }
    }

    async fn send(&mut self) -> Result<Bytes, Ended> {
        let (callee, _) = self.call_command(SEND).await;
        Ok(callee.to_string().into())
    }

    /// Waits for a signal, or to be cancelled, by leaving.
    fn awaits(&mut self) -> Result<Bytes, Ended> {
        for (signal, result) in &self.signals {
            if *signal == SignalId::CANCEL {
                let message = "canceled".to_owned();
                return Err(Ended::For(Failure { code: 409, message, metadata: Vec::new() }));
            }
            if *signal == SignalId::Index(AWAITED) {
                match result {
                    NotificationResult::Value(value) => return Ok(value.clone()),
                    other => panic!("signalled with {other:?}"),
                }
            }
        }
        Err(self.suspend(WaitSet { signals: vec![AWAITED, 1], ..WaitSet::default() }))
    }

    /// Signals the invocation that the input names.
    async fn signal(&mut self) -> Result<Bytes, Ended> {
        let target = self.text().parse().unwrap();
        let (signal, value) = (SignalId::Index(AWAITED), "from a function");
        let result = SignalResult::Value(Span { start: 0, bytes: 15 });
        let effect = Effect::SendSignal { target, incarnation: None, signal, result };
        self.command(SIGNAL, value, effect).await;
        Ok("sent".into())
    }

    fn suspend(&self, waiting: impl Into<FutureTree>) -> Ended {
        let signals_told = self.signals_told;
        let waiting = waiting.into();
        Ended::ForNow(AttemptEventKind::Suspended { waiting, signals_told })
    }

    /// Does a deed once its command is sent, and waits until its result is durable.
    async fn step(&mut self, name: &str) -> Result<Bytes, Ended> {
        let completion = self.next_completion();
        self.command(RUN, name, Effect::Run { completion }).await;
        if !self.results.contains_key(&completion) {
            let value = {
                let mut deeds = self.functions.deeds.lock().unwrap();
                let invocation = self.start.invocation;
                deeds.push(Deed { invocation, step: name.to_owned(), at: now() });
                Bytes::from(format!("{name}-{}", deeds.len()))
            };
            let id = NotificationId::Completion { id: completion, kind: RUN_DONE };
            self.entry(Entry::Notification { id, result: NotificationResult::Value(value) }).await;
        }
        match self.result(completion).await {
            NotificationResult::Value(value) => Ok(value),
            other => panic!("{name} came to {other:?}"),
        }
    }

    /// A step that is done by the time that it is told of, as those of SDKs are that take no time.
    async fn step_at_once(&mut self, name: &'static str) -> Bytes {
        let (first_command, completion) = (self.commands, self.next_completion());
        let id = NotificationId::Completion { id: completion, kind: RUN_DONE };
        let entries = vec![
            Entry::Command { kind: RUN, bytes: name.into(), effect: Effect::Run { completion } },
            Entry::Notification { id, result: NotificationResult::Value(name.into()) },
        ];
        self.tell(AttemptEventKind::Entries { first_command, entries }).await;
        self.commands += 1;
        let NotificationResult::Value(value) = self.result(completion).await else {
            panic!("{name} has failed")
        };
        value
    }

    /// Sleeps, and suspends at once if it must.
    async fn sleep(&mut self, millis: u64) -> Result<(), Ended> {
        let completion = self.next_completion();
        let wake_at = Millis(now().0 + millis);
        self.command(SLEEP, &wake_at.to_string(), Effect::Sleep { completion, wake_at }).await;
        if self.results.contains_key(&completion) {
            return Ok(());
        }
        let completions = vec![completion];
        Err(self.suspend(WaitSet { completions, ..WaitSet::default() }))
    }

    async fn output(&mut self, outcome: Outcome) -> AttemptEventKind {
        let output = Entry::Output { name: String::new(), outcome };
        if self.replay.next().is_none() {
            self.entry(output).await;
        }
        AttemptEventKind::Ended
    }

    fn next_completion(&mut self) -> CompletionId {
        self.completions += 1;
        CompletionId(self.completions)
    }

    /// Takes a step, or meets it in the journal. Returns what it says there.
    async fn command(&mut self, kind: u16, name: &str, effect: Effect) -> Bytes {
        match self.replay.next() {
            Some(Entry::Command { kind: recorded, bytes, .. }) => {
                assert_eq!(recorded, kind, "the journal tells of another program");
                self.commands += 1;
                bytes
            }
            Some(other) => panic!("replay met {other:?}"),
            None => {
                let bytes = Bytes::copy_from_slice(name.as_bytes());
                self.entry(Entry::Command { kind, bytes: bytes.clone(), effect }).await;
                self.commands += 1;
                bytes
            }
        }
    }

    async fn entry(&mut self, entry: Entry) {
        let first_command = self.commands;
        self.tell(AttemptEventKind::Entries { first_command, entries: vec![entry] }).await;
    }

    async fn result(&mut self, completion: CompletionId) -> NotificationResult {
        loop {
            if let Some(result) = self.results.get(&completion) {
                return result.clone();
            }
            self.hear().await;
        }
    }

    /// Waits until it is told something.
    async fn hear(&mut self) {
        match self.told.recv().await {
            Some(Told::Notice(notice)) if notice.index < self.known => {}
            Some(Told::Notice(notice)) => {
                self.known = notice.index + 1;
                self.learn(notice.entry);
            }
            Some(Told::State { .. }) => panic!("nobody has asked"),
            // The handle is gone, and this task with it as soon as it waits.
            None => std::future::pending().await,
        }
    }

    async fn tell(&self, kind: AttemptEventKind) {
        let AttemptStart { invocation, attempt, .. } = self.start;
        // An error means that nobody listens any more: the owner's term has ended.
        let _ = self.events.send(AttemptEvent { invocation, attempt, kind }, 0).await;
    }
}

/// How an attempt ends without a value.
enum Ended {
    For(Failure),
    ForNow(AttemptEventKind),
}

/// The only callee of a caller.
pub(crate) fn callee_of(caller: InvocationId, partition_key: PartitionKey) -> InvocationId {
    InvocationId { partition_key, uuid: caller.uuid + (1 << 64) }
}

fn failed(message: &str, retry_after: Option<Millis>) -> Ended {
    let error = AttemptError {
        code: 500,
        message: message.into(),
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    };
    Ended::ForNow(AttemptEventKind::Failed { error, retry_after, reaction: Reaction::ByPolicy })
}
