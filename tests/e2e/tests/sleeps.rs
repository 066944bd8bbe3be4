//! Sleeping calls survive the death of the server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use everlog_e2e::{Functions, Woken, millis_now};
use everlog_harness::{Everlog, within};
use futures_util::{StreamExt, TryStreamExt, stream};

const SLEEPERS: usize = 1_000;
const SENDS_AT_ONCE: usize = 50;
/// Long enough that all have gone to sleep before the first wakes, unless the machine is very slow.
const NAP_MILLIS: u64 = 15_000;
const TEST_MAX: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sleepers_survive_a_kill_and_none_wakes_early() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;

    let ids = send_to_sleep(&everlog).await?;
    within(TEST_MAX, "all are asleep", || async { functions.sleepers() == SLEEPERS }).await?;
    let killed = millis_now();
    everlog.kill().await?;
    everlog.restart().await?;

    let (mut due_later, mut latest) = (0, 0);
    for id in ids {
        let path = format!("/restate/output/{id}");
        within(TEST_MAX, &format!("{id} has an output"), || async {
            everlog.http.get(everlog.ingress, &path).await.is_ok_and(|reply| reply.status == 200)
        })
        .await?;
        let woken = Woken::parse(&everlog.http.get(everlog.ingress, &path).await?.text())?;
        assert!(woken.asleep <= killed, "{id} was not asleep at the kill");
        let slept = woken.awake - woken.asleep;
        assert!(slept >= NAP_MILLIS, "{id} slept {slept} ms of {NAP_MILLIS} ms");
        due_later += usize::from(woken.asleep + NAP_MILLIS > killed);
        latest = latest.max(slept - NAP_MILLIS);
    }
    println!("{due_later} slept at the kill; the last one woke {latest} ms late");
    assert!(due_later > 0, "all were due before the kill: the machine is too slow for this test");
    everlog.stop().await
}

/// Sends all calls, some at a time, so that they sleep together; gives their ids.
async fn send_to_sleep(everlog: &Everlog) -> Result<Vec<String>> {
    let sends = (0..SLEEPERS).map(|sleeper| async move {
        let key = format!("sleeper-{sleeper}");
        let body = NAP_MILLIS.to_string();
        let headers = [("idempotency-key", key.as_str())];
        let sent = everlog.call("/Sleeper/nap/send", &headers, &body).await?.success()?;
        anyhow::Ok(sent.headers["x-restate-id"].to_str()?.to_owned())
    });
    stream::iter(sends).buffer_unordered(SENDS_AT_ONCE).try_collect().await
}
