//! How the processes of one Everlog know and reach each other.
//!
//! **Invariant:** everything here is a hint. Who may act for a partition is decided in its log; what
//! is told here only makes the right process try, and the wrong ones wait.

mod alone;
mod fold;
mod joined;
mod owners;
mod peers;
mod secret;
mod server;

use std::collections::BTreeSet;
use std::sync::Arc;

use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::sync::watch;

pub use alone::Alone;
pub use everlog_log_schema::{
    Holding, Holdings, Member, MemberId, Members, Role, StandingAnswer, StandingQuestion,
};
pub use joined::{JoinOptions, Joined};
pub use owners::Owners;
pub use peers::Peers;
pub use secret::Secret;
pub use server::{Answers, OwnerServer, ServeError, Standings};

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
