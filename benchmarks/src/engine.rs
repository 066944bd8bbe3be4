//! The engines that are measured, and how each is started, with what it does by default and every
//! write synced to disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_harness::{Http, Process, free_address, until_listening};
use tempfile::TempDir;
use tokio::process::Command;

use crate::case::Case;
use crate::load::Load;
use crate::report::Row;

/// A program that runs functions.
pub(crate) enum Engine {
    /// Everlog, all in one process.
    Everlog(PathBuf),
    /// Restate, one node, two partitions.
    Restate(PathBuf),
}

/// An engine that is up, with the functions registered.
pub(crate) struct Running {
    name: &'static str,
    process: Process,
    ingress: SocketAddr,
    metrics: SocketAddr,
    fsyncs: &'static str,
    http: Http,
    _data: TempDir,
}

impl Engine {
    pub(crate) fn everlog(program: &Path) -> Self {
        Self::Everlog(program.to_owned())
    }

    pub(crate) fn restate(program: &Path) -> Self {
        Self::Restate(program.to_owned())
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Everlog(_) => "Everlog",
            Self::Restate(_) => "Restate",
        }
    }

    /// Starts the engine on an empty folder and registers the functions.
    pub(crate) async fn start(&self, functions: &str) -> Result<Running> {
        let data = tempfile::tempdir()?;
        let (ingress, admin) = (free_address(), free_address());
        let mut metrics = admin;
        let mut command;
        let fsyncs;
        match self {
            Self::Everlog(program) => {
                command = Command::new(program);
                command
                    .arg("dev")
                    .arg("--data-dir")
                    .arg(data.path())
                    .args(["--ingress-address", &ingress.to_string()])
                    .args(["--admin-address", &admin.to_string()])
                    .env("EVERLOG_LOG", "warn");
                fsyncs = "everlog_log_fsyncs_total";
            }
            Self::Restate(program) => {
                let node = free_address();
                metrics = node;
                command = Command::new(program);
                command
                    .args(["--bind-ip", "127.0.0.1", "--default-num-partitions", "2"])
                    .args(["--bind-address", &node.to_string(), "--log-filter", "warn"])
                    .args(["--listen-mode", "tcp"])
                    .arg("--base-dir")
                    .arg(data.path())
                    .env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string())
                    .env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string());
                fsyncs = "restate_rocksdb_wal_synced_total";
            }
        }
        let process = Process::start(&mut command, None)?;
        until_listening(ingress).await?;
        until_listening(admin).await?;
        let http = Http::default();
        let deployment = format!(r#"{{"uri":"{functions}"}}"#);
        let registered = http.post(admin, "/deployments", &[], deployment).await?;
        registered.success().context("failed to register")?;
        Ok(Running { name: self.name(), process, ingress, metrics, fsyncs, http, _data: data })
    }
}

impl Running {
    /// Measures one case after a short time to warm up.
    pub(crate) async fn measure(
        &self,
        case: Case,
        callers: usize,
        length: Duration,
    ) -> Result<Row> {
        Load::run(self.ingress, case, callers, length / 5).await?;
        let (before, synced_before) = (self.process.usage()?, self.synced().await?);
        let load = Load::run(self.ingress, case, callers, length).await?;
        let (after, synced_after) = (self.process.usage()?, self.synced().await?);
        Ok(Row {
            engine: self.name,
            case: case.name,
            callers,
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            fsyncs: synced_after - synced_before,
            resident_bytes: after.resident_bytes,
            load,
        })
    }

    /// The number of syncs so far, as the engine counts them: the sum over all labels.
    async fn synced(&self) -> Result<f64> {
        let page = self.http.get(self.metrics, "/metrics").await?.success()?.text();
        Ok(page
            .lines()
            .filter(|line| line.starts_with(self.fsyncs))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.stop().await?;
        Ok(())
    }
}
