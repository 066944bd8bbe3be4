//! Deployments that send too much, too slowly or nonsense: what they cost is bounded, other services
//! go on being served, and whoever looks is told what is wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_e2e::{Behaviour, Functions, Hostile, RawBehaviour, RawHostile};
use everlog_harness::{Everlog, within};
use futures_util::future::{join_all, try_join_all};
use serde_json::Value;
use tempfile::TempDir;

/// Calls of each hostile handler at once, and registrations.
const AT_ONCE: usize = 4;
/// What all of them together may add to the memory of the server. One that believed what it is told
/// would take this in a second.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
const WAIT_MAX: Duration = Duration::from_mins(1);

struct Setup {
    everlog: Everlog,
    memory_before: u64,
    _functions: Functions,
    _folder: TempDir,
}

impl Setup {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let functions = Functions::serve().await?;
        let mut everlog = Everlog::on(&folder.path().join("data"), &["--partitions", "4"])?
            .with_env("EVERLOG_INACTIVITY_TIMEOUT", "1s")
            .with_env("EVERLOG_ABORT_TIMEOUT", "1s");
        everlog.restart().await?;
        everlog.register(&functions.uri()).await?.success()?;
        everlog.call("/Steps/five", &[], "").await?.success()?;
        let memory_before = everlog.process()?.usage()?.resident_peak_bytes;
        Ok(Self { everlog, memory_before, _functions: functions, _folder: folder })
    }

    /// Registers and calls what is served at `uri`, and waits until each call is paused; returns the sentence
    /// that tells why. Meanwhile others are served.
    async fn harm(&self, uri: &str, is_http_one: bool) -> Result<String> {
        let everlog = &self.everlog;
        let body = format!(r#"{{"uri":"{uri}","force":true,"use_http_11":{is_http_one}}}"#);
        everlog.http.post(everlog.admin, "/deployments", &[], body).await?.success()?;
        let sent = (0..AT_ONCE).map(|_| everlog.call("/Hostile/call/send", &[], ""));
        let sent = try_join_all(sent).await?;
        for served in join_all((0..AT_ONCE).map(|_| everlog.call("/Steps/five", &[], ""))).await {
            served?.success()?;
        }
        let mut told = String::new();
        for reply in sent {
            let id = reply.success()?.headers["x-restate-id"].to_str()?.to_owned();
            let path = format!("/invocations/{id}");
            let look = || async {
                let shown = everlog.admin_get(&path).await?.success()?;
                anyhow::Ok(serde_json::from_slice::<Value>(&shown.body)?)
            };
            within(WAIT_MAX, &format!("{id} is paused"), || async {
                look().await.is_ok_and(|shown| shown["status"] == "paused")
            })
            .await?;
            let error = look().await?["lastError"]["message"].clone();
            told = error.as_str().with_context(|| format!("{id} has no error"))?.to_owned();
        }
        Ok(told)
    }

    async fn end(mut self) -> Result<()> {
        let most = self.everlog.process()?.usage()?.resident_peak_bytes;
        let more = most - self.memory_before;
        println!("{} MiB more than before", more >> 20);
        assert!(more <= MEMORY_BYTES_MAX, "{} MiB more than before", more >> 20);
        self.everlog.stop().await?;
        let said = self.everlog.output();
        assert!(!said.contains("panicked"), "{said}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_end_or_sense_fail_their_attempt_alone() -> Result<()> {
    let setup = Setup::new().await?;
    let run = [0x04, 0x11, 0, 0, 0, 0, 0, 2, 11 << 3, 1];
    let run_twice = [run, run].concat();
    let output = [0x04, 0x01, 0, 0, 0, 0, 0, 2, 14 << 3 | 2, 0];
    let after_output = [&output[..], &run].concat();
    let said = |bytes: Vec<u8>| Behaviour::Says(bytes.leak());
    for (behaviour, expected) in [
        (Behaviour::EndlessFrame, "[RT0003] the function sent a message of"),
        (Behaviour::EndlessFrames, "[RT0003] the journal would exceed"),
        (Behaviour::DrippedFrame, "[RT0001] the function neither suspended nor ended"),
        (Behaviour::HugeHeaders, "[RT0010] failed to call deployment"),
        (said(run_twice), "it declared completion 1 twice"),
        (said(after_output), "it sent a message of type 0x0411 after its output"),
        // An end, a suspension on nothing, and a message that only a server sends.
        (Behaviour::Says(&[0, 3, 0, 0, 0, 0, 0, 0]), "it ended without an output"),
        (Behaviour::Says(&[0, 1, 0, 0, 0, 0, 0, 0]), "it suspended without waiting for anything"),
        (Behaviour::Says(&[0, 0, 0, 0, 0, 0, 0, 0]), "which only a server sends"),
        // The result of a run that was never begun.
        (
            Behaviour::Says(&[0, 5, 0, 0, 0, 0, 0, 4, 8, 7, 14 << 3 | 2, 0]),
            "which no command declared",
        ),
    ] {
        let hostile = Hostile::serve(behaviour).await?;
        let told = setup.harm(&hostile.uri(), false).await?;
        assert!(told.contains(expected), "{behaviour:?}: {told}");
    }
    setup.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_fails_its_attempt_alone() -> Result<()> {
    let setup = Setup::new().await?;
    for (behaviour, expected) in [
        (RawBehaviour::DrippedHead, "[RT0001]"),
        (RawBehaviour::DrippedBody, "[RT0001]"),
        (RawBehaviour::EndlessHead, "[RT0010]"),
        // What it sends makes a message, and then makes no sense.
        (RawBehaviour::EndlessBody, "[RT0012]"),
        (RawBehaviour::EndlessChunkHead, "[RT0010]"),
        (RawBehaviour::EndlessInterim, "[RT0001]"),
    ] {
        let hostile = RawHostile::never_answering(behaviour).await?;
        let told = setup.harm(&hostile.uri(), true).await?;
        assert!(told.contains(expected), "{behaviour:?}: {told}");
    }
    setup.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_discovered_is_refused_in_time() -> Result<()> {
    let setup = Setup::new().await?;
    let everlog = &setup.everlog;
    let register = async |behaviour: RawBehaviour, code: &str| {
        let hostile = RawHostile::never_discovered(behaviour).await?;
        let uri = hostile.uri();
        for reply in join_all((0..AT_ONCE).map(|_| everlog.register(&uri))).await {
            let body: Value = serde_json::from_slice(&reply?.body)?;
            assert_eq!(body["restate_code"], code, "{behaviour:?}: {body}");
            assert!(body["message"].as_str().unwrap().contains(&uri), "{behaviour:?}: {body}");
        }
        anyhow::Ok(())
    };
    // Together, as some of them take as long as a discovery may.
    let (all, served) = tokio::join!(
        async {
            tokio::try_join!(
                register(RawBehaviour::DrippedHead, "META0003"),
                register(RawBehaviour::DrippedBody, "META0003"),
                register(RawBehaviour::EndlessHead, "META0013"),
                register(RawBehaviour::EndlessBody, "META0013"),
                register(RawBehaviour::EndlessChunkHead, "META0013"),
            )
        },
        everlog.call("/Steps/five", &[], ""),
    );
    all?;
    served?.success()?;
    setup.end().await
}
