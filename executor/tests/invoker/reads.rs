//! A function that asks for its state beside the journal: the state machine of the official SDKs, as no
//! SDK offers it yet.

use std::convert::Infallible;

use bytes::Bytes;
use everlog_executor::invoker::{
    AttemptEventKind, AttemptStart, EventReceiver, Invoker as _, Notice, StateRead,
};
use everlog_log_schema::{Entry, HandlerKind, Outcome};
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use restate_sdk_shared_core::{
    AwaitResponse, CoreVM, NonEmptyValue, PayloadOptions, RetryPolicy, RunExitResult, VM as _,
    VMOptions, Value,
};
use tokio::sync::mpsc;

use crate::server::{Server, Talk};
use crate::shell::{deployment, events, in_time, input, invoker, start};

const CONTENT_TYPE: &str = "application/vnd.restate.invocation.v8";

/// Hears more.
async fn hear(body: &mut Incoming, vm: &mut CoreVM) {
    match in_time(body.frame()).await {
        Some(Ok(frame)) => vm.notify_input(frame.into_data().unwrap()),
        end => panic!("the input is at its end: {end:?}"),
    }
}

/// Asks for two values within a run, and returns what it was told.
async fn look(request: Request<Incoming>, said: mpsc::UnboundedSender<Bytes>) {
    assert_eq!(request.headers()["content-type"], CONTENT_TYPE);
    let headers = vec![("content-type".to_owned(), CONTENT_TYPE.to_owned())];
    let mut vm = CoreVM::new(headers, VMOptions::default()).unwrap();
    let mut body = request.into_body();
    while !vm.is_ready_to_execute().unwrap() {
        hear(&mut body, &mut vm).await;
    }
    vm.sys_input().unwrap();
    let run = vm.sys_run("look".to_owned()).unwrap().handle;
    assert_eq!(vm.do_await(run.into()).unwrap(), AwaitResponse::ExecuteRun(run));
    for key in ["cart", "note"] {
        vm.ephemeral_state_get(key.to_owned()).unwrap();
    }
    let mut told = Vec::new();
    loop {
        said.send(vm.take_output()).unwrap();
        match vm.do_await(run.into()).unwrap() {
            AwaitResponse::EphemeralNotificationReady(question) => {
                told.push(vm.take_ephemeral_notification(question).unwrap().unwrap());
                if told.len() == 2 {
                    let result = RunExitResult::Success(format!("{told:?}").into());
                    vm.propose_run_completion(run, result, RetryPolicy::default()).unwrap();
                }
            }
            AwaitResponse::AnyCompleted => break,
            AwaitResponse::WaitingExternalProgress { .. } => hear(&mut body, &mut vm).await,
            other @ (AwaitResponse::ExecuteRun(_) | AwaitResponse::CancelSignalReceived) => {
                panic!("{other:?}")
            }
        }
    }
    let Some(Value::Success(found)) = vm.take_notification(run).unwrap() else {
        panic!("the run has a result")
    };
    vm.sys_write_output(NonEmptyValue::Success(found), PayloadOptions::default()).unwrap();
    vm.sys_end().unwrap();
    said.send(vm.take_output()).unwrap();
}

async fn respond(
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (sender, said) = mpsc::unbounded_channel();
    tokio::spawn(look(request, sender));
    let frames = stream::unfold(said, async |mut said| {
        let bytes = said.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), said))
    });
    let body = StreamBody::new(Box::pin(frames));
    Ok(Response::builder().header("content-type", CONTENT_TYPE).body(body).unwrap())
}

/// Waits for the next event that is no hint.
async fn next(events: &mut EventReceiver) -> AttemptEventKind {
    loop {
        let kind = in_time(events.recv()).await.expect("an attempt has a last event").kind;
        if !matches!(kind, AttemptEventKind::AwaitingOn(_)) {
            return kind;
        }
    }
}

/// Waits for an event that is some steps.
async fn steps(events: &mut EventReceiver) -> Vec<Entry> {
    let kind = next(events).await;
    let AttemptEventKind::Entries { entries, .. } = kind else { panic!("{kind:?}") };
    entries
}

#[tokio::test]
async fn questions_go_out_one_by_one_and_their_answers_to_the_function() {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::serve(address, Talk::default(), respond).await;
    let (sender, mut events) = events(16);
    let attempt = AttemptStart {
        kind: HandlerKind::Exclusive,
        protocol_version: 8,
        ..start(&deployment(&server.uri), "Cart", "look", vec![input("in")])
    };
    let handle = invoker().start(attempt, sender);
    steps(&mut events).await;
    for (id, key, value) in [(1, "cart", Some("milk")), (2, "note", None)] {
        let asked = next(&mut events).await;
        let key = Bytes::from_static(key.as_bytes());
        assert_eq!(asked, AttemptEventKind::ReadState(StateRead { id, key, commands: 2 }));
        handle.tell_state(id, value.map(|value: &str| Bytes::from_static(value.as_bytes())));
    }
    let entries = steps(&mut events).await;
    handle.notify(Notice { index: 2, entry: entries[0].clone() });
    let entries = steps(&mut events).await;
    let [Entry::Output { outcome: Outcome::Success(output), .. }] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(output, r#"[Success(b"milk"), Void]"#);
    assert_eq!(next(&mut events).await, AttemptEventKind::Ended);
}
