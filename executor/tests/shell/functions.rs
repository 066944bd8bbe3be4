//! The functions of a test, what they did to the world, and how an executor reaches them.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use everlog_executor::invoker::{AttemptHandle, AttemptStart, EventSender, Invoker};
use everlog_log_schema::{InvocationId, Millis};
use tokio::sync::{mpsc, watch};

use crate::function::Function;
use crate::house::within;

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
    pub(crate) deeds: Mutex<Vec<Deed>>,
    attempts: watch::Sender<Vec<InvocationId>>,
    open: watch::Sender<usize>,
    /// Where functions named `gated` wait.
    pub(crate) gate: watch::Sender<bool>,
    /// Who has come to the gate so far.
    pub(crate) waiting: watch::Sender<Vec<InvocationId>>,
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
        let (notices, told) = mpsc::unbounded_channel();
        let counted = Counted::new(&functions);
        let task = tokio::spawn(async move {
            let _counted = counted;
            Function::replay(start, events, told, functions).run_to_its_end().await;
        });
        AttemptHandle::new(notices, task.abort_handle())
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
