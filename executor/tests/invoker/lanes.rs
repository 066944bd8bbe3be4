//! How the attempts of a deployment share its connections, wait their turn, and leave those of
//! others alone.

use std::sync::Arc;
use std::time::Duration;

use everlog_executor::invoker::{AttemptEventKind, HttpInvokerOptions, Invoker as _};
use everlog_log_schema::metadata::{Deployment, ProtocolMode};
use everlog_log_schema::{DeploymentId, InvocationId, PartitionKey};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::connections::{last_seen, watch_input};
use crate::server::{Answer, Server, Talk, end, output, run};
use crate::shell::{
    Shell, deployment, events, in_time, input, invoker, invoker_with, start, steps,
};

fn http_one() -> Talk {
    Talk { http_one: true, ..Talk::default() }
}

fn over_http_one(server: &Server) -> Arc<Deployment> {
    Arc::new(Deployment { use_http_11: true, ..(*deployment(&server.uri)).clone() })
}

fn done(_: http::Request<Incoming>) -> Answer {
    Answer::Stream(vec![output("done"), end()])
}

#[tokio::test]
async fn attempts_beyond_the_limit_of_a_deployment_wait_in_order() {
    for http_one in [false, true] {
        let talk = Talk { http_one, ..Talk::default() };
        let server = Server::talking(talk, |_| Answer::Stall(vec![run(1)])).await;
        let to = Deployment { use_http_11: http_one, ..(*deployment(&server.uri)).clone() };
        let to = Arc::new(to);
        let invoker = invoker_with(HttpInvokerOptions {
            deployment_connections_max: 2,
            streams_per_connection: 1,
            ..HttpInvokerOptions::default()
        });
        let (sender, mut events) = events(16);
        let mut handles = Vec::new();
        for uuid in 0..6 {
            let mut attempt = start(&to, "Orders", "place", vec![input("in")]);
            attempt.invocation = InvocationId { partition_key: PartitionKey(7), uuid };
            // Nobody is impatient who waits for its turn.
            attempt.inactivity_timeout = Duration::from_millis(1);
            handles.push(Some(invoker.start(attempt, sender.clone())));
            if uuid < 2 {
                assert_eq!(steps(&mut events).await.invocation.uuid, uuid);
            } else {
                // It asks before the next one does.
                tokio::task::yield_now().await;
            }
        }
        // One that is dropped while it waits does not stand in the way.
        handles[3] = None;
        for (ended, next) in [(0, 2), (1, 4), (2, 5)] {
            assert_eq!(server.requests(), [2, 3, 4][ended], "{http_one}");
            handles[ended] = None;
            let event = steps(&mut events).await;
            assert_eq!(event.invocation.uuid, next);
        }
    }
}

#[tokio::test]
async fn the_wait_for_a_place_is_not_silence() {
    let server = Server::start(|request| {
        let is_first = request.headers().contains_key("x-restate-service-key");
        if is_first { Answer::Stall(vec![run(1)]) } else { done(request) }
    })
    .await;
    let to = deployment(&server.uri);
    let invoker = invoker_with(HttpInvokerOptions {
        deployment_connections_max: 1,
        streams_per_connection: 1,
        ..HttpInvokerOptions::default()
    });
    let (sender, mut events) = events(16);
    let mut first = start(&to, "Orders", "place", vec![input("in")]);
    first.target.key = Some("first".to_owned());
    let first = invoker.start(first, sender.clone());
    steps(&mut events).await;
    let mode = ProtocolMode::RequestResponse;
    let to = Arc::new(Deployment { mode, ..(*to).clone() });
    let mut second = start(&to, "Orders", "place", vec![input("in")]);
    second.abort_timeout = Duration::from_secs(2);
    let _second = invoker.start(second, sender);
    let said = tokio::time::timeout(Duration::from_millis(2_500), events.recv()).await;
    assert!(said.is_err(), "it waits longer than it may be silent: {said:?}");
    drop(first);
    steps(&mut events).await;
    assert_eq!(in_time(events.recv()).await.unwrap().kind, AttemptEventKind::Ended);
}

#[tokio::test]
async fn a_deployment_that_is_full_or_silent_does_not_hold_up_others() {
    let slow = Server::start(|_| Answer::Stall(vec![run(1)])).await;
    let fast = Server::start(done).await;
    // Its connections are accepted by the kernel, and nobody speaks TLS there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_uri = format!("https://{}", silent.local_addr().unwrap());
    let invoker = invoker_with(HttpInvokerOptions {
        deployment_connections_max: 1,
        streams_per_connection: 1,
        connect_timeout: Duration::from_hours(1),
        ..HttpInvokerOptions::default()
    });
    let (sender, mut events) = events(16);
    let mut handles = Vec::new();
    for uri in [&slow.uri, &slow.uri, &slow.uri, &silent_uri, &silent_uri] {
        let attempt = start(&named("dp_slow", uri), "Orders", "place", vec![input("in")]);
        handles.push(invoker.start(attempt, sender.clone()));
    }
    steps(&mut events).await;
    // The same place by another name is another deployment.
    for (id, uri) in [("dp_fast", &fast.uri), ("dp_fast", &fast.uri), ("dp_other", &slow.uri)] {
        let attempt = start(&named(id, uri), "Orders", "place", vec![input("in")]);
        handles.push(invoker.start(attempt, sender.clone()));
        steps(&mut events).await;
        if id == "dp_fast" {
            assert_eq!(in_time(events.recv()).await.unwrap().kind, AttemptEventKind::Ended);
        }
    }
    assert_eq!(slow.requests(), 2);
}

fn named(id: &str, uri: &str) -> Arc<Deployment> {
    let id = DeploymentId(id.to_owned());
    Arc::new(Deployment { id, ..(*deployment(uri)).clone() })
}

#[tokio::test]
async fn a_peer_that_allows_few_streams_gets_more_connections() {
    let talk = Talk { streams_max: Some(1), ..Talk::default() };
    let server = Server::talking(talk, |_| Answer::Stall(vec![run(1)])).await;
    let deployment = deployment(&server.uri);
    let invoker = invoker();
    let (sender, mut events) = events(16);
    let mut handles = Vec::new();
    for connections in [1, 2, 3] {
        let attempt = start(&deployment, "Orders", "place", vec![input("in")]);
        handles.push(invoker.start(attempt, sender.clone()));
        steps(&mut events).await;
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_connection_over_http_1_carries_one_attempt_after_the_other() {
    // One that has taken in all of a request may use its connection again.
    let all = |request: http::Request<Incoming>| Answer::CountThenEnd(request.into_body());
    let server = Server::talking(http_one(), all).await;
    let mode = ProtocolMode::RequestResponse;
    let deployment = Arc::new(Deployment { mode, ..(*over_http_one(&server)).clone() });
    let invoker = invoker_with(HttpInvokerOptions {
        deployment_connections_max: 1,
        ..HttpInvokerOptions::default()
    });
    for _ in 0..5 {
        let mut shell = Shell::with(invoker.clone());
        shell.run(start(&deployment, "Orders", "place", vec![input("in")])).await;
        assert_eq!(shell.last(), "Ended");
    }
    assert_eq!((server.requests(), server.connections()), (5, 1));
}

#[tokio::test]
async fn attempts_at_the_same_time_have_connections_of_their_own_over_http_1() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::talking(http_one(), move |request| {
        watch_input(request, sender.clone());
        Answer::Stall(vec![run(1)])
    })
    .await;
    let deployment = over_http_one(&server);
    let invoker = invoker();
    let (sender, mut events) = events(16);
    let attempt = || start(&deployment, "Orders", "place", vec![input("in")]);
    let handles: Vec<_> = (0..5).map(|_| invoker.start(attempt(), sender.clone())).collect();
    for _ in 0..5 {
        steps(&mut events).await;
    }
    assert_eq!((server.requests(), server.connections()), (5, 5));
    // A broken-off attempt takes its connection with it.
    drop(handles);
    for _ in 0..5 {
        assert_eq!(last_seen(&mut seen).await, "reset");
    }
}

#[tokio::test]
async fn an_unused_connection_is_closed() {
    for talk in [Talk::default(), http_one(), Talk::tls("127.0.0.1", false)] {
        let server = Server::talking(talk.clone(), done).await;
        let to = Deployment { use_http_11: talk.http_one, ..(*deployment(&server.uri)).clone() };
        let invoker = invoker_with(HttpInvokerOptions {
            idle_timeout: Duration::from_millis(50),
            ..HttpInvokerOptions::default()
        });
        let mut shell = Shell::with(invoker);
        shell.run(start(&Arc::new(to), "Orders", "place", vec![input("in")])).await;
        assert_eq!(shell.last(), "Ended");
        assert_eq!(server.connections(), 1);
        server.open_connections(0).await;
    }
}

#[tokio::test]
async fn a_server_that_retires_a_connection_gets_another_one() {
    for talk in [Talk::default(), http_one()] {
        let (more, when) = tokio::sync::watch::channel(false);
        let server = Server::talking(talk.clone(), move |_| {
            Answer::Later(vec![run(1)], when.clone(), vec![output("done"), end()])
        })
        .await;
        let to = Deployment { use_http_11: talk.http_one, ..(*deployment(&server.uri)).clone() };
        let to = Arc::new(to);
        let invoker = invoker();
        let (sender, mut events) = events(16);
        let attempt = || start(&to, "Orders", "place", vec![input("in")]);
        let _old = invoker.start(attempt(), sender.clone());
        steps(&mut events).await;
        server.retire_connections();
        // Until it is known what the server wants, the old connection serves.
        let mut new = Vec::new();
        while server.connections() == 1 {
            assert!(new.len() < 100, "the retired connection is still used");
            new.push(invoker.start(attempt(), sender.clone()));
            steps(&mut events).await;
        }
        // All go on to their end, the old ones too.
        more.send_replace(true);
        let mut ended = 0;
        while ended < 1 + new.len() {
            match in_time(events.recv()).await.unwrap().kind {
                AttemptEventKind::Entries { .. } => {}
                AttemptEventKind::Ended => ended += 1,
                other @ (AttemptEventKind::Suspended { .. }
                | AttemptEventKind::Failed { .. }
                | AttemptEventKind::ReadState(_)
                | AttemptEventKind::AwaitingOn(_)) => {
                    panic!("{other:?}")
                }
            }
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn all_that_wait_for_a_deployment_that_is_down_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let invoker = invoker_with(HttpInvokerOptions {
        deployment_connections_max: 1,
        streams_per_connection: 2,
        ..HttpInvokerOptions::default()
    });
    let (sender, mut events) = events(16);
    let to = deployment(&uri);
    let attempt = || start(&to, "Orders", "place", vec![input("in")]);
    let _handles: Vec<_> = (0..10).map(|_| invoker.start(attempt(), sender.clone())).collect();
    for _ in 0..10 {
        let AttemptEventKind::Failed { error, .. } = in_time(events.recv()).await.unwrap().kind
        else {
            panic!("nobody listens there")
        };
        assert!(error.message.contains("refused"), "{}", error.message);
    }
}
