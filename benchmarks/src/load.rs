//! Callers: each sends its next call when the one before is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use everlog_harness::Http;

use crate::case::Case;

/// What the callers saw.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// How long they called.
    pub(crate) elapsed: Duration,
    /// The time each answered call took, in rising order.
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    /// Calls from `callers` callers for `length`.
    pub(crate) async fn run(
        at: SocketAddr,
        case: Case,
        callers: usize,
        length: Duration,
    ) -> Result<Self> {
        let begin = Instant::now();
        let numbers = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::with_capacity(callers);
        for _ in 0..callers {
            let (http, numbers) = (Http::default(), Arc::clone(&numbers));
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < length {
                    let path = case.path(numbers.fetch_add(1, Ordering::Relaxed));
                    let sent = Instant::now();
                    http.post(at, &path, &[], "").await?.success()?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            }));
        }
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        latencies.sort_unstable();
        Ok(Self { elapsed: begin.elapsed(), latencies })
    }

    /// The latency below which `permille` thousandths of the calls lie.
    pub(crate) fn quantile(&self, permille: usize) -> Duration {
        let at = self.latencies.len().saturating_sub(1) * permille / 1000;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}
