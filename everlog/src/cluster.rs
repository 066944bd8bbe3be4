//! `everlog cluster`: how the server does.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use crate::admin::{AdminArguments, AdminFailure};
use crate::output::{OutputArguments, Shown, Table, present, printable};

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show whether the server is well, and each of its partitions.
    Status(StatusArguments),
}

/// The arguments of `everlog cluster status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: AdminArguments,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    version: String,
    /// None where the server is one process.
    #[serde(default)]
    members: Vec<Member>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    role: String,
    address: String,
    version: String,
    owned: usize,
    followed: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partition {
    id: u32,
    standing: String,
    owner: Option<String>,
    epoch: Option<u64>,
    #[serde(default)]
    standbys: Vec<Standby>,
    next_log: Option<u64>,
    next_inbox: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Standby {
    member: String,
    next_log: u64,
}

/// What the server says of its health.
#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    /// What is not well, a sentence each.
    pub(crate) problems: Vec<String>,
}

/// Does it.
pub(crate) async fn run(command: ClusterCommand) -> ExitCode {
    let ClusterCommand::Status(StatusArguments { output, server }) = command;
    present(&output, async || status(&server).await).await
}

async fn status(server: &AdminArguments) -> Result<Shown, AdminFailure> {
    let cluster = server.get("/cluster").await?;
    let health = health(server).await?;
    let text = text(&server.read(&cluster)?, &health);
    Ok(Shown { json: json!({ "cluster": cluster, "problems": health.problems }), text })
}

/// Asks the server how it does: it says so with an error where it is not well.
pub(crate) async fn health(server: &AdminArguments) -> Result<Health, AdminFailure> {
    server.read(&server.get_whatever("/health").await?)
}

fn text(cluster: &Cluster, health: &Health) -> String {
    let word = if health.problems.is_empty() { "well" } else { "not well" };
    let mut lines = vec![format!("Everlog {} is {word}.", printable(&cluster.version))];
    lines.extend(health.problems.iter().map(|problem| printable(&format!("  {problem}"))));
    let lines = lines.join("\n");
    if cluster.members.is_empty() {
        return format!("{lines}\n\n{}", partitions_here(&cluster.partitions));
    }
    format!("{lines}\n\n{}\n{}", members(&cluster.members), partitions(&cluster.partitions))
}

fn offset(next: Option<u64>) -> String {
    next.map_or_else(|| "-".into(), |next| next.to_string())
}

fn partitions_here(partitions: &[Partition]) -> Table {
    let mut table = Table::new(["PARTITION", "STANDING", "NEXT IN LOG", "NEXT IN INBOX"]);
    for partition in partitions {
        table.row([
            partition.id.to_string(),
            partition.standing.clone(),
            offset(partition.next_log),
            offset(partition.next_inbox),
        ]);
    }
    table
}

fn members(members: &[Member]) -> Table {
    let mut table = Table::new(["MEMBER", "ROLE", "ADDRESS", "OWNS", "FOLLOWS", "VERSION"]);
    for member in members {
        table.row([
            printable(&member.id),
            printable(&member.role),
            printable(&member.address),
            member.owned.to_string(),
            member.followed.to_string(),
            printable(&member.version),
        ]);
    }
    table
}

fn partitions(partitions: &[Partition]) -> Table {
    let mut table = Table::new(["PARTITION", "STANDING", "OWNER", "EPOCH", "STANDBYS"]);
    for partition in partitions {
        let standbys = partition.standbys.iter();
        let standbys: Vec<_> =
            standbys.map(|by| printable(&format!("{} at {}", by.member, by.next_log))).collect();
        let dash = || "-".to_owned();
        table.row([
            partition.id.to_string(),
            partition.standing.clone(),
            partition.owner.as_deref().map_or_else(dash, printable),
            offset(partition.epoch),
            if standbys.is_empty() { dash() } else { standbys.join(", ") },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn partitions_are_listed_below_what_is_not_well() {
        let cluster: Cluster = serde_json::from_value(json!({
            "version": "0.1.0 (abc)",
            "partitions": [
                { "id": 0, "standing": "owner", "nextLog": 17, "nextInbox": 4 },
                { "id": 1, "standing": "stopped", "nextLog": null, "nextInbox": null },
            ],
        }))
        .unwrap();
        let problems = vec!["partition 1 has stopped: its log went back".into()];
        expect![[r"
            Everlog 0.1.0 (abc) is not well.
              partition 1 has stopped: its log went back

            PARTITION  STANDING  NEXT IN LOG  NEXT IN INBOX
            0          owner     17           4
            1          stopped   -            -
        "]]
        .assert_eq(&text(&cluster, &Health { problems }));
        assert!(text(&cluster, &Health { problems: vec![] }).contains("is well."));
    }
    #[test]
    fn members_are_listed_with_what_they_hold() {
        let cluster: Cluster = serde_json::from_value(json!({
            "version": "0.1.0 (abc)",
            "members": [
                { "id": "a", "role": "executor", "address": "h:1", "version": "0.1.0", "owned": 1, "followed": 0 },
                { "id": "b", "role": "executor", "address": "h:2", "version": "0.1.0", "owned": 0, "followed": 1 },
                { "id": "g", "role": "gateway", "address": "h:3", "version": "0.1.0", "owned": 0, "followed": 0 },
            ],
            "partitions": [
                { "id": 0, "standing": "owner", "owner": "a", "epoch": 4,
                  "standbys": [{ "member": "b", "nextLog": 17 }], "nextLog": null, "nextInbox": null },
                { "id": 1, "standing": "nobody", "nextLog": null, "nextInbox": null },
            ],
        }))
        .unwrap();
        expect![[r"
            Everlog 0.1.0 (abc) is well.

            MEMBER  ROLE      ADDRESS  OWNS  FOLLOWS  VERSION
            a       executor  h:1      1     0        0.1.0
            b       executor  h:2      0     1        0.1.0
            g       gateway   h:3      0     0        0.1.0

            PARTITION  STANDING  OWNER  EPOCH  STANDBYS
            0          owner     a      4      b at 17
            1          nobody    -      -      -
        "]]
        .assert_eq(&text(&cluster, &Health { problems: vec![] }));
    }
}
