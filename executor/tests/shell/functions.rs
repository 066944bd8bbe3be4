//! Functions that behave as ones behind an SDK do: they replay their journal, then take steps, and
//! believe in a step's result only once they are told that it is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use everlog_executor::invoker::{
    AttemptEvent, AttemptEventKind, AttemptHandle, AttemptStart, EventSender, Invoker,
};
use everlog_log_schema::{
    AttemptError, CompletionId, Effect, Entry, InvocationId, Millis, NotificationId,
    NotificationResult, Outcome, WaitSet,
};
use tokio::sync::{mpsc, watch};

use crate::house::within;

const RUN: u16 = 0x0411;
const SLEEP: u16 = 0x040C;
const RUN_DONE: u16 = 0x8011;

/// Something that a function did to the world outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) invocation: InvocationId,
    pub(crate) step: String,
    pub(crate) at: Millis,
}

/// The functions of a test, and the world that they act on. It outlives the executors.
#[derive(Debug)]
pub(crate) struct Functions {
    deeds: Mutex<Vec<Deed>>,
    attempts: watch::Sender<Vec<InvocationId>>,
    open: watch::Sender<usize>,
    /// Where functions named `gated` wait.
    gate: watch::Sender<bool>,
    /// Who has come to the gate so far.
    waiting: watch::Sender<Vec<InvocationId>>,
}

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}

impl Functions {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            deeds: Mutex::default(),
            attempts: watch::Sender::default(),
            open: watch::Sender::new(0),
            gate: watch::Sender::new(false),
            waiting: watch::Sender::default(),
        })
    }

    pub(crate) fn deeds(&self) -> Vec<Deed> {
        self.deeds.lock().unwrap().clone()
    }

    /// The steps done for an invocation, in order.
    pub(crate) fn steps(&self, id: InvocationId) -> Vec<String> {
        self.deeds()
            .into_iter()
            .filter(|deed| deed.invocation == id)
            .map(|deed| deed.step)
            .collect()
    }

    /// How many attempts were begun for an invocation.
    pub(crate) fn attempts(&self, id: InvocationId) -> usize {
        self.attempts.borrow().iter().filter(|of| **of == id).count()
    }

    /// Waits until so many attempts were begun in all.
    pub(crate) async fn attempted(&self, count: usize) {
        let mut attempts = self.attempts.subscribe();
        within("attempts", attempts.wait_for(|attempts| attempts.len() >= count)).await.unwrap();
    }

    /// Waits until an invocation of `gated` waits at the gate.
    pub(crate) async fn at_the_gate(&self, id: InvocationId) {
        let mut waiting = self.waiting.subscribe();
        within("a caller at the gate", waiting.wait_for(|at| at.contains(&id))).await.unwrap();
    }

    /// Lets all `gated` functions pass, now and later.
    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Waits until so many attempts are open.
    pub(crate) async fn open_attempts(&self, count: usize) {
        let mut open = self.open.subscribe();
        within("open attempts", open.wait_for(|open| *open == count)).await.unwrap();
    }
}

/// The functions, as one executor reaches them.
pub(crate) struct TestInvoker(pub(crate) Arc<Functions>);

impl Invoker for TestInvoker {
    fn start(&self, start: AttemptStart, events: EventSender) -> AttemptHandle {
        let functions = Arc::clone(&self.0);
        functions.attempts.send_modify(|attempts| attempts.push(start.invocation));
        let (notifications, notified) = mpsc::unbounded_channel();
        let counted = Counted::new(&functions);
        let task = tokio::spawn(async move {
            let _counted = counted;
            let mut function = Function::replay(start, events, notified, functions);
            let kind = match function.run().await {
                Ok(value) => function.output(value).await,
                Err(ended) => ended,
            };
            function.tell(kind).await;
        });
        AttemptHandle::new(notifications, task.abort_handle())
    }
}

/// Counts an open attempt, however it ends.
struct Counted(Arc<Functions>);

impl Counted {
    fn new(functions: &Arc<Functions>) -> Self {
        functions.open.send_modify(|open| *open += 1);
        Self(Arc::clone(functions))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// One attempt.
struct Function {
    start: AttemptStart,
    events: EventSender,
    notified: mpsc::UnboundedReceiver<Entry>,
    functions: Arc<Functions>,
    /// Recorded commands that are not replayed yet.
    replay: std::vec::IntoIter<Entry>,
    results: BTreeMap<CompletionId, NotificationResult>,
    commands: u32,
    completions: u32,
}

impl Function {
    fn replay(
        start: AttemptStart,
        events: EventSender,
        notified: mpsc::UnboundedReceiver<Entry>,
        functions: Arc<Functions>,
    ) -> Self {
        let mut results = BTreeMap::new();
        let mut commands = Vec::new();
        for entry in start.journal.clone() {
            match entry {
                Entry::Notification { id: NotificationId::Completion { id, .. }, result } => {
                    assert!(results.insert(id, result).is_none(), "{id} is in the journal twice");
                }
                Entry::Input { .. } | Entry::Command { .. } | Entry::Output { .. } => {
                    commands.push(entry);
                }
            }
        }
        let mut replay = commands.into_iter();
        assert!(matches!(replay.next(), Some(Entry::Input { .. })));
        Self { start, events, notified, functions, replay, results, commands: 1, completions: 0 }
    }

    /// The handlers.
    async fn run(&mut self) -> Result<Bytes, AttemptEventKind> {
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
                let invocation = self.start.invocation;
                self.functions.waiting.send_modify(|waiting| waiting.push(invocation));
                let mut gate = self.functions.gate.subscribe();
                gate.wait_for(|open| *open).await.unwrap();
                self.step("after").await
            }
            "sleep" => {
                let millis: u64 =
                    String::from_utf8(self.input().to_vec()).unwrap().parse().unwrap();
                self.sleep(millis).await?;
                self.step("woken").await
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

    /// Does a deed once its command is sent, and waits until its result is durable.
    async fn step(&mut self, name: &str) -> Result<Bytes, AttemptEventKind> {
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
            NotificationResult::Void | NotificationResult::Failure(_) => {
                panic!("{name} came to something else than its value")
            }
        }
    }

    /// Sleeps, and suspends at once if it must.
    async fn sleep(&mut self, millis: u64) -> Result<(), AttemptEventKind> {
        let completion = self.next_completion();
        let wake_at = Millis(now().0 + millis);
        self.command(SLEEP, &wake_at.to_string(), Effect::Sleep { completion, wake_at }).await;
        if self.results.contains_key(&completion) {
            return Ok(());
        }
        let completions = vec![completion];
        Err(AttemptEventKind::Suspended(WaitSet { completions, ..WaitSet::default() }))
    }

    async fn output(&mut self, value: Bytes) -> AttemptEventKind {
        let output = Entry::Output { name: String::new(), outcome: Outcome::Success(value) };
        if self.replay.next().is_none() {
            self.entry(output).await;
        }
        AttemptEventKind::Ended
    }

    fn next_completion(&mut self) -> CompletionId {
        self.completions += 1;
        CompletionId(self.completions)
    }

    async fn command(&mut self, kind: u16, name: &str, effect: Effect) {
        match self.replay.next() {
            Some(Entry::Command { kind: recorded, .. }) => {
                assert_eq!(recorded, kind, "the journal tells of another program");
                self.commands += 1;
            }
            Some(other) => panic!("replay met {other:?}"),
            None => {
                let bytes = Bytes::copy_from_slice(name.as_bytes());
                self.entry(Entry::Command { kind, bytes, effect }).await;
                self.commands += 1;
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
            match self.notified.recv().await {
                Some(Entry::Notification { id: NotificationId::Completion { id, .. }, result }) => {
                    self.results.insert(id, result);
                }
                Some(other) => panic!("notified of {other:?}"),
                // The handle is gone, and this task with it as soon as it waits.
                None => std::future::pending().await,
            }
        }
    }

    async fn tell(&self, kind: AttemptEventKind) {
        let AttemptStart { invocation, attempt, .. } = self.start;
        // An error means that nobody listens any more: the owner's term has ended.
        let _ = self.events.send(AttemptEvent { invocation, attempt, kind }, 0).await;
    }
}

fn failed(message: &str, retry_after: Option<Millis>) -> AttemptEventKind {
    let error = AttemptError {
        code: 500,
        message: message.into(),
        command_index: None,
        command_name: None,
        delay_by_function: false,
    };
    AttemptEventKind::Failed { error, retry_after }
}
