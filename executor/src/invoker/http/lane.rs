//! The way to one deployment: its connections, and the queue of attempts that want a stream.
//!
//! Attempts are served in the order in which they ask. A connection is opened where those that are
//! open, or about to be, have no room for all that wait.
//!
//! **Invariants:** there are at most `deployment_connections_max` connections; one over HTTP/2
//! carries at most `streams_per_connection` streams and at most as many as its peer allows, one over
//! HTTP/1.1 a single one; the lock is never held over I/O. How many attempts a deployment runs at
//! once is the shell's to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use everlog_connect::{HttpVersion, Wanted};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{Connection, Driver, Leased, open, sentence_of};
use super::pool::{Destination, Settings};
use super::request::RequestBody;

/// How long a connection over HTTP/1.1 may take after a response to be ready for the next request.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// The way to one deployment.
#[derive(Debug)]
pub(super) struct Lane {
    destination: Destination,
    settings: Arc<Settings>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<Connection>,
    /// How many connections are being opened.
    opening: usize,
    /// The id of the next connection.
    next_id: u64,
    waiting: VecDeque<Waiter>,
    /// Whether a connection carries one request at a time, as far as is known.
    is_http_one: bool,
}

type Waiter = oneshot::Sender<Result<Lease, String>>;

/// One stream to a deployment. Dropping it makes room for the next.
#[derive(Debug)]
pub(super) struct Lease {
    lane: Arc<Lane>,
    connection: u64,
    /// Always there before the drop.
    leased: Option<Leased>,
}

impl Lane {
    /// Makes a lane without connections.
    pub(super) fn new(destination: Destination, settings: Arc<Settings>) -> Self {
        let is_http_one = destination.wanted == Wanted::HttpOne;
        let state = Mutex::new(State { is_http_one, ..State::default() });
        Self { destination, settings, state }
    }

    /// Waits for a stream, behind all that have asked before.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, String> {
        let (waiter, served) = oneshot::channel();
        self.lock().waiting.push_back(waiter);
        self.serve();
        served.await.expect("a lane answers all that wait for as long as it lives")
    }

    /// Whether a connection is open or about to be.
    pub(super) fn has_connections(&self) -> bool {
        let state = self.lock();
        state.opening > 0 || !state.connections.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves whom it can, and opens connections for the others.
    fn serve(self: &Arc<Self>) {
        let mut served = Vec::new();
        let mut opened = Vec::new();
        {
            let mut state = self.lock();
            state.drop_unusable(&self.settings);
            while let Some((waiter, connection, leased)) = state.next_served(&self.settings) {
                let lease = Lease { lane: self.clone(), connection, leased: Some(leased) };
                served.push((waiter, lease));
            }
            for _ in 0..state.connections_wanted(&self.settings) {
                state.opening += 1;
                state.next_id += 1;
                opened.push(state.next_id);
            }
        }
        // Without the lock: whoever has stopped waiting gives the stream back at once.
        for (waiter, lease) in served {
            let _ = waiter.send(Ok(lease));
        }
        for id in opened {
            tokio::spawn(self.clone().open(id));
        }
    }

    async fn open(self: Arc<Self>, id: u64) {
        let limit = self.settings.options.connect_timeout;
        let lane = Arc::downgrade(&self);
        let on_more = move || {
            if let Some(lane) = lane.upgrade() {
                lane.serve();
            }
        };
        let opening = Box::pin(open(id, &self.destination, &self.settings, on_more));
        let opened = timeout(limit, opening)
            .await
            .unwrap_or_else(|_| Err(format!("no connection within {} ms", limit.as_millis())));
        match opened {
            Ok((mut connection, driver)) => {
                let idle_max = connection.idle_max(&self.settings.options);
                let driver = tokio::spawn(drive(Arc::downgrade(&self), id, driver, idle_max));
                connection.driver = Some(driver.abort_handle());
                let mut state = self.lock();
                state.opening -= 1;
                state.is_http_one = connection.version() == HttpVersion::One;
                state.connections.push(connection);
            }
            Err(reason) => {
                let failed = self.lock().fail_opening(&self.settings);
                for waiter in failed {
                    let _ = waiter.send(Err(reason.clone()));
                }
                return;
            }
        }
        self.serve();
    }

    fn give_back(
        self: &Arc<Self>,
        connection: u64,
        reusable: Option<http1::SendRequest<RequestBody>>,
    ) {
        self.lock().give_back(connection, reusable);
        self.serve();
    }
}

impl State {
    /// Closes the connections that are of no more use.
    fn drop_unusable(&mut self, settings: &Settings) {
        self.connections.retain(|connection| connection.is_usable(&settings.options));
    }

    /// Finds a stream for whoever has waited longest.
    fn next_served(&mut self, settings: &Settings) -> Option<(Waiter, u64, Leased)> {
        while self.waiting.front().is_some_and(Waiter::is_closed) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            return None;
        }
        let with_room = self
            .connections
            .iter_mut()
            .filter(|connection| connection.has_room(&settings.options))
            .min_by_key(|connection| connection.streams())?;
        let leased = with_room.lease()?;
        let id = with_room.id;
        Some((self.waiting.pop_front()?, id, leased))
    }

    /// How many more connections are worth opening.
    fn connections_wanted(&self, settings: &Settings) -> usize {
        let options = &settings.options;
        let each = if self.is_http_one { 1 } else { options.streams_per_connection.max(1) };
        let worth = self.waiting.len().div_ceil(each).saturating_sub(self.opening);
        let open = self.connections.len() + self.opening;
        worth.min(options.deployment_connections_max.saturating_sub(open))
    }

    /// Notes that a connection did not come about. Returns who need not wait any longer: all, where
    /// no other connection can make room.
    fn fail_opening(&mut self, settings: &Settings) -> VecDeque<Waiter> {
        self.opening -= 1;
        self.drop_unusable(settings);
        if self.opening > 0 || !self.connections.is_empty() {
            return VecDeque::new();
        }
        std::mem::take(&mut self.waiting)
    }

    fn give_back(&mut self, connection: u64, reusable: Option<http1::SendRequest<RequestBody>>) {
        let Some(at) = self.connections.iter().position(|other| other.id == connection) else {
            return;
        };
        let is_over = !self.connections.get_mut(at).is_some_and(|of| of.give_back(reusable));
        if is_over && let Some(driver) = self.connections.swap_remove(at).driver {
            // Where the peer takes nothing in, the driver would never learn that nobody waits.
            driver.abort();
        }
    }
}

impl Lease {
    /// Sends the one request that the lease is for.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.leased.as_mut().expect("it is there before the drop").send(request).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (lane, connection) = (self.lane.clone(), self.connection);
        match self.leased.take() {
            Some(Leased::One(sender)) if sender.is_ready() => {
                lane.give_back(connection, Some(sender));
            }
            Some(Leased::One(mut sender)) if !sender.is_closed() => {
                // Its response has just ended, or was broken off: the connection knows.
                tokio::spawn(async move {
                    let is_ready =
                        matches!(timeout(READY_TIMEOUT, sender.ready()).await, Ok(Ok(())));
                    lane.give_back(connection, is_ready.then_some(sender));
                });
            }
            Some(Leased::One(_) | Leased::Two(..)) | None => lane.give_back(connection, None),
        }
    }
}

/// Moves a connection's bytes until it ends, and looks from time to time whether it is unused.
async fn drive(lane: Weak<Lane>, id: u64, mut driver: Driver, idle_max: Duration) {
    let end = loop {
        tokio::select! {
            end = &mut driver => break end,
            () = tokio::time::sleep(idle_max) => {
                // Drops the sender of an unused connection, which ends it.
                if let Some(lane) = lane.upgrade() {
                    lane.lock().drop_unusable(&lane.settings);
                }
            }
        }
    };
    let Some(lane) = lane.upgrade() else { return };
    // The attempts on it see the error themselves.
    if let Err(cause) = end {
        let origin = &lane.destination.origin;
        tracing::debug!(%origin, cause = sentence_of(&cause), "connection ended");
    }
    lane.lock().connections.retain(|connection| connection.id != id);
    lane.serve();
}
