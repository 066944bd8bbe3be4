//! Functions that wait for others while there are few places for attempts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(missing_docs, clippy::unused_async, reason = "the SDK makes clients, and wants async")]

use std::time::Duration;

use anyhow::Result;
use everlog_harness::Everlog;
use futures_util::future::join_all;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;
use tokio::time::timeout;

struct Relay;

#[service]
impl Relay {
    /// Lets another call of the same service answer.
    #[handler]
    async fn pass_on(&self, ctx: Context<'_>, text: String) -> Result<String, TerminalError> {
        ctx.service_client::<RelayClient>().answer(text).call().await
    }

    /// Answers.
    #[handler]
    async fn answer(&self, _ctx: Context<'_>, text: String) -> Result<String, TerminalError> {
        Ok(text)
    }
}

/// Serves the functions, and returns their address.
async fn serve() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}", listener.local_addr()?);
    let endpoint = Endpoint::builder().bind(Relay).build();
    tokio::spawn(async move {
        HttpServer::new(endpoint).serve_with_cancel(listener, std::future::pending::<()>()).await;
    });
    Ok(uri)
}

/// With as many callers as there are places, the callees find one long before the callers' patience
/// ends.
#[tokio::test(flavor = "multi_thread")]
async fn callers_do_not_keep_their_places_from_their_callees() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = ["--inactivity-timeout", "1h", "--set", "deployment_concurrency_max=2"];
    let mut everlog = Everlog::start(&folder.path().join("data"), &settings).await?;
    everlog.register(&serve().await?).await?.success()?;
    let headers = [("content-type", "application/json")];
    let calls = (0..6).map(|_| everlog.call("/Relay/pass_on", &headers, "\"hello\""));
    for reply in timeout(Duration::from_secs(30), join_all(calls)).await? {
        assert_eq!(reply?.success()?.text(), "\"hello\"");
    }
    everlog.stop().await
}
