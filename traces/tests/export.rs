//! Spans on their way to a real collector: all arrive, and where they cannot nothing else suffers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::net::SocketAddr;
use std::time::Duration;

use everlog_connect::{Connector, TlsOptions};
use everlog_harness::{TraceCollector, within};
use everlog_traces::{
    Collector, Exporter, Span, SpanId, SpanKind, TraceContext, Tracer, UnixNanos, export,
};
use http::StatusCode;
use tokio::net::TcpListener;

/// How long anything may take that has to happen.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How many spans wait at most.
const WAITING_MAX: usize = 8_192;
/// How many spans go in one request at most.
const BATCH_MAX: usize = 512;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn exporter(endpoint: &str) -> (Tracer, Exporter) {
    let connector = Connector::new(&TlsOptions::default()).unwrap();
    let collector = Collector::new(endpoint, "x-team=blue", connector).unwrap();
    export(collector, "shop".into(), "1.2.3".into(), 1.0)
}

fn span(name: &str) -> Span {
    Span {
        context: TraceContext::root(true),
        parent: Some(SpanId::random()),
        name: name.into(),
        kind: SpanKind::Internal,
        start: UnixNanos::now(),
        end: UnixNanos::now(),
        attributes: vec![("everlog.service", "Greeter".into())],
        is_error: false,
    }
}

fn dropped() -> u64 {
    counted("everlog_traces_spans_dropped_total")
}

fn counted(name: &str) -> u64 {
    let families = prometheus::gather();
    let family = families.iter().find(|family| family.name() == name);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it counts")]
    family.map_or(0, |family| family.get_metric()[0].get_counter().get_value() as u64)
}

#[tokio::test]
async fn spans_arrive_in_batches_on_one_connection() {
    let collector = TraceCollector::serve(any_port()).await.unwrap();
    let (tracer, exporter) = exporter(&collector.endpoint());
    tracer.finish(span("first"));
    collector.until("the first arrives by itself", |spans| spans.len() == 1).await.unwrap();
    for number in 0..=BATCH_MAX {
        tracer.finish(span(&number.to_string()));
    }
    exporter.shutdown(WAIT_MAX).await;

    let requests = collector.requests();
    let sizes: Vec<_> = requests.iter().map(|request| request.spans().count()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), BATCH_MAX + 2, "all arrived: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= BATCH_MAX), "{sizes:?}");
    let names: Vec<_> = collector.spans().into_iter().skip(1).map(|span| span.name).collect();
    let expected: Vec<_> = (0..=BATCH_MAX).map(|number| number.to_string()).collect();
    assert_eq!(names, expected);
    assert_eq!(collector.connections(), 1);
    assert_eq!(requests[0].path, "/v1/traces");
    assert_eq!(requests[0].headers["content-type"], "application/x-protobuf");
    assert_eq!(requests[0].headers["x-team"], "blue");
    tracer.finish(span("too late"));
}

#[tokio::test]
async fn an_overloaded_collector_is_asked_again() {
    let collector = TraceCollector::serve(any_port()).await.unwrap();
    collector.refuse_next(StatusCode::SERVICE_UNAVAILABLE);
    collector.refuse_next(StatusCode::TOO_MANY_REQUESTS);
    let (tracer, exporter) = exporter(&collector.endpoint());
    tracer.finish(span("patient"));
    exporter.shutdown(WAIT_MAX).await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!((names, collector.refusals_left()), (vec!["patient".into()], 0));
}

#[tokio::test]
async fn what_a_collector_refuses_for_good_is_dropped_and_the_rest_goes_on() {
    let collector = TraceCollector::serve(any_port()).await.unwrap();
    collector.refuse_next(StatusCode::BAD_REQUEST);
    let before = dropped();
    let (tracer, exporter) = exporter(&collector.endpoint());
    tracer.finish(span("refused"));
    within(WAIT_MAX, "the refusal is used", || async { collector.refusals_left() == 0 })
        .await
        .unwrap();
    tracer.finish(span("welcome"));
    exporter.shutdown(WAIT_MAX).await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["welcome"]);
    assert!(dropped() > before, "it is counted");
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited() {
    let gone = TraceCollector::serve(any_port()).await.unwrap();
    let endpoint = gone.endpoint();
    let (tracer, exporter) = exporter(&endpoint);
    tracer.finish(span("before"));
    gone.until("a span arrives", |spans| !spans.is_empty()).await.unwrap();
    drop(gone);
    tracer.finish(span("meanwhile"));
    let address: SocketAddr = endpoint.trim_start_matches("http://").parse().unwrap();
    let is_free = || async { TcpListener::bind(address).await.is_ok() };
    within(WAIT_MAX, "its port is free", is_free).await.unwrap();
    let back = TraceCollector::serve(address).await.unwrap();
    exporter.shutdown(WAIT_MAX).await;
    let names: Vec<_> = back.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["meanwhile"]);
}

#[tokio::test]
async fn a_silent_collector_costs_spans_and_no_time() {
    // Connections are accepted by the system, and nobody answers.
    let silent = TcpListener::bind(any_port()).await.unwrap();
    let (tracer, exporter) = exporter(&format!("http://{}", silent.local_addr().unwrap()));
    let before = dropped();
    for _ in 0..WAITING_MAX + 2 * BATCH_MAX {
        // Returns at once: whatever it waited for, it would wait for ever.
        tracer.finish(span("unheard"));
    }
    let lost = dropped() - before;
    assert!(lost >= 2 * BATCH_MAX as u64, "the queue has a bound: {lost}");
    // Ends though nobody has answered.
    exporter.shutdown(Duration::from_millis(50)).await;
}
