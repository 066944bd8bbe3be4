//! A member of a cluster on Kafka: it tells the others of itself in the topic of members, follows
//! what they say, and, where it owns partitions, belongs to the group that spreads them.
//!
//! **Invariants:** a change of what it owns is told at once; how far a standby has come, only with
//! the next regular word. Of itself a process knows best: its own row is never read back.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::LogError;
use everlog_log_client::kafka::{Group, KafkaOptions, MembersEvent, MembersReader, MembersWriter};
use everlog_log_schema::owner_api::{BoxFuture, Question, Reply};
use everlog_log_schema::{LogOffset, PartitionId, codec};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fold::Fold;
use crate::peers::Peers;
use crate::{
    Cluster, Holding, Holdings, Member, MemberId, Members, StandingAnswer, StandingQuestion,
    Unreachable,
};

/// The pause after the topic of members could not be read or written.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the last word of a member may take.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// How to join a cluster.
#[derive(Debug)]
pub struct JoinOptions {
    /// How Kafka is reached.
    pub kafka: KafkaOptions,
    /// The member's own name: no other process may have it.
    pub me: MemberId,
    /// What it says of itself; the holdings are told later.
    pub member: Member,
    /// When the group gives a silent member's partitions to others. Gateways join no group: none.
    pub session_timeout: Option<Duration>,
    /// When a silent member is held to be dead.
    pub member_timeout: Duration,
    /// How often a member says that it lives.
    pub say_every: Duration,
    /// Reaches the others.
    pub peers: Peers,
}

impl JoinOptions {
    /// The default of `member_timeout`.
    pub const MEMBER_TIMEOUT: Duration = Duration::from_secs(6);
    /// The default of `say_every`.
    pub const SAY_EVERY: Duration = Duration::from_secs(2);
}

/// A member. Dropping it is a crash: the others learn of it in time.
pub struct Joined {
    me: MemberId,
    mine: watch::Sender<Arc<Holdings>>,
    assigned: watch::Receiver<Arc<BTreeSet<PartitionId>>>,
    members: watch::Receiver<Arc<Members>>,
    problem: watch::Receiver<Option<String>>,
    peers: Peers,
    leaving: watch::Sender<bool>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    _group: Option<Group>,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Joined {
    /// Joins, and waits until it knows who was there before. Must be called within a Tokio runtime.
    pub async fn start(options: JoinOptions) -> Result<Arc<Self>, LogError> {
        let JoinOptions { kafka, me, member, session_timeout, member_timeout, say_every, peers } =
            options;
        let writer = MembersWriter::open(kafka.clone(), me.0.clone())?;
        let reader = MembersReader::open(kafka.clone()).await?;
        let group = session_timeout.map(|timeout| Group::join(kafka.clone(), &me.0, timeout));
        let group = group.transpose()?;
        let (_, nothing_assigned) = watch::channel(Arc::default());
        let (_, no_problem) = watch::channel(None);
        let (assigned, problem) = group
            .as_ref()
            .map_or((nothing_assigned, no_problem), |group| (group.assigned(), group.problem()));
        let (leaving, is_leaving) = watch::channel(false);
        let (mine, holdings) = watch::channel(Arc::default());
        let (members, living) = watch::channel(Arc::default());
        let (caught_up, mut is_caught_up) = watch::channel(false);
        let follower = Follower {
            kafka,
            me: me.clone(),
            member: member.clone(),
            holdings: holdings.clone(),
            members,
            caught_up,
            member_timeout,
        };
        let speaker = Speaker { writer, member, holdings, leaving: is_leaving, say_every };
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run(reader));
        tasks.spawn(speaker.run());
        // The follower, which has the other end, never ends by itself.
        let _ = is_caught_up.wait_for(|caught_up| *caught_up).await;
        Ok(Arc::new(Self {
            me,
            mine,
            assigned,
            members: living,
            problem,
            peers,
            leaving,
            tasks: tokio::sync::Mutex::new(tasks),
            _group: group,
        }))
    }

    /// Why this member gets no partitions any more, a sentence, if it does not.
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    /// Tells the others that it goes, for a while at most.
    pub async fn leave(&self) {
        self.leaving.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        // The speaker ends by itself; the follower does not.
        let _ = tokio::time::timeout(LEAVE_MAX, tasks.join_next()).await;
        tasks.shutdown().await;
    }
}

impl Cluster for Joined {
    fn me(&self) -> MemberId {
        self.me.clone()
    }

    fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<PartitionId>>> {
        self.assigned.clone()
    }

    fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    fn hold(&self, holdings: Arc<Holdings>) {
        self.mine.send_replace(holdings);
    }

    fn ask<'a>(
        &'a self,
        address: &'a str,
        partition: PartitionId,
        question: StandingQuestion,
    ) -> BoxFuture<'a, Result<StandingAnswer, Unreachable>> {
        Box::pin(async move {
            let reply =
                self.peers.ask(address, &Question::Standing { partition, question }).await?;
            let Reply::Standing(standing) = reply else {
                let reason = "it answers another question".into();
                return Err(Unreachable::Refused { address: address.into(), reason });
            };
            Ok(standing)
        })
    }
}

/// What is owned, followed and stopped, without how far it is followed.
fn kinds(holdings: &Holdings) -> impl Iterator<Item = (PartitionId, Holding)> {
    holdings.iter().map(|(partition, holding)| match *holding {
        Holding::Standby { .. } => (*partition, Holding::Standby { next_log: LogOffset(0) }),
        Holding::Owner(_) | Holding::Stopped => (*partition, *holding),
    })
}

/// Writes the member's row.
struct Speaker {
    writer: MembersWriter,
    member: Member,
    holdings: watch::Receiver<Arc<Holdings>>,
    leaving: watch::Receiver<bool>,
    say_every: Duration,
}

impl Speaker {
    async fn run(mut self) {
        let mut well = true;
        while !*self.leaving.borrow() {
            let said = Arc::clone(&self.holdings.borrow_and_update());
            self.member.holdings = Holdings::clone(&said);
            match self.say().await {
                Ok(()) => {
                    well = true;
                    self.pause(self.say_every, &said).await;
                }
                Err(error) => {
                    if std::mem::take(&mut well) {
                        tracing::warn!(%error, "cannot tell the other members of this process; will try again");
                    }
                    self.pause(RETRY_AFTER, &said).await;
                }
            }
        }
        if let Err(error) = self.writer.write(None).await {
            tracing::info!(%error, "the other members learn in time that this process has left");
        }
    }

    async fn say(&mut self) -> Result<(), LogError> {
        let value = codec::encode_member(&self.member)
            .map_err(|error| LogError::Unavailable(error.to_string()))?;
        self.writer.write(Some(value)).await
    }

    /// Waits until there is something to say: the others should know at once who owns what.
    async fn pause(&mut self, at_most: Duration, said: &Holdings) {
        let news = self.holdings.wait_for(|now| !kinds(now).eq(kinds(said)));
        tokio::select! {
            () = tokio::time::sleep(at_most) => {}
            _ = news => {}
            _ = self.leaving.wait_for(|leaving| *leaving) => {}
        }
    }
}

/// Follows what the members write.
struct Follower {
    kafka: KafkaOptions,
    me: MemberId,
    member: Member,
    holdings: watch::Receiver<Arc<Holdings>>,
    members: watch::Sender<Arc<Members>>,
    caught_up: watch::Sender<bool>,
    member_timeout: Duration,
}

impl Follower {
    async fn run(mut self, mut reader: MembersReader) {
        loop {
            let error = self.follow(&mut reader).await;
            tracing::warn!(%error, "cannot read who the members are; will try again");
            reader = loop {
                tokio::time::sleep(RETRY_AFTER).await;
                match MembersReader::open(self.kafka.clone()).await {
                    Ok(reader) => break reader,
                    Err(error) => tracing::debug!(%error, "cannot read who the members are"),
                }
            };
        }
    }

    /// Follows until it cannot. What was known before stays until all is read anew.
    async fn follow(&mut self, reader: &mut MembersReader) -> LogError {
        let mut fold = Fold::new(self.member_timeout);
        let mut caught_up = false;
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                // Nobody waits for the log to know what is held here.
                Ok(()) = self.holdings.changed(), if caught_up => {
                    self.publish(&mut fold);
                    continue;
                }
            };
            match event {
                Ok(MembersEvent::Rows(rows)) => rows.into_iter().for_each(|row| fold.take(row)),
                Ok(MembersEvent::CaughtUp) => caught_up = true,
                Err(error) => return error,
            }
            if caught_up {
                self.publish(&mut fold);
                self.caught_up.send_replace(true);
            }
        }
    }

    fn publish(&mut self, fold: &mut Fold) {
        let mut living = fold.living();
        let holdings = Holdings::clone(&self.holdings.borrow_and_update());
        living.insert(self.me.clone(), Member { holdings, ..self.member.clone() });
        self.members.send_if_modified(|members| {
            let changed = **members != living;
            if changed {
                *members = Arc::new(living);
            }
            changed
        });
    }
}
