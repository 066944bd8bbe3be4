//! The consumer group of executors: it spreads the partitions over those that live.
//!
//! What it says is a hint. Nothing is read through it: every partition is paused in the callback
//! that assigns it, and what slipped through before is thrown away.
//!
//! **Invariant:** a member's name is its `group.instance.id`, so that one that is back before its
//! session ends finds what it had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::PartitionId;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::watch;

use super::KafkaOptions;
use super::client::{self, Cluster};
use crate::{LogError, Topic};

/// How long the thread waits before it looks whether it is still wanted.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Heartbeats in the time of a session.
const HEARTBEATS: u32 = 4;

/// The partitions that the group has assigned.
pub type Assigned = Arc<BTreeSet<PartitionId>>;

/// A membership in the group. Dropping it ends it as a crash does: static members send no word, and
/// the others get its partitions when the session times out.
#[derive(Debug)]
pub struct Group {
    assigned: watch::Receiver<Assigned>,
    problem: watch::Receiver<Option<String>>,
    /// The thread ends when it is gone.
    _wanted: watch::Receiver<()>,
}

impl Group {
    /// Joins as `name`, which no other process may have.
    pub fn join(
        options: KafkaOptions,
        name: &str,
        session_timeout: Duration,
    ) -> Result<Self, LogError> {
        let cluster = Cluster::new(options)?;
        let (sender, assigned) = watch::channel(Assigned::default());
        let (problems, problem) = watch::channel(None);
        let (wanted, is_wanted) = watch::channel(());
        let group = format!("{}executors", cluster.options().topic_prefix);
        let topic = cluster.topic(Topic::Invocations);
        let config = cluster.group_config(&group, name, session_timeout, HEARTBEATS);
        let consumer: BaseConsumer<Watcher> = config
            .create_with_context(Watcher { assigned: sender })
            .map_err(|error| client::setup(&error))?;
        consumer.subscribe(&[&topic]).map_err(|error| client::setup(&error))?;
        let name = name.to_owned();
        std::thread::Builder::new()
            .name("group".into())
            .spawn(move || watch_group(&consumer, &wanted, &problems, &name))
            .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
        Ok(Self { assigned, problem, _wanted: is_wanted })
    }

    /// What is assigned to this member, as it changes; nothing until it has joined.
    pub fn assigned(&self) -> watch::Receiver<Assigned> {
        self.assigned.clone()
    }

    /// Why this member gets no partitions any more, a sentence, if it does not.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.problem.clone()
    }
}

/// Polls until nobody wants the membership any more, or it has ended for good.
fn watch_group(
    consumer: &BaseConsumer<Watcher>,
    wanted: &watch::Sender<()>,
    problems: &watch::Sender<Option<String>>,
    name: &str,
) {
    while !wanted.is_closed() {
        match consumer.poll(POLL_WAIT) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "the group of executors"),
        }
        if let Some((code, reason)) = consumer.client().fatal_error() {
            let problem = format!(
                "member {name} is out of the group of executors ({code}: {reason}): give each \
                 process a cluster.name of its own, and start this one again"
            );
            tracing::error!(problem);
            consumer.context().assigned.send_replace(Assigned::default());
            problems.send_replace(Some(problem));
            return;
        }
    }
}

/// Tells of each new assignment.
struct Watcher {
    assigned: watch::Sender<Assigned>,
}

impl ClientContext for Watcher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka group");
    }
}

impl ConsumerContext for Watcher {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Err(error) = consumer.pause(partitions) {
                    tracing::warn!(%error, "failed to pause partitions: they are read in vain");
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "the group of executors"),
        }
        match consumer.assignment() {
            Ok(assignment) => {
                let assigned = Arc::new(partitions_of(&assignment));
                tracing::debug!(?assigned, "the group of executors assigned partitions");
                self.assigned.send_replace(assigned);
            }
            // The client is being closed.
            Err(error) => tracing::debug!(%error, "the group of executors"),
        }
    }
}

fn partitions_of(assignment: &TopicPartitionList) -> BTreeSet<PartitionId> {
    let partitions = assignment.elements();
    let numbers = partitions.iter().filter_map(|of| u32::try_from(of.partition()).ok());
    numbers.map(PartitionId).collect()
}
