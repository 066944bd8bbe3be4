//! A careful caller: it asks until there is an answer, with the same idempotency key each time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use everlog_harness::{Http, Reply};

/// How soon it asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Calls a handler until it answers, for as long as `limit`, whatever becomes of the server
/// meanwhile. An error of the caller's own making is not tried again.
pub async fn call_until_answered(
    http: &Http,
    at: SocketAddr,
    path: &str,
    idempotency_key: &str,
    body: &str,
    limit: Duration,
) -> Result<Reply> {
    let deadline = Instant::now() + limit;
    loop {
        let headers = [("idempotency-key", idempotency_key)];
        match http.post(at, path, &headers, body.to_owned()).await {
            Ok(reply) if reply.status.is_success() => return Ok(reply),
            Ok(reply) if !reply.status.is_server_error() => {
                bail!("{path} answered {}: {}", reply.status, reply.text())
            }
            answer if Instant::now() > deadline => bail!("{path} got no answer: {answer:?}"),
            _ => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}
