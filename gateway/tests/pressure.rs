//! What a gateway does under load, against a failing log, without an owner, and at its end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::faulty::Fault;
use common::{Answer, Ask, DEADLINE, OK, World, ask, start, start_with};
use everlog_gateway::{Addresses, GatewayLimits, Ports};
use everlog_log_schema::limits::BODY_BYTES_MAX;
use everlog_log_schema::{AwakeableId, Incarnation, Life, Message};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_message_of_unknown_outcome_is_sent_again_and_is_one_call() {
    for fault in [Fault::UnknownLanded, Fault::UnknownLost] {
        let world = start().await;
        // Once the outcome is unknown, a full queue does not make it known.
        world.log.fail_next([fault, fault, Fault::QueueFull, Fault::Refused]);
        let answer = world.post("/Greeter/greet", "1").await;
        assert_eq!((answer.status, &answer.body[..]), (OK, &b"1"[..]), "{fault:?}");
        assert_eq!(world.owner.envelopes().len(), 1, "{fault:?}");
        let messages = if matches!(fault, Fault::UnknownLanded) { 3 } else { 1 };
        world.owner.wait_for_messages(messages).await;
        assert_eq!(world.owner.messages(), messages, "{fault:?}");
        // Its owner keeps what came first.
        let first = matches!(fault, Fault::UnknownLanded);
        assert_eq!(world.owner.only_invoke().resent, !first, "{fault:?}");
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_called_so() {
    let limits = GatewayLimits { resend_max: Duration::from_millis(50), ..Default::default() };
    let world = start_with(limits).await;
    world.log.fail_next([Fault::UnknownLost; 100]);
    let answer = world.post("/Greeter/greet", "1").await;
    assert_eq!(answer.error(), (503, "outcome-unknown".into()));
}

#[tokio::test]
async fn a_full_or_refusing_log_is_told_at_once() {
    let world = start().await;
    for (faults, code) in
        [(&[Fault::QueueFull][..], "log-busy"), (&[Fault::Refused, Fault::Refused], "log-refused")]
    {
        world.log.fail_next(faults.iter().copied());
        let answer = world.post("/Greeter/greet", "1").await;
        assert_eq!(answer.error(), (503, code.into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(world.owner.messages(), 0);
    assert_eq!(world.post("/Greeter/greet", "1").await.status, OK);
}

#[tokio::test]
async fn one_call_too_many_is_turned_away() {
    let world = start_with(GatewayLimits { requests_max: 1, ..Default::default() }).await;
    let ingress = world.addresses.ingress;
    let waiting = tokio::spawn(ask(ingress, Ask::post("/Greeter/hang", "1"), false));
    world.owner.wait_for_messages(1).await;
    let answer = world.post("/Greeter/greet", "2").await;
    assert_eq!(answer.error(), (429, "too-many-requests".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.owner.release();
    assert_eq!(waiting.await.unwrap().status, OK);
    assert_eq!(world.post("/Greeter/greet", "2").await.status, OK);
}

#[tokio::test]
async fn an_owner_that_moves_delays_an_answer_and_changes_none() {
    let world = start().await;
    world.owner.go_away_for(3);
    let answer = world.post("/Greeter/greet", "1").await;
    assert_eq!((answer.status, &answer.body[..]), (OK, &b"1"[..]));
    world.owner.go_away_for(3);
    let send = Ask::post("/Greeter/greet/send", "1").header("idempotency-key", "k1");
    assert_eq!(world.ask(send).await.json()["status"], "Accepted");
}

#[tokio::test]
async fn a_question_without_an_owner_is_not_asked_for_ever() {
    let limits = GatewayLimits { question_max: Duration::from_millis(100), ..Default::default() };
    let world = start_with(limits).await;
    world.owner.go_away_for(usize::MAX);
    let answer = world.get("/restate/output/inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr").await;
    assert_eq!(answer.error(), (503, "partition-unavailable".into()));
}

#[tokio::test]
async fn a_stopped_partition_is_told_at_once_and_no_second_call_is_recorded_there() {
    let world = start_with(GatewayLimits { question_max: DEADLINE, ..Default::default() }).await;
    world.owner.stop(true);
    let call = || Ask::post("/Cart/ann/add", "1");
    let first = world.ask(call()).await;
    assert_eq!(first.error(), (503, "partition-stopped".into()));
    let sentence = first.json()["message"].as_str().unwrap().to_owned();
    assert!(sentence.contains("its log went back") && sentence.contains("attach"), "{sentence}");
    assert_eq!(first.header("retry-after"), None);
    let id = first.header("x-restate-id").unwrap().to_owned();
    world.owner.wait_for_messages(1).await;

    for again in [call(), Ask::post("/Cart/ann/add/send", "1")] {
        let answer = world.ask(again.header("idempotency-key", "k1")).await;
        assert_eq!(answer.error(), (503, "partition-stopped".into()));
        let sentence = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(sentence.contains("nothing was recorded"), "{sentence}");
    }
    for question in ["output", "attach"] {
        let answer = world.get(&format!("/restate/{question}/{id}")).await;
        assert_eq!(answer.error(), (503, "partition-stopped".into()), "{question}");
    }

    world.owner.stop(false);
    assert_eq!(world.ask(call()).await.status, OK);
    assert_eq!(world.owner.messages(), 2);
    assert_eq!(world.get(&format!("/restate/attach/{id}")).await.status, OK);
}

#[tokio::test]
async fn nothing_is_decided_by_metadata_that_nobody_follows() {
    let mut world = start().await;
    let send = Ask::post("/Greeter/greet/send", "1").header("idempotency-key", "k1");
    assert_eq!(world.ask(send.clone()).await.status, 202);
    world.metadata = None;
    for path in ["/Greeter/greet", "/Greeter/greet/send", "/New/greet"] {
        let answer = world.post(path, "1").await;
        assert_eq!(answer.error(), (503, "metadata-lost".into()), "{path}");
    }
    assert_eq!(world.get("/restate/health").await.error(), (503, "metadata-lost".into()));
    assert_eq!(world.owner.messages(), 1);
    let kept = world.get("/restate/invocation/Greeter/greet/k1/attach").await;
    assert_eq!((kept.status, &kept.body[..]), (OK, &b"1"[..]));
}

#[tokio::test]
async fn a_body_of_the_limit_is_taken_and_a_larger_one_is_answered() {
    let world = start().await;
    let body = Bytes::from(vec![b'x'; BODY_BYTES_MAX]);
    let answer = world.ask(Ask::post("/Greeter/greet", body.clone())).await;
    assert_eq!((answer.status, answer.body.len()), (OK, BODY_BYTES_MAX));
    let larger = Bytes::from(vec![b'x'; 33 << 20]);
    for http2 in [false, true] {
        let call = Ask::post("/Greeter/greet", larger.clone());
        let answer = ask(world.addresses.ingress, call, http2).await;
        assert_eq!(answer.error(), (413, "body-too-large".into()));
    }
    assert_eq!(world.owner.messages(), 1);
    assert_eq!(world.post("/Greeter/greet", "1").await.status, OK);
}

/// Writes bytes to the ingress as they are, and reads until it closes or has answered.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.addresses.ingress).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(DEADLINE, reading).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let world = start().await;
    let mut request = b"POST /Greeter/greet HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..33 {
        request.extend_from_slice(b"100000\r\n");
        request.extend_from_slice(&chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(&world, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("body-too-large"), "{answer}");
}

#[tokio::test]
async fn a_slow_sender_is_given_up() {
    let limits = GatewayLimits {
        body_idle_max: Duration::from_millis(50),
        head_deadline: Duration::from_millis(100),
        ..Default::default()
    };
    let world = start_with(limits).await;
    let slow_body = b"POST /Greeter/greet HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
    let answer = raw(&world, slow_body).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body-timeout"), "{answer}");
    for slow_head in [&b""[..], b"PRI * HT", b"POST /Greeter/greet HTTP/1.1\r\nhost"] {
        raw(&world, slow_head).await;
    }
    assert_eq!(world.owner.messages(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_http_is_called_so() {
    let world = start().await;
    let chunked =
        b"POST /Greeter/greet HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let answer = raw(&world, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("body-unreadable"), "{answer}");
    assert_eq!(world.owner.messages(), 0);
}

/// Calls over HTTP/1.1 and reads nothing of the answer.
async fn call_and_not_read(world: &World, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.addresses.ingress).await.unwrap();
    let head =
        format!("POST /Greeter/hang HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// Reads what is left of a connection and tells how much that is.
async fn rest_of(mut stream: TcpStream) -> usize {
    let mut read = Vec::new();
    let reading = stream.read_to_end(&mut read);
    // However it breaks off: what counts is what was sent.
    let _ = tokio::time::timeout(DEADLINE, reading).await.unwrap();
    read.len()
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_given_up_and_holds_up_nobody_for_long() {
    const LARGE: usize = 24 << 20;
    const OTHER: usize = 128 << 10;
    let stalls = Duration::from_millis(200);
    let cases = [
        GatewayLimits { write_stall_max: stalls, ..Default::default() },
        GatewayLimits { answer_total_max: stalls, ..Default::default() },
    ];
    for limits in cases {
        let world = start_with(GatewayLimits { answer_bytes_in_flight_max: LARGE, ..limits }).await;
        let body = vec![b'x'; LARGE];
        let stream = call_and_not_read(&world, &body).await;
        world.owner.wait_for_messages(1).await;
        world.owner.release();
        // There is no room for another large answer, be it small enough to be read in no time: this
        // one waits for that of the first.
        let other = world.ask(Ask::post("/Greeter/greet", vec![b'x'; OTHER])).await;
        assert_eq!((other.status, other.body.len()), (OK, OTHER));
        assert!(rest_of(stream).await < LARGE);
        assert_eq!(world.owner.envelopes().len(), 2);
    }
}

#[tokio::test]
async fn a_call_whose_caller_vanishes_goes_on_and_its_place_is_free() {
    let world = start_with(GatewayLimits { requests_max: 1, ..Default::default() }).await;
    let stream = call_and_not_read(&world, b"5").await;
    world.owner.wait_for_messages(1).await;
    assert_eq!(world.post("/Greeter/greet", "1").await.status, 429);
    drop(stream);
    until_not_429(async || world.post("/Greeter/greet", "1").await).await;
    let calls = world.owner.envelopes();
    let mut invokes = calls.iter().filter_map(|call| {
        if let Message::Invoke(invoke) = &call.message { Some(invoke) } else { None }
    });
    let hanging = invokes.find(|invoke| invoke.target.handler == "hang");
    let id = hanging.unwrap().id;
    world.owner.release();
    let attached = world.get(&format!("/restate/attach/{id}")).await;
    assert_eq!((attached.status, &attached.body[..]), (OK, &b"5"[..]));
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed() {
    const AT_ONCE: usize = 100;
    let limits =
        GatewayLimits { connections_max: 1, admin_connections_max: 1, ..Default::default() };
    let world = start_with(limits).await;
    let Addresses { ingress, admin } = world.addresses;
    let only = call_and_not_read(&world, b"1").await;
    world.owner.wait_for_messages(1).await;
    for http2 in [false, true] {
        let answer = ask(ingress, Ask::post("/Greeter/greet", vec![b'2'; 900 << 10]), http2).await;
        assert_eq!(answer.error(), (429, "too-many-connections".into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(ask(ingress, Ask::get("/restate/health"), http2).await.status, OK);
    }
    let answer = raw(&world, b"GET /Greeter/greet HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    // More than are turned away at once, some of which say nothing.
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(ingress).await.unwrap());
    }
    let many = (0..AT_ONCE).map(|_| tokio::spawn(ask(ingress, Ask::get("/Greeter/greet"), false)));
    for turned_away in many.collect::<Vec<_>>() {
        assert_eq!(turned_away.await.unwrap().status, 429);
    }
    for nothing in silent {
        assert_eq!(rest_of(nothing).await, 0);
    }

    // The other port has a number of its own.
    let mut held = TcpStream::connect(admin).await.unwrap();
    held.write_all(b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    held.read_exact(&mut [0; 12]).await.unwrap();
    let refused = world.admin(http::Method::GET, "/services").await;
    assert_eq!(refused.error(), (429, "too-many-connections".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/health", "/version", "/metrics"] {
        assert_eq!(world.admin(http::Method::GET, path).await.status, OK, "{path}");
    }
    assert_eq!(world.owner.messages(), 1);

    drop((only, held));
    until_not_429(async || world.post("/Greeter/greet", "2").await).await;
    until_not_429(async || world.admin(http::Method::GET, "/services").await).await;
}

/// Asks again and again while there is no room.
async fn until_not_429(ask: impl AsyncFn() -> Answer) {
    let asking = async {
        loop {
            let answer = ask().await;
            if answer.status != 429 {
                return answer.status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, asking).await.unwrap(), OK);
}

#[tokio::test]
async fn a_slow_service_leaves_places_to_others_and_can_be_told_what_it_waits_for() {
    let limits = GatewayLimits {
        requests_max: 3,
        service_requests_max: 2,
        attaches_max: 1,
        short_requests_max: 1,
        ..Default::default()
    };
    let world = start_with(limits).await;
    let ingress = world.addresses.ingress;
    let call = |path| tokio::spawn(ask(ingress, Ask::post(path, "1"), false));
    let slow = [call("/Greeter/hang"), call("/Greeter/hang")];
    world.owner.wait_for_messages(2).await;
    let refused = world.post("/Greeter/greet", "2").await;
    assert_eq!(refused.error(), (429, "service-busy".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.json()["message"].as_str().unwrap().contains("`Greeter`"));
    assert_eq!(world.post("/Cart/ann/add", "2").await.status, OK);

    let other = call("/Cart/ann/hang");
    world.owner.wait_for_messages(4).await;
    assert_eq!(world.post("/Cart/ann/add", "2").await.error(), (429, "too-many-requests".into()));
    let sent = world.post("/Greeter/hang/send", "3").await;
    assert_eq!(sent.status, 202);
    let id = sent.header("x-restate-id").unwrap().to_owned();
    let attach = || {
        let path = format!("/restate/attach/{id}");
        tokio::spawn(async move { ask(ingress, Ask::get(&path), false).await })
    };
    let (mut first, mut second) = (attach(), attach());
    // One of the two has the place, and waits.
    let (one_too_many, waiting) = tokio::select! {
        ended = &mut first => (ended, second),
        ended = &mut second => (ended, first),
    };
    assert_eq!(one_too_many.unwrap().error(), (429, "too-many-requests".into()));

    let life = Life { invocation: id.parse().unwrap(), incarnation: Incarnation(0) };
    let awakeable = AwakeableId { life, signal: 17 };
    for _ in 0..2 {
        let resolve = format!("/restate/awakeables/{awakeable}/resolve");
        assert_eq!(world.ask(Ask::post(&resolve, "1")).await.status, 202);
        assert_eq!(world.get(&format!("/restate/output/{id}")).await.status, 470);
        assert_eq!(world.admin(http::Method::GET, "/invocations").await.status, OK);
    }
    world.owner.release();
    for ended in slow.into_iter().chain([other, waiting]) {
        assert_eq!(ended.await.unwrap().status, OK);
    }
}

/// A connection over HTTP/2 whose caller takes in so many bytes of each answer until it reads on.
async fn connect_with_window(world: &World, window: u32) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(world.addresses.ingress).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let shaking = builder.initial_stream_window_size(window).handshake(TokioIo::new(stream));
    let (client, connection) = shaking.await.unwrap();
    tokio::spawn(connection);
    client
}

async fn greet(client: &mut SendRequest<Full<Bytes>>) -> Response<Incoming> {
    let body = Full::new(Bytes::from_static(b"more than ten bytes"));
    let request = Request::post("http://x/Greeter/greet").body(body).unwrap();
    tokio::time::timeout(DEADLINE, client.send_request(request)).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_answer_that_a_stream_holds_back_keeps_its_place() {
    for window in [0, 10] {
        let world = start_with(GatewayLimits { requests_max: 1, ..Default::default() }).await;
        let mut client = connect_with_window(&world, window).await;
        let held_back = greet(&mut client).await;
        assert_eq!(held_back.status(), 200);
        assert_eq!(world.post("/Greeter/greet", "1").await.error().0, 429);
        drop((held_back, client));
        until_not_429(async || world.post("/Greeter/greet", "1").await).await;
    }
}

#[tokio::test]
async fn an_answer_that_a_stream_holds_back_is_given_up_and_its_connection_lives_on() {
    for window in [0, 10] {
        let answer_total_max = Duration::from_millis(50);
        let limits = GatewayLimits { answer_total_max, requests_max: 1, ..Default::default() };
        let world = start_with(limits).await;
        let mut client = connect_with_window(&world, window).await;
        let held_back = greet(&mut client).await;
        until_not_429(async || world.post("/Greeter/greet", "1").await).await;
        let reading = held_back.into_body().collect();
        assert!(tokio::time::timeout(DEADLINE, reading).await.unwrap().is_err(), "{window}");
        assert_eq!(greet(&mut client).await.status(), 200, "{window}");
    }
}

#[tokio::test]
async fn garbage_is_answered_or_cut_off_and_harms_nobody() {
    let world = start().await;
    for garbage in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        raw(&world, garbage).await;
    }
    assert_eq!(world.post("/Greeter/greet", "1").await.status, OK);
}

#[tokio::test]
async fn at_its_end_a_gateway_answers_what_it_can_and_sends_the_rest_away() {
    let world = start().await;
    let ingress = world.addresses.ingress;
    let call = Ask::post("/Greeter/hang", "1");
    let waiting = tokio::spawn(ask(ingress, call.clone(), false));
    world.owner.wait_for_messages(1).await;
    world.gateway.shutdown(Duration::from_millis(100)).await;
    assert_eq!(waiting.await.unwrap().error(), (503, "shutting-down".into()));
    assert!(TcpStream::connect(ingress).await.is_err());

    let world = start().await;
    let waiting = tokio::spawn(ask(world.addresses.ingress, call, false));
    world.owner.wait_for_messages(1).await;
    let ending = world.gateway.shutdown(DEADLINE);
    let releasing = async { world.owner.release() };
    tokio::join!(ending, releasing);
    assert_eq!(waiting.await.unwrap().status, OK);
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_chooses_another() {
    let world = start().await;
    let taken = world.addresses.ingress;
    for (ingress, admin, flag) in [
        (taken, common::any_port(), "--ingress-address"),
        (common::any_port(), taken, "--admin-address"),
    ] {
        let error = Ports::bind(ingress, admin).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(&taken.to_string()) && sentence.contains(flag), "{sentence}");
    }
}
