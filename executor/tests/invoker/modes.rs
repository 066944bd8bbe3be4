//! Real functions over every transport, in both modes: with TLS and without, over HTTP/2 and
//! HTTP/1.1, both sides speaking at once or one after the other.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::Entry;
use everlog_log_schema::metadata::{Deployment, ProtocolMode};
use http::Request;
use hyper::body::Incoming;
use restate_sdk::prelude::{Endpoint, HandleOptions, ProtocolMode as SdkMode};

use crate::sdk::{Functions, success};
use crate::server::{Answer, Server, Talk, end, output};
use crate::shell::{Shell, deployment, input, start};

/// Serves the functions of the SDK.
async fn functions(talk: Talk, mode: ProtocolMode) -> Server {
    let endpoint = Endpoint::builder().bind(Functions).build();
    let respond = move |request: Request<Incoming>| {
        let protocol_mode = match mode {
            ProtocolMode::BidiStream => SdkMode::BidiStream,
            ProtocolMode::RequestResponse => SdkMode::RequestResponse,
        };
        let response = endpoint.handle_with_options(request, HandleOptions { protocol_mode });
        std::future::ready(Ok::<_, Infallible>(response))
    };
    Server::serve("127.0.0.1:0".parse().unwrap(), talk, respond).await
}

/// How a deployment is registered.
fn registered(server: &Server, mode: ProtocolMode, use_http_11: bool) -> Arc<Deployment> {
    Arc::new(Deployment { mode, use_http_11, ..(*deployment(&server.uri)).clone() })
}

/// Every way to talk: plain and with TLS, over HTTP/2 and HTTP/1.1; and whether it has to be asked
/// for HTTP/1.1.
fn talks() -> [(Talk, bool); 5] {
    [
        (Talk::default(), false),
        (Talk { http_one: true, ..Talk::default() }, true),
        (Talk::tls("127.0.0.1", false), false),
        (Talk::tls("127.0.0.1", true), true),
        (Talk::tls("127.0.0.1", true), false),
    ]
}

#[tokio::test]
async fn a_function_that_streams_is_run_at_one_go() {
    for (talk, use_http_11) in talks() {
        let server = functions(talk, ProtocolMode::BidiStream).await;
        let deployment = registered(&server, ProtocolMode::BidiStream, use_http_11);
        let mut shell = Shell::new();
        shell.run(start(&deployment, "Functions", "steps", vec![input("\"order\"")])).await;
        assert_eq!(shell.last(), "Ended", "{}", server.uri);
        assert_eq!(shell.journal[7], success("\"order reserve charge ship\""));
    }
}

#[tokio::test]
async fn a_function_that_answers_in_turn_is_run_step_by_step() {
    for (talk, use_http_11) in talks() {
        let server = functions(talk, ProtocolMode::RequestResponse).await;
        let deployment = registered(&server, ProtocolMode::RequestResponse, use_http_11);
        let mut journal = vec![input("\"order\"")];
        let mut lasts = Vec::new();
        while lasts.last().is_none_or(|last| last != "Ended") {
            assert!(lasts.len() < 5, "no progress: {lasts:?}");
            let mut shell = Shell::new();
            let mut attempt = start(&deployment, "Functions", "steps", journal);
            // Its input ends behind the journal, and not because nobody speaks.
            attempt.inactivity_timeout = Duration::MAX;
            shell.run(attempt).await;
            journal = shell.journal.clone();
            lasts.push(shell.last());
        }
        assert!(lasts[0].starts_with("Suspended"), "{lasts:?}");
        assert_eq!(journal.last(), Some(&success("\"order reserve charge ship\"")));
        // Each step was recorded once.
        assert_eq!(journal.len(), 1 + 3 * 2 + 1);
    }
}

#[tokio::test]
async fn a_function_that_sleeps_is_not_waited_for() {
    let server = functions(Talk::default(), ProtocolMode::RequestResponse).await;
    let deployment = registered(&server, ProtocolMode::RequestResponse, false);
    let mut shell = Shell::new();
    let mut attempt = start(&deployment, "Functions", "nap", vec![input("3600000")]);
    attempt.inactivity_timeout = Duration::MAX;
    shell.run(attempt).await;
    assert_eq!(shell.last(), "Suspended [1] [1] []");
}

#[tokio::test]
async fn a_large_journal_is_told_before_the_answer_begins() {
    for http_one in [false, true] {
        let talk = Talk { http_one, ..Talk::default() };
        let server =
            Server::talking(talk, |request| Answer::CountThenEnd(request.into_body())).await;
        let body: &'static str = "x".repeat(3 << 20).leak();
        let deployment = registered(&server, ProtocolMode::RequestResponse, http_one);
        let mut shell = Shell::new();
        let mut attempt = start(&deployment, "Orders", "place", vec![input(body)]);
        attempt.inactivity_timeout = Duration::MAX;
        shell.run(attempt).await;
        assert_eq!(shell.last(), "Ended");
        assert!(matches!(&shell.journal[1], Entry::Output { .. }));
    }
}

#[tokio::test]
async fn only_the_abort_time_out_counts_for_a_function_that_answers_in_turn() {
    // One that never answers, and one that does not even take its input in.
    for body in ["in", "x".repeat(8 << 20).leak()] {
        for http_one in [false, true] {
            let talk = Talk { http_one, ..Talk::default() };
            let server = Server::talking(talk, Answer::Hold).await;
            let deployment = registered(&server, ProtocolMode::RequestResponse, http_one);
            let mut shell = Shell::new();
            let mut attempt = start(&deployment, "Orders", "place", vec![input(body)]);
            attempt.inactivity_timeout = Duration::MAX;
            attempt.abort_timeout = Duration::from_millis(100);
            shell.run(attempt).await;
            assert!(shell.last().starts_with("Failed 504 [RT0001] "), "{}", shell.last());
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_is_told_nothing() {
    let answer = |_| Answer::Stream(vec![output("done"), end()]);
    let stranger = Server::talking(Talk::tls("elsewhere.example", false), answer).await;
    let plain = Server::talking(Talk { http_one: true, ..Talk::default() }, answer).await;
    for (server, uri, reason) in [
        (&stranger, stranger.uri.clone(), "its certificate is not for 127.0.0.1 ("),
        (&plain, plain.uri.replace("http:", "https:"), "it does not speak TLS: "),
    ] {
        let mut shell = Shell::new();
        shell.run(start(&deployment(&uri), "Orders", "place", vec![input("in")])).await;
        let expected =
            format!("Failed 502 [RT0010] failed to connect to deployment dp_1 at {uri}: {reason}");
        assert!(shell.last().starts_with(&expected), "{}", shell.last());
        assert_eq!(server.requests(), 0);
    }
}

#[tokio::test]
async fn the_host_is_named_over_http_1() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let talk = Talk { http_one: true, ..Talk::default() };
    let server = Server::talking(talk, move |request| {
        let (head, _) = request.into_parts();
        sender.send((head.uri, head.headers)).unwrap();
        Answer::Stream(vec![output("done"), end()])
    })
    .await;
    let mut to = (*registered(&server, ProtocolMode::RequestResponse, true)).clone();
    to.uri = format!("{}/prefix", to.uri);
    let mut shell = Shell::new();
    shell.run(start(&Arc::new(to), "Orders", "place", vec![input("in")])).await;
    assert_eq!(shell.last(), "Ended");
    let (uri, headers) = seen.recv().await.unwrap();
    assert_eq!(uri, "/prefix/invoke/Orders/place");
    assert_eq!(headers["host"], server.address.to_string().as_str());
}
