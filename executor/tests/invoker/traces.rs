//! The spans of attempts and of their steps, with real functions.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use everlog_connect::{Connector, TlsOptions};
use everlog_executor::invoker::{AttemptStart, HttpInvoker, HttpInvokerOptions, Invoker as _};
use everlog_log_schema::{Call, Effect, Entry};
use everlog_traces::{Attribute, Span, TraceContext, Tracer};
use expect_test::{Expect, expect};
use tokio::sync::mpsc;

use crate::server::{Answer, Server, end, output};
use crate::shell::{Shell, deployment, events, in_time, input, start, steps};
use crate::{commands, sdk};

/// The context of the call whose attempts these are.
const CALL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An invoker that traces, and its spans.
fn invoker() -> (Arc<HttpInvoker>, mpsc::Receiver<Span>) {
    let (spans, received) = mpsc::channel(64);
    let connector = Connector::new(&TlsOptions::default()).unwrap();
    let invoker = HttpInvoker::new(HttpInvokerOptions::default(), connector);
    (Arc::new(invoker.traced(Tracer::new(spans, 0.0))), received)
}

fn traced(start: AttemptStart) -> AttemptStart {
    AttemptStart { traceparent: Some(CALL.to_owned()), ..start }
}

async fn start_of(handler: &str, body: &'static str) -> AttemptStart {
    traced(start(&deployment(&sdk::serve().await), "Functions", handler, vec![input(body)]))
}

/// Waits for the spans of an attempt: its steps, and itself at the end.
async fn spans_of(spans: &mut mpsc::Receiver<Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    while !all.last().is_some_and(|span| span.name.starts_with("attempt ")) {
        all.push(in_time(spans.recv()).await.unwrap());
    }
    all
}

/// Shows spans of one attempt, which must belong together.
fn shown(spans: &[Span]) -> String {
    let call: TraceContext = CALL.parse().unwrap();
    let attempt = spans.last().unwrap();
    let mut text = String::new();
    for span in spans {
        assert_eq!(span.context.with_span(call.span), call, "one trace");
        let parent = if span == attempt { call.span } else { attempt.context.span };
        assert_eq!(span.parent, Some(parent), "{}", span.name);
        assert!(span.start <= span.end && attempt.start <= span.start && span.end <= attempt.end);
        let error = if span.is_error { ", an error" } else { "" };
        writeln!(text, "{}: {:?}{error}", span.name, span.kind).unwrap();
        for (name, value) in &span.attributes {
            match value {
                Attribute::Text(id) if id.starts_with("inv_") => {
                    writeln!(text, "  {name} = an invocation").unwrap();
                }
                Attribute::Text(value) => writeln!(text, "  {name} = {value}").unwrap(),
                Attribute::Number(value) => writeln!(text, "  {name} = {value}").unwrap(),
            }
        }
    }
    text
}

async fn check(start: AttemptStart, ended: &str, expected: &Expect) {
    let (invoker, mut spans) = invoker();
    let mut shell = Shell::with(invoker);
    shell.run(start).await;
    assert!(shell.last().starts_with(ended), "{}", shell.last());
    expected.assert_eq(&shown(&spans_of(&mut spans).await));
    assert!(spans.try_recv().is_err(), "nothing else is told");
}

#[tokio::test]
async fn each_run_is_a_span_below_its_attempt() {
    check(
        start_of("steps", "\"order\"").await,
        "Ended",
        &expect![[r"
        run reserve: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = done
        run charge: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = done
        run ship: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = done
        attempt Functions/steps: Client
          everlog.service = Functions
          everlog.handler = steps
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.invocation.id = an invocation
          everlog.outcome = ended
    "]],
    )
    .await;
}

#[tokio::test]
async fn the_span_of_a_call_is_the_one_that_its_callee_continues() {
    let (invoker, mut spans) = invoker();
    let mut shell = Shell::with(invoker);
    shell.run(traced(commands::order("place", "\"butter\"").await)).await;
    assert_eq!(shell.last(), "Ended");
    let spans = spans_of(&mut spans).await;
    expect![[r"
        call Cart/fill: Client
          everlog.service = Cart
          everlog.handler = fill
          everlog.callee.id = an invocation
          everlog.invocation.id = an invocation
          everlog.outcome = done
        send Orders/nothing: Producer
          everlog.service = Orders
          everlog.handler = nothing
          everlog.callee.id = an invocation
          everlog.invocation.id = an invocation
          everlog.outcome = done
        attempt Orders/place: Client
          everlog.service = Orders
          everlog.handler = place
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.invocation.id = an invocation
          everlog.outcome = ended
    "]]
    .assert_eq(&shown(&spans));
    let stored: Vec<_> = shell.journal.iter().filter_map(call_of).collect();
    let told: Vec<_> = spans.iter().map(|span| Some(span.context.to_string())).collect();
    for call in &stored {
        let of_call = told.iter().filter(|told| **told == call.traceparent).count();
        assert_eq!(of_call, 1, "{:?}", call.target);
    }
    assert_eq!(stored.len(), 2);
}

fn call_of(entry: &Entry) -> Option<&Call> {
    let Entry::Command { effect: Effect::Call(call), .. } = entry else { return None };
    Some(call)
}

#[tokio::test]
async fn an_attempt_that_fails_says_with_which_code() {
    check(
        start_of("stumble", "").await,
        "Failed 500",
        &expect![[r"
        attempt Functions/stumble: Client, an error
          everlog.service = Functions
          everlog.handler = stumble
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.error.code = 500
          everlog.invocation.id = an invocation
          everlog.outcome = failed
    "]],
    )
    .await;
    check(
        start_of("refuse", "").await,
        "Ended",
        &expect![[r"
        attempt Functions/refuse: Client, an error
          everlog.service = Functions
          everlog.handler = refuse
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.error.code = 409
          everlog.invocation.id = an invocation
          everlog.outcome = ended
    "]],
    )
    .await;
}

#[tokio::test]
async fn a_step_is_left_open_by_an_attempt_that_suspends() {
    let mut start = start_of("nap", "3600000").await;
    start.inactivity_timeout = Duration::from_millis(50);
    check(
        start,
        "Suspended",
        &expect![[r"
        sleep: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = open
        attempt Functions/nap: Client
          everlog.service = Functions
          everlog.handler = nap
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.invocation.id = an invocation
          everlog.outcome = suspended
    "]],
    )
    .await;
}

#[tokio::test]
async fn an_attempt_that_the_shell_ends_is_told_of_too() {
    let (invoker, mut spans) = invoker();
    let (sender, mut events) = events(1);
    let handle = invoker.start(start_of("nap", "3600000").await, sender);
    steps(&mut events).await;
    drop(handle);
    expect![[r"
        sleep: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = open
        attempt Functions/nap: Client
          everlog.service = Functions
          everlog.handler = nap
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.invocation.id = an invocation
          everlog.outcome = stopped
    "]]
    .assert_eq(&shown(&spans_of(&mut spans).await));
}

#[tokio::test]
async fn a_run_that_an_attempt_has_left_is_taken_anew_by_the_next() {
    let mut whole = Shell::new();
    whole.run(start_of("steps", "\"order\"").await).await;
    // The input, the first run with its result, and the second without.
    let mut again = start_of("steps", "").await;
    again.journal = whole.journal[..4].to_vec();
    check(
        again,
        "Ended",
        &expect![[r"
        run charge: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = done
        run ship: Internal
          everlog.invocation.id = an invocation
          everlog.outcome = done
        attempt Functions/steps: Client
          everlog.service = Functions
          everlog.handler = steps
          everlog.deployment.id = dp_1
          everlog.attempt.failures = 0
          everlog.invocation.id = an invocation
          everlog.outcome = ended
    "]],
    )
    .await;
}

#[tokio::test]
async fn a_call_whose_attempt_died_with_its_owner_is_taken_up() {
    let (invoker, mut spans) = invoker();
    let mut shell = Shell::with(invoker);
    let mut start = traced(commands::order("place", "\"butter\"").await);
    shell.run(start.clone()).await;
    let before = spans_of(&mut spans).await.remove(0);
    // The input, and the call with the id of its callee.
    start.journal = shell.journal[..3].to_vec();
    for (counter, taken_up) in [(0, vec![before.context]), (1, vec![])] {
        start.attempt.counter = counter;
        shell.run(start.clone()).await;
        assert_eq!(shell.last(), "Ended");
        let after = spans_of(&mut spans).await;
        let calls = after.iter().filter(|span| span.name == "call Cart/fill");
        let calls: Vec<_> = calls.map(|span| span.context).collect();
        assert_eq!(calls, taken_up, "attempt {counter} of its term");
    }
}

#[tokio::test]
async fn functions_are_told_the_context_of_their_attempt() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        let told = request.headers().get("traceparent").map(|told| told.to_str().unwrap().into());
        sender.send(told).unwrap();
        Answer::Stream(vec![output("done"), end()])
    })
    .await;
    let deployment = deployment(&server.uri);
    let (invoker, mut spans) = invoker();
    let unsampled = CALL.replace("-01", "-00");
    for given in [None, Some("nonsense"), Some(&*unsampled), Some(CALL)] {
        let mut start = start(&deployment, "Orders", "place", vec![input("in")]);
        start.traceparent = given.map(str::to_owned);
        let mut shell = Shell::with(Arc::clone(&invoker));
        shell.run(start).await;
        assert_eq!(shell.last(), "Ended");
        let told: Option<String> = in_time(told.recv()).await.unwrap();
        if given != Some(CALL) {
            assert_eq!(told.as_deref(), given, "it goes on as it came");
            continue;
        }
        let attempt = spans_of(&mut spans).await.remove(0);
        assert_eq!(attempt.name, "attempt Orders/place", "the others have no span");
        assert_eq!(told, Some(attempt.context.to_string()));
        assert_ne!(Some(attempt.context.span), attempt.parent);
    }
}
