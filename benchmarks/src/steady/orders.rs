//! Callers at a steady rate, however long the answers take.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use everlog_harness::Http;
use tokio::sync::Semaphore;
use tokio::time::{interval, timeout};

/// Calls that wait for their answer at the same time; what would be one more is left out.
const WAITING_MAX: u32 = 200;
/// How long the last calls may take.
const LAST_ANSWER_MAX: Duration = Duration::from_mins(1);

/// What became of the calls.
#[derive(Debug)]
pub(super) struct Orders {
    places: Arc<Semaphore>,
    answered: AtomicU64,
    left_out: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

impl Orders {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(WAITING_MAX as usize)),
            answered: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            first_failure: Mutex::new(None),
        }
    }

    /// Calls answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Calls left out so far, since too many waited.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Sends so many calls per second until it is dropped. Every second one has an idempotency key.
    pub(super) async fn send(self: Arc<Self>, at: SocketAddr, per_second: f64) {
        let http = Http::default();
        let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
        for number in 0_u64.. {
            ticks.tick().await;
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (orders, http) = (Arc::clone(&self), http.clone());
            tokio::spawn(async move {
                orders.place(&http, at, number).await;
                drop(place);
            });
        }
    }

    async fn place(&self, http: &Http, at: SocketAddr, number: u64) {
        let key = format!("order-{number}");
        let header = [("idempotency-key", key.as_str())];
        let headers = if number.is_multiple_of(2) { &header[..] } else { &[] };
        let reply = http.post(at, "/Order/place", headers, number.to_string()).await;
        if let Err(error) = reply.and_then(everlog_harness::Reply::success) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let mut first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| format!("order {number}: {error:#}"));
        } else {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until every call is answered; an error if one failed.
    pub(super) async fn end(&self) -> Result<()> {
        let all = timeout(LAST_ANSWER_MAX, self.places.acquire_many(WAITING_MAX)).await;
        let _all = all.context("some calls were never answered")??;
        let first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(first) = first {
            bail!("{} calls failed, the first: {first}", self.failed.load(Ordering::Relaxed));
        }
        Ok(())
    }
}
