//! Answers the questions of the other processes, over HTTP/2: `POST /owner` with a question, which
//! is answered with a reply, both as `everlog_log_schema::codec` writes them.
//!
//! **Invariants:** whoever does not prove the cluster's secret learns nothing. A question whose
//! asker has gone is dropped with what it waits for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::limits::QUESTION_BYTES_MAX;
use everlog_log_schema::owner_api::{OwnerApi, OwnerError, Progress, Question, Reply};
use everlog_log_schema::{PartitionId, StandingAnswer, StandingQuestion, codec};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::Secret;

/// The path of all questions.
pub(crate) const PATH: &str = "/owner";
/// Questions that one peer may have open: more than any gateway has callers.
const STREAMS_PER_CONNECTION_MAX: u32 = 65_536;
/// Questions that a peer may take back before they were looked at.
const TAKEN_BACK_MAX: usize = 65_536;
/// Connections of peers.
const CONNECTIONS_MAX: usize = 1_024;
/// A request's head, in bytes.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// How long a question may take to arrive.
const BODY_MAX: Duration = Duration::from_secs(10);
/// How often a silent peer is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The pause after a failed accept: the process is out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Tells how this executor stands with a partition, and lets it go where that is asked.
pub type Standings = Arc<dyn Fn(PartitionId, StandingQuestion) -> StandingAnswer + Send + Sync>;

/// What a process answers with.
#[derive(Clone)]
pub struct Answers {
    /// Knows the invocations of the partitions that are owned here; none in a gateway.
    pub owner: Option<Arc<dyn OwnerApi>>,
    /// Knows how the partitions stand; none in a gateway.
    pub standings: Option<Standings>,
}

/// Why the questions of others cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anybody might ask.
    #[error(
        "{address} can be reached from other hosts, and no secret is set: set cluster.secret to the same for all processes, or listen on the loopback address"
    )]
    NoSecret {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// The socket is of no use.
    #[error("failed to listen for the other processes: {0}")]
    Listen(#[from] io::Error),
}

/// Answers on one port, until it is dropped.
#[derive(Debug)]
pub struct OwnerServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl OwnerServer {
    /// Answers those who prove the secret; where there is none, all who reach the port, which must
    /// be on the loopback address then. Must be called within a Tokio runtime.
    pub fn start(
        listener: TcpListener,
        secret: Option<Secret>,
        answers: Answers,
    ) -> Result<Self, ServeError> {
        let address = listener.local_addr()?;
        if secret.is_none() && !address.ip().is_loopback() {
            return Err(ServeError::NoSecret { address });
        }
        let (stop, stopped) = watch::channel(false);
        let desk = Arc::new(Desk { secret, answers });
        let task = tokio::spawn(accept_loop(listener, desk, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes in no more questions and waits, at most this long, until the open ones are answered.
    pub async fn shutdown(mut self, grace: Duration) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(grace, &mut self.task).await;
    }
}

impl Drop for OwnerServer {
    /// Breaks off what is still open.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_loop(listener: TcpListener, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let stop = stopped.clone();
    loop {
        let seat = Arc::clone(&seats).acquire_owned();
        let accepted = async {
            let seat = seat.await.expect("the seats are never taken away");
            (listener.accept().await, seat)
        };
        let (accepted, seat) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = serve(stream, Arc::clone(&desk), stop.clone());
                connections.spawn(async move {
                    let _seat = seat;
                    serving.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection of another process");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.handle(request).await) }
    });
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_pending_accept_reset_streams(TAKEN_BACK_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => Some(served),
        _ = stopped.wait_for(|stopped| *stopped) => None,
    };
    let served = if let Some(served) = served {
        served
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection of another process ended");
    }
}

struct Desk {
    secret: Option<Secret>,
    answers: Answers,
}

impl Desk {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.reply(request).await {
            Ok(reply) => Response::new(Full::new(reply)),
            Err((status, reason)) => {
                let mut response = Response::new(Full::new(Bytes::from(reason)));
                *response.status_mut() = status;
                response
            }
        }
    }

    async fn reply(&self, request: Request<Incoming>) -> Result<Bytes, (StatusCode, String)> {
        if self.secret.as_ref().is_some_and(|secret| !secret.is_proved_by(request.headers())) {
            let reason = "the secret of the cluster is another: set cluster.secret to the same";
            return Err((StatusCode::UNAUTHORIZED, reason.into()));
        }
        if request.uri().path() != PATH {
            return Err((StatusCode::NOT_FOUND, format!("there is only {PATH} here")));
        }
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "questions are posted".into()));
        }
        let body = Limited::new(request.into_body(), QUESTION_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_MAX, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the question is late".into())),
        };
        let question = codec::decode_question(&body)
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let reply = self.answer(question).await?;
        codec::encode_reply(reply)
            .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }

    async fn answer(&self, question: Question) -> Result<Reply, (StatusCode, String)> {
        let no_executor = || (StatusCode::NOT_FOUND, "this process owns no partitions".to_owned());
        if let Question::Standing { partition, question } = question {
            let standings = self.answers.standings.as_ref().ok_or_else(no_executor)?;
            return Ok(Reply::Standing(standings(partition, question)));
        }
        let owner = self.answers.owner.as_ref().ok_or_else(no_executor)?;
        Ok(answer(&**owner, question).await)
    }
}

/// Has an owner answer a question.
pub(crate) async fn answer(owner: &dyn OwnerApi, question: Question) -> Reply {
    let answered = match question {
        Question::Attach { id, after } => owner.attach(id, after).await.map(Reply::Completed),
        Question::Output { id } => owner.output(id).await.map(|progress| match progress {
            Progress::Completed(answer) => Reply::Completed(answer),
            Progress::Unfinished { status, last_error } => Reply::Unfinished { status, last_error },
        }),
        Question::Verdict { id, request, after } => {
            owner.verdict(id, request, after).await.map(Reply::Verdict)
        }
        Question::Invocation { id, after } => {
            owner.invocation(id, after).await.map(|row| Reply::Invocation(Box::new(row)))
        }
        Question::AwaitingOn { id } => owner.awaiting_on(id).await.map(Reply::AwaitingOn),
        Question::Invocations { partition, query } => {
            owner.invocations(partition, query).await.map(Reply::Invocations)
        }
        Question::Journal { id, from } => owner.journal(id, from).await.map(Reply::Journal),
        Question::State { service, key, after } => {
            owner.state(service, key, after).await.map(Reply::State)
        }
        Question::Rows { partition, ranges } => {
            owner.rows(partition, ranges).await.map(Reply::Rows)
        }
        Question::Standing { partition, .. } => Err(OwnerError::Unavailable(format!(
            "how partition {partition} stands is asked of its executor"
        ))),
    };
    answered.unwrap_or_else(Reply::Refused)
}
