//! How long calls wait when their executor is killed: ten kills under a steady rate of calls, and for each
//! the longest time without a completed call on one of the partitions that the killed one owned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use everlog_harness::{Http, within};
use everlog_log_schema::{PartitionId, partition_key_of, partition_of};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::history::History;
use crate::outside::Outside;
use crate::owners::Owners;
use crate::stage::Cluster;

/// How many keys of each partition are called.
const KEYS_PER_PARTITION: usize = 8;
/// How many calls wait at once. One more is not made, which is said.
const WAITING_MAX: usize = 5_000;
/// How long one asking may take before the caller asks the other gateway.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How long the killed executor stays away.
const AWAY: Duration = Duration::from_secs(5);
/// How long everything may take to be as before.
const STEADY_MAX: Duration = Duration::from_mins(2);
/// Calls are steady when each partition has completed one within this time.
const STEADY_GAP: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many executors keep a partition's tables beside its owner.
    pub standbys: u32,
    /// How many kills there are.
    pub kills: usize,
    /// How many calls are made per second.
    pub rate: u32,
}

/// The longest time without a completed call, for each kill.
#[derive(Debug)]
pub struct Gaps(Vec<Duration>);

impl Gaps {
    /// The middle one.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

/// Completed calls, by partition.
#[derive(Debug, Default)]
struct Completions {
    at: Mutex<BTreeMap<PartitionId, Vec<Instant>>>,
    count: AtomicU64,
    waiting: AtomicUsize,
    left_out: AtomicU64,
    stopped: AtomicBool,
}

impl Completions {
    fn note(&self, partition: PartitionId) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.entry(partition).or_default().push(Instant::now());
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether each of the partitions has completed a call within a while.
    fn are_steady(&self, partitions: u32) -> bool {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = at.values().filter(|at| at.last().is_some_and(|at| at.elapsed() < STEADY_GAP));
        recent.count() == partitions as usize
    }

    /// The longest time without a completion on one of the partitions that ends after `from`.
    fn longest_gap(&self, partitions: &[PartitionId], from: Instant) -> Duration {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let gaps = partitions.iter().filter_map(|partition| at.get(partition)).flat_map(|at| {
            at.windows(2).filter_map(|pair| match pair {
                [before, after] if *after > from => Some(*after - *before),
                _ => None,
            })
        });
        gaps.max().unwrap_or_default()
    }
}

/// Measures, and prints each kill.
pub async fn measure(plan: Plan, folder: &Path) -> Result<Gaps> {
    let history = Arc::new(History::create(&folder.join("history.jsonl"))?);
    let (outside, _awakeables) = Outside::serve(history).await?;
    let mut cluster = Cluster::start(folder, outside.address, plan.standbys).await?;
    let partitions = Cluster::partitions();
    let owners = Owners::follow(&cluster.log().await?)?;
    let done = Arc::<Completions>::default();
    let calls = tokio::spawn(call(plan.rate, cluster.ingresses(), Arc::clone(&done)));
    let steady = || async { done.are_steady(partitions) };
    let mut gaps = Vec::new();
    for kill in 0..plan.kills {
        within(STEADY_MAX, "calls of all partitions complete", steady).await?;
        within(STEADY_MAX, "each partition has an owner and its standbys", || async {
            cluster.is_settled(plan.standbys).await.unwrap_or(false)
        })
        .await?;
        let executor = cluster.busiest_executor(&owners, STEADY_MAX).await?;
        let own = owners.of(&executor.address.to_string());
        let killed = Instant::now();
        executor.kill().await?;
        sleep(AWAY).await;
        executor.start()?;
        let name = executor.name().to_owned();
        within(STEADY_MAX, "calls of all partitions complete again", steady).await?;
        let gap = done.longest_gap(&own, killed);
        println!("  kill {:>2}: {name}, owner of {:>2} partitions: {gap:.2?}", kill + 1, own.len());
        gaps.push(gap);
    }
    done.stopped.store(true, Ordering::Relaxed);
    let mut calls = calls.await?;
    while calls.join_next().await.is_some() {}
    check_sums(&cluster, &done).await?;
    cluster.end().await?;
    let left_out = done.left_out.load(Ordering::Relaxed);
    ensure!(left_out == 0, "{left_out} calls were not made: too many were waiting");
    Ok(Gaps(gaps))
}

/// The keys that are called, with their partitions.
fn keys(partitions: u32) -> Vec<(String, PartitionId)> {
    let mut found: BTreeMap<PartitionId, Vec<String>> = BTreeMap::new();
    for number in 0_u32.. {
        let key = format!("key-{number}");
        let own = found.entry(partition_of(partition_key_of(&key), partitions)).or_default();
        if own.len() < KEYS_PER_PARTITION {
            own.push(key);
        }
        let whole = found.values().filter(|keys| keys.len() == KEYS_PER_PARTITION).count();
        if whole == partitions as usize {
            break;
        }
    }
    // One of each partition after the other.
    let nth = |number: usize| {
        let found = &found;
        found.iter().filter_map(move |(of, keys)| Some((keys.get(number)?.clone(), *of)))
    };
    (0..KEYS_PER_PARTITION).flat_map(nth).collect()
}

/// Calls at a steady rate, whether calls are answered or not.
async fn call(rate: u32, gateways: Vec<SocketAddr>, done: Arc<Completions>) -> JoinSet<()> {
    let (http, mut calls) = (Http::default(), JoinSet::new());
    let mut tick = interval(Duration::from_secs(1) / rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for (number, (key, partition)) in keys(Cluster::partitions()).into_iter().cycle().enumerate() {
        tick.tick().await;
        if done.stopped.load(Ordering::Relaxed) {
            break;
        }
        while calls.try_join_next().is_some() {}
        if done.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            done.left_out.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (http, gateways, done) = (http.clone(), gateways.clone(), Arc::clone(&done));
        done.waiting.fetch_add(1, Ordering::Relaxed);
        calls.spawn(async move {
            let (path, id) = (format!("/Interp/{key}/bump"), format!("bump-{number}"));
            for gateway in gateways.iter().cycle().skip(number % 2) {
                let headers = [("idempotency-key", id.as_str())];
                let reply = timeout(ASK_MAX, http.post(*gateway, &path, &headers, "")).await;
                if reply.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status.is_success())) {
                    break;
                }
            }
            done.waiting.fetch_sub(1, Ordering::Relaxed);
            done.note(partition);
        });
    }
    calls
}

/// Each call counts once, and no other counts.
async fn check_sums(cluster: &Cluster, done: &Completions) -> Result<()> {
    let (http, mut sum) = (Http::default(), 0);
    let gateways = cluster.ingresses();
    let gateway = *gateways.first().ok_or_else(|| anyhow::anyhow!("there is no gateway"))?;
    for (key, _) in keys(Cluster::partitions()) {
        let reply = http.post(gateway, &format!("/Interp/{key}/sum"), &[], "").await?.success()?;
        sum += serde_json::from_slice::<u64>(&reply.body)?;
    }
    let count = done.count.load(Ordering::Relaxed);
    println!("  {count} calls were answered, and {sum} counted");
    ensure!(count == sum, "{count} calls were answered, but {sum} counted");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_keys() {
        let keys = keys(12);
        assert_eq!(keys.len(), 12 * KEYS_PER_PARTITION);
        for partition in 0..12 {
            let own = keys.iter().filter(|(_, of)| *of == PartitionId(partition)).count();
            assert_eq!(own, KEYS_PER_PARTITION);
        }
    }

    #[test]
    fn the_longest_gap_is_of_the_worst_partition_after_the_kill() {
        let (done, start) = (Completions::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let (one, two, other) = (PartitionId(1), PartitionId(2), PartitionId(3));
        let times = BTreeMap::from([
            (one, vec![at(0), at(900), at(1_000), at(1_400)]),
            (two, vec![at(990), at(1_700), at(1_800)]),
            (other, vec![at(0), at(9_000)]),
        ]);
        *done.at.lock().unwrap() = times;
        assert_eq!(done.longest_gap(&[one, two], at(1_000)), Duration::from_millis(710));
    }
}
