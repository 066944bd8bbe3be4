//! A log that lost records: its partition stops, says why, and leaves the others alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use everlog_e2e::{Functions, call_until_answered};
use everlog_harness::{Everlog, within};
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::{ClusterOptions, KafkaCluster};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::task::block_in_place;

const PARTITIONS: u32 = 4;
/// The brokers that may lead the log of partition 0, by their numbers here, and by Kafka's ids.
const HOLDS_ALL: usize = 0;
const FALLS_BEHIND: usize = 1;
const LOSES: [u32; 2] = [1, 2];
/// Of all else: the third broker, which never dies, is among them.
const KEEPS: [u32; 2] = [3, 1];
/// So many calls that each partition has some.
const CALLS: usize = 40;
const TEST_MAX: Duration = Duration::from_mins(3);
/// How soon a broker that is gone is taken for dead.
const SESSION_MS: &str = "6000";

fn topics(cluster: &KafkaCluster) -> String {
    cluster.tool("org.apache.kafka.tools.TopicCommand", &["--describe"])
}

/// Reads `name: value` of a line of a description.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split('\t').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix(": "))
}

/// The lines that describe partitions of Everlog's topics, each with the topic and the partition.
fn partitions(described: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    described.lines().filter_map(|line| {
        let (topic, partition) = (field(line, "Topic")?, field(line, "Partition")?);
        topic.starts_with("loss.").then_some((topic, partition.parse().ok()?, line))
    })
}

/// Puts each partition on the brokers that it is to have.
fn place(cluster: &KafkaCluster, folder: &std::path::Path) -> Result<()> {
    let described = topics(cluster);
    let placed: Vec<_> = partitions(&described)
        .map(|(topic, partition, _)| {
            let replicas = if (topic, partition) == ("loss.log", 0) { LOSES } else { KEEPS };
            json!({ "topic": topic, "partition": partition, "replicas": replicas })
        })
        .collect();
    let file = folder.join("placed.json");
    std::fs::write(&file, json!({ "version": 1, "partitions": placed }).to_string())?;
    let file = file.display().to_string();
    let reassign = |how: &str| {
        let arguments = ["--reassignment-json-file", &file, how];
        cluster.tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &arguments)
    };
    reassign("--execute");
    while reassign("--verify").contains("still in progress") {}
    Ok(())
}

/// Has the broker that lacks records lead, as an operator who gives the others up.
fn elect(cluster: &KafkaCluster) {
    let arguments = ["--election-type", "unclean", "--topic", "loss.log", "--partition", "0"];
    // It is not needed until the leader is taken for dead.
    let _ = cluster.try_tool("org.apache.kafka.tools.LeaderElectionCommand", &arguments);
}

fn leads(cluster: &KafkaCluster, broker: usize) -> bool {
    let described = topics(cluster);
    let line =
        partitions(&described).find(|(topic, number, _)| (*topic, *number) == ("loss.log", 0));
    line.and_then(|(_, _, line)| field(line, "Leader")) == Some(&(broker + 1).to_string())
}

/// Makes calls of these numbers, and returns what each answers.
async fn call(
    everlog: &Everlog,
    numbers: std::ops::Range<usize>,
) -> Result<BTreeMap<String, String>> {
    let calls = numbers.map(|number| async move {
        let key = format!("call-{number}");
        let (http, at) = (&everlog.http, everlog.ingress);
        let reply = call_until_answered(http, at, "/Steps/five", &key, "", TEST_MAX).await?;
        anyhow::Ok((key, reply.text()))
    });
    Ok(try_join_all(calls).await?.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclean_election_stops_its_partition_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ClusterOptions::new(3).property("broker.session.timeout.ms", SESSION_MS);
    let cluster = block_in_place(|| KafkaCluster::with(&options));
    let servers = cluster.bootstrap_servers();
    let kafka = KafkaOptions {
        topic_prefix: "loss.".into(),
        partitions: PARTITIONS,
        delayed_partitions: 1,
        replication_factor: 2,
        ..KafkaOptions::new(&servers)
    };
    KafkaLog::ensure_topics(kafka).await?;
    block_in_place(|| place(&cluster, folder.path()))?;
    let functions = Functions::serve().await?;
    let mut everlog = Everlog::on(&folder.path().join("data"), &["--kafka", &servers])?;
    for (name, value) in [
        ("EVERLOG_PARTITIONS", PARTITIONS.to_string().as_str()),
        ("EVERLOG_KAFKA__TOPIC_PREFIX", "loss."),
        ("EVERLOG_KAFKA__REPLICATION_FACTOR", "2"),
        ("EVERLOG_KAFKA__DELAYED_PARTITIONS", "1"),
        ("EVERLOG_CLUSTER__ADDRESS", "127.0.0.1:0"),
    ] {
        everlog = everlog.with_env(name, value);
    }
    everlog.restart().await?;
    everlog.register(&functions.uri()).await?.success()?;
    call(&everlog, 0..CALLS).await?;

    block_in_place(|| cluster.kill(FALLS_BEHIND));
    // Acknowledged by all that are in sync, which is one broker here: so it was asked for.
    let before = call(&everlog, CALLS..2 * CALLS).await?;
    block_in_place(|| {
        cluster.kill(HOLDS_ALL);
        cluster.restart(FALLS_BEHIND);
    });
    within(TEST_MAX, "a broker that lacks records leads", || async {
        block_in_place(|| {
            elect(&cluster);
            leads(&cluster, FALLS_BEHIND)
        })
    })
    .await?;

    within(TEST_MAX, "the partition stops", || async {
        let Ok(reply) = everlog.http.get(everlog.admin, "/cluster").await else { return false };
        let cluster: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        cluster["partitions"][0]["standing"] == "stopped"
    })
    .await?;
    let (mut answered, mut refused) = (0, 0);
    for (key, answer) in &before {
        let headers = [("idempotency-key", key.as_str())];
        let reply = everlog.call("/Steps/five", &headers, "").await?;
        if reply.status.is_success() {
            assert_eq!(reply.text(), *answer, "{key}");
            answered += 1;
        } else {
            let text = reply.text();
            assert_eq!(reply.status, 503, "{text}");
            ensure!(text.contains("partition-stopped") && text.contains("lost records"), "{text}");
            refused += 1;
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} are answered, and {refused} refused");
    Ok(())
}
