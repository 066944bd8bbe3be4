//! One process of a cluster: a role of `everlog` with ports and a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use everlog_harness::{Process, free_address, program};
use tokio::process::Command;
use tokio::time::sleep;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns partitions.
    Executor,
    /// Takes calls.
    Gateway,
}

/// A process that can be killed and started again, as the same member, on the same ports.
#[derive(Debug)]
pub struct Node {
    /// Where it takes calls, if it is a gateway.
    pub ingress: SocketAddr,
    /// Where it is administered.
    pub admin: SocketAddr,
    /// Where the other members reach it.
    pub address: SocketAddr,
    role: Role,
    name: String,
    data: PathBuf,
    output: PathBuf,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Node {
    /// Describes a process, and starts nothing.
    pub fn new(
        role: Role,
        number: usize,
        folder: &Path,
        mut environment: Vec<(String, String)>,
    ) -> Self {
        let name = match role {
            Role::Executor => format!("executor-{number}"),
            Role::Gateway => format!("gateway-{number}"),
        };
        let [ingress, admin, address] = [(); 3].map(|()| free_address());
        let data = folder.join(format!("{name}.data"));
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("EVERLOG_INGRESS_ADDRESS", ingress.to_string());
        set("EVERLOG_ADMIN_ADDRESS", admin.to_string());
        set("EVERLOG_DATA_DIR", data.display().to_string());
        set("EVERLOG_CLUSTER__NAME", name.clone());
        set("EVERLOG_CLUSTER__ADDRESS", address.to_string());
        let output = folder.join(format!("{name}.output"));
        Self { ingress, admin, address, role, name, data, output, environment, process: None }
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(program("everlog")?);
        match self.role {
            Role::Executor => command.arg("executor"),
            Role::Gateway => command.arg("gateway"),
        };
        // No file of settings that happens to lie here is to count.
        if let Some(folder) = self.output.parent() {
            command.current_dir(folder);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Its name among the members.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// All that it has printed, over all its lives.
    pub fn printed(&self) -> String {
        let printed = std::fs::read_to_string(&self.output).unwrap_or_default();
        format!("{} printed:\n{printed}", self.name)
    }

    /// Starts it, and waits for nothing.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        self.process = Some(Process::start(&mut self.command()?, Some(&self.output))?);
        Ok(())
    }

    /// The running process.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        let process = self.process.take();
        process.with_context(|| format!("{} does not run", self.name))?.kill().await
    }

    /// Kills it and starts it again a while later.
    pub async fn bounce(&mut self, down: Duration) -> Result<()> {
        self.kill().await?;
        sleep(down).await;
        self.start()
    }

    /// Asks it to end, which it must do well.
    pub async fn end(&mut self) -> Result<()> {
        let process = self.process.take();
        let status = process.with_context(|| format!("{} does not run", self.name))?.stop().await?;
        ensure!(status.success(), "{} ended with {status}; {}", self.name, self.printed());
        Ok(())
    }
}
