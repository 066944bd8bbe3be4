//! Every command that the official SDK offers, sent by real functions.

#![allow(clippy::unused_async, missing_docs, reason = "the SDK wants and makes functions so")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everlog_executor::invoker::AttemptStart;
use everlog_log_schema::metadata::{
    Change, Deployment, EagerState, Handler, InputRule, Metadata, MetadataChange, OutputRule,
    Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::{
    Effect, Entry, HandlerKind, MetadataOffset, Millis, OnMaxAttempts, Outcome, RetryPolicy,
    SignalId, command_kind_name,
};
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::partition::Partition;
use crate::shell::{Shell, deployment, input, start};

struct Cart;

#[object]
impl Cart {
    #[handler]
    async fn fill(&self, ctx: ObjectContext<'_>, item: String) -> Result<String, HandlerError> {
        let items = ctx.get::<String>("items").await?.unwrap_or_default();
        ctx.set("items", format!("{items} {item}"));
        ctx.set("last", item);
        let mut keys = ctx.get_keys().await?;
        keys.sort_unstable();
        ctx.clear("last");
        let last = ctx.get::<String>("last").await?;
        let items = ctx.get::<String>("items").await?.unwrap_or_default();
        Ok(format!("{items} {keys:?} {last:?}"))
    }

    #[handler]
    async fn empty(&self, ctx: ObjectContext<'_>) -> Result<String, HandlerError> {
        ctx.clear_all();
        let keys = ctx.get_keys().await?;
        Ok(format!("{keys:?} {:?}", ctx.get::<String>("items").await?))
    }

    #[handler]
    async fn list(&self, ctx: SharedObjectContext<'_>) -> Result<String, HandlerError> {
        let items = ctx.get::<String>("items").await?;
        Ok(format!("{items:?} {:?}", ctx.get_keys().await?))
    }
}

struct Orders;

#[service]
impl Orders {
    #[handler]
    async fn place(&self, ctx: Context<'_>, item: String) -> Result<String, HandlerError> {
        let target = RequestTarget::object("Cart", "ann", "fill");
        let call =
            ctx.request::<String, String>(target, item).header("a".into(), "b".into()).call();
        let callee = call.invocation_handle().await?.invocation_id().to_owned();
        let told = call.await?;
        let target = RequestTarget::service("Orders", "nothing");
        let sent = ctx.request::<_, ()>(target, told.clone()).idempotency_key("k1").send().await?;
        sent.cancel();
        let outcome = sent.attach::<String>().await?;
        Ok(format!("{callee} {told} {outcome}"))
    }

    #[handler]
    async fn remind(&self, ctx: Context<'_>, item: String) -> Result<String, HandlerError> {
        let target = RequestTarget::service("Orders", "nothing");
        let sent = ctx.request::<_, ()>(target, item).send_after(Duration::from_mins(1)).await?;
        Ok(sent.invocation_id().to_owned())
    }

    #[handler]
    async fn wait(&self, ctx: Context<'_>) -> Result<String, HandlerError> {
        let (id, resolved) = ctx.awakeable::<String>();
        ctx.resolve_awakeable(&id, "yes".to_owned());
        let (id, rejected) = ctx.awakeable::<String>();
        ctx.reject_awakeable(&id, TerminalError::new_with_code(410, "too late"));
        let own = ctx.invocation_handle(ctx.invocation_id().to_owned());
        own.signal("approved").resolve("by ada".to_owned());
        let (yes, no) = (resolved.await?, rejected.await.unwrap_err());
        let approved = ctx.signal::<String>("approved").await?;
        Ok(format!("{yes} {no} {approved}"))
    }

    #[handler]
    async fn give_up(&self, ctx: Context<'_>) -> Result<String, HandlerError> {
        ctx.invocation_handle(ctx.invocation_id().to_owned()).cancel();
        ctx.sleep(Duration::from_hours(1)).await?;
        Ok("slept".to_owned())
    }

    #[handler]
    async fn call_nobody(&self, ctx: Context<'_>) -> Result<String, HandlerError> {
        let target = RequestTarget::service("Nobody", "greet");
        Ok(ctx.request::<String, String>(target, "ada".to_owned()).call().await?)
    }

    #[handler]
    async fn resolve_nothing(&self, ctx: Context<'_>) -> Result<String, HandlerError> {
        ctx.resolve_awakeable("prom_1abc", "yes".to_owned());
        Ok("resolved".to_owned())
    }
}

async fn serve() -> Arc<Deployment> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(Endpoint::builder().bind(Cart).bind(Orders).build());
    tokio::spawn(server.serve_with_cancel(listener, std::future::pending::<()>()));
    let mut deployment = deployment(&uri);
    Arc::make_mut(&mut deployment).services = vec![
        service("Cart", ServiceKind::VirtualObject, handler("fill", HandlerKind::Exclusive)),
        service("Orders", ServiceKind::Service, handler("nothing", HandlerKind::Plain)),
    ];
    deployment
}

/// The start of an attempt of `Orders`.
pub(crate) async fn order(handler: &'static str, body: &'static str) -> AttemptStart {
    Case::order(handler, body).await.start(vec![input(body)])
}

fn service(name: &str, kind: ServiceKind, handler: Handler) -> Service {
    Service {
        name: name.to_owned(),
        kind,
        ingress_private: false,
        documentation: None,
        metadata: Vec::new(),
        handlers: vec![handler],
        patch: ServicePatch::default(),
    }
}

fn handler(name: &str, kind: HandlerKind) -> Handler {
    Handler {
        name: name.to_owned(),
        kind,
        ingress_private: false,
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

/// One invocation, and how it is run.
struct Case {
    deployment: Arc<Deployment>,
    service: &'static str,
    handler: &'static str,
    kind: HandlerKind,
    body: &'static str,
    /// The cart before.
    items: Option<&'static str>,
    is_lazy: bool,
    protocol_version: u32,
    patience: Duration,
}

impl Case {
    async fn order(handler: &'static str, body: &'static str) -> Self {
        Self {
            deployment: serve().await,
            service: "Orders",
            handler,
            kind: HandlerKind::Plain,
            body,
            items: None,
            is_lazy: false,
            protocol_version: 6,
            patience: Duration::from_secs(20),
        }
    }

    async fn cart(handler: &'static str, kind: HandlerKind, body: &'static str) -> Self {
        let items = Some("\"bread\"");
        Self { service: "Cart", kind, items, ..Self::order(handler, body).await }
    }

    fn start(&self, journal: Vec<Entry>) -> AttemptStart {
        let mut start = start(&self.deployment, self.service, self.handler, journal);
        start.target.key = (self.kind != HandlerKind::Plain).then(|| "ann".to_owned());
        let mut metadata = Metadata::default();
        let change = Change::RegisterDeployment((*self.deployment).clone());
        metadata.fold(MetadataOffset(0), MetadataChange { replaces: MetadataOffset(0), change });
        AttemptStart {
            kind: self.kind,
            metadata: watch::channel(Arc::new(metadata)).1,
            protocol_version: self.protocol_version,
            inactivity_timeout: self.patience,
            ..start
        }
    }

    /// Runs one attempt from what is stored.
    async fn attempt(&self, journal: Vec<Entry>) -> Shell {
        let mut shell = Shell::new();
        let items = self.items.map(|items| ("items".into(), items.into()));
        shell.partition = Partition { state: items.into_iter().collect::<BTreeMap<_, _>>() };
        shell.is_lazy = self.is_lazy;
        shell.run(self.start(journal)).await;
        shell
    }

    /// Runs attempts to the end, and returns the last.
    async fn run(&self) -> Shell {
        let mut journal = vec![input(self.body)];
        for _ in 0..20 {
            let shell = self.attempt(journal).await;
            if !shell.last().starts_with("Suspended") {
                return shell;
            }
            journal = shell.journal;
        }
        panic!("{} makes no progress", self.handler)
    }

    /// Runs it in one attempt, step by step, and from each place where a partition could have left
    /// it; it must take the same steps each time.
    async fn run_in_every_way(self) -> Shell {
        let straight = self.run().await;
        assert_eq!(straight.last(), "Ended");
        let journal = &straight.journal;
        for known in 1..=journal.len() {
            let mut partition = Partition::default();
            let answers = partition.take(self.start(Vec::new()).invocation, &journal[known - 1]);
            if answers.at_once.is_none() {
                let again = self.attempt(journal[..known].to_vec()).await;
                assert_eq!(steps(&again.journal), steps(journal), "from {known} entries");
                assert_eq!(again.last(), "Ended");
            }
        }
        let by_steps = Self { patience: Duration::ZERO, ..self }.run().await;
        assert_eq!(by_steps.last(), "Ended");
        assert_eq!(steps(&by_steps.journal), steps(journal), "step by step");
        straight
    }
}

/// What the function did, and what it was told, each in order: which of them comes first where
/// nothing waits for it is a matter of luck.
fn steps(journal: &[Entry]) -> (Vec<&Entry>, Vec<&Entry>) {
    journal.iter().partition(|entry| !matches!(entry, Entry::Notification { .. }))
}

fn commands(shell: &Shell) -> Vec<&'static str> {
    let kinds = shell.journal.iter().filter_map(|entry| match entry {
        Entry::Command { kind, .. } => Some(command_kind_name(*kind)),
        Entry::Input { .. } | Entry::Output { .. } | Entry::Notification { .. } => None,
    });
    kinds.collect()
}

fn output(shell: &Shell) -> String {
    let Some(Entry::Output { outcome: Outcome::Success(value), .. }) = shell.journal.last() else {
        panic!("no output: {:?}", shell.journal)
    };
    String::from_utf8(value.to_vec()).unwrap()
}

const FILLED: &str = r#""bread milk [\"items\", \"last\"] None""#;

#[tokio::test]
async fn state_that_is_known_is_read_at_once() {
    let shell =
        Case::cart("fill", HandlerKind::Exclusive, "\"milk\"").await.run_in_every_way().await;
    assert_eq!(output(&shell), FILLED);
    let expected = [
        "GetEagerState",
        "SetState",
        "SetState",
        "GetEagerStateKeys",
        "ClearState",
        "GetEagerState",
        "GetEagerState",
    ];
    assert_eq!(commands(&shell), expected);
    let state: Vec<_> = shell.partition.state.into_iter().collect();
    assert_eq!(state, [("items".into(), "\"bread milk\"".into())]);
}

#[tokio::test]
async fn state_that_is_not_known_is_asked_for() {
    let case = Case::cart("fill", HandlerKind::Exclusive, "\"milk\"").await;
    let shell = Case { is_lazy: true, ..case }.run_in_every_way().await;
    assert_eq!(output(&shell), FILLED);
    let asked = commands(&shell).into_iter().filter(|name| name.starts_with("GetLazy"));
    assert_eq!(asked.collect::<Vec<_>>(), ["GetLazyState", "GetLazyStateKeys"]);
}

#[tokio::test]
async fn all_state_is_cleared() {
    for is_lazy in [false, true] {
        let case = Case::cart("empty", HandlerKind::Exclusive, "").await;
        let shell = Case { is_lazy, ..case }.run_in_every_way().await;
        assert_eq!(output(&shell), r#""[] None""#);
        assert_eq!(commands(&shell)[0], "ClearAllState");
        assert!(shell.partition.state.is_empty());
    }
}

#[tokio::test]
async fn a_shared_handler_reads_state() {
    for is_lazy in [false, true] {
        let case = Case::cart("list", HandlerKind::Shared, "").await;
        let shell = Case { is_lazy, ..case }.run_in_every_way().await;
        assert_eq!(output(&shell), r#""Some(\"bread\") [\"items\"]""#);
    }
}

#[tokio::test]
async fn functions_call_send_cancel_and_attach() {
    for protocol_version in [5, 6, 7] {
        let case = Case::order("place", "\"milk\"").await;
        let shell = Case { protocol_version, ..case }.run_in_every_way().await;
        let expected = ["Call", "OneWayCall", "SendSignal", "AttachInvocation"];
        assert_eq!(commands(&shell), expected);
        let calls: Vec<_> = shell.journal.iter().filter_map(call_of).collect();
        assert_eq!(output(&shell), format!("\"{} milk attached\"", calls[0].callee));
        assert_eq!(calls[0].target.key.as_deref(), Some("ann"));
        assert_eq!(calls[0].headers.iter().filter(|header| header.key == "a").count(), 1);
        assert_eq!(calls[1].idempotency_key.as_deref(), Some("k1"));
        assert!(calls.iter().all(|call| call.start_at.is_none()));
    }
}

#[tokio::test]
async fn a_delayed_call_begins_later() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let shell = Case::order("remind", "\"milk\"").await.run().await;
    let call = shell.journal.iter().find_map(call_of).unwrap();
    assert_eq!(output(&shell), format!("\"{}\"", call.callee));
    let start_at = Duration::from_millis(call.start_at.unwrap().0);
    assert!(start_at >= before + Duration::from_secs(59), "{start_at:?}");
}

fn call_of(entry: &Entry) -> Option<&everlog_log_schema::Call> {
    match entry {
        Entry::Command { effect: Effect::Call(call), .. } => Some(call),
        Entry::Command { .. }
        | Entry::Input { .. }
        | Entry::Output { .. }
        | Entry::Notification { .. } => None,
    }
}

#[tokio::test]
async fn awakeables_and_signals_reach_the_function() {
    for protocol_version in [5, 6, 7] {
        let case = Case::order("wait", "").await;
        let shell = Case { protocol_version, ..case }.run_in_every_way().await;
        let expected = ["CompleteAwakeable", "CompleteAwakeable", "SendSignal"];
        assert_eq!(commands(&shell), expected);
        let output = output(&shell);
        assert!(output.contains("yes"), "{output}");
        assert!(output.contains("too late"), "{output}");
        assert!(output.contains("by ada"), "{output}");
    }
}

#[tokio::test]
async fn a_cancelled_function_ends_with_the_failure_that_says_so() {
    let shell = Case::order("give_up", "").await.run().await;
    assert_eq!(shell.last(), "Ended");
    let Some(Entry::Output { outcome: Outcome::Failure(failure), .. }) = shell.journal.last()
    else {
        panic!("{:?}", shell.journal)
    };
    assert_eq!(failure.code, 409);
    let cancels = shell.journal.iter().any(|entry| {
        matches!(entry, Entry::Command { effect: Effect::SendSignal { signal, .. }, .. }
            if *signal == SignalId::CANCEL)
    });
    assert!(cancels, "{:?}", shell.journal);
}

#[tokio::test]
async fn a_call_of_nobody_fails_the_attempt() {
    let shell = Case::order("call_nobody", "").await.run().await;
    assert_eq!(
        shell.last(),
        "Failed 404 [RT0018] the function's Call (0x040d) at command 1 reaches nobody: service \
         \"Nobody\" is not registered"
    );
}

#[tokio::test]
async fn an_awakeable_of_an_old_protocol_fails_the_attempt() {
    let shell = Case::order("resolve_nothing", "").await.run().await;
    assert_eq!(
        shell.last(),
        "Failed 400 [RT0017] the function's CompleteAwakeable (0x0414) at command 1 is refused: \
         \"prom_1abc\" names no awakeable: an awakeable id begins with \"sign_1\""
    );
}
