//! Whether the topics are as they must be, and what to change where they are not.
//!
//! **Invariant:** nothing is changed here. A topic of which a promise would not hold is *grave*, and
//! nobody uses it; the rest is told.

use std::fmt;

use rdkafka::admin::{AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::error::RDKafkaErrorCode;

use super::ANSWER_WAIT;
use super::client::{self, Cluster};
use super::topics::{Wanted, batch_bytes_max, insync_replicas, wanted};
use crate::LogError;

/// How a topic stands against what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    /// Its name.
    pub name: String,
    /// What it holds, for people.
    pub holds: &'static str,
    /// Its `cleanup.policy`, as it must be.
    pub policy: &'static str,
    /// How many partitions it has; none where there is no such topic.
    pub partitions: Option<u32>,
    /// On how many brokers each partition is.
    pub replication: Option<u32>,
    /// What is wrong with it.
    pub problems: Vec<TopicProblem>,
}

/// Something that is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProblem {
    /// Whether Everlog refuses to use the topic.
    pub grave: bool,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for TopicProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// A topic as the brokers describe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) partitions: u32,
    replication: u32,
    has_leaders: bool,
}

/// Fails where a topic is not as it must be, and tells of what is only not well.
pub(super) async fn check(cluster: &Cluster) -> Result<(), LogError> {
    let mut grave = Vec::new();
    for TopicReport { name, problems, .. } in inspect(cluster).await? {
        for problem in problems {
            if problem.grave {
                grave.push(format!("topic {name} {problem}"));
            } else {
                tracing::warn!("topic {name} {problem}");
            }
        }
    }
    if grave.is_empty() { Ok(()) } else { Err(LogError::Setup(grave.join("; "))) }
}

/// Looks at each topic. Fails where a partition has no leader: that may pass.
pub(super) async fn inspect(cluster: &Cluster) -> Result<Vec<TopicReport>, LogError> {
    let mut reports = Vec::new();
    for topic in wanted(cluster) {
        let asked = (cluster.clone(), topic.name.clone());
        let found = client::blocking(move || described(&asked.0, &asked.1)).await?;
        let mut report = TopicReport {
            name: topic.name.clone(),
            holds: topic.holds,
            policy: topic.policy,
            partitions: found.map(|found| found.partitions),
            replication: found.map(|found| found.replication),
            problems: Vec::new(),
        };
        let Some(found) = found else {
            report.problems.push(TopicProblem {
                grave: true,
                what: "does not exist".into(),
                remedy: "run `everlog topics ensure`".into(),
            });
            reports.push(report);
            continue;
        };
        if !found.has_leaders {
            let reason = format!("topic {} has a partition without a leader", topic.name);
            return Err(LogError::Unavailable(reason));
        }
        report.problems.extend(wrong_size(cluster, &topic, found));
        let settings = settings_of(cluster, &topic.name).await?;
        report.problems.extend(wrong_settings(cluster, &topic, found, &settings));
        reports.push(report);
    }
    Ok(reports)
}

/// Asks for a topic; nothing where there is none.
pub(super) fn described(cluster: &Cluster, name: &str) -> Result<Option<Found>, LogError> {
    let metadata = cluster
        .admin()
        .inner()
        .fetch_metadata(Some(name), ANSWER_WAIT)
        .map_err(|error| cluster.unanswered(&error))?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(None);
    };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Ok(None);
        }
        Some(code) => {
            let reason =
                format!("topic {name} cannot be described: {code}{}", client::advice(code));
            return Err(LogError::Unavailable(reason));
        }
    }
    let partitions = topic.partitions();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let fewest = partitions.iter().map(|partition| partition.replicas().len()).min();
    Ok(Some(Found {
        partitions: count(partitions.len()),
        replication: count(fewest.unwrap_or(0)),
        has_leaders: partitions.iter().all(|partition| partition.leader() >= 0),
    }))
}

async fn settings_of(cluster: &Cluster, name: &str) -> Result<ConfigResource, LogError> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER_WAIT));
    let topic = [ResourceSpecifier::Topic(name)];
    let answers = cluster.admin().describe_configs(&topic, &options).await;
    let answer = answers.map_err(|error| client::unavailable(&error))?.pop();
    let unknown = |code: RDKafkaErrorCode| {
        let advice = client::advice(code);
        LogError::Unavailable(format!(
            "the settings of topic {name} cannot be read: {code}{advice}"
        ))
    };
    answer.unwrap_or(Err(RDKafkaErrorCode::Unknown)).map_err(unknown)
}

fn wrong_size(cluster: &Cluster, topic: &Wanted, found: Found) -> Vec<TopicProblem> {
    let mut problems = Vec::new();
    let (has, needs) = (found.partitions, topic.partitions);
    if has != needs {
        let other = "or delete the topic, and all that it holds, and run `everlog topics ensure`";
        let remedy = match topic.partitions_setting {
            Some(setting) => {
                format!("their number is fixed when it is made; set {setting} = {has}, {other}")
            }
            None => format!("choose another kafka.topic_prefix, {other}"),
        };
        problems.push(TopicProblem {
            grave: true,
            what: format!("has {has} partitions and needs {needs}"),
            remedy,
        });
    }
    let wanted = u32::from(cluster.options().replication_factor);
    if found.replication < wanted {
        problems.push(TopicProblem {
            grave: false,
            what: format!("is on {} brokers and not {wanted}", found.replication),
            remedy: format!(
                "add replicas with kafka-reassign-partitions.sh, or set kafka.replication_factor = {}",
                found.replication
            ),
        });
    }
    problems
}

/// Compares the settings, each with what it must be.
fn wrong_settings(
    cluster: &Cluster,
    topic: &Wanted,
    found: Found,
    settings: &ConfigResource,
) -> Vec<TopicProblem> {
    let exactly = |text: &str| (text.to_owned(), None);
    let at_least = |number: usize| (number.to_string(), Some(number));
    let mut needs = vec![
        ("cleanup.policy", exactly(topic.policy)),
        ("message.timestamp.type", exactly("LogAppendTime")),
        ("max.message.bytes", at_least(batch_bytes_max())),
        ("min.insync.replicas", at_least(insync_replicas(found.replication) as usize)),
        ("unclean.leader.election.enable", exactly("false")),
    ];
    if topic.policy == "delete" {
        // By these a broker would delete what was not trimmed; they mean nothing to a topic that is
        // only compacted.
        needs.extend([("retention.ms", exactly("-1")), ("retention.bytes", exactly("-1"))]);
    }
    let mut problems = Vec::new();
    for (name, (wanted, least)) in needs {
        let value =
            settings.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or("nothing");
        let fits = match least {
            Some(least) => value.parse::<usize>().is_ok_and(|number| number >= least),
            None => value == wanted,
        };
        if fits {
            continue;
        }
        let (servers, topic) = (&cluster.options().bootstrap_servers, &topic.name);
        problems.push(TopicProblem {
            grave: true,
            what: format!("has {name}={value} and needs {wanted}"),
            remedy: format!(
                "kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics \
                 --entity-name {topic} --add-config {name}={wanted}"
            ),
        });
    }
    problems
}
