//! What an attempt tells whoever lent it its place, and does when it is asked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use everlog_executor::invoker::{
    AttemptEventKind, AttemptHandle, AttemptStart, EventReceiver, Invoker as _, Lender,
};
use everlog_log_schema::Entry;
use everlog_log_schema::metadata::Deployment;
use everlog_log_schema::owner_api::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::connections::{last_seen, watch_input};
use crate::server::{Answer, Server, Talk, run, sleep, suspension};
use crate::shell::{deployment, events, in_time, input, invoker, start, steps};

/// Lends one place.
#[derive(Debug)]
struct TestLender {
    is_wanted: watch::Sender<bool>,
    /// How often the attempt has begun to wait.
    rests: AtomicUsize,
    /// How often it has said that the function was told.
    told: watch::Sender<usize>,
}

impl TestLender {
    fn new(is_wanted: bool) -> Arc<Self> {
        let (rests, told) = (AtomicUsize::new(0), watch::Sender::new(0));
        Arc::new(Self { is_wanted: watch::Sender::new(is_wanted), rests, told })
    }
}

impl Lender for TestLender {
    fn told(&self) {
        self.told.send_modify(|told| *told += 1);
    }

    fn wants_back(&self, _: Instant) -> BoxFuture<'_, ()> {
        self.rests.fetch_add(1, Ordering::SeqCst);
        let mut is_wanted = self.is_wanted.subscribe();
        Box::pin(async move {
            is_wanted.wait_for(|is_wanted| *is_wanted).await.unwrap();
        })
    }
}

/// An attempt of a function that would be patient.
fn patient(uri: &str, lender: &Arc<TestLender>) -> AttemptStart {
    let mut attempt = start(&deployment(uri), "Orders", "place", vec![input("in")]);
    attempt.inactivity_timeout = Duration::from_hours(1);
    attempt.abort_timeout = Duration::from_hours(1);
    attempt.lender = Some(Arc::clone(lender) as Arc<dyn Lender>);
    attempt
}

/// A server whose functions say this, and what they are told.
async fn saying(said: Bytes) -> (Server, mpsc::UnboundedReceiver<&'static str>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let server = Server::start(move |request| {
        watch_input(request, sender.clone());
        Answer::Stall(vec![said.clone()])
    })
    .await;
    (server, seen)
}

async fn last(events: &mut EventReceiver) -> AttemptEventKind {
    in_time(events.recv()).await.unwrap().kind
}

#[tokio::test]
async fn a_function_that_only_waits_suspends_when_its_place_is_wanted() {
    let (server, mut seen) = saying(sleep(1)).await;
    let lender = TestLender::new(false);
    let (sender, mut events) = events(16);
    let _handle = invoker().start(patient(&server.uri, &lender), sender);
    steps(&mut events).await;
    lender.is_wanted.send_replace(true);
    assert_eq!(last_seen(&mut seen).await, "end");
    assert!(lender.rests.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_function_in_the_middle_of_a_run_keeps_its_place() {
    let (server, mut seen) = saying(run(1)).await;
    let lender = TestLender::new(true);
    let mut attempt = patient(&server.uri, &lender);
    // Longer than it takes to count as one that waits.
    attempt.inactivity_timeout = Duration::from_millis(500);
    let (sender, mut events) = events(16);
    let _handle = invoker().start(attempt, sender);
    steps(&mut events).await;
    assert_eq!(last_seen(&mut seen).await, "end");
    assert_eq!(lender.rests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_is_asked_early_has_no_less_time_to_suspend() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let (goes, is_time) = watch::channel(false);
    let server = Server::start(move |request| {
        watch_input(request, sender.clone());
        Answer::Later(vec![sleep(1)], is_time.clone(), vec![suspension(1)])
    })
    .await;
    let mut attempt = patient(&server.uri, &TestLender::new(true));
    attempt.abort_timeout = Duration::from_millis(50);
    let (sender, mut events) = events(16);
    let _handle = invoker().start(attempt, sender);
    steps(&mut events).await;
    assert_eq!(last_seen(&mut seen).await, "end");
    // It does something else for longer than its abort time-out.
    tokio::time::sleep(Duration::from_millis(200)).await;
    goes.send_replace(true);
    let last = last(&mut events).await;
    assert!(matches!(last, AttemptEventKind::Suspended { .. }), "{last:?}");
}

/// A large attempt, of which no connection takes all at once.
fn large(uri: &str, lender: &Arc<TestLender>) -> AttemptStart {
    let body = vec![b'x'; 16 << 20].into();
    let mut attempt = patient(uri, lender);
    attempt.journal = vec![Entry::Input { headers: Vec::new(), body }];
    attempt.is_large = true;
    attempt
}

/// A large attempt at a server that answers so, and what it says.
struct Large {
    handle: AttemptHandle,
    _events: EventReceiver,
    _server: Server,
}

impl Large {
    async fn start(
        http_one: bool,
        lender: &Arc<TestLender>,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let talk = Talk { http_one, ..Talk::default() };
        let server = Server::talking(talk, answer).await;
        let mut attempt = large(&server.uri, lender);
        let to = (*attempt.deployment).clone();
        attempt.deployment = Arc::new(Deployment { use_http_11: http_one, ..to });
        let (sender, events) = events(16);
        let handle = invoker().start(attempt, sender);
        Self { handle, _events: events, _server: server }
    }
}

#[tokio::test]
async fn the_lender_of_a_large_attempt_is_told_when_its_beginning_is_taken_in() {
    for http_one in [false, true] {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let lender = TestLender::new(false);
        let _large = Large::start(http_one, &lender, move |request| {
            watch_input(request, sender.clone());
            Answer::Stall(vec![sleep(1)])
        })
        .await;
        in_time(seen.recv()).await.unwrap();
        in_time(lender.told.subscribe().wait_for(|told| *told == 1)).await.unwrap();
    }
}

#[tokio::test]
async fn the_lender_is_not_told_before_that() {
    for http_one in [false, true] {
        let lender = TestLender::new(false);
        let large = Large::start(http_one, &lender, Answer::Hold).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(*lender.told.borrow(), 0);
        drop(large.handle);
        let mut told = lender.told.subscribe();
        let is_told = timeout(Duration::from_secs(10), told.wait_for(|told| *told == 1)).await;
        assert!(is_told.is_ok(), "over HTTP/1.1: {http_one}");
    }
}
