//! Sends spans to a collector, in the background.
//!
//! **Invariant:** spans wait in a bounded queue and go in bounded batches, one at a time. A
//! collector that is slow, gone or wrong costs the spans, which are counted, and one warning.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::collector::{Collector, Refusal};
use crate::wire::encode;
use crate::{Span, Tracer, metrics};

/// How many spans wait to be sent.
const SPANS_WAITING_MAX: usize = 8_192;
/// How many spans go in one request.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others to go with.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How long a collector may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often a batch is sent before it is dropped.
const TRIES_MAX: u32 = 5;
/// The pause after the first try, which doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// Sends spans until it is shut down.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Begins to send spans to a collector, as those of a service with this name and version. Traces
/// that begin here are recorded by `sample_ratio`, from 0 to 1.
///
/// Must be called within a Tokio runtime.
pub fn export(
    collector: Collector,
    service: String,
    version: String,
    sample_ratio: f64,
) -> (Tracer, Exporter) {
    let (spans, waiting) = mpsc::channel(SPANS_WAITING_MAX);
    let (stop, stopping) = oneshot::channel();
    let sending = Sending { collector, service, version, is_failing: false };
    let task = tokio::spawn(sending.run(waiting, stopping));
    (Tracer::new(spans, sample_ratio), Exporter { task, stop })
}

impl Exporter {
    /// Takes in no more spans and sends those that wait, for at most this long.
    pub async fn shutdown(self, within: Duration) {
        // An error means that it has ended.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if timeout(within, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("some spans were not sent before the end");
        }
    }
}

/// The task that sends.
struct Sending {
    collector: Collector,
    service: String,
    version: String,
    /// Whether the last batch was not taken, and that was said.
    is_failing: bool,
}

impl Sending {
    async fn run(mut self, mut spans: mpsc::Receiver<Span>, mut stop: oneshot::Receiver<()>) {
        let mut is_stopping = false;
        loop {
            let mut batch = Vec::new();
            let mut send_at = None;
            while batch.len() < BATCH_SPANS_MAX {
                let room = BATCH_SPANS_MAX - batch.len();
                tokio::select! {
                    received = spans.recv_many(&mut batch, room) => {
                        if received == 0 {
                            break;
                        }
                        send_at.get_or_insert_with(|| Instant::now() + BATCH_WAIT);
                    }
                    _ = &mut stop, if !is_stopping => {
                        is_stopping = true;
                        spans.close();
                    }
                    () = until(send_at) => break,
                }
            }
            if batch.is_empty() {
                return;
            }
            self.deliver(batch).await;
        }
    }

    async fn deliver(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(encode(&self.service, &self.version, batch));
        let mut pause = PAUSE_MIN;
        for further_try in (0..TRIES_MAX).rev() {
            let answered = timeout(ANSWER_MAX, self.collector.post(body.clone())).await;
            match answered.unwrap_or_else(|_| Err(Refusal::Later("it is silent".into()))) {
                Ok(refused) => return self.taken(count, refused),
                Err(Refusal::Later(reason)) => {
                    self.complain(&reason);
                    if further_try > 0 {
                        sleep(pause).await;
                        pause *= 2;
                    }
                }
                Err(Refusal::Never(reason)) => {
                    self.complain(&reason);
                    break;
                }
            }
        }
        metrics::DROPPED.inc_by(count);
    }

    fn taken(&mut self, count: u64, refused: Option<(u64, String)>) {
        let Some((refused, reason)) = refused else {
            metrics::SENT.inc_by(count);
            if std::mem::take(&mut self.is_failing) {
                tracing::info!("traces are sent again");
            }
            return;
        };
        let refused = refused.min(count);
        metrics::SENT.inc_by(count - refused);
        metrics::DROPPED.inc_by(refused);
        self.complain(&format!("it refused {refused} of {count} spans: {reason:?}"));
    }

    /// Warns once, until the collector takes spans again.
    fn complain(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                reason,
                "failed to send traces to the collector: what cannot be sent is dropped, and \
                 counted by everlog_traces_spans_dropped_total"
            );
        }
    }
}

/// Waits until then; for ever if there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
