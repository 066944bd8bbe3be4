//! Endpoints that waste time and memory on purpose, over HTTP/2, HTTP/1.1 and TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_executor::invoker::{AttemptStart, HttpInvokerOptions};
use everlog_log_schema::metadata::{Deployment, ProtocolMode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::server::{Answer, Server, Talk};
use crate::shell::{Shell, deployment, input, invoker_with, start};

/// An attempt that has little patience.
fn impatient(uri: &str, use_http_11: bool, mode: ProtocolMode) -> AttemptStart {
    let to = Deployment { use_http_11, mode, ..(*deployment(uri)).clone() };
    let mut attempt = start(&Arc::new(to), "Orders", "place", vec![input("in")]);
    attempt.inactivity_timeout = Duration::from_millis(100);
    attempt.abort_timeout = Duration::from_millis(150);
    attempt
}

async fn last_of(attempt: AttemptStart) -> String {
    let mut shell = Shell::new();
    shell.run(attempt).await;
    shell.last()
}

/// Says these bytes to whoever connects, and then these others again and again.
async fn babble(first: &'static [u8], again: &'static [u8], pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(babble_on(stream, first, again, pause));
        }
    });
    uri
}

async fn babble_on(
    mut stream: TcpStream,
    first: &'static [u8],
    again: &'static [u8],
    pause: Duration,
) {
    let mut next = first;
    while stream.write_all(next).await.is_ok() {
        next = again;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

#[tokio::test]
async fn bytes_that_make_no_message_are_no_progress() {
    // The header of a message of 16 MiB, and its beginning, byte by byte.
    let bytes = Bytes::from_static(&[0x04, 0x01, 0, 0, 1, 0, 0, 0]);
    for mode in [ProtocolMode::BidiStream, ProtocolMode::RequestResponse] {
        for http_one in [false, true] {
            let talk = Talk { http_one, ..Talk::default() };
            let bytes = bytes.clone();
            let server = Server::talking(talk, move |_| Answer::Trickle(bytes.clone())).await;
            let last = last_of(impatient(&server.uri, http_one, mode)).await;
            assert!(last.starts_with("Failed 504 [RT0001] "), "{last}");
        }
    }
}

#[tokio::test]
async fn chunks_that_hold_nothing_are_no_progress() {
    let server = Server::start(|_| Answer::Empty).await;
    let last = last_of(impatient(&server.uri, false, ProtocolMode::BidiStream)).await;
    // The connection may have had enough of them first.
    let expected = ["Failed 504 [RT0001] ", "Failed 502 [RT0010] "];
    assert!(expected.iter().any(|start| last.starts_with(start)), "{last}");
}

#[tokio::test]
async fn a_head_that_trickles_in() {
    let uri = babble(b"HTTP/1.1 200 OK\r\nx-long: ", b"y", Duration::from_millis(10)).await;
    for mode in [ProtocolMode::BidiStream, ProtocolMode::RequestResponse] {
        let last = last_of(impatient(&uri, true, mode)).await;
        assert!(last.starts_with("Failed 504 [RT0001] "), "{last}");
    }
}

#[tokio::test]
async fn a_head_without_end() {
    for again in [
        &b"x-more: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"[..],
        b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    ] {
        let uri = babble(b"HTTP/1.1 200 OK\r\nx-long: ", again, Duration::ZERO).await;
        let mut attempt = impatient(&uri, true, ProtocolMode::BidiStream);
        attempt.abort_timeout = Duration::from_hours(1);
        let last = last_of(attempt).await;
        assert!(last.starts_with("Failed 502 [RT0010] failed to call deployment dp_1"), "{last}");
    }
}

#[tokio::test]
async fn interim_answers_without_end() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    for pause in [Duration::ZERO, Duration::from_millis(10)] {
        let uri = babble(interim, interim, pause).await;
        let last = last_of(impatient(&uri, true, ProtocolMode::BidiStream)).await;
        assert!(last.starts_with("Failed 504 [RT0001] "), "{last}");
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_a_connection_that_never_comes() {
    let uri = babble(b"", b"", Duration::from_millis(10)).await.replace("http:", "https:");
    let invoker = invoker_with(HttpInvokerOptions {
        connect_timeout: Duration::from_millis(100),
        ..HttpInvokerOptions::default()
    });
    let mut shell = Shell::with(invoker);
    shell.run(start(&deployment(&uri), "Orders", "place", vec![input("in")])).await;
    assert_eq!(
        shell.last(),
        format!(
            "Failed 502 [RT0010] failed to connect to deployment dp_1 at {uri}: no connection \
             within 100 ms"
        )
    );
}

#[tokio::test]
async fn what_follows_the_last_message_is_not_read_for_ever() {
    // Its answer never ends; its place is free again all the same.
    let server = Server::start(|_| Answer::EndThenTrickle).await;
    let invoker = invoker_with(HttpInvokerOptions {
        deployment_connections_max: 1,
        streams_per_connection: 1,
        ..HttpInvokerOptions::default()
    });
    for _ in 0..2 {
        let mut shell = Shell::with(invoker.clone());
        shell.run(start(&deployment(&server.uri), "Orders", "place", vec![input("in")])).await;
        assert_eq!(shell.last(), "Ended");
    }
}
