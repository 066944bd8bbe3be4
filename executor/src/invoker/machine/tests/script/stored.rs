//! What the partition stores, from words, and what is registered.

use std::sync::Arc;

use everlog_log_schema::metadata::{
    Change, Deployment, EagerState, Handler, InputRule, Metadata, MetadataChange, OutputRule,
    ProtocolMode, Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::{
    CompletionId, DeploymentId, Effect, Entry, Failure, HandlerKind, Header, MetadataOffset,
    Millis, NotificationId, NotificationResult, OnMaxAttempts, Outcome, RetryPolicy, SignalId,
    kinds,
};
use tokio::sync::watch;

use super::{OTHER, message};
use crate::invoker::frame::kind;
use crate::invoker::machine::Machine;
use crate::invoker::{AttemptEventKind, AttemptStart};

/// Makes a notification: `durable 1`, `fired 1`, `got 1 state milk`, `signaled #17 yes`. None where
/// the words say something else.
pub(in crate::invoker::machine::tests) fn notification(words: &str) -> Option<Entry> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let done = |id: &str, kind, result| {
        let id = CompletionId(id.parse().unwrap());
        Some(Entry::Notification { id: NotificationId::Completion { id, kind }, result })
    };
    match words[..] {
        ["durable", id] => done(id, kind::RUN_COMPLETION, NotificationResult::Value("ok".into())),
        ["fired", id] => done(id, kinds::SLEEP_COMPLETION, NotificationResult::Void),
        ["got", id, what, ref result @ ..] => {
            let kind = match what {
                "state" => kinds::GET_STATE_COMPLETION,
                "keys" => kinds::GET_STATE_KEYS_COMPLETION,
                "call" => kinds::CALL_COMPLETION,
                "id" => kinds::CALL_ID_COMPLETION,
                "attach" => kinds::ATTACH_COMPLETION,
                "output" => kinds::OUTPUT_COMPLETION,
                "promise" => kinds::GET_PROMISE_COMPLETION,
                "look" => kinds::PEEK_PROMISE_COMPLETION,
                "fulfilled" => kinds::COMPLETE_PROMISE_COMPLETION,
                _ => panic!("no such completion: {what}"),
            };
            let keys = || result.iter().map(|key| (*key).to_owned().into()).collect();
            let result = match what {
                "id" => NotificationResult::InvocationId(OTHER),
                "keys" => NotificationResult::StateKeys(keys()),
                _ => carried(result),
            };
            done(id, kind, result)
        }
        ["signaled", signal, ref result @ ..] => {
            let signal = match signal.strip_prefix('#') {
                Some(index) => SignalId::Index(index.parse().unwrap()),
                None => SignalId::Name(signal.to_owned()),
            };
            let id = NotificationId::Signal(signal);
            Some(Entry::Notification { id, result: carried(result) })
        }
        _ => None,
    }
}

fn carried(words: &[&str]) -> NotificationResult {
    match words {
        [] => NotificationResult::Void,
        ["failure"] => {
            let metadata = vec![Header { key: "reason".to_owned(), value: "sold out".to_owned() }];
            let failure = Failure { code: 409, message: "no".to_owned(), metadata };
            NotificationResult::Failure(failure)
        }
        [value] => NotificationResult::Value((*value).to_owned().into()),
        _ => panic!("one result"),
    }
}

/// Makes the entry that an attempt makes of a command.
pub(super) fn command(start: &AttemptStart, words: &str) -> Entry {
    if let Some(value) = words.strip_prefix("output ") {
        let outcome = Outcome::Success(value.to_owned().into());
        return Entry::Output { name: "out".to_owned(), outcome };
    }
    // What the journal holds does not matter: it only must be one.
    let journal = start.journal[..1].to_vec();
    let mut machine = Machine::new(AttemptStart { journal, ..start.clone() });
    machine.receive(&message(words));
    match machine.take_events().pop() {
        Some(AttemptEventKind::Entries { mut entries, .. }) => entries.pop().unwrap(),
        other => panic!("{words} amounts to {other:?}"),
    }
}

/// What the partition says of a command in the record that stores it.
pub(in crate::invoker::machine::tests) fn answers(entry: &Entry) -> Option<Entry> {
    let Entry::Command { effect, .. } = entry else { return None };
    let (id, kind, result) = match effect {
        Effect::GetState { completion, .. } => {
            (*completion, kinds::GET_STATE_COMPLETION, NotificationResult::Void)
        }
        Effect::GetStateKeys { completion } => {
            let keys = NotificationResult::StateKeys(vec!["cart".into()]);
            (*completion, kinds::GET_STATE_KEYS_COMPLETION, keys)
        }
        Effect::Call(call) => {
            let id = NotificationResult::InvocationId(call.callee);
            (call.id_completion, kinds::CALL_ID_COMPLETION, id)
        }
        Effect::PeekPromise { completion, .. } => {
            (*completion, kinds::PEEK_PROMISE_COMPLETION, NotificationResult::Void)
        }
        Effect::CompletePromise { completion, .. } => {
            (*completion, kinds::COMPLETE_PROMISE_COMPLETION, NotificationResult::Void)
        }
        Effect::None
        | Effect::Run { .. }
        | Effect::Sleep { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::SendSignal { .. }
        | Effect::Attach { .. }
        | Effect::GetOutput { .. }
        | Effect::GetPromise { .. } => return None,
    };
    Some(Entry::Notification { id: NotificationId::Completion { id, kind }, result })
}

/// What is registered: `Greeter/greet`, the workflow `Order/KEY/run` with `Order/KEY/pay`, and
/// `Cart/KEY/add`, `Cart/KEY/list` of which the latter is shared. Nothing but `Cart/KEY/add` says how long its outcomes are kept.
pub(crate) fn metadata() -> watch::Receiver<Arc<Metadata>> {
    let service = |name: &str, kind, handlers| Service {
        name: name.to_owned(),
        kind,
        ingress_private: false,
        documentation: None,
        metadata: Vec::new(),
        handlers,
        patch: ServicePatch::default(),
    };
    let mut add = handler("add", HandlerKind::Exclusive);
    add.journal_retention = Some(Millis(3_600_000));
    add.retry.max_attempts = Some(7);
    let cart = vec![add, handler("list", HandlerKind::Shared)];
    let order =
        vec![handler("run", HandlerKind::Workflow), handler("pay", HandlerKind::WorkflowShared)];
    let deployment = Deployment {
        id: DeploymentId("dp_2".to_owned()),
        uri: "http://127.0.0.1:9081".to_owned(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        metadata: Vec::new(),
        created_at: Millis(0),
        services: vec![
            service("Greeter", ServiceKind::Service, vec![handler("greet", HandlerKind::Plain)]),
            service("Cart", ServiceKind::VirtualObject, cart),
            service("Order", ServiceKind::Workflow, order),
        ],
    };
    let mut metadata = Metadata::default();
    let change = Change::RegisterDeployment(deployment);
    let change = MetadataChange { replaces: metadata.version, change };
    assert!(metadata.fold(MetadataOffset(4), change.clone()));
    assert!(!metadata.fold(MetadataOffset(5), change), "the first one has won");
    watch::channel(Arc::new(metadata)).1
}

fn handler(name: &str, kind: HandlerKind) -> Handler {
    Handler {
        name: name.to_owned(),
        kind,
        ingress_private: true,
        input: InputRule { required: false, content_type: None, json_schema: None },
        output: OutputRule {
            content_type: None,
            set_content_type_if_empty: false,
            json_schema: None,
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        retry: RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: None,
            on_max_attempts: OnMaxAttempts::Pause,
        },
        eager_state: EagerState::All,
        state_ttl: None,
        documentation: None,
        metadata: Vec::new(),
    }
}
