//! Callers that place orders and do not give up.
//!
//! Each order has an idempotency key, and a caller that gets no answer asks again with the same
//! one. Invariant: a caller ends with a receipt or with an answer that more asking cannot change.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

/// Longest answer that is read, in bytes. The list of effects is the longest.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a caller waits before it asks again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// One step of a receipt, with the token that is recorded for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Step {
    pub(crate) step: String,
    pub(crate) token: String,
}

/// What the checkout functions answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) order: String,
    pub(crate) invocation: String,
    pub(crate) outcome: String,
    pub(crate) steps: Vec<Step>,
}

/// Names order number `number`.
pub(crate) fn order_name(number: u32) -> String {
    format!("order-{number:03}")
}

/// An HTTP client for everlog and for the counter service.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Caller {
    pub(crate) fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(url);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = self.client.request(request.body(Full::from(body))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("failed to read the answer: {error}"))?;
        Ok((status, body.to_bytes()))
    }

    /// Places an order, asking again until there is an answer.
    async fn place(&self, url: &str, number: u32) -> anyhow::Result<Receipt> {
        let order = order_name(number);
        let body = json!({ "order": order }).to_string();
        loop {
            let answer = self.send(Method::POST, url, Some(&order), body.clone()).await;
            match answer {
                Ok((StatusCode::OK, body)) => {
                    return serde_json::from_slice(&body)
                        .with_context(|| format!("failed to read the receipt of {order}"));
                }
                Ok((status, body)) if is_final(status) => {
                    bail!("{order} was answered {status}: {}", String::from_utf8_lossy(&body));
                }
                // No answer, or one that says "later": the key makes asking again safe.
                Ok(_) | Err(_) => tokio::time::sleep(RETRY_DELAY).await,
            }
        }
    }
}

fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

/// Counts the answered orders, for those who wait for a certain number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<AtomicU32>);

impl Answered {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until `count` orders are answered.
    pub(crate) async fn wait_for(&self, count: u32) {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while self.count() < count {
            tick.tick().await;
        }
    }
}

/// Places orders 1 to `orders` at `url`, `concurrency` at a time. Gives the receipts in order.
pub(crate) fn place_all(
    caller: &Caller,
    url: &str,
    orders: u32,
    concurrency: u32,
    answered: &Answered,
) -> impl Future<Output = anyhow::Result<Vec<Receipt>>> + use<> {
    let next = Arc::new(AtomicU32::new(1));
    let mut callers = JoinSet::new();
    for _ in 0..concurrency {
        let (caller, url) = (caller.clone(), url.to_owned());
        let (answered, next) = (answered.clone(), next.clone());
        callers.spawn(async move {
            let mut receipts = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number > orders {
                    return anyhow::Ok(receipts);
                }
                receipts.push((number, caller.place(&url, number).await?));
                answered.0.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    async move {
        let mut receipts = Vec::new();
        while let Some(joined) = callers.join_next().await {
            receipts.extend(joined??);
        }
        receipts.sort_by_key(|(number, _)| *number);
        Ok(receipts.into_iter().map(|(_, receipt)| receipt).collect())
    }
}
