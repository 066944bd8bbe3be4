//! The processes of a run: what they are, how harm is done to them, and how the log is read in the end.

mod cluster;
mod dev;
mod functions;
mod node;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use everlog_log_client::EventLog;

pub use cluster::Cluster;
pub use dev::Dev;
pub use functions::Functions;
pub use node::Node;

use crate::fault::{Fault, Kind};

/// How many executors keep a partition's tables beside its owner, as by default.
const STANDBYS: u32 = 1;

/// What the run is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// `everlog dev` on the embedded log: one process.
    Dev,
    /// Three brokers, three executors, two gateways.
    Cluster,
}

/// The processes of a run.
#[derive(Debug)]
pub enum Stage {
    /// One process.
    Dev(Box<Dev>),
    /// A process each.
    Cluster(Box<Cluster>),
}

impl Stage {
    /// Starts all processes. What they print goes to files in `folder`.
    pub async fn start(on: On, folder: &Path, outside: SocketAddr) -> Result<Self> {
        match on {
            On::Dev => Ok(Self::Dev(Box::new(Dev::start(folder, outside).await?))),
            On::Cluster => {
                let cluster = Cluster::start(folder, outside, STANDBYS).await?;
                Ok(Self::Cluster(Box::new(cluster)))
            }
        }
    }

    /// The kinds of faults that it can meet.
    pub fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Dev(_) => &Kind::OF_DEV,
            Self::Cluster(_) => &Kind::OF_CLUSTER,
        }
    }

    /// How long a process may be silent until others take over.
    pub fn session(&self) -> Duration {
        match self {
            Self::Dev(_) => Duration::from_secs(2),
            Self::Cluster(_) => Cluster::session(),
        }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        match self {
            Self::Dev(_) => Dev::partitions(),
            Self::Cluster(_) => Cluster::partitions(),
        }
    }

    /// Where calls go: one address for each gateway.
    pub fn ingresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Dev(dev) => vec![dev.ingress()],
            Self::Cluster(cluster) => cluster.ingresses(),
        }
    }

    /// Where all of it is administered.
    pub fn admin(&self) -> SocketAddr {
        match self {
            Self::Dev(dev) => dev.admin(),
            Self::Cluster(cluster) => cluster.admin(),
        }
    }

    /// Does harm, and mends it.
    pub async fn strike(&mut self, fault: &Fault) -> Result<()> {
        match self {
            Self::Dev(dev) => dev.strike(fault).await,
            Self::Cluster(cluster) => cluster.strike(fault).await,
        }
    }

    /// Ends our own processes, which must end well, and opens the log that they leave.
    pub async fn end(&mut self) -> Result<Arc<dyn EventLog>> {
        match self {
            Self::Dev(dev) => dev.end().await,
            Self::Cluster(cluster) => cluster.end().await,
        }
    }
}

/// Copies a folder and all that is in it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
