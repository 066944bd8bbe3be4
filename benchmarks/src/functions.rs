//! The functions that are measured, written with the official Rust SDK, in a process of their own.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use everlog_harness::{Process, free_address, until_listening};
use restate_sdk::prelude::*;

/// Plain functions with a number of recorded steps.
struct Bench;

#[service]
impl Bench {
    #[handler]
    async fn noop(&self, _ctx: Context<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }

    #[handler]
    async fn three(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        steps(&ctx, 3).await
    }

    #[handler]
    async fn nine(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        steps(&ctx, 9).await
    }
}

async fn steps(ctx: &Context<'_>, count: u32) -> Result<String, TerminalError> {
    for step in 0..count {
        ctx.run(move || async move { Ok(format!("result of step {step}")) }).name("step").await?;
    }
    Ok("done".into())
}

/// Functions that run one call at a time per key.
struct Hot;

#[object]
impl Hot {
    #[handler]
    async fn touch(&self, _ctx: ObjectContext<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }

    #[handler]
    async fn count(&self, ctx: ObjectContext<'_>) -> Result<u64, TerminalError> {
        let count = ctx.get::<u64>("count").await?.unwrap_or(0) + 1;
        ctx.set("count", count);
        Ok(count)
    }
}

/// Services that call each other, and wait for the answer.
struct First;
struct Second;
struct Third;

#[service]
impl First {
    #[handler]
    async fn call(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.service_client::<SecondClient>().call().call().await
    }
}

#[service]
impl Second {
    #[handler]
    async fn call(&self, ctx: Context<'_>) -> Result<String, TerminalError> {
        ctx.service_client::<ThirdClient>().call().call().await
    }
}

#[service]
impl Third {
    #[handler]
    async fn call(&self, _ctx: Context<'_>) -> Result<String, TerminalError> {
        Ok("done".into())
    }
}

/// Serves the functions until the process is ended.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))?;
    let endpoint =
        Endpoint::builder().bind(Bench).bind(Hot).bind(First).bind(Second).bind(Third).build();
    HttpServer::new(endpoint).serve(listener).await;
    Ok(())
}

/// A process of this program that serves the functions.
pub(crate) struct Child {
    address: SocketAddr,
    _process: Process,
}

impl Child {
    /// Starts it on a free port and waits until it listens.
    pub(crate) async fn start() -> Result<Self> {
        let address = free_address()?;
        let program = std::env::current_exe()?;
        let mut command = tokio::process::Command::new(program);
        command.arg("functions").arg("--listen").arg(address.to_string());
        let process = Process::start(&mut command, None)?;
        until_listening(address).await?;
        Ok(Self { address, _process: process })
    }

    /// Where an engine reaches it.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}
