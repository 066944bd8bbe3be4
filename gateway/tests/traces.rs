//! The spans of calls, and the context that goes into the log with them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Ask, DEADLINE, World, ask, start_traced};
use everlog_log_schema::Invoke;
use everlog_traces::{Attribute, Span, SpanKind, TraceContext, Tracer};
use tokio::sync::mpsc;

/// The context of a caller.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn world(sample_ratio: f64) -> (World, mpsc::Receiver<Span>) {
    let (spans, received) = mpsc::channel(16);
    (start_traced(Tracer::new(spans, sample_ratio)).await, received)
}

async fn next(spans: &mut mpsc::Receiver<Span>) -> Span {
    tokio::time::timeout(DEADLINE, spans.recv()).await.expect("a span in time").unwrap()
}

fn stored(invoke: &Invoke) -> TraceContext {
    invoke.traceparent.as_ref().unwrap().parse().unwrap()
}

/// What a span says, by name.
fn about(span: &Span) -> Vec<(&str, &Attribute)> {
    span.attributes.iter().map(|(name, value)| (*name, value)).collect()
}

#[tokio::test]
async fn a_call_is_a_span_of_its_callers_trace_and_all_else_belongs_below_it() {
    let (world, mut spans) = world(0.0).await;
    let call = Ask::post("/Cart/ann/add", "\"hi\"").header("traceparent", CALLER);
    let id = world.ask(call).await.header("x-restate-id").unwrap().to_owned();
    let span = next(&mut spans).await;
    assert_eq!(stored(&world.owner.only_invoke()), span.context);
    let caller: TraceContext = CALLER.parse().unwrap();
    assert_eq!(span.parent, Some(caller.span));
    assert_ne!(span.context, caller);
    assert_eq!(span.context.with_span(caller.span), caller);
    assert_eq!((&*span.name, span.kind, span.is_error), ("call Cart/add", SpanKind::Server, false));
    let expected = [
        ("everlog.service", "Cart".into()),
        ("everlog.handler", "add".into()),
        ("http.response.status_code", 200_u16.into()),
        ("everlog.invocation.id", id.into()),
    ];
    assert_eq!(about(&span), expected.each_ref().map(|(name, value)| (*name, value)));
    assert!(span.start < span.end);
}

#[tokio::test]
async fn a_send_is_a_span_that_ends_when_it_is_recorded() {
    let (world, mut spans) = world(1.0).await;
    assert_eq!(world.post("/Greeter/hang/send", "1").await.status, 202);
    let span = next(&mut spans).await;
    assert_eq!((&*span.name, span.parent), ("send Greeter/hang", None));
    assert_eq!(stored(&world.owner.only_invoke()), span.context);
}

#[tokio::test]
async fn what_nobody_records_is_passed_on_so_that_nobody_after_does() {
    let unsampled = CALLER.replace("-01", "-00");
    for (ratio, given) in [(1.0, Some(&*unsampled)), (0.0, None), (0.0, Some("nonsense"))] {
        let (world, mut spans) = world(ratio).await;
        let call = Ask::post("/Greeter/greet", "1");
        let call = match given {
            Some(given) => call.header("traceparent", given),
            None => call,
        };
        assert_eq!(world.ask(call).await.status, 200);
        let stored = stored(&world.owner.only_invoke());
        assert!(!stored.is_sampled());
        if given == Some(&*unsampled) {
            assert_eq!(stored.to_string(), unsampled);
        }
        assert!(spans.try_recv().is_err(), "{given:?}");
    }
}

#[tokio::test]
async fn a_context_that_cannot_be_read_is_none() {
    let (world, mut spans) = world(1.0).await;
    let call = Ask::post("/Greeter/greet", "1").header("traceparent", "nonsense");
    assert_eq!(world.ask(call).await.status, 200);
    let span = next(&mut spans).await;
    assert_eq!(span.parent, None);
    assert_eq!(stored(&world.owner.only_invoke()), span.context);
}

#[tokio::test]
async fn a_span_tells_how_its_call_was_refused() {
    let (world, mut spans) = world(1.0).await;
    assert_eq!(world.post("/Greeter/strict", "").await.status, 400);
    let span = next(&mut spans).await;
    let status: Attribute = 400_u16.into();
    assert_eq!(about(&span)[2..], [("http.response.status_code", &status)]);
    assert!(!span.is_error, "its caller's fault");
    assert_eq!(world.post("/Nobody/greet", "1").await.status, 404);
    assert!(spans.try_recv().is_err(), "names that nobody registered make no spans");

    world.owner.stop(true);
    assert_eq!(world.post("/Greeter/greet", "1").await.status, 503);
    let span = next(&mut spans).await;
    assert!(span.is_error);
    assert_eq!(about(&span).len(), 4, "it is recorded, and has an id: {span:?}");
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_span() {
    let (world, mut spans) = world(1.0).await;
    let address = world.addresses.ingress;
    let waiting = tokio::spawn(ask(address, Ask::post("/Greeter/hang", "1"), false));
    world.owner.wait_for_messages(1).await;
    waiting.abort();
    let span = next(&mut spans).await;
    assert_eq!(about(&span).len(), 2, "it has no status: {span:?}");
}
