//! The owner API of a whole cluster: each question goes to the process that owns its partition.
//!
//! Where a partition has none, whoever has stopped it is asked, and says why.
//!
//! **Invariant:** where the owner changes, goes away or is not known, the next one is asked as soon as
//! it says that it is there; after a while without one, the question ends with
//! [`OwnerError::Unavailable`]. It never waits for an owner that is deposed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::owner_api::{
    Answer, BoxFuture, InvocationPage, InvocationQuery, OwnerApi, OwnerError, Progress, Question,
    Reply, RowPage, RowRange, StatePage, Verdict,
};
use everlog_log_schema::{
    Epoch, FutureTree, Holding, InboxOffset, InvocationId, InvocationRow, JournalRow, MemberId,
    Members, PartitionId, RequestId, partition_key_of, partition_of,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::Unreachable;
use crate::peers::Peers;
use crate::server::answer;

/// Who answers for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    /// None: it has stopped the partition.
    epoch: Option<Epoch>,
    member: MemberId,
    address: String,
}

type Routes = BTreeMap<PartitionId, Owner>;

/// How long a question waits for another owner than the one that has not answered it.
const NEXT_OWNER_MAX: Duration = Duration::from_secs(1);

/// Asks the owner of each partition, wherever it is.
pub struct Owners {
    partitions: u32,
    peers: Peers,
    /// What is owned in this process is asked without a network.
    here: Option<(MemberId, Arc<dyn OwnerApi>)>,
    routes: watch::Receiver<Arc<Routes>>,
    follower: JoinHandle<()>,
}

impl Owners {
    /// Follows the members. Must be called within a Tokio runtime.
    pub fn new(
        partitions: u32,
        members: watch::Receiver<Arc<Members>>,
        peers: Peers,
        here: Option<(MemberId, Arc<dyn OwnerApi>)>,
    ) -> Self {
        let (sender, routes) = watch::channel(Arc::default());
        let follower = tokio::spawn(follow(members, sender));
        Self { partitions, peers, here, routes, follower }
    }

    /// Asks the owner, and whoever follows it. All questions may be asked twice.
    async fn ask(&self, partition: PartitionId, question: Question) -> Result<Reply, OwnerError> {
        let mut routes = self.routes.clone();
        let mut deadline = None;
        loop {
            let owner = routes.borrow_and_update().get(&partition).cloned();
            let moved = |routes: &Arc<Routes>| routes.get(&partition) != owner.as_ref();
            let unavailable = match &owner {
                None => OwnerError::Unavailable(format!(
                    "no member says that it owns partition {partition}"
                )),
                Some(owner) => tokio::select! {
                    biased;
                    reply = self.ask_owner(owner, &question) => match reply {
                        Err(error @ OwnerError::Unavailable(_)) => error,
                        reply => return reply,
                    },
                    Ok(_) = routes.wait_for(moved) => continue,
                },
            };
            let until = *deadline.get_or_insert_with(|| Instant::now() + NEXT_OWNER_MAX);
            if !matches!(timeout_at(until, routes.wait_for(moved)).await, Ok(Ok(_))) {
                return Err(unavailable);
            }
        }
    }

    async fn ask_owner(&self, owner: &Owner, question: &Question) -> Result<Reply, OwnerError> {
        let reply = match &self.here {
            Some((me, here)) if *me == owner.member => Ok(answer(&**here, question.clone()).await),
            Some(_) | None => self.peers.ask(&owner.address, question).await,
        };
        match reply {
            Ok(Reply::Refused(error)) => Err(error),
            Ok(reply) => Ok(reply),
            Err(error @ Unreachable::Gone { .. }) => {
                Err(OwnerError::Unavailable(error.to_string()))
            }
            Err(error @ Unreachable::Refused { .. }) => {
                tracing::warn!(%error, member = %owner.member, "the owner of a partition does not answer");
                Err(OwnerError::Unavailable(error.to_string()))
            }
        }
    }

    fn partition(&self, id: InvocationId) -> PartitionId {
        partition_of(id.partition_key, self.partitions)
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl std::fmt::Debug for Owners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owners").field("routes", &self.routes).finish_non_exhaustive()
    }
}

async fn follow(mut members: watch::Receiver<Arc<Members>>, routes: watch::Sender<Arc<Routes>>) {
    loop {
        let now = owners_of(&members.borrow_and_update());
        routes.send_if_modified(|routes| {
            let changed = **routes != now;
            if changed {
                *routes = Arc::new(now);
            }
            changed
        });
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Who answers for what: of several who own it, the one of the highest epoch; whoever has stopped it
/// where nobody does.
fn owners_of(members: &Members) -> Routes {
    let mut routes = Routes::new();
    for (id, member) in members {
        for (partition, holding) in &member.holdings {
            let epoch = match *holding {
                Holding::Owner(epoch) => Some(epoch),
                Holding::Stopped => None,
                Holding::Standby { .. } => continue,
            };
            if routes.get(partition).is_none_or(|known| known.epoch < epoch) {
                let (member, address) = (id.clone(), member.address.clone());
                routes.insert(*partition, Owner { epoch, member, address });
            }
        }
    }
    routes
}

/// An answer to another question: the owner is of a version that does not fit.
fn another(reply: &Reply) -> OwnerError {
    tracing::warn!(?reply, "the owner of a partition answers another question");
    OwnerError::Unavailable("the owner answers another question than it was asked".into())
}

/// Asks a question that has one kind of reply.
macro_rules! asked {
    ($owners:expr, $partition:expr, $question:expr, $kind:path) => {
        Box::pin(async move {
            let reply = $owners.ask($partition, $question).await?;
            let $kind(answer) = reply else { return Err(another(&reply)) };
            Ok(answer)
        })
    };
}

impl OwnerApi for Owners {
    fn attach(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        asked!(self, self.partition(id), Question::Attach { id, after }, Reply::Completed)
    }

    fn output(&self, id: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        Box::pin(async move {
            let reply = self.ask(self.partition(id), Question::Output { id }).await?;
            if let Reply::Completed(answer) = reply {
                return Ok(Progress::Completed(answer));
            }
            let Reply::Unfinished { status, last_error } = reply else {
                return Err(another(&reply));
            };
            Ok(Progress::Unfinished { status, last_error })
        })
    }

    fn verdict(
        &self,
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        let question = Question::Verdict { id, request, after };
        asked!(self, self.partition(id), question, Reply::Verdict)
    }

    fn invocation(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>> {
        Box::pin(async move {
            let question = Question::Invocation { id, after };
            let reply = self.ask(self.partition(id), question).await?;
            let Reply::Invocation(row) = reply else { return Err(another(&reply)) };
            Ok(*row)
        })
    }

    fn awaiting_on(
        &self,
        id: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>> {
        asked!(self, self.partition(id), Question::AwaitingOn { id }, Reply::AwaitingOn)
    }

    fn invocations(
        &self,
        partition: PartitionId,
        query: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>> {
        let question = Question::Invocations { partition, query };
        asked!(self, partition, question, Reply::Invocations)
    }

    fn journal(
        &self,
        id: InvocationId,
        from: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>> {
        asked!(self, self.partition(id), Question::Journal { id, from }, Reply::Journal)
    }

    fn state(
        &self,
        service: String,
        key: String,
        after: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>> {
        let partition = partition_of(partition_key_of(&key), self.partitions);
        asked!(self, partition, Question::State { service, key, after }, Reply::State)
    }

    fn rows(
        &self,
        partition: PartitionId,
        ranges: Vec<RowRange>,
    ) -> BoxFuture<'_, Result<RowPage, OwnerError>> {
        asked!(self, partition, Question::Rows { partition, ranges }, Reply::Rows)
    }
}
