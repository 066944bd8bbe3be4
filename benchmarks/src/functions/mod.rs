//! The functions that are measured, written with the official Rust SDK, in a process of their own.

mod calls;
mod shop;
mod waits;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use everlog_harness::{Process, free_address, until_listening};
use restate_sdk::prelude::*;

/// Functions that are served together.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Set {
    /// Those that the table of calls per second is about.
    Calls,
    /// A shop that uses a little of everything.
    Shop,
    /// Functions that wait, suspended, and one that wakes them.
    Suspended,
    /// Functions that wait with their attempt open.
    Open,
}

impl Set {
    fn endpoint(self) -> Endpoint {
        match self {
            Self::Calls => calls::endpoint(),
            Self::Shop => shop::endpoint(),
            Self::Suspended => waits::suspended(),
            Self::Open => waits::open(),
        }
    }

    fn name(self) -> Result<String> {
        let value = self.to_possible_value().context("a set without a name")?;
        Ok(value.get_name().to_owned())
    }
}

/// Serves functions until the process is ended.
pub(crate) async fn serve(set: Set, listen: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))?;
    HttpServer::new(set.endpoint()).serve(listener).await;
    Ok(())
}

/// A process of this program that serves functions.
pub(crate) struct Child {
    address: SocketAddr,
    _process: Process,
}

impl Child {
    /// Starts it on a free port and waits until it listens.
    pub(crate) async fn start(set: Set) -> Result<Self> {
        let address = free_address();
        let program = std::env::current_exe()?;
        let mut command = tokio::process::Command::new(program);
        command.args(["functions", &set.name()?, "--listen", &address.to_string()]);
        let process = Process::start(&mut command, None)?;
        until_listening(address).await?;
        Ok(Self { address, _process: process })
    }

    /// Where an engine reaches it.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}
