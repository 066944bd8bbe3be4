//! A small shell: it makes an attempt's entries durable by keeping them in memory, and tells the
//! function of them as the protocol demands.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everlog_connect::{Connector, TlsOptions};
use everlog_executor::invoker::{
    AttemptEvent, AttemptEventKind, AttemptHandle, AttemptStart, CallNames, EagerStateMap,
    EventReceiver, EventSender, HttpInvoker, HttpInvokerOptions, Invoker, Notice, event_channel,
};
use everlog_log_schema::metadata::{Deployment, Metadata, ProtocolMode};
use everlog_log_schema::{
    AttemptId, Combinator, CompletionId, DeploymentId, Effect, Entry, Epoch, FutureTree,
    HandlerKind, Incarnation, InvocationId, Millis, NotificationId, NotificationResult,
    PartitionKey, Target, kinds,
};
use tokio::sync::{mpsc, watch};

use crate::partition::Partition;
use crate::server::AUTHORITY;

/// No test waits longer for an event.
const DEADLINE: Duration = Duration::from_mins(2);

/// An invoker that trusts the authority of these tests.
pub(crate) fn invoker() -> Arc<HttpInvoker> {
    invoker_with(HttpInvokerOptions::default())
}

pub(crate) fn invoker_with(options: HttpInvokerOptions) -> Arc<HttpInvoker> {
    let trust = TlsOptions { ca_file: Some(AUTHORITY.file().to_owned()) };
    Arc::new(HttpInvoker::new(options, Connector::new(&trust).unwrap()))
}

/// A channel for events, with room for so many.
pub(crate) fn events(count: usize) -> (EventSender, EventReceiver) {
    event_channel(count, 1 << 20)
}

/// Waits for an event that is some steps.
pub(crate) async fn steps(events: &mut EventReceiver) -> AttemptEvent {
    let event = in_time(events.recv()).await.expect("an attempt has a last event");
    assert!(matches!(event.kind, AttemptEventKind::Entries { .. }), "{event:?}");
    event
}

/// Waits for something, but not for ever.
pub(crate) async fn in_time<T>(something: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, something).await.expect("nothing came in time")
}

pub(crate) fn deployment(uri: &str) -> Arc<Deployment> {
    Arc::new(Deployment {
        id: DeploymentId("dp_1".to_owned()),
        uri: uri.to_owned(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        metadata: Vec::new(),
        created_at: Millis(0),
        services: Vec::new(),
    })
}

pub(crate) fn input(body: &'static str) -> Entry {
    Entry::Input { headers: Vec::new(), body: body.into() }
}

pub(crate) fn start(
    deployment: &Arc<Deployment>,
    service: &str,
    handler: &str,
    journal: Vec<Entry>,
) -> AttemptStart {
    AttemptStart {
        invocation: InvocationId { partition_key: PartitionKey(7), uuid: 11 },
        attempt: AttemptId { incarnation: Incarnation(3), epoch: Epoch(1), counter: 0 },
        target: Target { service: service.to_owned(), key: None, handler: handler.to_owned() },
        named: CallNames::default(),
        kind: HandlerKind::Plain,
        state: None,
        metadata: watch::channel(Arc::new(Metadata::default())).1,
        unkeyed_retention: Millis(600_000),
        deployment: deployment.clone(),
        protocol_version: 6,
        journal,
        failures_since_progress: 0,
        since_progress: Millis(0),
        traceparent: None,
        inactivity_timeout: Duration::from_secs(20),
        abort_timeout: Duration::from_secs(20),
        lender: None,
        is_large: false,
    }
}

pub(crate) struct Shell {
    invoker: Arc<HttpInvoker>,
    pub(crate) journal: Vec<Entry>,
    /// As it was before the journal.
    pub(crate) partition: Partition,
    /// Whether an attempt begins without the state of its object.
    pub(crate) is_lazy: bool,
    /// What the function has said that its code waits for, in order.
    pub(crate) awaiting_on: Vec<String>,
    last: Option<AttemptEventKind>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self::with(invoker())
    }

    pub(crate) fn with(invoker: Arc<HttpInvoker>) -> Self {
        let (journal, partition) = (Vec::new(), Partition::default());
        let awaiting_on = Vec::new();
        Self { invoker, journal, partition, is_lazy: false, awaiting_on, last: None }
    }

    /// Runs one attempt to its last event.
    pub(crate) async fn run(&mut self, mut start: AttemptStart) {
        self.journal.clone_from(&start.journal);
        let missing = self.partition.recall(start.invocation, &self.journal);
        if start.kind != HandlerKind::Plain {
            let state = self.partition.state.clone().into_iter();
            let entries = if self.is_lazy { Vec::new() } else { state.collect() };
            start.state = Some(EagerStateMap { entries, partial: self.is_lazy });
        }
        let (sender, mut events) = events(16);
        let (due, mut slept) = mpsc::unbounded_channel();
        let handle = self.invoker.start(start, sender);
        for entry in self.journal.clone() {
            if !self.has_fired(&entry) {
                arm(&entry, &due);
            }
        }
        for entry in missing {
            self.store(entry, &handle);
        }
        loop {
            tokio::select! {
                event = in_time(events.recv()) => {
                    let event = event.expect("an attempt has a last event");
                    if self.take(event, &handle, &due) {
                        return;
                    }
                }
                Some(id) = slept.recv() => {
                    let id = NotificationId::Completion { id, kind: kinds::SLEEP_COMPLETION };
                    let result = NotificationResult::Void;
                    self.store(Entry::Notification { id, result }, &handle);
                }
            }
        }
    }

    fn take(
        &mut self,
        event: AttemptEvent,
        handle: &AttemptHandle,
        due: &mpsc::UnboundedSender<CompletionId>,
    ) -> bool {
        let (first_command, entries) = match event.kind {
            AttemptEventKind::Entries { first_command, entries } => (first_command, entries),
            AttemptEventKind::ReadState(read) => panic!("nothing asks for {read:?}"),
            AttemptEventKind::AwaitingOn(tree) => {
                self.awaiting_on.push(text_of(&tree));
                return false;
            }
            last @ (AttemptEventKind::Suspended { .. }
            | AttemptEventKind::Ended
            | AttemptEventKind::Failed { .. }) => {
                self.last = Some(last);
                return true;
            }
        };
        let is_command = |entry: &&Entry| !matches!(entry, Entry::Notification { .. });
        assert_eq!(first_command as usize, self.journal.iter().filter(is_command).count());
        for entry in entries {
            arm(&entry, due);
            let answers = self.partition.take(event.invocation, &entry);
            self.store(entry, handle);
            for answer in answers.at_once.into_iter().chain(answers.later) {
                self.store(answer, handle);
            }
        }
        false
    }

    /// Whether the end of this sleep is stored.
    fn has_fired(&self, entry: &Entry) -> bool {
        let Entry::Command { effect: Effect::Sleep { completion, .. }, .. } = entry else {
            return false;
        };
        let id = NotificationId::Completion { id: *completion, kind: kinds::SLEEP_COMPLETION };
        let result = NotificationResult::Void;
        self.journal.contains(&Entry::Notification { id, result })
    }

    fn store(&mut self, entry: Entry, handle: &AttemptHandle) {
        let index = u32::try_from(self.journal.len()).unwrap();
        self.journal.push(entry.clone());
        if matches!(entry, Entry::Notification { .. }) {
            // Actions may be repeated.
            let notice = Notice { index, entry };
            handle.notify(notice.clone());
            handle.notify(notice);
        }
    }

    /// Tells how the attempt ended.
    pub(crate) fn last(&self) -> String {
        match self.last.as_ref().expect("the attempt has ended") {
            AttemptEventKind::Suspended { waiting, .. } => {
                format!("Suspended {}", text_of(waiting))
            }
            AttemptEventKind::Ended => "Ended".to_owned(),
            AttemptEventKind::Failed { error, retry_after: None, .. } => {
                format!("Failed {} {}", error.code, error.message)
            }
            AttemptEventKind::Failed { error, retry_after: Some(delay), .. } => {
                format!("Failed {} after {delay} ms {}", error.code, error.message)
            }
            AttemptEventKind::Entries { .. }
            | AttemptEventKind::ReadState(_)
            | AttemptEventKind::AwaitingOn(_) => {
                unreachable!("it is none of the last events")
            }
        }
    }
}

/// What a tree waits for, node by node: of a race of notifications only these.
fn text_of(tree: &FutureTree) -> String {
    let nodes = tree.nodes.iter().map(|node| {
        let completions: Vec<u32> = node.leaves.completions.iter().map(|id| id.0).collect();
        let (signals, named) = (&node.leaves.signals, &node.leaves.named_signals);
        let leaves = format!("{completions:?} {signals:?} {named:?}");
        match (node.combinator, node.nested) {
            (Combinator::FirstCompleted, 0) => leaves,
            (combinator, nested) => format!("{combinator:?} of {leaves} and {nested}"),
        }
    });
    nodes.collect::<Vec<_>>().join("; ")
}

/// Lets a sleep end when it is due.
fn arm(entry: &Entry, due: &mpsc::UnboundedSender<CompletionId>) {
    let Entry::Command { effect: Effect::Sleep { completion, wake_at }, .. } = entry else {
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = Duration::from_millis(wake_at.0).saturating_sub(now);
    let (completion, due) = (*completion, due.clone());
    tokio::spawn(async move {
        tokio::time::sleep(left).await;
        let _ = due.send(completion);
    });
}
