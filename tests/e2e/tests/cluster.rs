//! A cluster of separate processes over a real Kafka: whoever dies, all calls complete.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use everlog_e2e::{Functions, Killed, call_until_answered};
use everlog_harness::{Http, Process, free_address, program, within};
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::KafkaBroker;
use serde_json::Value;
use tokio::process::Command;

const CALLS: usize = 200;
const CALLERS: usize = 20;
const STEPS: u32 = 5;
const PARTITIONS: u32 = 6;
/// How long all of it may take: a bound that tells a hang from a slow machine.
const TEST_MAX: Duration = Duration::from_mins(4);

/// Topics for the processes of one test.
struct Topics {
    kafka: KafkaOptions,
}

impl Topics {
    async fn make() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let broker = tokio::task::spawn_blocking(KafkaBroker::shared).await?;
        let kafka = KafkaOptions {
            topic_prefix: format!("cluster-{}-{number}.", std::process::id()),
            partitions: PARTITIONS,
            delayed_partitions: 1,
            replication_factor: 1,
            ..KafkaOptions::new(broker.bootstrap_servers())
        };
        KafkaLog::ensure_topics(kafka.clone()).await?;
        Ok(Self { kafka })
    }

    /// Starts a process of a role.
    fn start(
        &self,
        role: &str,
        name: &str,
        folder: &Path,
        ports: [SocketAddr; 2],
    ) -> Result<Process> {
        let [ingress, admin] = ports.map(|port| port.to_string());
        let mut command = Command::new(program("everlog")?);
        command.arg(role).current_dir(folder).envs([
            ("EVERLOG_KAFKA__BOOTSTRAP_SERVERS", self.kafka.bootstrap_servers.as_str()),
            ("EVERLOG_KAFKA__TOPIC_PREFIX", self.kafka.topic_prefix.as_str()),
            ("EVERLOG_KAFKA__REPLICATION_FACTOR", "1"),
            ("EVERLOG_KAFKA__DELAYED_PARTITIONS", &self.kafka.delayed_partitions.to_string()),
            ("EVERLOG_PARTITIONS", &PARTITIONS.to_string()),
            ("EVERLOG_CLUSTER__NAME", name),
            ("EVERLOG_CLUSTER__ADDRESS", "127.0.0.1:0"),
            ("EVERLOG_CLUSTER__SECRET", "a test, and no secret"),
            ("EVERLOG_DATA_DIR", name),
            ("EVERLOG_INGRESS_ADDRESS", &ingress),
            ("EVERLOG_ADMIN_ADDRESS", &admin),
        ]);
        Process::start(&mut command, Some(&folder.join(format!("{name}.output"))))
    }

    fn executor(&self, name: &str, folder: &Path) -> Result<(Process, SocketAddr)> {
        let admin = free_address();
        Ok((self.start("executor", name, folder, [free_address(), admin])?, admin))
    }
}

/// Waits until these executors own all partitions, each some.
async fn until_owned_by(http: &Http, admin: SocketAddr, owners: &[&str]) -> Result<()> {
    within(TEST_MAX, &format!("{owners:?} own all partitions"), || async {
        let Ok(reply) = http.get(admin, "/cluster").await else { return false };
        let Ok(cluster) = serde_json::from_slice::<Value>(&reply.body) else { return false };
        let partitions = cluster["partitions"].as_array().cloned().unwrap_or_default();
        let owned = |by: &&str| partitions.iter().any(|of| of["owner"] == **by);
        let all = partitions.iter().all(|of| owners.iter().any(|owner| of["owner"] == *owner));
        !partitions.is_empty() && all && owners.iter().all(owned)
    })
    .await
}

/// Counts the invocations that have completed, in SQL.
async fn counted(http: &Http, admin: SocketAddr) -> Result<usize> {
    let query =
        r#"{"query":"SELECT COUNT(*) AS n FROM sys_invocation WHERE status = 'completed'"}"#;
    let json = [("accept", "application/json")];
    let reply = http.post(admin, "/query", &json, query).await?.success()?;
    let answer: Value = serde_json::from_slice(&reply.body)?;
    let count = answer["rows"][0]["n"].as_u64().unwrap_or_default();
    Ok(usize::try_from(count)?)
}

/// Makes calls, and tells how many are answered.
fn call(
    ingress: [SocketAddr; 2],
    answered: &Arc<AtomicUsize>,
) -> tokio::task::JoinSet<Result<usize>> {
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (answered, at) = (Arc::clone(answered), ingress[caller % ingress.len()]);
        callers.spawn(async move {
            let http = Http::default();
            let mut answers = 0;
            for call in (caller..CALLS).step_by(CALLERS) {
                let key = format!("call-{call}");
                let reply =
                    call_until_answered(&http, at, "/Steps/five", &key, "", TEST_MAX).await?;
                let tokens: Vec<u64> = serde_json::from_str(&reply.text())?;
                ensure!(tokens.len() == STEPS as usize, "{key}: {}", reply.text());
                answers += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answers)
        });
    }
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_survive_the_death_of_an_executor_and_of_a_gateway() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (topics, functions) = (Topics::make().await?, Functions::serve().await?);
    let http = Http::default();
    let (mut a, a_admin) = topics.executor("a", folder.path())?;
    let (_b, b_admin) = topics.executor("b", folder.path())?;
    let gateways = [[free_address(), free_address()], [free_address(), free_address()]];
    let mut g = topics.start("gateway", "g", folder.path(), gateways[0])?;
    let _h = topics.start("gateway", "h", folder.path(), gateways[1])?;
    let [h_ingress, h_admin] = gateways[1];
    until_owned_by(&http, h_admin, &["a", "b"]).await?;
    let body = format!(r#"{{"uri":"{}"}}"#, functions.uri());
    http.post(h_admin, "/deployments", &[], body).await?.success()?;
    // Each gateway follows what is registered for itself.
    within(TEST_MAX, "both gateways know the functions", || async {
        for [_, admin] in gateways {
            let known = http.get(admin, "/services/Steps").await;
            if !known.is_ok_and(|reply| reply.status.is_success()) {
                return false;
            }
        }
        true
    })
    .await?;
    for admin in [a_admin, b_admin] {
        http.get(admin, "/health").await?.success()?;
        let metrics = http.get(admin, "/metrics").await?.text();
        ensure!(metrics.contains("# TYPE everlog_executor_"), "{metrics}");
    }

    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = call([gateways[0][0], h_ingress], &answered);
    let until_answered = |wanted: usize| {
        let answered = Arc::clone(&answered);
        async move {
            let what = format!("{wanted} answers");
            within(TEST_MAX, &what, || async { answered.load(Ordering::Relaxed) >= wanted }).await
        }
    };
    until_answered(CALLS / 8).await?;
    let after = Instant::now();
    a.kill().await?;
    let kills = [Killed { after, before: Instant::now() }];
    until_answered(CALLS / 2).await?;
    // Its callers ask again until it is back: it keeps nothing.
    g.kill().await?;
    let _g = topics.start("gateway", "g", folder.path(), gateways[0])?;
    let mut answers = 0;
    while let Some(caller) = callers.join_next().await {
        answers += caller??;
    }
    assert_eq!(answers, CALLS);
    // Whichever gateway is asked, what all executors know is told.
    for [_, admin] in gateways {
        assert_eq!(counted(&http, admin).await?, CALLS, "{admin}");
    }
    // A step ran again only where the death of the executor met it in flight.
    assert_eq!(functions.effects.unexplained(&kills), Vec::<String>::new());
    until_owned_by(&http, h_admin, &["b"]).await
}
