//! A cluster: three brokers, three executors, two gateways, and the functions, each a process.
//!
//! The first executor reaches the brokers through a network of its own, which can be cut.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_harness::{Http, Reply, within};
use everlog_log_client::EventLog;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::{ClusterOptions, KafkaCluster};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::node::{Node, Role};
use super::{Functions, copy_folder};
use crate::fault::{Fault, Kind};
use crate::owners::Owners;
use crate::proxy::Network;

/// How many partitions there are.
const PARTITIONS: u32 = 12;
/// How long a member may be silent: what Everlog sets unless it is told otherwise.
const SESSION: Duration = Duration::from_secs(6);
const BROKERS: usize = 3;
const EXECUTORS: usize = 3;
const GATEWAYS: usize = 2;
/// How long it may take from the start of all processes until calls can be made.
const READY_MAX: Duration = Duration::from_mins(2);

/// All processes of a cluster.
#[derive(Debug)]
pub struct Cluster {
    executors: Vec<Node>,
    gateways: Vec<Node>,
    functions: Functions,
    // Behind our own processes: they are ended first.
    brokers: Arc<KafkaCluster>,
    network: Network,
}

impl Cluster {
    /// Starts everything. What our processes print goes to files in `folder`.
    pub async fn start(folder: &Path, outside: SocketAddr, standbys: u32) -> Result<Self> {
        let network = Network::start(BROKERS).await?;
        let advertised = network.addresses().iter().map(ToString::to_string).collect();
        let options = ClusterOptions::new(BROKERS).proxied(advertised);
        let brokers = Arc::new(spawn_blocking(move || KafkaCluster::with(&options)).await?);
        let behind = brokers.addresses("PROXIED");
        network.lead_to(behind.iter().map(|at| at.parse()).collect::<Result<_, _>>()?);
        let (direct, cut) = (brokers.bootstrap_servers(), brokers.bootstrap_servers_of("PROXIED"));

        let common = |bootstrap: &str| {
            vec![
                ("EVERLOG_KAFKA__BOOTSTRAP_SERVERS".to_owned(), bootstrap.to_owned()),
                ("EVERLOG_PARTITIONS".to_owned(), PARTITIONS.to_string()),
                ("EVERLOG_CLUSTER__STANDBYS".to_owned(), standbys.to_string()),
                ("EVERLOG_CLUSTER__SECRET".to_owned(), "not-much-of-a-secret".to_owned()),
                ("EVERLOG_LOG_FORMAT".to_owned(), "json".to_owned()),
            ]
        };
        KafkaLog::ensure_topics(options_of(&direct)).await?;
        let executor = |number| {
            let bootstrap = if number == 0 { &cut } else { &direct };
            Node::new(Role::Executor, number, folder, common(bootstrap))
        };
        let gateway = |number| Node::new(Role::Gateway, number, folder, common(&direct));
        let functions = Functions::start(folder, outside).await?;
        let mut cluster = Self {
            executors: (0..EXECUTORS).map(executor).collect(),
            gateways: (0..GATEWAYS).map(gateway).collect(),
            functions,
            brokers,
            network,
        };
        for node in cluster.executors.iter_mut().chain(&mut cluster.gateways) {
            node.start()?;
        }
        cluster.until_ready().await?;
        Ok(cluster)
    }

    async fn until_ready(&self) -> Result<()> {
        let http = Http::default();
        for gateway in &self.gateways {
            let up = |reply: Result<Reply>| reply.is_ok_and(|reply| reply.status.is_success());
            let what = format!("{} takes calls", gateway.name());
            let ready = within(READY_MAX, &what, || async {
                up(http.get(gateway.ingress, "/restate/health").await)
            });
            ready.await.with_context(|| gateway.printed())?;
        }
        let body = format!(r#"{{"uri":"{}"}}"#, self.functions.uri());
        http.post(self.admin(), "/deployments", &[], body).await?.success()?;
        for gateway in &self.gateways {
            let what = format!("{} has a call answered", gateway.name());
            within(READY_MAX, &what, || async {
                let reply = http.post(gateway.ingress, "/Interp/0/read", &[], "").await;
                reply.is_ok_and(|reply| reply.status.is_success())
            })
            .await?;
        }
        Ok(())
    }

    /// Whether all executors are members, and each partition has an owner and its standbys.
    pub async fn is_settled(&self, standbys: u32) -> Result<bool> {
        #[derive(Deserialize)]
        struct Standing {
            members: Vec<IgnoredAny>,
            partitions: Vec<Partition>,
        }
        #[derive(Deserialize)]
        struct Partition {
            owner: Option<IgnoredAny>,
            #[serde(default)]
            standbys: Vec<IgnoredAny>,
        }
        let reply = Http::default().get(self.admin(), "/cluster").await?.success()?;
        let Standing { members, partitions } = serde_json::from_slice(&reply.body)?;
        let stands = |of: &Partition| of.owner.is_some() && of.standbys.len() == standbys as usize;
        Ok(members.len() == self.executors.len() + self.gateways.len()
            && partitions.iter().all(stands))
    }

    /// How long a member may be silent.
    pub fn session() -> Duration {
        SESSION
    }

    /// How many partitions there are.
    pub fn partitions() -> u32 {
        PARTITIONS
    }

    /// Where calls go.
    pub fn ingresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.ingress).collect()
    }

    /// Where it is administered.
    pub fn admin(&self) -> SocketAddr {
        self.gateways.first().expect("there is a gateway").admin
    }

    /// The executor that owns most partitions, once one owns any.
    pub async fn busiest_executor(
        &mut self,
        owners: &Owners,
        limit: Duration,
    ) -> Result<&mut Node> {
        let owned = |node: &Node| owners.of(&node.address.to_string()).len();
        let running = &self.executors;
        within(limit, "an executor owns partitions", || async {
            running.iter().any(|node| owned(node) > 0)
        })
        .await?;
        let busiest = self.executors.iter_mut().max_by_key(|node| owned(node));
        busiest.context("there is no executor")
    }

    /// Opens the log.
    pub async fn log(&self) -> Result<Arc<dyn EventLog>> {
        Ok(KafkaLog::connect(options_of(&self.brokers.bootstrap_servers())).await?)
    }

    /// Does harm, and mends it.
    pub async fn strike(&mut self, fault: &Fault) -> Result<()> {
        let lasts = fault.lasts;
        let executor = nth(&mut self.executors, fault.target)?;
        match fault.kind {
            Kind::KillExecutor => executor.bounce(lasts).await,
            Kind::KillGateway => nth(&mut self.gateways, fault.target)?.bounce(lasts).await,
            Kind::FreezeExecutor => {
                executor.process()?.freeze()?;
                sleep(lasts).await;
                executor.process()?.thaw()
            }
            Kind::EndExecutor => {
                executor.end().await?;
                sleep(lasts).await;
                executor.start()
            }
            Kind::LoseTables => {
                executor.kill().await?;
                std::fs::remove_dir_all(executor.data())?;
                sleep(lasts).await;
                executor.start()
            }
            Kind::RollTablesBack => {
                executor.end().await?;
                let (data, copy) =
                    (executor.data().to_owned(), executor.data().with_extension("copy"));
                copy_folder(&data, &copy)?;
                executor.start()?;
                sleep(lasts).await;
                executor.kill().await?;
                std::fs::remove_dir_all(&data)?;
                std::fs::rename(&copy, &data)?;
                executor.start()
            }
            Kind::CutExecutor => {
                self.network.cut();
                sleep(lasts).await;
                self.network.mend();
                Ok(())
            }
            Kind::KillBroker => self.bounce_broker(fault.target % BROKERS, lasts).await,
            Kind::RollBrokers => {
                for broker in 0..BROKERS {
                    self.bounce_broker(broker, Duration::ZERO).await?;
                    sleep(lasts).await;
                }
                Ok(())
            }
            Kind::KillFunctions => {
                self.functions.kill().await?;
                sleep(lasts).await;
                self.functions.restart().await
            }
        }
    }

    async fn bounce_broker(&self, broker: usize, lasts: Duration) -> Result<()> {
        let brokers = Arc::clone(&self.brokers);
        spawn_blocking(move || brokers.kill(broker)).await?;
        sleep(lasts).await;
        let brokers = Arc::clone(&self.brokers);
        Ok(spawn_blocking(move || brokers.restart(broker)).await?)
    }

    /// Ends our processes, which must end well, and opens the log that they leave.
    pub async fn end(&mut self) -> Result<Arc<dyn EventLog>> {
        for node in self.gateways.iter_mut().chain(&mut self.executors) {
            node.end().await?;
        }
        self.log().await
    }
}

fn options_of(bootstrap_servers: &str) -> KafkaOptions {
    KafkaOptions { partitions: PARTITIONS, ..KafkaOptions::new(bootstrap_servers) }
}

fn nth(nodes: &mut [Node], target: usize) -> Result<&mut Node> {
    let number = target.checked_rem(nodes.len()).context("there is no such process")?;
    nodes.get_mut(number).context("there is no such process")
}
