//! The functions as a process that can be killed and started again on the same port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use everlog_harness::{Process, free_address, program, until_listening};
use tokio::process::Command;

/// The process that serves the interpreter.
#[derive(Debug)]
pub struct Functions {
    address: SocketAddr,
    outside: SocketAddr,
    output: PathBuf,
    process: Option<Process>,
}

impl Functions {
    /// Starts the process and waits until it listens. It prints into a file in `folder`.
    pub async fn start(folder: &Path, outside: SocketAddr) -> Result<Self> {
        let (address, output) = (free_address(), folder.join("functions.output"));
        let mut functions = Self { address, outside, output, process: None };
        functions.restart().await?;
        Ok(functions)
    }

    /// What to register.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills the process.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the functions do not run")?.kill().await
    }

    /// Starts the process again.
    pub async fn restart(&mut self) -> Result<()> {
        let mut command = Command::new(program("chaos-functions")?);
        command.arg(self.address.port().to_string()).arg(self.outside.to_string());
        self.process = Some(Process::start(&mut command, Some(&self.output))?);
        until_listening(self.address).await.context("the functions do not start")
    }
}
