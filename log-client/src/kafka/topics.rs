//! The topics that must be there, and how they are made.
//!
//! **Invariant:** the brokers never delete a record by time or size: only what was trimmed goes.

use std::time::{Duration, Instant};

use everlog_log_schema::{PartitionId, limits};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::client::{self, Cluster, RECORD_OVERHEAD_BYTES};
use super::{ANSWER_WAIT, topic_check};
use crate::{LogError, Topic};

/// How long new topics may take until every broker knows them.
const READY_WAIT: Duration = Duration::from_secs(30);
/// How long to wait before asking again.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// What a topic must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// What it holds, for people.
    pub(super) holds: &'static str,
    pub(super) partitions: u32,
    /// The setting that says how many partitions it has; none where that is always one.
    pub(super) partitions_setting: Option<&'static str>,
    /// Its `cleanup.policy`.
    pub(super) policy: &'static str,
}

/// All topics, as they must be.
pub(super) fn wanted(cluster: &Cluster) -> Vec<Wanted> {
    let options = cluster.options();
    let of_partitions = (options.partitions, Some("partitions"));
    let delayed = (options.delayed_partitions, Some("kafka.delayed_partitions"));
    let topic = |name, holds, (partitions, partitions_setting), policy| Wanted {
        name,
        holds,
        partitions,
        partitions_setting,
        policy,
    };
    let log = |topic| cluster.topic(topic);
    vec![
        topic(log(Topic::Invocations), "messages to each partition", of_partitions, "delete"),
        topic(log(Topic::Log), "what each partition decided", of_partitions, "delete"),
        topic(cluster.journal_topic(), "rows of the tables", of_partitions, "compact"),
        topic(log(Topic::Metadata), "deployments and services", (1, None), "delete"),
        topic(cluster.members_topic(), "the processes that live", (1, None), "compact"),
        topic(cluster.delayed_topic(), "records to deliver later", delayed, "delete"),
    ]
}

/// The largest batch that a topic must take.
pub(super) const fn batch_bytes_max() -> usize {
    limits::RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES
}

/// How many replicas must have a record before it is acknowledged.
pub(super) const fn insync_replicas(replication: u32) -> u32 {
    if replication >= 3 { 2 } else { 1 }
}

/// Makes the topics that are missing, waits until all can be used, and returns the names of those
/// that it made.
pub(super) async fn ensure(cluster: &Cluster) -> Result<Vec<String>, LogError> {
    // A question for metadata says why no broker answers, where none does.
    let asked = (cluster.clone(), cluster.journal_topic());
    client::blocking(move || topic_check::described(&asked.0, &asked.1)).await?;
    let made = create(cluster).await?;
    let deadline = Instant::now() + READY_WAIT;
    loop {
        match ready(cluster).await {
            Ok(()) => break,
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(RETRY_WAIT).await,
        }
    }
    topic_check::check(cluster).await?;
    Ok(made)
}

async fn create(cluster: &Cluster) -> Result<Vec<String>, LogError> {
    let bytes_max = batch_bytes_max().to_string();
    let replication = cluster.options().replication_factor;
    let insync = insync_replicas(replication.into()).to_string();
    let wanted = wanted(cluster);
    let topics: Vec<_> = wanted
        .iter()
        .map(|topic| {
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            let replication = TopicReplication::Fixed(replication.into());
            NewTopic::new(&topic.name, partitions, replication)
                .set("cleanup.policy", topic.policy)
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &bytes_max)
                .set("message.timestamp.type", "LogAppendTime")
                .set("min.insync.replicas", &insync)
                .set("unclean.leader.election.enable", "false")
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_WAIT));
    let answers = cluster.admin().create_topics(&topics, &options).await;
    let mut made = Vec::new();
    for answer in answers.map_err(|error| client::unavailable(&error))? {
        match answer {
            Ok(name) => made.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, RDKafkaErrorCode::InvalidReplicationFactor)) => {
                return Err(LogError::Setup(format!(
                    "topic {name} cannot be on {replication} brokers: fewer are there; start them, \
                     or set kafka.replication_factor"
                )));
            }
            Err((name, code)) => {
                return Err(LogError::Setup(format!(
                    "failed to create topic {name}: {code}{}",
                    client::advice(code)
                )));
            }
        }
    }
    Ok(made)
}

/// Checks that every partition answers: a leader is named before it takes up its work.
async fn ready(cluster: &Cluster) -> Result<(), LogError> {
    let reports = topic_check::inspect(cluster).await?;
    if let Some(missing) = reports.iter().find(|report| report.partitions.is_none()) {
        let reason = format!("topic {} was made, and no broker knows it yet", missing.name);
        return Err(LogError::Unavailable(reason));
    }
    let cluster = cluster.clone();
    client::blocking(move || {
        for topic in wanted(&cluster) {
            let asked = topic_check::described(&cluster, &topic.name)?;
            let count = asked.map_or(0, |found| found.partitions).min(topic.partitions);
            for partition in (0..count).map(PartitionId) {
                let partition = client::partition_number(partition);
                let watermarks =
                    cluster.admin().inner().fetch_watermarks(&topic.name, partition, ANSWER_WAIT);
                watermarks.map_err(|error| client::unavailable(&error))?;
            }
        }
        Ok(())
    })
    .await
}
