//! The topics that must be there.
//!
//! **Invariant:** the brokers never delete a record by time or size: only what was trimmed goes.

use std::time::{Duration, Instant};

use everlog_log_schema::{PartitionId, limits};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use super::ANSWER_WAIT;
use super::client::{self, Cluster, RECORD_OVERHEAD_BYTES};
use crate::{LogError, Topic};

/// How long new topics may take until every broker knows them.
const READY_WAIT: Duration = Duration::from_secs(30);
/// How long to wait before asking again.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// Names each topic with its partitions and its policy.
fn wanted(cluster: &Cluster) -> Vec<(String, u32, &'static str)> {
    let partitions = cluster.options().partitions;
    vec![
        (cluster.topic(Topic::Invocations), partitions, "delete"),
        (cluster.topic(Topic::Log), partitions, "delete"),
        (cluster.topic(Topic::Metadata), 1, "delete"),
        (cluster.journal_topic(), partitions, "compact"),
        (format!("{}members", cluster.options().topic_prefix), 1, "compact"),
    ]
}

/// Checks that each topic is there with the partitions it must have.
pub(super) async fn check(cluster: &Cluster) -> Result<(), LogError> {
    let cluster = cluster.clone();
    client::blocking(move || {
        for (name, partitions, _) in wanted(&cluster) {
            let metadata = cluster
                .admin()
                .inner()
                .fetch_metadata(Some(&name), ANSWER_WAIT)
                .map_err(|error| client::unavailable(&error))?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let found =
                topic.filter(|topic| topic.error().is_none()).map(MetadataTopic::partitions);
            let Some(found) = found else {
                return Err(LogError::Setup(format!("topic {name} does not exist: create it")));
            };
            if found.len() != partitions as usize {
                return Err(LogError::Setup(format!(
                    "topic {name} has {} partitions and {partitions} are asked for: their number \
                     is fixed when the topic is made",
                    found.len()
                )));
            }
            if found.iter().any(|partition| partition.leader() < 0) {
                return Err(LogError::Unavailable(format!("topic {name} has no leader yet")));
            }
        }
        Ok(())
    })
    .await
}

/// Checks that every partition answers: a leader is named before it takes up its work.
async fn answer(cluster: &Cluster) -> Result<(), LogError> {
    let cluster = cluster.clone();
    client::blocking(move || {
        for (name, partitions, _) in wanted(&cluster) {
            for partition in (0..partitions).map(PartitionId) {
                let partition = client::partition_number(partition);
                let watermarks =
                    cluster.admin().inner().fetch_watermarks(&name, partition, ANSWER_WAIT);
                watermarks.map_err(|error| client::unavailable(&error))?;
            }
        }
        Ok(())
    })
    .await
}

/// Makes the topics that are missing and waits until all can be used.
pub(super) async fn ensure(cluster: &Cluster) -> Result<(), LogError> {
    let bytes_max = (limits::RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES).to_string();
    let wanted = wanted(cluster);
    let topics: Vec<_> = wanted
        .iter()
        .map(|(name, partitions, policy)| {
            let partitions = i32::try_from(*partitions).unwrap_or(i32::MAX);
            let replication =
                TopicReplication::Fixed(i32::from(cluster.options().replication_factor));
            NewTopic::new(name, partitions, replication)
                .set("cleanup.policy", policy)
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &bytes_max)
                .set("message.timestamp.type", "LogAppendTime")
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_WAIT));
    let made = cluster.admin().create_topics(&topics, &options).await;
    for topic in made.map_err(|error| client::unavailable(&error))? {
        match topic {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(LogError::Setup(format!("failed to create topic {name}: {code}")));
            }
        }
    }
    let deadline = Instant::now() + READY_WAIT;
    loop {
        let ready = match check(cluster).await {
            Ok(()) => answer(cluster).await,
            not_there => not_there,
        };
        match ready {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(RETRY_WAIT).await,
        }
    }
}
