//! Child processes, and what the kernel says of them.

use std::fs::File;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use everlog_test_kafka::free_port;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take until it listens.
const START_MAX: Duration = Duration::from_mins(1);
/// How long a program may take to end when asked to.
const STOP_MAX: Duration = Duration::from_mins(1);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The kernel's clock ticks per second in `/proc/PID/stat`: fixed at 100 for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program, which is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of processor time since it started.
    pub cpu_seconds: f64,
    /// Memory it holds now, in bytes.
    pub resident_bytes: u64,
    /// The most memory it has held at any time, in bytes.
    pub resident_peak_bytes: u64,
    /// Threads it has now.
    pub threads: u64,
    /// Files and sockets it has open now.
    pub open_files: u64,
}

impl Process {
    /// Starts a program with no input. What it prints is appended to `output`, or dropped.
    pub fn start(command: &mut Command, output: Option<&Path>) -> Result<Self> {
        let stream = || -> Result<Stdio> {
            let Some(path) = output else { return Ok(Stdio::null()) };
            Ok(File::options().create(true).append(true).open(path)?.into())
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(stream()?)
            .stderr(stream()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| start_error(command))?;
        Ok(Self { child })
    }

    /// Starts a program that reads its input, which stays open and empty as long as this lives: a
    /// program that waits for it ends with this, however this ends.
    pub fn hold(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| start_error(command))?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Reads what the process has used so far.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.pid()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("unexpected format of /proc/PID/stat")?;
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<f64>().unwrap_or_default())
            .sum();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<u64> {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok())
                .with_context(|| format!("no {name} in /proc/{pid}/status"))
        };
        Ok(Usage {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            resident_bytes: field("VmRSS")? << 10,
            resident_peak_bytes: field("VmHWM")? << 10,
            threads: field("Threads")?,
            open_files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("failed to kill the process")
    }

    /// Sends SIGTERM and waits until the process has ended.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.send(Signal::TERM).context("failed to ask the process to end")?;
        self.ended().await
    }

    /// Stops the process where it stands, with SIGSTOP: it is there, and does nothing.
    pub fn freeze(&self) -> Result<()> {
        self.send(Signal::STOP).context("failed to freeze the process")
    }

    /// Lets a frozen process go on, with SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        self.send(Signal::CONT).context("failed to let the process go on")
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?.try_into()?).context("the process has ended")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = timeout(STOP_MAX, self.child.wait()).await;
        Ok(ended.with_context(|| format!("the process did not end within {STOP_MAX:?}"))??)
    }
}

fn start_error(command: &Command) -> String {
    format!("failed to start {}", command.as_std().get_program().display())
}

/// Waits until something listens at `address`.
pub async fn until_listening(address: SocketAddr) -> Result<()> {
    within(START_MAX, &format!("something listens on {address}"), || async move {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await
}

/// Looks at a condition until it holds; fails after `limit`, naming what was waited for.
pub async fn within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds().await {
        if Instant::now() > deadline {
            bail!("waited {limit:?} in vain until {what}");
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A port of loopback that was free a moment ago, and is so still after its program was down.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}
