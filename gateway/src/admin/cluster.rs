//! How the processes and the partitions stand.
//!
//! In a cluster it is what the members say of themselves; what this process knows of its own
//! partitions is added to it.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{Epoch, Holding, MemberId, Members, PartitionId};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::Admin;
use crate::PartitionStanding;
use crate::reply::{Reply, json_reply};

/// As which a cluster is known to tools that want a name: it has none of its own.
const CLUSTER_NAME: &str = "everlog";

#[derive(Serialize)]
struct ClusterView<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<MemberView<'a>>,
    partitions: Vec<PartitionView<'a>>,
    version: &'a str,
}

#[derive(Serialize)]
struct MemberView<'a> {
    id: &'a str,
    role: &'static str,
    address: &'a str,
    version: &'a str,
    owned: usize,
    followed: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionView<'a> {
    id: u32,
    standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standbys: Vec<StandbyView<'a>>,
    next_log: Option<u64>,
    next_inbox: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StandbyView<'a> {
    member: &'a str,
    next_log: u64,
}

impl Admin {
    /// Answers with all members and partitions.
    pub(super) fn show_cluster(&self) -> Reply {
        let here = (self.standings)();
        let members = self.members.as_ref().map(|members| members.borrow().clone());
        let (members, partitions) = match &members {
            None => (Vec::new(), here.into_iter().map(alone).collect()),
            Some(members) => {
                let here: BTreeMap<_, _> = here.into_iter().map(|of| (of.partition, of)).collect();
                let all = (0..self.log.partitions()).map(PartitionId);
                let partitions = all.map(|id| together(id, members, here.get(&id)));
                (members.iter().map(member).collect(), partitions.collect())
            }
        };
        json_reply(StatusCode::OK, &ClusterView { members, partitions, version: &self.version })
    }
}

impl Admin {
    /// Answers whether the cluster can do its work, as tools of the service protocol ask: each
    /// partition must have an owner.
    pub(super) fn show_cluster_health(&self) -> Reply {
        let members = self.members.as_ref().map(|members| members.borrow().clone());
        let (names, owned) = match &members {
            None => {
                let here = (self.standings)().into_iter();
                let owned = here.filter(|of| of.standing == "owner").map(|of| of.partition);
                (vec![json!({ "name": "everlog" })], owned.collect::<BTreeSet<_>>())
            }
            Some(members) => {
                let names = members.keys().map(|id| json!({ "name": id.0 })).collect();
                let held = members.values().flat_map(|member| &member.holdings);
                let owned = held.filter(|(_, held)| matches!(held, Holding::Owner(_)));
                (names, owned.map(|(partition, _)| *partition).collect())
            }
        };
        let all = (0..self.log.partitions()).map(PartitionId);
        let without: Vec<u32> = all.filter(|id| !owned.contains(id)).map(|id| id.0).collect();
        let status =
            if without.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({
            "cluster_name": CLUSTER_NAME,
            "metadata_cluster_health": { "members": names },
            "partitions_without_owner": without,
        });
        json_reply(status, &body)
    }
}

fn member<'a>((id, member): (&'a MemberId, &'a everlog_log_schema::Member)) -> MemberView<'a> {
    let count = |kind: fn(&Holding) -> bool| member.holdings.values().filter(|it| kind(it)).count();
    MemberView {
        id: &id.0,
        role: member.role.name(),
        address: &member.address,
        version: &member.version,
        owned: count(|holding| matches!(holding, Holding::Owner(_))),
        followed: count(|holding| matches!(holding, Holding::Standby { .. })),
    }
}

/// A partition as the members have it, and as this process has it.
fn together<'a>(
    id: PartitionId,
    members: &'a Members,
    here: Option<&PartitionStanding>,
) -> PartitionView<'a> {
    let mut owner: Option<(Epoch, &str)> = None;
    let mut standbys = Vec::new();
    let mut stopped = here.is_some_and(|here| here.standing == "stopped");
    for (member, holding) in holders(members, id) {
        match holding {
            Holding::Owner(epoch) => owner = owner.max(Some((epoch, member))),
            Holding::Standby { next_log } => {
                standbys.push(StandbyView { member, next_log: next_log.0 });
            }
            Holding::Stopped => stopped = true,
        }
    }
    let standing = match (owner, standbys.is_empty()) {
        (Some(_), _) => "owner",
        (None, _) if stopped => "stopped",
        (None, false) => "standby",
        (None, true) => "nobody",
    };
    let (epoch, owner) = owner.unzip();
    let epoch = epoch.map(|epoch| epoch.0);
    let next_log = here.and_then(|here| here.next_log).map(|next| next.0);
    let next_inbox = here.and_then(|here| here.next_inbox).map(|next| next.0);
    PartitionView { id: id.0, standing, owner, epoch, standbys, next_log, next_inbox }
}

fn holders(members: &Members, id: PartitionId) -> impl Iterator<Item = (&str, Holding)> {
    members.iter().filter_map(move |(member, of)| Some((&*member.0, *of.holdings.get(&id)?)))
}

fn alone<'a>(of: PartitionStanding) -> PartitionView<'a> {
    PartitionView {
        id: of.partition.0,
        standing: of.standing,
        owner: None,
        epoch: None,
        standbys: Vec::new(),
        next_log: of.next_log.map(|next| next.0),
        next_inbox: of.next_inbox.map(|next| next.0),
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{Holdings, Level, LogOffset, Member, Role};
    use serde_json::json;

    use super::*;

    fn executor(holdings: &[(u32, Holding)]) -> Member {
        let holdings = holdings.iter().map(|(id, holding)| (PartitionId(*id), *holding));
        Member {
            role: Role::Executor,
            address: "h:1".into(),
            version: "v".into(),
            level: Level(1),
            holdings: holdings.collect::<Holdings>(),
        }
    }

    #[test]
    fn a_partition_is_shown_with_its_owner_of_the_highest_epoch_and_its_standbys() {
        let standby = Holding::Standby { next_log: LogOffset(9) };
        let members = Members::from([
            (MemberId("a".into()), executor(&[(0, Holding::Owner(Epoch(4))), (1, standby)])),
            (MemberId("b".into()), executor(&[(0, Holding::Owner(Epoch(5)))])),
            (MemberId("c".into()), executor(&[(0, standby), (3, standby)])),
            (MemberId("d".into()), executor(&[(0, Holding::Stopped), (3, Holding::Stopped)])),
        ]);
        let shown = |id| serde_json::to_value(together(PartitionId(id), &members, None)).ok();
        let expected = json!({
            "id": 0, "standing": "owner", "owner": "b", "epoch": 5,
            "standbys": [{ "member": "c", "nextLog": 9 }], "nextLog": null, "nextInbox": null,
        });
        assert_eq!(shown(0), Some(expected));
        let expected = json!({
            "id": 1, "standing": "standby", "standbys": [{ "member": "a", "nextLog": 9 }],
            "nextLog": null, "nextInbox": null,
        });
        assert_eq!(shown(1), Some(expected));
        let expected = json!({ "id": 2, "standing": "nobody", "nextLog": null, "nextInbox": null });
        assert_eq!(shown(2), Some(expected));
        let expected = json!({
            "id": 3, "standing": "stopped", "standbys": [{ "member": "c", "nextLog": 9 }],
            "nextLog": null, "nextInbox": null,
        });
        assert_eq!(shown(3), Some(expected));
        let a = members.iter().map(member).next();
        let expected = json!({
            "id": "a", "role": "executor", "address": "h:1", "version": "v", "owned": 1, "followed": 1,
        });
        assert_eq!(serde_json::to_value(a).ok(), Some(expected));
    }
}
