//! Sleeping calls survive the death of the server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use everlog_e2e::{Functions, Woken, millis_now};
use everlog_harness::{Everlog, within};

const SLEEPERS: usize = 1_000;
/// Long enough that all have gone to sleep before the first wakes.
const NAP_MILLIS: u64 = 15_000;
const TEST_MAX: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sleepers_survive_a_kill_and_none_wakes_early() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    everlog.register(&functions.uri()).await?.success()?;

    let mut ids = Vec::new();
    for sleeper in 0..SLEEPERS {
        let key = format!("sleeper-{sleeper}");
        let body = NAP_MILLIS.to_string();
        let sent = everlog
            .call("/Sleeper/nap/send", &[("idempotency-key", &key)], &body)
            .await?
            .success()?;
        ids.push(sent.headers["x-restate-id"].to_str()?.to_owned());
    }
    // All have gone to sleep, and none may have woken: the last one sleeps as long as the others.
    within(TEST_MAX, "all are asleep", || async { functions.sleepers() == SLEEPERS }).await?;
    let killed = millis_now();
    everlog.kill().await?;
    everlog.restart().await?;

    for id in ids {
        let path = format!("/restate/output/{id}");
        within(TEST_MAX, &format!("{id} has an output"), || async {
            everlog.http.get(everlog.ingress, &path).await.is_ok_and(|reply| reply.status == 200)
        })
        .await?;
        let woken = Woken::parse(&everlog.http.get(everlog.ingress, &path).await?.text())?;
        assert!(woken.asleep <= killed, "{id} was not asleep at the kill");
        assert!(woken.asleep + NAP_MILLIS > killed, "{id} was to wake before the kill");
        let slept = woken.awake - woken.asleep;
        assert!(slept >= NAP_MILLIS, "{id} slept {slept} ms of {NAP_MILLIS} ms");
        let on_time = NAP_MILLIS + 10_000;
        assert!(slept <= on_time, "{id} slept {slept} ms, more than {on_time} ms");
    }
    everlog.stop().await
}
