//! The processes that live, as each says of itself.

use std::collections::BTreeMap;
use std::fmt;

use everlog_log_schema::{Epoch, Level, LogOffset, PartitionId};

/// The name of a process: the same after a restart, where it was chosen so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub String);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes calls.
    Gateway,
    /// Owns partitions.
    Executor,
    /// Both.
    Both,
}

/// How a process holds a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// It owns it.
    Owner(Epoch),
    /// It folds the log and does not act.
    Standby {
        /// The next log offset that it will apply.
        next_log: LogOffset,
    },
}

/// What a process holds.
pub type Holdings = BTreeMap<PartitionId, Holding>;

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is for.
    pub role: Role,
    /// Where the others reach it, as `host:port`.
    pub address: String,
    /// Its version, for people.
    pub version: String,
    /// The highest level of the format that it supports.
    pub level: Level,
    /// What it holds.
    pub holdings: Holdings,
}

/// The members that live.
pub type Members = BTreeMap<MemberId, Member>;
