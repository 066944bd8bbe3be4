//! Functions that answer one server alone know it by its signature; and the server's key is replaced
//! while it runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use everlog_e2e::program::IDENTITY_KEY;
use everlog_e2e::{Language, Program};
use everlog_harness::{Everlog, program, within};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

const WAIT_MAX: Duration = Duration::from_mins(2);

/// Two keys, made for these tests by `openssl genpkey -algorithm ed25519`.
const KEYS: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINqa1j3droTvE3MpB0+aFYj1awkH/3vPKGFfg8RkUf5y\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHsTAfcFVhLiCMrqqrnXgP7xhzOOA3lH6NGqPJFW9AYZ\n-----END PRIVATE KEY-----\n",
];

/// A server that signs, and the file of its keys.
struct Signing {
    everlog: Everlog,
    folder: TempDir,
}

impl Signing {
    async fn start(variable: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("identity.pem");
        fs::write(&file, KEYS[0])?;
        let mut everlog = Everlog::on(&folder.path().join("data"), &[])?
            .with_env(variable, file.to_str().context("no text")?);
        everlog.restart().await?;
        Ok(Self { everlog, folder })
    }

    fn write(&self, keys: &str) -> Result<()> {
        // As it should be done: whoever reads sees the old file or the new one.
        let new = self.folder.path().join("new.pem");
        fs::write(&new, keys)?;
        Ok(fs::rename(new, self.folder.path().join("identity.pem"))?)
    }

    /// The public keys, as the server tells them.
    async fn public_keys(&self) -> Result<Vec<String>> {
        let version = self.everlog.admin_get("/version").await?.success()?;
        let version: Value = serde_json::from_slice(&version.body)?;
        let keys = version["request_identity_public_keys"].as_array().context("no keys")?;
        Ok(keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect())
    }

    /// Serves the functions of a language for the server of this key alone.
    async fn functions(&self, language: Language, name: &str, key: &str) -> Result<Program> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        let key = key.to_owned();
        let serve = move |port| {
            let mut command = language.command(port)?;
            command.env(IDENTITY_KEY, &key);
            Ok(command)
        };
        Program::start(&folder, serve).await
    }

    /// Whether the functions let themselves be registered.
    async fn may_register(&self, functions: &Program) -> Result<bool> {
        let reply = self.everlog.register(&functions.uri()).await?;
        if reply.status.is_success() {
            return Ok(true);
        }
        let text = reply.text();
        ensure!(reply.status == 400 && text.contains("META0013"), "{}: {text}", reply.status);
        ensure!(text.contains("401") && text.contains("public key"), "{text}");
        Ok(false)
    }
}

async fn signed_requests_alone_are_answered(language: Language) -> Result<()> {
    let mut signing = Signing::start("EVERLOG_REQUEST_IDENTITY_FILE").await?;
    let public_key = signing.public_keys().await?.remove(0);
    assert!(public_key.starts_with("publickeyv1_"), "{public_key}");
    assert!(signing.everlog.output().contains(&public_key));

    let other = key_of(&signing.folder.path().join("other.pem"), KEYS[1]).await?;
    let strangers = signing.functions(language, "strangers", &other).await?;
    assert!(!signing.may_register(&strangers).await?);

    let functions = signing.functions(language, "functions", &public_key).await?;
    assert!(signing.may_register(&functions).await?);
    let echoed = signing.everlog.call("/Steps/run", &[], "2").await?.success()?;
    let tokens: Vec<String> = serde_json::from_slice(&echoed.body)?;
    assert_eq!(tokens.len(), 2);
    // An object key is no part of what is signed, whatever is in it.
    let keyed = signing.everlog.call("/Store/a%2Fb%20c/apply", &[], "[]").await?.success()?;
    assert_eq!(keyed.text(), "[]");
    // The same functions turn away whoever does not sign, and any other signature.
    let stranger = TempDir::new()?;
    let mut everlog = Everlog::start(&stranger.path().join("data"), &[]).await?;
    let reply = everlog.register(&functions.uri()).await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("401"), "{}", reply.text());
    everlog.stop().await?;
    signing.everlog.stop().await
}

/// The public key of a file, as `everlog doctor` shows it.
async fn key_of(file: &Path, pem: &str) -> Result<String> {
    fs::write(file, pem)?;
    let mut doctor = Command::new(program("everlog")?);
    let setting = format!("request_identity_file={}", file.display());
    doctor.args(["doctor", "--json", "--ephemeral", "--set", &setting]);
    let said = doctor.output().await?;
    let said: Value = serde_json::from_slice(&said.stdout)?;
    let checks = said["checks"].as_array().context("no checks")?;
    let found = checks.iter().find(|check| check["check"] == "identity").context("no identity")?;
    let says = found["says"].as_str().context("nothing said")?;
    let key = says.split_whitespace().find(|word| word.starts_with("publickeyv1_"));
    Ok(key.context("no key")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_requests_alone_are_answered_in_rust() -> Result<()> {
    signed_requests_alone_are_answered(Language::Rust).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_requests_alone_are_answered_in_typescript() -> Result<()> {
    signed_requests_alone_are_answered(Language::TypeScript).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_requests_alone_are_answered_in_python() -> Result<()> {
    signed_requests_alone_are_answered(Language::Python).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_while_the_server_runs() -> Result<()> {
    let mut signing = Signing::start("RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE").await?;
    let old = signing.public_keys().await?.remove(0);
    let functions = signing.functions(Language::Rust, "old", &old).await?;
    assert!(signing.may_register(&functions).await?);

    signing.write(&KEYS.concat())?;
    let signing_key = || async { signing.public_keys().await.ok()?.pop() };
    within(WAIT_MAX, "the new key is read", || async { signing_key().await != Some(old.clone()) })
        .await?;
    let keys = signing.public_keys().await?;
    assert_eq!((keys.len(), &keys[0]), (2, &old));
    let fresh = signing.functions(Language::Rust, "new", &keys[1]).await?;
    assert!(signing.may_register(&fresh).await?);
    signing.everlog.call("/Steps/run", &[], "1").await?.success()?;
    // Who knows the old key alone answers no longer.
    let body = format!(r#"{{"uri":"{}","force":true}}"#, functions.uri());
    let refused =
        signing.everlog.http.post(signing.everlog.admin, "/deployments", &[], body).await?;
    assert_eq!(refused.status, 400, "{}", refused.text());

    // What cannot be read changes nothing.
    signing.write("-----BEGIN PRIVATE KEY-----\n")?;
    within(WAIT_MAX, "the log says so", || async {
        let _ = signing.public_keys().await;
        signing.everlog.output().contains("the former key goes on signing")
    })
    .await?;
    signing.everlog.call("/Steps/run", &[], "1").await?.success()?;
    signing.everlog.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_ends_the_start_with_a_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("identity.pem");
    fs::write(&file, "no key")?;
    let mut everlog = Everlog::on(&folder.path().join("data"), &[])?
        .with_env("EVERLOG_REQUEST_IDENTITY_FILE", file.to_str().context("no text")?);
    everlog.spawn()?;
    assert!(!everlog.ended().await?.success());
    let said = everlog.output();
    assert!(said.contains("identity.pem") && said.contains("openssl genpkey"), "{said}");
    Ok(())
}
