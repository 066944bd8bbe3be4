//! `everlog dev` as a process, on ports and a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http_body_util::Full;
use tokio::process::Command;

use crate::{Http, Process, Reply, free_address, within};

/// How long it may take from the start of the program until it takes calls.
const READY_MAX: Duration = Duration::from_mins(1);

/// A server that can be killed and started again on the same folder and ports.
#[derive(Debug)]
pub struct Everlog {
    /// Where calls go.
    pub ingress: SocketAddr,
    /// Where deployments are registered.
    pub admin: SocketAddr,
    /// Talks to it.
    pub http: Http,
    data: PathBuf,
    arguments: Vec<String>,
    /// Where its log is, if not in its folder.
    log: Vec<String>,
    environment: Vec<(String, String)>,
    mounts_of: Option<u32>,
    process: Option<Process>,
}

/// Finds a program of this workspace beside the running test.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let found =
        this.ancestors().skip(1).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is not built: run `cargo build -p {name}`"))
}

impl Everlog {
    /// Starts a server with its data in `data`, and waits until it takes calls.
    pub async fn start(data: &Path, arguments: &[&str]) -> Result<Self> {
        let mut server = Self::on(data, arguments)?;
        server.restart().await?;
        Ok(server)
    }

    /// Chooses ports and starts nothing.
    pub fn on(data: &Path, arguments: &[&str]) -> Result<Self> {
        Ok(Self {
            ingress: free_address(),
            admin: free_address(),
            http: Http::default(),
            data: data.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            log: crate::kafka::log_arguments()?,
            environment: Vec::new(),
            mounts_of: None,
            process: None,
        })
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the program see the file systems that another process has mounted for itself.
    #[must_use]
    pub fn with_mounts_of(self, pid: u32) -> Self {
        Self { mounts_of: Some(pid), ..self }
    }

    /// Starts the program and does not wait for anything.
    pub fn spawn(&mut self) -> Result<()> {
        let mut command = match self.mounts_of {
            None => Command::new(program("everlog")?),
            Some(pid) => {
                let mut enter = Command::new("nsenter");
                enter
                    .args(["--user", "--mount", "--preserve-credentials", "--target"])
                    .arg(pid.to_string())
                    .arg(program("everlog")?);
                enter
            }
        };
        command
            .arg("dev")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--ingress-address", &self.ingress.to_string()])
            .args(["--admin-address", &self.admin.to_string()])
            .args(&self.log)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(&mut command, Some(&self.output_path()))?);
        Ok(())
    }

    /// Starts the program again, and waits until it takes calls.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server runs already");
        self.spawn()?;
        let (http, admin, ingress) = (self.http.clone(), self.admin, self.ingress);
        let ready = within(READY_MAX, "everlog takes calls", || {
            let http = http.clone();
            async move {
                let up = |reply: Result<Reply>| reply.is_ok_and(|reply| reply.status.is_success());
                up(http.get(admin, "/health").await)
                    && up(http.get(ingress, "/restate/health").await)
            }
        })
        .await;
        ready.with_context(|| format!("everlog printed:\n{}", self.output()))
    }

    /// Sets something for a service, until its next version.
    pub async fn patch_service(&self, service: &str, patch: &str) -> Result<()> {
        let request = Request::patch(format!("http://{}/services/{service}", self.admin))
            .header("content-type", "application/json");
        let reply = self.http.send(request.body(Full::from(patch.to_owned()))?).await?;
        reply.success().map(drop)
    }

    /// Kills the program with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the server does not run")?.kill().await
    }

    /// Ends the program with SIGTERM, which must make it end well.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.take().context("the server does not run")?.stop().await?;
        ensure!(status.success(), "everlog ended with {status}; it printed:\n{}", self.output());
        Ok(())
    }

    /// Waits until the program has ended by itself, after which it can be started again.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.process.take().context("the server does not run")?.ended().await
    }

    /// The running program.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the server does not run")
    }

    /// All that the program has printed, over all its lives.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output_path()).unwrap_or_default()
    }

    fn output_path(&self) -> PathBuf {
        self.data.with_extension("output")
    }

    /// Registers the functions at `uri`.
    pub async fn register(&self, uri: &str) -> Result<Reply> {
        let body = format!(r#"{{"uri":"{uri}"}}"#);
        self.http.post(self.admin, "/deployments", &[], body).await
    }

    /// Reads something from the admin port.
    pub async fn admin_get(&self, path: &str) -> Result<Reply> {
        self.http.get(self.admin, path).await
    }

    /// Changes an invocation: `change` is `cancel`, `kill`, `pause`, `resume` or `purge`.
    pub async fn order(&self, id: &str, change: &str) -> Result<Reply> {
        let uri = format!("http://{}/invocations/{id}/{change}", self.admin);
        self.http.send(Request::patch(uri).body(Full::default())?).await
    }

    /// Calls a handler and waits for its answer.
    pub async fn call(&self, path: &str, headers: &[(&str, &str)], json: &str) -> Result<Reply> {
        self.http.post(self.ingress, path, headers, json.to_owned()).await
    }
}
