//! The streams of HTTP/2 connections, each a task of its own.
//!
//! Its invariant: an answer that its caller does not take in ends in time, though the caller goes on
//! answering pings. Flow control lets a caller hold back a single stream for ever, and the task of
//! the stream waits until the last byte of its answer may leave (see [`crate::reply`]). So the task
//! is given up, which resets the stream and drops what lies there, and the connection lives on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::Notify;

tokio::task_local! {
    /// Notified once the request of this stream has its answer.
    static ANSWERED: Arc<Notify>;
}

/// Runs streams.
#[derive(Debug, Clone)]
pub(crate) struct StreamExecutor {
    /// How long an answer may take to leave.
    pub(crate) answer_max: Duration,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let answer_max = self.answer_max;
        let answered = Arc::new(Notify::new());
        let stream = ANSWERED.scope(Arc::clone(&answered), stream);
        tokio::spawn(async move {
            let late = async {
                answered.notified().await;
                tokio::time::sleep(answer_max).await;
            };
            tokio::select! {
                biased;
                _ = stream => {}
                () = late => tracing::debug!("an answer was not read in time"),
            }
        });
    }
}

/// Says that the request whose stream this is has its answer. Over HTTP/1.1 it means nothing: there
/// an answer that is not read holds up its connection, which has a deadline.
pub(crate) fn answered() {
    let _ = ANSWERED.try_with(|answered| answered.notify_one());
}
