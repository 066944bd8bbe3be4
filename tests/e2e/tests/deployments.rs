//! Deployments that are down, lie or break the protocol harm nobody else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use everlog_e2e::{Behaviour, Functions, Hostile};
use everlog_harness::{Everlog, free_address, within};
use serde_json::Value;

const WAIT_MAX: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_cannot_be_used_is_refused_with_a_code_and_a_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    let nobody = format!("http://{}", free_address());
    let future = Hostile::serve(Behaviour::VersionsOfTheFuture).await?;
    let html = Hostile::serve(Behaviour::NoManifest).await?;
    for (uri, code) in [(nobody, "META0003"), (future.uri(), "META0012"), (html.uri(), "META0013")]
    {
        let reply = everlog.register(&uri).await?;
        assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{uri}");
        let body: Value = serde_json::from_slice(&reply.body)?;
        assert_eq!(body["restate_code"], code, "{body}");
        assert!(body["message"].as_str().unwrap().contains(&uri), "{body}");
        assert!(body["error"].is_string(), "{body}");
    }
    let malformed = everlog.http.post(everlog.admin, "/deployments", &[], "{").await?;
    assert_eq!(malformed.status, 400, "{}", malformed.text());
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_deployment_that_is_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    let functions = Functions::serve().await?;
    let address = functions.address;
    everlog.register(&functions.uri()).await?.success()?;
    drop(functions);
    within(WAIT_MAX, "the port is free again", || async move {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await?;
    let sent = everlog.call("/Steps/five/send", &[], "").await?;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let id = sent.headers["x-restate-id"].to_str()?.to_owned();
    let path = format!("/restate/output/{id}");
    let early = everlog.http.get(everlog.ingress, &path).await?;
    assert_eq!(early.status, 470, "{}", early.text());

    let _functions = Functions::serve_on(address).await?;
    let attach = format!("/restate/attach/{id}");
    everlog.http.get(everlog.ingress, &attach).await?.success()?;
    everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_breaks_the_protocol_harms_no_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut everlog = Everlog::start(&folder.path().join("data"), &[]).await?;
    let functions = Functions::serve().await?;
    everlog.register(&functions.uri()).await?.success()?;
    for behaviour in
        [Behaviour::LiesAboutVersions, Behaviour::TruncatedFrame, Behaviour::EndlessFrame]
    {
        let hostile = Hostile::serve(behaviour).await?;
        let body = format!(r#"{{"uri":"{}","force":true}}"#, hostile.uri());
        everlog.http.post(everlog.admin, "/deployments", &[], body).await?.success()?;
        let sent = everlog.call("/Hostile/call/send", &[], "").await?.success()?;
        let id = sent.headers["x-restate-id"].to_str()?.to_owned();
        everlog.call("/Steps/five", &[], "").await?.success()?;
        let path = format!("/restate/output/{id}");
        let still = everlog.http.get(everlog.ingress, &path).await?;
        assert_eq!(still.status, 470, "{behaviour:?}: {}", still.text());
        within(WAIT_MAX, "the log names the failing call", || async {
            everlog.output().contains(&id)
        })
        .await?;
    }
    everlog.call("/Steps/echo", &[], "\"hello\"").await?.success()?;
    everlog.stop().await
}
