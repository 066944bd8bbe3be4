//! The HTTP invoker against endpoints that lie, stall, break off or are not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use everlog_executor::invoker::{AttemptEventKind, HttpInvokerOptions, Invoker as _};
use everlog_log_schema::Entry;
use http::{Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::server::{Answer, Server, end, output, run};
use crate::shell::{
    Shell, deployment, events, in_time, input, invoker, invoker_with, start, steps,
};

/// Runs one attempt against an endpoint and tells how it ended.
async fn last_of(uri: &str) -> String {
    let mut shell = Shell::new();
    shell.run(start(&deployment(uri), "Orders", "place", vec![input("in")])).await;
    shell.last()
}

/// Runs one attempt against an endpoint that answers with these bytes, and tells how it ended.
async fn last_after(chunks: Vec<Bytes>) -> String {
    let server = Server::start(move |_| Answer::Stream(chunks.clone())).await;
    last_of(&server.uri).await
}

#[tokio::test]
async fn a_message_that_is_cut_off() {
    let all = run(1);
    assert_eq!(
        last_after(vec![all.slice(..all.len() - 1)]).await,
        "Failed 571 [RT0012] the function broke the service protocol: its response ended in the \
         middle of a message, without a suspension, an error or an end"
    );
}

#[tokio::test]
async fn a_length_that_claims_four_gigabytes() {
    let header = Bytes::from_static(&[0x04, 0x01, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(
        last_after(vec![header]).await,
        "Failed 413 [RT0003] the function sent a message of 4294967295 bytes; the limit is \
         33554432 bytes"
    );
}

#[tokio::test]
async fn messages_without_end() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = Server::start(move |_| Answer::Endless(count.clone())).await;
    let (sender, mut events) = events(1);
    let attempt = start(&deployment(&server.uri), "Orders", "place", vec![input("in")]);
    let _handle = invoker().start(attempt, sender);
    let mut reported = 0;
    loop {
        match in_time(events.recv()).await.unwrap().kind {
            AttemptEventKind::Entries { entries, .. } => {
                for entry in &entries {
                    let Entry::Command { bytes, .. } = entry else { panic!("{entry:?}") };
                    reported += 8 + bytes.len();
                }
                // What the windows, buffers and events between the two sides can hold.
                let under_way = sent.load(Ordering::SeqCst).saturating_sub(reported);
                assert!(under_way < 4 << 20, "{under_way} bytes are under way");
            }
            AttemptEventKind::Failed { error, .. } => {
                assert_eq!(error.message, "[RT0003] the journal would exceed 24999 commands");
                break;
            }
            other @ (AttemptEventKind::Suspended { .. }
            | AttemptEventKind::Ended
            | AttemptEventKind::ReadState(_)
            | AttemptEventKind::AwaitingOn(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

#[tokio::test]
async fn more_messages_after_the_last() {
    let chunks = vec![output("done"), end(), run(1), Bytes::from_static(b"nonsense")];
    assert_eq!(last_after(chunks).await, "Ended");
    let together = [output("done"), end(), run(1), Bytes::from_static(b"nonsense")].concat();
    assert_eq!(last_after(vec![together.into()]).await, "Ended");
}

#[tokio::test]
async fn a_stream_that_is_reset() {
    let (reset, when) = oneshot::channel();
    let when = Mutex::new(Some(when));
    let server = Server::start(move |_| {
        Answer::Reset(vec![run(1)], when.lock().unwrap().take().expect("one request"))
    })
    .await;
    let (sender, mut events) = events(1);
    let attempt = start(&deployment(&server.uri), "Orders", "place", vec![input("in")]);
    let _handle = invoker().start(attempt, sender);
    steps(&mut events).await;
    reset.send(()).unwrap();
    let event = in_time(events.recv()).await.unwrap();
    let AttemptEventKind::Failed { error, retry_after: None, .. } = event.kind else {
        panic!("{event:?}")
    };
    let expected = format!(
        "[RT0010] failed to hear the end of what was said by deployment dp_1 at {}: ",
        server.uri
    );
    assert!(error.message.starts_with(&expected), "{}", error.message);
}

#[tokio::test]
async fn an_answer_that_never_begins() {
    let server = Server::start(|_| Answer::Never).await;
    let mut shell = Shell::new();
    let deployment = deployment(&server.uri);
    let mut attempt = start(&deployment, "Orders", "place", vec![input("in")]);
    attempt.inactivity_timeout = Duration::from_millis(20);
    attempt.abort_timeout = Duration::from_millis(30);
    shell.run(attempt).await;
    assert_eq!(
        shell.last(),
        "Failed 504 [RT0001] the function neither suspended nor ended within 30 ms of being asked to"
    );
}

#[tokio::test]
async fn a_stream_that_stalls() {
    let server = Server::start(|_| Answer::Stall(vec![run(1)])).await;
    let mut shell = Shell::new();
    let deployment = deployment(&server.uri);
    let mut attempt = start(&deployment, "Orders", "place", vec![input("in")]);
    attempt.inactivity_timeout = Duration::from_millis(500);
    attempt.abort_timeout = Duration::from_secs(1);
    shell.run(attempt).await;
    assert_eq!(shell.journal.len(), 2);
    assert!(shell.last().starts_with("Failed 504 [RT0001] "), "{}", shell.last());
}

#[tokio::test]
async fn a_function_that_never_reads() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        sender.send(request).unwrap();
        Answer::Stall(Vec::new())
    })
    .await;
    let mut shell = Shell::new();
    let body: &'static str = "x".repeat(16 << 20).leak();
    let mut attempt = start(&deployment(&server.uri), "Orders", "place", vec![input(body)]);
    attempt.inactivity_timeout = Duration::from_millis(500);
    attempt.abort_timeout = Duration::from_millis(500);
    shell.run(attempt).await;
    assert!(shell.last().starts_with("Failed 504 [RT0001] "), "{}", shell.last());
    assert!(in_time(requests.recv()).await.is_some(), "the request is there, unread");
}

#[tokio::test]
async fn an_endpoint_that_dies() {
    let server = Server::start(|_| Answer::Stall(vec![run(1)])).await;
    let (sender, mut events) = events(1);
    let attempt = start(&deployment(&server.uri), "Orders", "place", vec![input("in")]);
    let _handle = invoker().start(attempt, sender);
    steps(&mut events).await;
    server.stop().await;
    let event = in_time(events.recv()).await.unwrap();
    let AttemptEventKind::Failed { error, .. } = event.kind else { panic!("{event:?}") };
    assert!(error.message.starts_with("[RT0010] failed to hear the end"), "{}", error.message);
}

#[tokio::test]
async fn time_outs_beyond_all_time_are_no_danger() {
    let server = Server::start(|_| Answer::Stream(vec![output("done"), end()])).await;
    let mut shell = Shell::new();
    let deployment = deployment(&server.uri);
    let mut attempt = start(&deployment, "Orders", "place", vec![input("in")]);
    attempt.inactivity_timeout = Duration::MAX;
    attempt.abort_timeout = Duration::MAX;
    shell.run(attempt).await;
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn another_content_type() {
    for found in ["application/json", "application/vnd.restate.invocation.v5"] {
        let server = Server::start(move |_| Answer::ContentType(found)).await;
        assert_eq!(
            last_of(&server.uri).await,
            format!(
                "Failed 571 [RT0012] deployment dp_1 at {} answered with content type {found:?} \
                 instead of \"application/vnd.restate.invocation.v6\"",
                server.uri
            )
        );
    }
}

#[tokio::test]
async fn each_status_has_its_code() {
    let expected = [
        (202, "[RT0012]", false),
        (302, "[RT0012]", false),
        (401, "[RT0012]", false),
        (404, "[RT0012]", false),
        (413, "[RT0019]", false),
        (415, "[RT0015]", false),
        (429, "[RT0023]", true),
        (500, "[RT0012]", false),
        (502, "[RT0010]", false),
        (503, "[RT0023]", true),
        (504, "[RT0010]", false),
    ];
    for (status, code, is_heeded) in expected {
        let answer = Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header("retry-after", "7");
        let answer = Arc::new(answer.body("{\"message\": \"no\"}").unwrap());
        let server = Server::start(move |_| Answer::Page(answer.clone())).await;
        let delay = if is_heeded { " after 7000 ms" } else { "" };
        assert_eq!(
            last_of(&server.uri).await,
            format!(
                "Failed {status}{delay} {code} deployment dp_1 at {} answered {status}: \
                 {{\"message\": \"no\"}}",
                server.uri
            )
        );
    }
}

#[tokio::test]
async fn an_error_page_without_end_is_quoted_in_part() {
    let page = Arc::new(Response::builder().status(500).body(&*"x".repeat(9_000).leak()).unwrap());
    let server = Server::start(move |_| Answer::Page(page.clone())).await;
    let last = last_of(&server.uri).await;
    assert!(last.ends_with(&format!(": {}", "x".repeat(1 << 10))), "{last}");
}

#[tokio::test]
async fn a_head_above_the_limit() {
    let page = Response::builder().header("x-long", "y".repeat(64 << 10)).body("").unwrap();
    let page = Arc::new(page);
    let server = Server::start(move |_| Answer::Page(page.clone())).await;
    let last = last_of(&server.uri).await;
    assert!(last.starts_with("Failed 502 [RT0010] failed to call deployment dp_1"), "{last}");
}

/// A port on which nobody listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn nobody_listens() {
    let uri = closed_port().await;
    let last = last_of(&uri).await;
    let expected = format!("Failed 502 [RT0010] failed to connect to deployment dp_1 at {uri}: ");
    assert!(last.starts_with(&expected), "{last}");
    assert!(last.contains("refused"), "{last}");
}

#[tokio::test]
async fn a_host_that_does_not_exist() {
    let last = last_of("http://nobody.invalid:9080").await;
    assert!(last.starts_with("Failed 502 [RT0010] failed to connect to deployment dp_1"), "{last}");
}

#[tokio::test]
async fn a_peer_that_is_frozen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let frozen = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(connection);
    });
    let invoker = invoker_with(HttpInvokerOptions {
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(300),
        ..HttpInvokerOptions::default()
    });
    let mut shell = Shell::with(invoker);
    shell.run(start(&deployment(&uri), "Orders", "place", vec![input("in")])).await;
    let last = shell.last();
    assert!(last.starts_with("Failed 502 [RT0010] failed to call deployment dp_1"), "{last}");
    frozen.abort();
}

#[tokio::test]
async fn a_peer_that_speaks_http_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        connection.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    let last = last_of(&uri).await;
    assert!(last.starts_with("Failed 502 [RT0010] failed to call deployment dp_1"), "{last}");
    server.abort();
}
