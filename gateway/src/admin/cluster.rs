//! How the partitions stand.

use http::StatusCode;
use serde::Serialize;

use super::Admin;
use crate::PartitionStanding;
use crate::reply::{Reply, json_reply};

#[derive(Serialize)]
struct ClusterView<'a> {
    partitions: Vec<PartitionView>,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionView {
    id: u32,
    standing: &'static str,
    next_log: Option<u64>,
    next_inbox: Option<u64>,
}

impl Admin {
    /// Answers with all partitions.
    pub(super) fn show_cluster(&self) -> Reply {
        let partitions = (self.standings)().into_iter().map(view).collect();
        json_reply(StatusCode::OK, &ClusterView { partitions, version: &self.version })
    }
}

fn view(of: PartitionStanding) -> PartitionView {
    PartitionView {
        id: of.partition.0,
        standing: of.standing,
        next_log: of.next_log.map(|next| next.0),
        next_inbox: of.next_inbox.map(|next| next.0),
    }
}
