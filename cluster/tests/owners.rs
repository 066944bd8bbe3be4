//! Questions over real sockets: to the right owner, by those who may ask, and given up as soon as
//! the owner cannot answer any more.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use everlog_cluster::{
    Answers, Holding, Member, MemberId, Members, OwnerServer, Owners, Peers, Role, Secret,
    ServeError, StandingAnswer, StandingQuestion, Unreachable,
};
use everlog_connect::{Connector, TlsOptions};
use everlog_log_schema::owner_api::*;
use everlog_log_schema::*;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A bound for hangs only.
const SOON: Duration = Duration::from_mins(1);
const PARTITIONS: u32 = 2;

/// An owner that knows one state, and whose attached callers wait for ever.
#[derive(Default)]
struct Stub {
    name: &'static str,
    waiting: Arc<AtomicUsize>,
}

struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn no<T>() -> BoxFuture<'static, Result<T, OwnerError>> {
    Box::pin(async { Err(OwnerError::NotFound) })
}

impl OwnerApi for Stub {
    fn attach(
        &self,
        _: InvocationId,
        _: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        let waiting = Arc::clone(&self.waiting);
        Box::pin(async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            let _waits = Waits(waiting);
            std::future::pending().await
        })
    }

    fn output(&self, _: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        let progress = Progress::Unfinished { status: Status::Running, last_error: None };
        Box::pin(async { Ok(progress) })
    }

    fn verdict(
        &self,
        _: InvocationId,
        _: RequestId,
        _: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        Box::pin(async { Ok(Verdict::PreviouslyAccepted) })
    }

    fn invocation(
        &self,
        _: InvocationId,
        _: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>> {
        no()
    }

    fn awaiting_on(
        &self,
        _: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>> {
        no()
    }

    fn invocations(
        &self,
        _: PartitionId,
        _: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>> {
        Box::pin(async { Ok(InvocationPage::default()) })
    }

    fn journal(
        &self,
        _: InvocationId,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>> {
        no()
    }

    fn state(
        &self,
        _: String,
        _: String,
        _: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>> {
        let entries = vec![(Bytes::from_static(b"name"), self.name.into())];
        Box::pin(async { Ok(StatePage { entries, next: None }) })
    }

    fn rows(
        &self,
        partition: PartitionId,
        ranges: Vec<RowRange>,
    ) -> BoxFuture<'_, Result<RowPage, OwnerError>> {
        // What was asked comes back, so that a test can see it.
        let rows = ranges.into_iter().map(|range| (range.from, range.below)).collect();
        let next = Some(partition.0.to_be_bytes().to_vec().into());
        Box::pin(async { Ok(RowPage { rows, next }) })
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

async fn serve(name: &'static str, waiting: &Arc<AtomicUsize>) -> OwnerServer {
    let owner = Stub { name, waiting: Arc::clone(waiting) };
    let answers = Answers {
        owner: Some(Arc::new(owner)),
        standings: Some(Arc::new(|partition, question| StandingAnswer {
            owner: (question == StandingQuestion::Ping).then_some(Epoch(partition.0.into())),
            next_log: LogOffset(7),
        })),
    };
    OwnerServer::start(listener().await, Some(secret("s3cret")), answers).unwrap()
}

fn peers(secret: Option<Secret>) -> Peers {
    Peers::new(Connector::new(&TlsOptions::default()).unwrap(), secret)
}

/// A member that owns all partitions in an epoch.
fn member(address: SocketAddr, epoch: u64) -> Member {
    let holdings = (0..PARTITIONS).map(|id| (PartitionId(id), Holding::Owner(Epoch(epoch))));
    Member {
        role: Role::Executor,
        address: address.to_string(),
        version: String::new(),
        level: Level(1),
        holdings: holdings.collect(),
    }
}

fn members(of: &[(&str, SocketAddr, u64)]) -> Arc<Members> {
    let member = |(id, address, epoch): &(&str, SocketAddr, u64)| {
        (MemberId((*id).into()), member(*address, *epoch))
    };
    Arc::new(of.iter().map(member).collect())
}

fn id() -> InvocationId {
    InvocationId { partition_key: PartitionKey(0), uuid: 1 }
}

async fn who_answers(owners: &Owners) -> Result<String, OwnerError> {
    let page = owners.state("S".into(), "k".into(), None).await?;
    let (_, name) = page.entries.into_iter().next().unwrap();
    Ok(String::from_utf8(name.to_vec()).unwrap())
}

/// Waits until the routes follow the members.
async fn until_answered_by(owners: &Owners, name: &str) {
    let answered = async {
        while who_answers(owners).await.as_deref() != Ok(name) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, answered).await.unwrap();
}

async fn until(waiting: &AtomicUsize, wanted: usize) {
    let reached = async {
        while waiting.load(Ordering::SeqCst) != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, reached).await.unwrap();
}

#[tokio::test]
async fn the_owner_of_the_highest_epoch_is_asked() {
    let waiting = Arc::default();
    let (old, new) = (serve("old", &waiting).await, serve("new", &waiting).await);
    let none = Arc::new(BTreeMap::new());
    let sender = watch::Sender::new(none);
    let owners = Owners::new(PARTITIONS, sender.subscribe(), peers(Some(secret("s3cret"))), None);
    assert!(matches!(who_answers(&owners).await, Err(OwnerError::Unavailable(_))));
    sender.send_replace(members(&[("b", old.address(), 4)]));
    until_answered_by(&owners, "old").await;
    sender.send_replace(members(&[("a", new.address(), 5), ("b", old.address(), 4)]));
    until_answered_by(&owners, "new").await;
    sender.send_replace(members(&[("a", old.address(), 4), ("b", new.address(), 5)]));
    until_answered_by(&owners, "new").await;

    // Where nobody owns it, whoever has stopped it says why.
    let mut stopped = member(old.address(), 4);
    stopped.holdings.values_mut().for_each(|holding| *holding = Holding::Stopped);
    sender.send_replace(Arc::new(Members::from([(MemberId("a".into()), stopped.clone())])));
    until_answered_by(&owners, "old").await;
    sender.send_replace(Arc::new(Members::from([
        (MemberId("a".into()), stopped),
        (MemberId("b".into()), member(new.address(), 1)),
    ])));
    until_answered_by(&owners, "new").await;

    let running = Progress::Unfinished { status: Status::Running, last_error: None };
    assert_eq!(owners.output(id()).await, Ok(running));
    let verdict = owners.verdict(id(), RequestId(1), InboxOffset(1)).await;
    assert_eq!(verdict, Ok(Verdict::PreviouslyAccepted));
    assert_eq!(owners.invocation(id(), None).await, Err(OwnerError::NotFound));
    assert_eq!(owners.journal(id(), 0).await, Err(OwnerError::NotFound));
    let page = owners.invocations(PartitionId(1), InvocationQuery::default()).await;
    assert_eq!(page, Ok(InvocationPage::default()));
    let (from, below) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
    let ranges = vec![RowRange { from: from.clone(), below: below.clone() }];
    let page = owners.rows(PartitionId(1), ranges).await.unwrap();
    assert_eq!(page.rows, [(from, below)]);
    assert_eq!(page.next.as_deref(), Some(&1_u32.to_be_bytes()[..]));
}

#[tokio::test]
async fn what_is_owned_here_needs_no_network() {
    let here: Arc<dyn OwnerApi> = Arc::new(Stub { name: "here", waiting: Arc::default() });
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let sender = watch::Sender::new(members(&[("me", nobody, 4)]));
    let here = Some((MemberId("me".into()), here));
    let owners = Owners::new(PARTITIONS, sender.subscribe(), peers(None), here);
    until_answered_by(&owners, "here").await;
}

/// A call that is attached to the owner at an address, which is "old", and the members.
async fn attach_at(
    old: SocketAddr,
    waiting: &AtomicUsize,
) -> (Arc<Owners>, watch::Sender<Arc<Members>>, JoinHandle<Result<Answer, OwnerError>>) {
    let sender = watch::Sender::new(members(&[("b", old, 4)]));
    let owners = Owners::new(PARTITIONS, sender.subscribe(), peers(Some(secret("s3cret"))), None);
    let owners = Arc::new(owners);
    until_answered_by(&owners, "old").await;
    let attached = tokio::spawn({
        let owners = Arc::clone(&owners);
        async move { owners.attach(id(), None).await }
    });
    until(waiting, 1).await;
    (owners, sender, attached)
}

#[tokio::test]
async fn an_attached_call_goes_to_the_next_owner_when_the_owner_changes() {
    let (waiting, of_new) = (Arc::default(), Arc::default());
    let (old, new) = (serve("old", &waiting).await, serve("new", &of_new).await);
    let (owners, sender, attached) = attach_at(old.address(), &waiting).await;
    // What else changes among the members is no reason.
    sender.send_replace(members(&[("b", old.address(), 4), ("c", new.address(), 3)]));
    until_answered_by(&owners, "old").await;
    assert!(!attached.is_finished());
    sender.send_replace(members(&[("b", old.address(), 4), ("c", new.address(), 5)]));
    until(&of_new, 1).await;
    // The old owner need not wait any more.
    until(&waiting, 0).await;
    assert!(!attached.is_finished());
    attached.abort();
}

#[tokio::test]
async fn the_owner_that_comes_after_a_dead_one_is_asked_at_once() {
    let (waiting, of_new) = (Arc::default(), Arc::default());
    let (old, new) = (serve("old", &waiting).await, serve("new", &of_new).await);
    let (_owners, sender, attached) = attach_at(old.address(), &waiting).await;
    drop(old);
    sender.send_replace(members(&[("c", new.address(), 5)]));
    until(&of_new, 1).await;
    assert!(!attached.is_finished(), "it was not told that there is no owner");
    attached.abort();
}

#[tokio::test]
async fn an_attached_call_is_given_up_when_the_connection_breaks() {
    let waiting = Arc::default();
    let server = serve("old", &waiting).await;
    let (owners, _sender, attached) = attach_at(server.address(), &waiting).await;
    drop(server);
    let ended = tokio::time::timeout(SOON, attached).await.unwrap().unwrap();
    assert!(matches!(ended, Err(OwnerError::Unavailable(_))), "{ended:?}");
    let ended = who_answers(&owners).await;
    assert!(matches!(ended, Err(OwnerError::Unavailable(_))), "{ended:?}");
}

#[tokio::test]
async fn an_owner_need_not_wait_for_an_asker_that_has_gone() {
    let waiting = Arc::default();
    let server = serve("one", &waiting).await;
    let peers = Arc::new(peers(Some(secret("s3cret"))));
    let address = server.address().to_string();
    let attached = tokio::spawn({
        let (peers, address) = (Arc::clone(&peers), address.clone());
        async move { peers.ask(&address, &Question::Attach { id: id(), after: None }).await }
    });
    until(&waiting, 1).await;
    attached.abort();
    until(&waiting, 0).await;
    // The connection is as good as before.
    assert!(peers.ask(&address, &Question::Output { id: id() }).await.is_ok());
}

#[tokio::test]
async fn only_those_who_prove_the_secret_are_answered() {
    let server = serve("one", &Arc::default()).await;
    let address = server.address().to_string();
    for wrong in [Some(secret("another")), None] {
        let refused = peers(wrong).ask(&address, &Question::Output { id: id() }).await;
        let Err(Unreachable::Refused { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.starts_with("401 ") && reason.contains("cluster.secret"), "{reason}");
    }
}

#[tokio::test]
async fn a_port_for_other_hosts_needs_a_secret() {
    let open = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let answers = Answers { owner: None, standings: None };
    let refused = OwnerServer::start(open, None, answers.clone());
    assert!(matches!(refused, Err(ServeError::NoSecret { .. })));
    assert!(OwnerServer::start(listener().await, None, answers).is_ok());
}

#[tokio::test]
async fn how_an_executor_stands_is_answered_by_executors_alone() {
    let server = serve("one", &Arc::default()).await;
    let address = server.address().to_string();
    let peers = peers(Some(secret("s3cret")));
    let ask = |question| Question::Standing { partition: PartitionId(3), question };
    let standing = |owner| Ok(Reply::Standing(StandingAnswer { owner, next_log: LogOffset(7) }));
    let answered = peers.ask(&address, &ask(StandingQuestion::Ping)).await;
    assert_eq!(answered, standing(Some(Epoch(3))));
    let question = StandingQuestion::HandOver { caught_up: LogOffset(6) };
    assert_eq!(peers.ask(&address, &ask(question)).await, standing(None));

    let answers = Answers { owner: None, standings: None };
    let gateway = OwnerServer::start(listener().await, Some(secret("s3cret")), answers).unwrap();
    let refused = peers.ask(&gateway.address().to_string(), &ask(StandingQuestion::Ping)).await;
    assert!(matches!(refused, Err(Unreachable::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_question_beyond_the_limit_is_refused_on_both_sides() {
    let server = serve("one", &Arc::default()).await;
    let address = server.address().to_string();
    let key = "k".repeat(limits::QUESTION_BYTES_MAX + 1);
    let question = Question::State { service: "S".into(), key, after: None };
    let refused = peers(Some(secret("s3cret"))).ask(&address, &question).await;
    assert!(matches!(refused, Err(Unreachable::Refused { .. })), "{refused:?}");
    let head = "POST /owner HTTP/2 with a body of one byte more";
    let status = post(&server, vec![0; limits::QUESTION_BYTES_MAX + 1]).await;
    assert_eq!(status, 413, "{head}");
    assert_eq!(post(&server, vec![0; limits::QUESTION_BYTES_MAX]).await, 400);
}

/// What proves `s3cret`, the hexadecimal SHA-256 of `everlog-cluster`, a zero byte and the secret:
/// written down here, so that no version takes another for it.
const TOKEN: &str = "563f587ba10915196c7df2ecb7d069f73e24faf14a322ce5413f81bb0b7fe546";

/// Posts any bytes as a question.
async fn post(server: &OwnerServer, body: Vec<u8>) -> u16 {
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://peer/owner")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    sender.send_request(request).await.unwrap().status().as_u16()
}
