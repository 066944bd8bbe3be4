//! Where an invocation stands in its life.

use serde::{Deserialize, Serialize};

use crate::codec::adapt;
use crate::{FutureTree, Millis};

/// The life of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Waits for its time.
    Scheduled {
        /// When that is.
        at: Millis,
    },
    /// Waits for its object key.
    Pending {
        /// Its place in the queue.
        #[serde(with = "adapt::long")]
        place: u64,
    },
    /// Has an attempt, or should have one.
    Running,
    /// Waits until this is settled: what had come before is no part of it any more.
    Suspended(FutureTree),
    /// Waits for its next attempt.
    BackingOff {
        /// When that is.
        until: Millis,
    },
    /// Waits for somebody to resume it.
    Paused,
    /// Has ended. Its output is the last entry of its journal.
    Completed {
        /// When it ended.
        at: Millis,
        /// In how many parts its journal is packed.
        parts: u32,
        /// Whether its retention has passed. What is left is its outcome, for whoever still waits for it,
        /// and its name, so that a late resend of its call is known. To everybody else it is gone.
        expired: bool,
    },
}

/// Where an invocation stands, without the details: what is filtered by and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StatusKind {
    /// [`Status::Scheduled`].
    Scheduled,
    /// [`Status::Pending`].
    Pending,
    /// [`Status::Running`].
    Running,
    /// [`Status::Suspended`].
    Suspended,
    /// [`Status::BackingOff`].
    BackingOff,
    /// [`Status::Paused`].
    Paused,
    /// [`Status::Completed`].
    Completed,
}

impl StatusKind {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Suspended,
        Self::BackingOff,
        Self::Paused,
        Self::Completed,
    ];

    /// The name that users read and write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::BackingOff => "backing-off",
            Self::Paused => "paused",
            Self::Completed => "completed",
        }
    }
}

impl Status {
    /// Where the invocation stands, without the details.
    #[must_use]
    pub fn kind(&self) -> StatusKind {
        match self {
            Self::Scheduled { .. } => StatusKind::Scheduled,
            Self::Pending { .. } => StatusKind::Pending,
            Self::Running => StatusKind::Running,
            Self::Suspended(_) => StatusKind::Suspended,
            Self::BackingOff { .. } => StatusKind::BackingOff,
            Self::Paused => StatusKind::Paused,
            Self::Completed { .. } => StatusKind::Completed,
        }
    }
}
