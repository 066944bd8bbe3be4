//! How the processes of one Everlog know and reach each other.
//!
//! **Invariant:** everything here is a hint. Who may act for a partition is decided in its log; what
//! is told here only makes the right process try, and the wrong ones wait.

mod alone;
mod member;

use std::collections::BTreeSet;
use std::sync::Arc;

use everlog_log_schema::owner_api::BoxFuture;
use everlog_log_schema::{Epoch, LogOffset, PartitionId};
use tokio::sync::watch;

pub use alone::Alone;
pub use member::{Holding, Holdings, Member, MemberId, Members, Role};

/// What an executor knows of the others, and how it reaches them.
pub trait Cluster: Send + Sync + 'static {
    /// This executor's own name.
    fn me(&self) -> MemberId;

    /// The partitions that this executor is asked to own, as they change. Empty until the first
    /// assignment is known.
    fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<PartitionId>>>;

    /// The members that live, this one among them, as they come and go.
    fn members(&self) -> watch::Receiver<Arc<Members>>;

    /// Tells the others what this executor holds. Returns at once; the last word counts.
    fn hold(&self, holdings: Arc<Holdings>);

    /// Asks the executor at `address`, as members and announcements name it, how it stands with a
    /// partition. The caller sets the time that it waits.
    fn ask<'a>(
        &'a self,
        address: &'a str,
        partition: PartitionId,
        question: StandingQuestion,
    ) -> BoxFuture<'a, Result<StandingAnswer, Unreachable>>;
}

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

/// The other executor gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nobody listens there, or the connection broke: the process is gone, or was never there.
    #[error("nobody answers at {address}: {reason}")]
    Gone {
        /// Where.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// It answered, and not as one of us does.
    #[error("{address} refused the question: {reason}")]
    Refused {
        /// Where.
        address: String,
        /// What it says.
        reason: String,
    },
}
