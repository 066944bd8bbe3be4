//! What an endpoint is sent, and how its connections and streams are opened and closed.

use std::sync::Arc;
use std::time::Duration;

use everlog_executor::invoker::{HttpInvokerOptions, Invoker as _};
use everlog_log_schema::metadata::Deployment;
use everlog_log_schema::{Entry, Header, Outcome};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::server::{Answer, Server, end, output, run};
use crate::shell::{
    Shell, deployment, events, in_time, input, invoker, invoker_with, start, steps,
};

#[tokio::test]
async fn deployments_that_cannot_be_used() {
    let check = async |change: fn(&mut Deployment), reason: &str| {
        let mut deployment = (*deployment("http://127.0.0.1:9")).clone();
        change(&mut deployment);
        let mut shell = Shell::new();
        shell.run(start(&Arc::new(deployment), "Orders", "place", vec![input("in")])).await;
        assert_eq!(
            shell.last(),
            format!("Failed 573 [RT0006] deployment dp_1 cannot be used: {reason}")
        );
    };
    check(
        |deployment| deployment.uri = "ftp://127.0.0.1:9".to_owned(),
        "ftp://127.0.0.1:9/invoke/Orders/place is no address: it begins with neither http:// nor \
         https://",
    )
    .await;
    check(
        |deployment| {
            let header = Header { key: "a b".to_owned(), value: String::new() };
            deployment.headers = vec![header];
        },
        "\"a b\" is not a header name",
    )
    .await;
    check(
        |deployment| {
            let header = Header { key: "a".to_owned(), value: "\n".to_owned() };
            deployment.headers = vec![header];
        },
        "the value of \"a\" cannot be sent",
    )
    .await;
}

#[tokio::test]
async fn the_request_says_what_the_protocol_asks_for() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        let (head, _) = request.into_parts();
        sender.send((head.method, head.uri.path().to_owned(), head.headers)).unwrap();
        Answer::Stream(vec![output("done"), end()])
    })
    .await;
    let mut to = (*deployment(&format!("{}/prefix", server.uri))).clone();
    to.headers = vec![
        Header { key: "authorization".to_owned(), value: "Bearer x".to_owned() },
        Header { key: "content-type".to_owned(), value: "text/plain".to_owned() },
    ];
    let mut attempt = start(&Arc::new(to), "Orders", "place", vec![input("in")]);
    attempt.target.key = Some("ä b/c".to_owned());
    attempt.traceparent =
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let invocation = attempt.invocation.to_string();
    let traceparent = attempt.traceparent.clone().unwrap();
    let mut shell = Shell::new();
    shell.run(attempt).await;
    assert_eq!(shell.last(), "Ended");
    let (method, path, headers) = in_time(seen.recv()).await.unwrap();
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/prefix/invoke/Orders/place"));
    let of = |headers: &HeaderMap, name| {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name}");
        values[0].to_str().unwrap().to_owned()
    };
    let content_type = "application/vnd.restate.invocation.v6";
    assert_eq!(of(&headers, "content-type"), content_type);
    assert_eq!(of(&headers, "accept"), content_type);
    assert_eq!(of(&headers, "x-restate-invocation-id"), invocation);
    assert_eq!(of(&headers, "x-restate-service-key"), "%C3%A4%20b%2Fc");
    assert_eq!(of(&headers, "traceparent"), traceparent);
    assert_eq!(of(&headers, "authorization"), "Bearer x");
}

/// Reads what a function is told, and reports how it ends.
pub(crate) fn watch_input(request: Request<Incoming>, sender: mpsc::UnboundedSender<&'static str>) {
    tokio::spawn(async move {
        let mut body = request.into_body();
        let end = loop {
            match body.frame().await {
                Some(Ok(_)) => sender.send("more").unwrap(),
                Some(Err(_)) => break "reset",
                None => break "end",
            }
        };
        sender.send(end).unwrap();
    });
}

/// Waits for how the function's input ends.
pub(crate) async fn last_seen(seen: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    loop {
        match in_time(seen.recv()).await.unwrap() {
            "more" => {}
            end => return end,
        }
    }
}

#[tokio::test]
async fn a_dropped_attempt_resets_its_stream() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        watch_input(request, sender.clone());
        Answer::Stall(vec![run(1)])
    })
    .await;
    let (events_sender, mut events) = events(1);
    let attempt = start(&deployment(&server.uri), "Orders", "place", vec![input("in")]);
    let handle = invoker().start(attempt, events_sender);
    steps(&mut events).await;
    drop(handle);
    assert_eq!(in_time(events.recv()).await, None, "a dropped attempt has no last event");
    assert_eq!(last_seen(&mut seen).await, "reset");
}

#[tokio::test]
async fn an_attempt_dropped_before_the_answer_resets_its_stream() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        watch_input(request, sender.clone());
        Answer::Never
    })
    .await;
    let (events_sender, _events) = events(1);
    let attempt = start(&deployment(&server.uri), "Orders", "place", vec![input("in")]);
    let handle = invoker().start(attempt, events_sender);
    assert_eq!(in_time(seen.recv()).await, Some("more"));
    drop(handle);
    assert_eq!(last_seen(&mut seen).await, "reset");
}

#[tokio::test]
async fn a_function_that_has_ended_may_close_its_stream_in_peace() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        watch_input(request, sender.clone());
        Answer::Stall(vec![output("done"), end()])
    })
    .await;
    let mut shell = Shell::new();
    shell.run(start(&deployment(&server.uri), "Orders", "place", vec![input("in")])).await;
    assert_eq!(shell.last(), "Ended");
    assert_eq!(last_seen(&mut seen).await, "end");
}

#[tokio::test]
async fn attempts_beyond_one_connection_open_another() {
    let server = Server::start(|_| Answer::Stall(vec![run(1)])).await;
    let deployment = deployment(&server.uri);
    let invoker = invoker_with(HttpInvokerOptions {
        streams_per_connection: 2,
        deployment_connections_max: 3,
        ..HttpInvokerOptions::default()
    });
    let (sender, mut events) = events(16);
    let attempt = || start(&deployment, "Orders", "place", vec![input("in")]);
    let mut handles = Vec::new();
    for (attempts, connections) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)] {
        handles.push(invoker.start(attempt(), sender.clone()));
        steps(&mut events).await;
        assert_eq!(server.connections(), connections, "{attempts} attempts");
    }
    // The seventh has no stream before another one ends.
    handles.push(invoker.start(attempt(), sender));
    assert_eq!(server.requests(), 6);
    handles.remove(0);
    steps(&mut events).await;
    assert_eq!((server.connections(), server.requests()), (3, 7));
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_found_again() {
    let answer = |_| Answer::Stream(vec![output("done"), end()]);
    let server = Server::start(answer).await;
    let address = server.address;
    let to = deployment(&server.uri);
    let mut shell = Shell::new();
    let attempt = || start(&to, "Orders", "place", vec![input("in")]);
    shell.run(attempt()).await;
    assert_eq!(shell.last(), "Ended");
    server.stop().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        shell.run(attempt()).await;
        assert!(shell.last().starts_with("Failed 502 [RT0010] "), "{}", shell.last());
        if shell.last().contains("refused") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", shell.last());
    }
    let _server = Server::start_at(address, answer).await;
    shell.run(attempt()).await;
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn a_journal_of_many_windows_is_told_whole() {
    let server = Server::start(|request| Answer::CountThenEnd(request.into_body())).await;
    let body: &'static str = "x".repeat(8 << 20).leak();
    let mut shell = Shell::new();
    let mut attempt = start(&deployment(&server.uri), "Orders", "place", vec![input(body)]);
    // The endpoint answers when its input has ended.
    attempt.inactivity_timeout = Duration::from_millis(500);
    shell.run(attempt).await;
    assert_eq!(shell.last(), "Ended");
    let Entry::Output { outcome: Outcome::Success(counted), .. } = &shell.journal[1] else {
        panic!("no output")
    };
    let counted: usize = std::str::from_utf8(counted).unwrap().parse().unwrap();
    assert!((8 << 20..(8 << 20) + 1_000).contains(&counted), "{counted}");
}
