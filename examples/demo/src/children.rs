//! Child processes that cannot be forgotten.
//!
//! Invariant: a child dies with its handle. Children have a process group of their own, so that
//! Ctrl-C reaches the demo alone, which then ends them.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How many of a log's last lines are shown when something failed.
const LOG_LINES_SHOWN: usize = 15;

/// A running program whose output goes to a file.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `name`, found beside this program, with its output going to `folder`.
    pub(crate) fn start(
        name: &'static str,
        arguments: &[String],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let path = std::env::current_exe()?.with_file_name(name);
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("failed to start {} (`make demo` builds it)", path.display())
            })?;
        Ok(Self { name, child, log })
    }

    /// Gives the process id, for people to see.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends the program with SIGKILL, which it cannot catch, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits until something listens on `port`; fails when the program ends or time is up.
    pub(crate) async fn wait_for_port(&mut self, port: u16, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            self.check_alive()?;
            if Instant::now() >= deadline {
                bail!("{} does not listen on port {port} after {limit:?}", self.name);
            }
            tick.tick().await;
        }
        Ok(())
    }

    /// Fails when the program has ended by itself.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself ({status})", self.name);
        }
        Ok(())
    }

    /// Prints the end of the program's output.
    pub(crate) fn print_log(&self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        println!("\nThe last lines of {}:", self.name);
        for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES_SHOWN)) {
            println!("  | {line}");
        }
    }
}

/// Fails with a sentence that names each taken port and the flag to choose another.
pub(crate) fn check_ports(ports: &[(u16, &str)]) -> anyhow::Result<()> {
    let taken: Vec<String> = ports
        .iter()
        .filter(|(port, _)| {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).is_err()
        })
        .map(|(port, flag)| {
            format!("  port {port} is taken; choose another: make demo DEMO_FLAGS=\"{flag} PORT\"")
        })
        .collect();
    if taken.is_empty() { Ok(()) } else { bail!("ports are not free\n{}", taken.join("\n")) }
}
