//! What the cluster tells a partition: whether this executor is asked to own it, and who stands by.
//!
//! **Invariant:** executors that see the same members choose the same standbys. All of it is a hint:
//! who owns a partition is decided in its log.

use std::collections::BTreeSet;
use std::sync::Arc;

use everlog_cluster::{Cluster, Holding, Member, MemberId, Members, Role};
use everlog_log_schema::codec::hash_of;
use everlog_log_schema::{Epoch, PartitionId};
use tokio::sync::watch;

/// What this executor is to a partition that it does not own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// It is asked to own the partition.
    pub(super) assigned: bool,
    /// Its place among the standbys, if it is one.
    pub(super) rank: Option<u32>,
    /// Another executor is a standby.
    pub(super) others_stand_by: bool,
    /// Another executor follows the log, and is no standby: it must be asked to own the partition.
    pub(super) heir_follows: bool,
}

impl Part {
    /// Whether it follows the log.
    pub(super) fn follows(&self) -> bool {
        self.assigned || self.rank.is_some()
    }
}

/// The cluster, as one partition sees it.
pub(crate) struct Hints {
    pub(super) cluster: Arc<dyn Cluster>,
    me: MemberId,
    partition: PartitionId,
    standbys: usize,
    assigned: watch::Receiver<Arc<BTreeSet<PartitionId>>>,
    members: watch::Receiver<Arc<Members>>,
    /// Whether it was asked to own the partition when last looked at.
    was_assigned: bool,
}

impl Hints {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, partition: PartitionId, standbys: usize) -> Self {
        let (me, assigned, members) = (cluster.me(), cluster.assigned(), cluster.members());
        Self { cluster, me, partition, standbys, assigned, members, was_assigned: false }
    }

    /// What this executor is to the partition now, whose last announcement known here came from
    /// `last_owner`.
    pub(super) fn part(&self, last_owner: &str) -> Part {
        let members = self.members.borrow().clone();
        let chosen = standbys(&members, self.partition, last_owner, self.standbys);
        let rank = chosen.iter().position(|id| **id == self.me);
        let heir = |(id, member): (&MemberId, &Member)| {
            let follows = matches!(holding(member, self.partition), Some(Holding::Standby { .. }));
            follows && *id != self.me && !chosen.contains(&id)
        };
        Part {
            assigned: self.is_assigned(),
            rank: rank.and_then(|rank| u32::try_from(rank).ok()),
            others_stand_by: chosen.iter().any(|id| **id != self.me),
            heir_follows: members.iter().any(heir),
        }
    }

    /// Whether this executor is asked to own the partition.
    pub(super) fn is_assigned(&self) -> bool {
        self.assigned.borrow().contains(&self.partition)
    }

    /// Whether it is asked now, and was not when last looked at.
    pub(super) fn newly_assigned(&mut self) -> bool {
        let assigned = self.is_assigned();
        !std::mem::replace(&mut self.was_assigned, assigned) && assigned
    }

    /// Who owns the partition, as its members say.
    pub(super) fn owner(&self) -> Option<String> {
        let members = self.members.borrow();
        owner(&members, self.partition).map(|(id, member)| format!("{id} at {}", member.address))
    }

    /// Whether this is the only process there is.
    pub(super) fn is_alone(&self) -> bool {
        self.members.borrow().len() < 2
    }

    /// Waits for other hints. May be dropped at any time: no change is missed.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.assigned.changed() => {}
            Ok(()) = self.members.changed() => {}
            else => std::future::pending().await,
        }
    }
}

fn holding(member: &Member, partition: PartitionId) -> Option<Holding> {
    member.holdings.get(&partition).copied()
}

/// The member that owns a partition: of several that say so, the one of the latest epoch.
fn owner(members: &Members, partition: PartitionId) -> Option<(&MemberId, &Member)> {
    let epoch = |member: &Member| match holding(member, partition) {
        Some(Holding::Owner(epoch)) => Some(epoch),
        Some(Holding::Standby { .. } | Holding::Stopped) | None => None,
    };
    let owners = members.iter().filter(|(_, member)| epoch(member).is_some());
    owners.max_by_key(|(_, member)| epoch(member).unwrap_or(Epoch(0)))
}

/// The executors that stand by for a partition, the first to take over first: those of the highest
/// hash, so that one that comes or goes moves no partitions of the others. The owner is none, nor is
/// the last one while there is no other: whoever stood by for it shall go on.
fn standbys<'m>(
    members: &'m Members,
    partition: PartitionId,
    last_owner: &str,
    count: usize,
) -> Vec<&'m MemberId> {
    let owner = owner(members, partition)
        .or_else(|| members.iter().find(|(_, member)| member.address == last_owner))
        .map(|(id, _)| id);
    let mut candidates: Vec<_> = members
        .iter()
        .filter(|(id, member)| member.role != Role::Gateway && Some(*id) != owner)
        .map(|(id, _)| (hash_of(format!("{partition}/{id}").as_bytes()), id))
        .collect();
    candidates.sort_unstable_by(|one, other| other.cmp(one));
    candidates.into_iter().take(count).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use everlog_log_schema::{Level, LogOffset};

    use super::*;

    const P: PartitionId = PartitionId(3);

    fn member(role: Role, holding: Option<Holding>) -> Member {
        Member {
            role,
            address: "somewhere".into(),
            version: "1".into(),
            level: Level(1),
            holdings: holding.map(|holding| BTreeMap::from([(P, holding)])).unwrap_or_default(),
        }
    }

    fn id(name: &str) -> MemberId {
        MemberId(name.into())
    }

    fn executors(count: u32) -> Members {
        (0..count).map(|n| (id(&format!("e{n}")), member(Role::Executor, None))).collect()
    }

    /// The executors are asked for so many partitions; counts where each is the first standby.
    fn spread(members: &Members, partitions: u32) -> BTreeMap<MemberId, u32> {
        let mut counts = BTreeMap::new();
        for partition in (0..partitions).map(PartitionId) {
            let first = standbys(members, partition, "", 1).first().copied().cloned();
            *counts.entry(first.unwrap()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn standbys_are_spread_over_the_executors() {
        for (member, count) in spread(&executors(4), 1_000) {
            assert!((200..300).contains(&count), "{member}: {count}");
        }
    }

    #[test]
    fn an_executor_that_goes_moves_no_standby_of_the_others() {
        let (before, mut after) = (executors(4), executors(4));
        after.remove(&id("e2"));
        for partition in (0..100).map(PartitionId) {
            let was = standbys(&before, partition, "", 1)[0];
            let is = standbys(&after, partition, "", 1)[0];
            assert!(was == is || *was == id("e2"), "{partition}: {was} → {is}");
        }
    }

    #[test]
    fn neither_the_owner_nor_a_gateway_stands_by() {
        let mut members = executors(3);
        members.insert(id("g"), member(Role::Gateway, None));
        members.insert(id("e0"), member(Role::Both, Some(Holding::Owner(Epoch(2)))));
        // A deposed owner that has not said so yet may stand by.
        members.insert(id("e1"), member(Role::Executor, Some(Holding::Owner(Epoch(1)))));
        let mut chosen = standbys(&members, P, "", 9);
        chosen.sort();
        assert_eq!(chosen, [&id("e1"), &id("e2")]);
        assert_eq!(standbys(&members, P, "", 0), Vec::<&MemberId>::new());
    }

    #[test]
    fn whoever_lets_go_or_dies_leaves_the_standbys_as_they_were() {
        let mut members = executors(3);
        let address = || "of e0".to_owned();
        let owner =
            Member { address: address(), ..member(Role::Executor, Some(Holding::Owner(Epoch(2)))) };
        members.insert(id("e0"), owner.clone());
        let before: Vec<MemberId> = standbys(&members, P, "", 2).into_iter().cloned().collect();
        members.insert(id("e0"), Member { holdings: BTreeMap::new(), ..owner });
        let resigned = standbys(&members, P, &address(), 2);
        assert_eq!(resigned, before.iter().collect::<Vec<_>>());
        members.remove(&id("e0"));
        assert_eq!(standbys(&members, P, "", 2), before.iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_executor_that_follows_and_is_no_standby_is_the_heir() {
        let cluster = Arc::new(everlog_cluster::Alone::new(1));
        let mut hints = Hints::new(cluster, P, 1);
        let mut members = executors(3);
        let chosen = standbys(&members, P, "", 1)[0].clone();
        let other = members.keys().find(|id| **id != chosen).unwrap().clone();
        let follows = Holding::Standby { next_log: LogOffset(1) };
        members.insert(chosen.clone(), member(Role::Executor, Some(follows)));
        hints.members = watch::channel(Arc::new(members.clone())).1;
        hints.me = chosen;
        let standby = Part { rank: Some(0), ..Part::default() };
        assert_eq!(hints.part(""), standby);
        members.insert(other.clone(), member(Role::Executor, Some(follows)));
        hints.members = watch::channel(Arc::new(members)).1;
        assert_eq!(hints.part(""), Part { heir_follows: true, ..standby });
        hints.me = other;
        assert_eq!(hints.part(""), Part { others_stand_by: true, ..Part::default() });
    }
}
