//! `everlog dev` on the embedded log: one process that is executor and gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use everlog_harness::Everlog;
use everlog_log_client::EventLog;
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use tokio::time::sleep;

use super::{Functions, copy_folder};
use crate::fault::{Fault, Kind};

/// How many partitions there are.
const PARTITIONS: u32 = 6;

/// The server, and the functions beside it.
#[derive(Debug)]
pub struct Dev {
    /// The functions.
    pub functions: Functions,
    everlog: Everlog,
    data: PathBuf,
}

impl Dev {
    /// Starts everything in `folder`.
    pub async fn start(folder: &Path, outside: SocketAddr) -> Result<Self> {
        let data = folder.join("dev");
        let partitions = PARTITIONS.to_string();
        let arguments = ["--log-format", "json", "--partitions", &partitions];
        // The whole log is folded in the end, and old tables must find what they lack.
        let keep = ["--set", "history_age_max=7d", "--set", "history_bytes_max=64GiB"];
        let everlog = Everlog::start(&data, &[&arguments[..], &keep[..]].concat()).await?;
        let functions = Functions::start(folder, outside).await?;
        everlog.register(&functions.uri()).await?.success()?;
        Ok(Self { functions, everlog, data })
    }

    /// How many partitions there are.
    pub fn partitions() -> u32 {
        PARTITIONS
    }

    /// Where calls go.
    pub fn ingress(&self) -> SocketAddr {
        self.everlog.ingress
    }

    /// Where it is administered.
    pub fn admin(&self) -> SocketAddr {
        self.everlog.admin
    }

    /// Does harm, and mends it.
    pub async fn strike(&mut self, fault: &Fault) -> Result<()> {
        let tables = self.data.join("tables");
        match fault.kind {
            Kind::KillExecutor => {
                self.everlog.kill().await?;
                sleep(fault.lasts).await;
                self.everlog.restart().await
            }
            Kind::FreezeExecutor => {
                self.everlog.process()?.freeze()?;
                sleep(fault.lasts).await;
                self.everlog.process()?.thaw()
            }
            Kind::EndExecutor => {
                self.everlog.stop().await?;
                sleep(fault.lasts).await;
                self.everlog.restart().await
            }
            Kind::LoseTables => {
                self.everlog.kill().await?;
                std::fs::remove_dir_all(&tables)?;
                sleep(fault.lasts).await;
                self.everlog.restart().await
            }
            Kind::RollTablesBack => {
                let copy = self.data.with_extension("copy");
                self.everlog.stop().await?;
                copy_folder(&tables, &copy)?;
                self.everlog.restart().await?;
                sleep(fault.lasts).await;
                self.everlog.kill().await?;
                std::fs::remove_dir_all(&tables)?;
                std::fs::rename(&copy, &tables)?;
                self.everlog.restart().await
            }
            Kind::KillFunctions => {
                self.functions.kill().await?;
                sleep(fault.lasts).await;
                self.functions.restart().await
            }
            Kind::CutExecutor | Kind::KillGateway | Kind::KillBroker | Kind::RollBrokers => {
                bail!("{} is nothing that one process can meet", fault.kind)
            }
        }
    }

    /// Ends the server, which must end well, and opens the log that it left.
    pub async fn end(&mut self) -> Result<Arc<dyn EventLog>> {
        self.everlog.stop().await?;
        let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
        Ok(EmbeddedLog::open(self.data.join("log"), options)?)
    }
}
