//! The consumer group of executors: it spreads the partitions over those that live.
//!
//! What it says is a hint. Nothing is read through it: every partition is paused in the callback
//! that assigns it, and what slipped through before is thrown away.
//!
//! A member that is put out of the group joins again: after a cut of the network its own belated
//! request to join may have put it out. Put out again soon after, there may be another process of its
//! name: it says so, and waits longer each time, so that twins disturb each other seldom and a member
//! without a twin always comes back.
//!
//! **Invariant:** a member's name is its `group.instance.id`, so that one that is back before its
//! session ends finds what it had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everlog_log_schema::PartitionId;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
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
/// A member that is put out so soon after it has joined again may have a twin.
const TWIN_WITHIN: Duration = Duration::from_mins(1);
/// How many sessions a member that may have a twin waits before it joins again; twice as many each
/// further time.
const TWIN_SESSIONS: u32 = 5;
/// It never waits longer.
const TWIN_WAIT_MAX: Duration = Duration::from_mins(5);

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
        let seat = Seat { config, topic, name: name.to_owned(), session_timeout, assigned: sender };
        let consumer = seat.take()?;
        std::thread::Builder::new()
            .name("group".into())
            .spawn(move || watch_group(&seat, consumer, &wanted, &problems))
            .map_err(|error| LogError::Unavailable(format!("failed to start a thread: {error}")))?;
        Ok(Self { assigned, problem, _wanted: is_wanted })
    }

    /// What is assigned to this member, as it changes; nothing until it has joined.
    pub fn assigned(&self) -> watch::Receiver<Assigned> {
        self.assigned.clone()
    }

    /// Why this member gets no partitions for now, a sentence, if it was put out more than once.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.problem.clone()
    }
}

/// What it takes to join, once more if need be.
struct Seat {
    config: ClientConfig,
    topic: String,
    name: String,
    session_timeout: Duration,
    assigned: watch::Sender<Assigned>,
}

impl Seat {
    fn take(&self) -> Result<BaseConsumer<Watcher>, LogError> {
        let watcher = Watcher { assigned: self.assigned.clone() };
        let consumer: BaseConsumer<Watcher> =
            self.config.create_with_context(watcher).map_err(|error| client::setup(&error))?;
        consumer.subscribe(&[&self.topic]).map_err(|error| client::setup(&error))?;
        Ok(consumer)
    }

    /// How long a member waits that was put out soon after it had joined, so often in a row.
    fn wait_of(&self, times: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(times.saturating_sub(1));
        let wait = self.session_timeout.saturating_mul(TWIN_SESSIONS.saturating_mul(doubled));
        if times == 0 { Duration::ZERO } else { wait.min(TWIN_WAIT_MAX) }
    }
}

/// Polls until nobody wants the membership any more, and joins again where it was put out.
fn watch_group(
    seat: &Seat,
    mut consumer: BaseConsumer<Watcher>,
    wanted: &watch::Sender<()>,
    problems: &watch::Sender<Option<String>>,
) {
    let (mut put_out, mut times): (Option<Instant>, u32) = (None, 0);
    while !wanted.is_closed() {
        match consumer.poll(POLL_WAIT) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "the group of executors"),
        }
        let Some((code, reason)) = consumer.client().fatal_error() else {
            if put_out.is_some_and(|at| at.elapsed() > TWIN_WITHIN) && problems.borrow().is_some() {
                problems.send_replace(None);
            }
            continue;
        };
        let soon = put_out.is_some_and(|at| at.elapsed() <= TWIN_WITHIN);
        times = if soon { times.saturating_add(1) } else { 0 };
        seat.assigned.send_replace(Assigned::default());
        if soon {
            let problem = format!(
                "member {} was put out of the group of executors again ({code}: {reason}): give \
                 each process a cluster.name of its own",
                seat.name
            );
            tracing::error!(problem);
            problems.send_replace(Some(problem));
        } else {
            let name = &seat.name;
            tracing::warn!(name, %code, reason, "put out of the group of executors; joins again");
        }
        match rejoin(seat, seat.wait_of(times), wanted) {
            Some(joined) => consumer = joined,
            None => return,
        }
        put_out = Some(Instant::now());
    }
}

/// Joins again after a while. Nothing where nobody wants that any more.
fn rejoin(
    seat: &Seat,
    wait: Duration,
    wanted: &watch::Sender<()>,
) -> Option<BaseConsumer<Watcher>> {
    let since = Instant::now();
    while !wanted.is_closed() {
        if since.elapsed() >= wait {
            match seat.take() {
                Ok(consumer) => return Some(consumer),
                Err(error) => tracing::warn!(%error, "failed to join the group of executors"),
            }
        }
        std::thread::sleep(POLL_WAIT);
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_have_a_twin_waits_longer_each_time() {
        let seat = Seat {
            config: ClientConfig::new(),
            topic: "t".into(),
            name: "a".into(),
            session_timeout: Duration::from_secs(6),
            assigned: watch::Sender::default(),
        };
        let waits = [0, 1, 2, 3, 4, 5, 40].map(|times| seat.wait_of(times).as_secs());
        assert_eq!(waits, [0, 30, 60, 120, 240, 300, 300]);
    }
}
