//! Traces: all that follows from a call stands in its trace, over calls between functions, steps,
//! and the death of the server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::unused_async, missing_docs, reason = "the SDK wants and makes functions so")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_harness::{Everlog, TraceCollector, within};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use restate_sdk::context::RequestTarget;
use restate_sdk::hyper::HyperEndpoint;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;
use tokio::sync::watch;

const TEST_MAX: Duration = Duration::from_mins(2);
/// The trace and span of whoever calls.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// What no span may carry.
const SECRET: &str = "s3cr3t-passenger";

/// Books a seat and has it paid.
struct Trip(Arc<Till>);

/// Where charges wait until they may be made.
struct Till {
    charges: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

impl Till {
    async fn charge(self: Arc<Self>) -> Result<String, HandlerError> {
        self.charges.send_modify(|charges| *charges += 1);
        self.is_open.subscribe().wait_for(|is_open| *is_open).await?;
        Ok(SECRET.to_owned())
    }
}

#[object]
impl Trip {
    #[handler]
    async fn book(&self, ctx: ObjectContext<'_>, who: String) -> Result<String, HandlerError> {
        ctx.run(async || Ok(SECRET.to_owned())).name("reserve").await?;
        let target = RequestTarget::object("Trip", format!("{who}-purse"), "pay");
        Ok(ctx.request::<String, String>(target, who).call().await?)
    }

    #[handler]
    async fn pay(&self, ctx: ObjectContext<'_>, _who: String) -> Result<String, HandlerError> {
        let till = Arc::clone(&self.0);
        Ok(ctx.run(move || till.charge()).name("charge").await?)
    }
}

/// The path and the `traceparent` of each attempt, in order.
type Told = Arc<Mutex<Vec<(String, String)>>>;

/// Serves the functions, and notes what their attempts are told.
async fn serve(till: &Arc<Till>) -> Result<(String, Told)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}", listener.local_addr()?);
    let endpoint = HyperEndpoint::new(Endpoint::builder().bind(Trip(Arc::clone(till))).build());
    let told = Told::default();
    let noted = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (endpoint, noted) = (endpoint.clone(), Arc::clone(&noted));
            let service = service_fn(move |request: Request<Incoming>| {
                if let Some(context) = request.headers().get("traceparent") {
                    let context = context.to_str().unwrap().to_owned();
                    noted.lock().unwrap().push((request.uri().path().to_owned(), context));
                }
                let answered = endpoint.call(request);
                async move { Ok::<_, Infallible>(answered.await.unwrap()) }
            });
            let http = http2::Builder::new(TokioExecutor::new());
            // An error means that the server was killed.
            tokio::spawn(async move {
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Ok((uri, told))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The one span of this name.
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    assert_eq!(found.len(), 1, "{name} among {names:?}");
    found[0]
}

fn has(spans: &[Span], name: &str) -> bool {
    spans.iter().any(|span| span.name == name)
}

fn outcome(span: &Span) -> Option<Value> {
    let found = span.attributes.iter().find(|about| about.key == "everlog.outcome")?;
    found.value.clone()?.value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_when_the_server_has_died() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let till =
        Arc::new(Till { charges: watch::Sender::new(0), is_open: watch::Sender::new(false) });
    let (uri, told) = serve(&till).await?;
    let collector = TraceCollector::serve("127.0.0.1:0".parse()?).await?;
    let mut everlog = Everlog::on(&folder.path().join("data"), &[])?
        .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .with_env("EVERLOG_TRACE_SAMPLE_RATIO", "0");
    everlog.restart().await?;
    everlog.register(&uri).await?.success()?;

    let context = format!("00-{TRACE}-{CALLER}-01");
    let path = format!("/Trip/{SECRET}/book/send");
    let body = format!("\"{SECRET}\"");
    let sent = everlog.call(&path, &[("traceparent", &context)], &body).await?.success()?;
    let id = sent.headers["x-restate-id"].to_str()?.to_owned();
    till.charges.subscribe().wait_for(|charges| *charges == 1).await?;
    let before = |spans: &[Span]| has(spans, "send Trip/book") && has(spans, "run reserve");
    collector.until("the first spans have come", before).await?;
    everlog.kill().await?;
    till.is_open.send_replace(true);
    everlog.restart().await?;
    let attach = format!("/restate/attach/{id}");
    let attached = everlog.http.get(everlog.ingress, &attach);
    tokio::time::timeout(TEST_MAX, attached).await??.success()?;
    let after = |spans: &[Span]| has(spans, "attempt Trip/book") && has(spans, "attempt Trip/pay");
    let spans = collector.until("the last spans have come", after).await?;

    // The first attempt of each died with the server, and is known by what it was told.
    let told = told.lock().unwrap().clone();
    let attempts = |handler: &str| {
        let path = format!("/invoke/Trip/{handler}");
        let of_handler = told.iter().filter(|(told, _)| *told == path);
        of_handler.map(|(_, context)| context.clone()).collect::<Vec<_>>()
    };
    let (books, pays) = (attempts("book"), attempts("pay"));
    assert_eq!((books.len(), pays.len()), (2, 2), "{told:?}");
    let told_of = |span: &Span| format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    let parent_of = |span: &Span| format!("00-{TRACE}-{}-01", hex(&span.parent_span_id));
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "one trace");

    let call = only(&spans, "send Trip/book");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(parent_of(only(&spans, "run reserve")), books[0], "the attempt that is lost");
    let book = only(&spans, "attempt Trip/book");
    assert_eq!((told_of(book), &book.parent_span_id), (books[1].clone(), &call.span_id));
    let inner = only(&spans, "call Trip/pay");
    assert_eq!(parent_of(inner), books[1]);
    let pay = only(&spans, "attempt Trip/pay");
    assert_eq!((told_of(pay), &pay.parent_span_id), (pays[1].clone(), &inner.span_id));
    assert_eq!(parent_of(only(&spans, "run charge")), pays[1]);
    assert_eq!(spans.len(), 6, "nothing else");
    let ended = Some(Value::StringValue("ended".into()));
    assert_eq!((outcome(book), outcome(pay)), (ended.clone(), ended));
    let error = i32::from(StatusCode::Error);
    assert!(spans.iter().all(|span| span.status.as_ref().is_none_or(|it| it.code != error)));
    assert!(!format!("{spans:?}").contains(SECRET), "no key and no payload");
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_wait_are_sent_before_the_server_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let till = Arc::new(Till { charges: watch::Sender::new(0), is_open: watch::Sender::new(true) });
    let (uri, told) = serve(&till).await?;
    let collector = TraceCollector::serve("127.0.0.1:0".parse()?).await?;
    let mut everlog = Everlog::on(&folder.path().join("data"), &[])?
        .with_env("EVERLOG_OTLP_ENDPOINT", &collector.endpoint())
        .with_env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eDp5")
        .with_env("OTEL_SERVICE_NAME", "trips");
    everlog.restart().await?;
    everlog.register(&uri).await?.success()?;
    everlog.call("/Trip/ada/book", &[], "\"ada\"").await?.success()?;
    everlog.stop().await?;

    let spans = collector.spans();
    let root = only(&spans, "call Trip/book");
    assert!(root.parent_span_id.is_empty());
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!(only(&spans, "attempt Trip/book").parent_span_id, root.span_id);
    let first = &collector.requests()[0];
    assert_eq!(first.headers["authorization"], "Basic eDp5");
    let resource = first.body.resource_spans[0].resource.as_ref().context("a resource")?;
    let name = resource.attributes.iter().find(|about| about.key == "service.name");
    let name = name.and_then(|about| about.value.clone()?.value);
    assert_eq!(name, Some(Value::StringValue("trips".into())));
    let (_, context) = told.lock().unwrap().first().context("an attempt")?.clone();
    assert!(context.starts_with(&format!("00-{}-", hex(&root.trace_id))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_fails_no_call() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let till = Arc::new(Till { charges: watch::Sender::new(0), is_open: watch::Sender::new(true) });
    let (uri, _) = serve(&till).await?;
    let nobody = everlog_harness::free_address();
    let mut everlog = Everlog::on(&folder.path().join("data"), &[])?
        .with_env("EVERLOG_OTLP_ENDPOINT", &format!("http://{nobody}"));
    everlog.restart().await?;
    everlog.register(&uri).await?.success()?;
    everlog.call("/Trip/ada/book", &[], "\"ada\"").await?.success()?;
    let warned = "failed to send traces to the collector";
    within(TEST_MAX, "it is said", || async { everlog.output().contains(warned) }).await?;
    everlog.call("/Trip/bob/book", &[], "\"bob\"").await?.success()?;
    everlog.stop().await?;
    assert_eq!(everlog.output().matches(warned).count(), 1, "{}", everlog.output());
    Ok(())
}
