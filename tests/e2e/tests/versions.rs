//! Versions of a service: what has begun on one ends on it, and what is new goes to the newest.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_harness::{Everlog, within};
use futures_util::future::try_join_all;
use restate_sdk::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const WAIT_MAX: Duration = Duration::from_mins(2);
/// How many invocations have begun on the first version when the second comes.
const IN_FLIGHT: usize = 200;

/// The awakeables that invocations wait for, as they have given them away.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<BTreeSet<String>>>);

impl Waiting {
    fn add(&self, awakeable: &str) {
        self.0.lock().unwrap().insert(awakeable.to_owned());
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

mod first {
    use restate_sdk::prelude::*;

    pub(super) struct Upgrade(pub(super) super::Waiting);

    #[service]
    impl Upgrade {
        /// Takes a step, waits for somebody, and takes another.
        #[handler]
        async fn run(&self, ctx: Context<'_>) -> HandlerResult<Json<Vec<String>>> {
            let one = ctx.run(async || Ok("one of 1".to_owned())).name("one").await?;
            let (id, waits) = ctx.awakeable::<String>();
            self.0.add(&id);
            waits.await?;
            let two = ctx.run(async || Ok("two of 1".to_owned())).name("two").await?;
            Ok(Json(vec![one, two]))
        }
    }
}

mod second {
    use restate_sdk::prelude::*;

    pub(super) struct Upgrade(pub(super) super::Waiting);

    #[service]
    impl Upgrade {
        /// The same with one step more, which an invocation of the first version must not meet.
        #[handler]
        async fn run(&self, ctx: Context<'_>) -> HandlerResult<Json<Vec<String>>> {
            let one = ctx.run(async || Ok("one of 2".to_owned())).name("one").await?;
            let more = ctx.run(async || Ok("more of 2".to_owned())).name("more").await?;
            let (id, waits) = ctx.awakeable::<String>();
            self.0.add(&id);
            waits.await?;
            let two = ctx.run(async || Ok("two of 2".to_owned())).name("two").await?;
            Ok(Json(vec![one, more, two]))
        }
    }
}

async fn serve(endpoint: Endpoint) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(
        HttpServer::new(endpoint).serve_with_cancel(listener, std::future::pending::<()>()),
    );
    Ok(address)
}

async fn register(everlog: &Everlog, address: SocketAddr) -> Result<String> {
    let reply = everlog.register(&format!("http://{address}")).await?.success()?;
    let deployment: Value = serde_json::from_slice(&reply.body)?;
    Ok(deployment["id"].as_str().context("no id")?.to_owned())
}

async fn send(everlog: &Everlog, count: usize) -> Result<Vec<String>> {
    let sends = (0..count).map(|_| async {
        let sent = everlog.call("/Upgrade/run/send", &[], "").await?.success()?;
        anyhow::Ok(sent.headers["x-restate-id"].to_str()?.to_owned())
    });
    try_join_all(sends).await
}

/// Waits until so many invocations wait.
async fn until_waiting(waiting: &Waiting, count: usize) -> Result<()> {
    within(WAIT_MAX, &format!("{count} wait"), || async { waiting.len() == count }).await
}

async fn resolve(everlog: &Everlog, awakeables: BTreeSet<String>) -> Result<()> {
    let resolved = awakeables.iter().map(|id| async move {
        let path = format!("/restate/awakeables/{id}/resolve");
        everlog.http.post(everlog.ingress, &path, &[], "\"go\"").await?.success()
    });
    try_join_all(resolved).await.map(drop)
}

async fn answers(everlog: &Everlog, ids: &[String]) -> Result<Vec<Value>> {
    let answers = ids.iter().map(|id| async move {
        let path = format!("/restate/attach/{id}");
        let reply = everlog.http.get(everlog.ingress, &path).await?.success()?;
        anyhow::Ok(serde_json::from_slice(&reply.body)?)
    });
    try_join_all(answers).await
}

async fn drain(everlog: &Everlog, deployment: &str) -> Result<Value> {
    let reply = everlog.admin_get(&format!("/deployments/{deployment}/drain")).await?.success()?;
    Ok(serde_json::from_slice(&reply.body)?)
}

async fn remove(everlog: &Everlog, deployment: &str) -> Result<u16> {
    let uri = format!("http://{}/deployments/{deployment}", everlog.admin);
    let request = http::Request::delete(uri).body(http_body_util::Full::default())?;
    Ok(everlog.http.send(request).await?.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_on_a_version_ends_on_it_and_what_is_new_goes_to_the_newest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    let (old, new) = (Waiting::default(), Waiting::default());
    let old_code = serve(Endpoint::builder().bind(first::Upgrade(old.clone())).build()).await?;
    let first = register(&everlog, old_code).await?;
    let begun = send(&everlog, IN_FLIGHT).await?;
    until_waiting(&old, IN_FLIGHT).await?;
    assert_eq!(drain(&everlog, &first).await?["newest_of"], json!(["Upgrade"]));

    let new_code = serve(Endpoint::builder().bind(second::Upgrade(new.clone())).build()).await?;
    let second = register(&everlog, new_code).await?;
    let fresh = send(&everlog, 3).await?;
    until_waiting(&new, fresh.len()).await?;
    let needed = drain(&everlog, &first).await?;
    let expected = json!({ "id": first, "drained": false, "newest_of": [],
        "open_invocations": IN_FLIGHT, "starting_invocations": 0 });
    assert_eq!(needed, expected);
    assert_eq!(remove(&everlog, &first).await?, 409);

    // All attempts end with the server, and begin again where they were.
    everlog.kill().await?;
    let awakeables = (old.take(), new.take());
    everlog.restart().await?;
    resolve(&everlog, awakeables.0).await?;
    resolve(&everlog, awakeables.1).await?;
    for answer in answers(&everlog, &begun).await? {
        assert_eq!(answer, json!(["one of 1", "two of 1"]));
    }
    for answer in answers(&everlog, &fresh).await? {
        assert_eq!(answer, json!(["one of 2", "more of 2", "two of 2"]));
    }
    assert_eq!(drain(&everlog, &first).await?["drained"], true);
    assert_eq!(remove(&everlog, &first).await?, 202);
    assert_eq!(remove(&everlog, &second).await?, 409, "new calls go to it");

    new.take();
    let last = send(&everlog, 1).await?;
    until_waiting(&new, 1).await?;
    resolve(&everlog, new.take()).await?;
    assert_eq!(answers(&everlog, &last).await?, [json!(["one of 2", "more of 2", "two of 2"])]);
    assert!(!everlog.output().contains("panicked"), "{}", everlog.output());
    everlog.stop().await
}
