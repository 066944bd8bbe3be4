//! The processes that live, as each says of itself, and what one executor asks another.
//!
//! **Invariant:** all of it is a hint. Who may act for a partition is decided in its log.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Level, LogOffset, PartitionId};

/// The name of a process: the same after a restart, where it was chosen so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub String);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Takes calls.
    Gateway,
    /// Owns partitions.
    Executor,
    /// Both.
    Both,
}

impl Role {
    /// The name that users read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Executor => "executor",
            Self::Both => "both",
        }
    }
}

/// How a process holds a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holding {
    /// It owns it.
    Owner(Epoch),
    /// It folds the log and does not act.
    Standby {
        /// The next log offset that it will apply.
        next_log: LogOffset,
    },
    /// It has stopped it, and says why to whoever asks.
    Stopped,
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

/// What one executor asks another about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingQuestion {
    /// Whether it owns the partition.
    Ping,
    /// That it lets go: the asker is asked to own the partition, and has applied the log below.
    HandOver {
        /// How far the asker has come.
        caught_up: LogOffset,
    },
}

/// How an executor stands with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingAnswer {
    /// The epoch in which it owns the partition, if it does.
    pub owner: Option<Epoch>,
    /// The next log offset that it will apply.
    pub next_log: LogOffset,
}
