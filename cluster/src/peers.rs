//! Connections to the other processes: one for each address, kept, and opened again when it is
//! needed and gone.
//!
//! **Invariant:** whoever asks a process that dies learns so when its connection breaks, and of one
//! that is silent when it leaves a ping unanswered; nobody waits for a connection that somebody
//! else has just failed to open.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everlog_connect::{Connector, Origin, Wanted};
use everlog_log_schema::codec;
use everlog_log_schema::limits::REPLY_BYTES_MAX;
use everlog_log_schema::owner_api::{Question, Reply};
use http::header::AUTHORIZATION;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use crate::server::PATH;
use crate::{Secret, Unreachable};

/// How long a connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How often a peer is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_MAX: Duration = Duration::from_secs(2);
/// What a peer says when it refuses, in bytes.
const REASON_BYTES_MAX: usize = 1 << 10;
/// Addresses remembered before those without a connection are forgotten.
const PEERS_AIM: usize = 64;

/// Asks other processes.
pub struct Peers {
    connector: Connector,
    secret: Option<Secret>,
    known: Mutex<HashMap<String, Arc<Peer>>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

type Sender = SendRequest<Full<Bytes>>;

#[derive(Default)]
struct Peer {
    link: tokio::sync::Mutex<Link>,
}

#[derive(Default)]
enum Link {
    #[default]
    None,
    Open(Sender),
    Failed {
        at: Instant,
        reason: String,
    },
}

impl Peers {
    /// Asks nobody yet.
    pub fn new(connector: Connector, secret: Option<Secret>) -> Self {
        Self { connector, secret, known: Mutex::default() }
    }

    /// Asks the process at `address`, `host:port`. Waits as long as that takes to answer.
    pub async fn ask(&self, address: &str, question: &Question) -> Result<Reply, Unreachable> {
        let gone = |reason: String| Unreachable::Gone { address: address.into(), reason };
        let refused = |reason: String| Unreachable::Refused { address: address.into(), reason };
        let question =
            codec::encode_question(question).map_err(|error| refused(error.to_string()))?;
        let mut sender = self.sender(address).await.map_err(gone)?;
        let mut request = Request::post(format!("http://{address}{PATH}"))
            .body(Full::new(question))
            .map_err(|error| refused(error.to_string()))?;
        if let Some(secret) = &self.secret {
            request.headers_mut().insert(AUTHORIZATION, secret.header());
        }
        let response =
            sender.send_request(request).await.map_err(|error| gone(error.to_string()))?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            let body = Limited::new(body, REASON_BYTES_MAX).collect().await;
            let said = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            return Err(refused(format!("{} {said}", head.status.as_u16())));
        }
        let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| gone(error.to_string()))?.to_bytes();
        codec::decode_reply(&body).map_err(|error| refused(error.to_string()))
    }

    /// The open connection to an address, or a new one.
    async fn sender(&self, address: &str) -> Result<Sender, String> {
        let asked_at = Instant::now();
        let peer = self.peer(address);
        let mut link = peer.link.lock().await;
        match &*link {
            Link::Open(sender) if !sender.is_closed() => return Ok(sender.clone()),
            // Somebody tried while this one waited for its turn.
            Link::Failed { at, reason } if *at >= asked_at => return Err(reason.clone()),
            Link::Open(_) | Link::Failed { .. } | Link::None => {}
        }
        let opened = tokio::time::timeout(CONNECT_MAX, self.open(address)).await;
        let opened = opened
            .unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECT_MAX.as_secs())));
        *link = match &opened {
            Ok(sender) => Link::Open(sender.clone()),
            Err(reason) => Link::Failed { at: Instant::now(), reason: reason.clone() },
        };
        opened
    }

    async fn open(&self, address: &str) -> Result<Sender, String> {
        let uri: Uri = format!("http://{address}")
            .parse()
            .map_err(|_| format!("`{address}` is no host and port"))?;
        let origin = Origin::of(&uri).map_err(|error| error.to_string())?;
        let connection = self.connector.connect(&origin, Wanted::Best).await;
        let connection = connection.map_err(|error| error.to_string())?;
        let (sender, serving) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_MAX)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(connection))
            .await
            .map_err(|error| error.to_string())?;
        let address = address.to_owned();
        // Ends when nobody has a sender any more, or the connection breaks.
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, address, "connection to another process broke");
            }
        });
        Ok(sender)
    }

    fn peer(&self, address: &str) -> Arc<Peer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get(address) {
            return Arc::clone(peer);
        }
        if known.len() >= PEERS_AIM {
            known.retain(|_, peer| Arc::strong_count(peer) > 1 || peer.is_open());
        }
        Arc::clone(known.entry(address.to_owned()).or_default())
    }
}

impl Peer {
    fn is_open(&self) -> bool {
        let link = self.link.try_lock();
        link.is_ok_and(|link| matches!(&*link, Link::Open(sender) if !sender.is_closed()))
    }
}
