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
    partitions: Vec<Partition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partition {
    id: u32,
    standing: String,
    next_log: Option<u64>,
    next_inbox: Option<u64>,
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
    let mut table = Table::new(["PARTITION", "STANDING", "NEXT IN LOG", "NEXT IN INBOX"]);
    let offset = |next: Option<u64>| next.map_or_else(|| "-".into(), |next| next.to_string());
    for partition in &cluster.partitions {
        table.row([
            partition.id.to_string(),
            partition.standing.clone(),
            offset(partition.next_log),
            offset(partition.next_inbox),
        ]);
    }
    format!("{}\n\n{table}", lines.join("\n"))
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
}
