//! The cut network, in front of a real broker: what is appended meanwhile waits, and counts once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use everlog_chaos::proxy::Network;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{EventLog as _, Stream, Topic};
use everlog_log_schema::PartitionId;
use everlog_test_kafka::{ClusterOptions, KafkaCluster};
use tokio::time::timeout;

/// How long a cut lasts: shorter than an append may wait.
const CUT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_the_network_and_counts_once() {
    let network = Network::start(1).await.unwrap();
    let advertised = network.addresses().iter().map(ToString::to_string).collect();
    let options = ClusterOptions::new(1).proxied(advertised);
    let broker = tokio::task::spawn_blocking(move || KafkaCluster::with(&options)).await.unwrap();
    network.lead_to(broker.addresses("PROXIED").iter().map(|at| at.parse().unwrap()).collect());
    let options = KafkaOptions {
        partitions: 1,
        replication_factor: 1,
        properties: BTreeMap::new(),
        ..KafkaOptions::new(broker.bootstrap_servers_of("PROXIED"))
    };
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    let log = KafkaLog::connect(options).await.unwrap();
    let stream = Stream { topic: Topic::Log, partition: PartitionId(0) };
    let mut appender = log.appender(stream).unwrap();
    assert_eq!(appender.append("before".into()).unwrap().await, Ok(0));

    network.cut();
    let mut meanwhile = appender.append("meanwhile".into()).unwrap();
    assert!(timeout(CUT, &mut meanwhile).await.is_err(), "it passed though the network is cut");
    network.mend();
    assert_eq!(meanwhile.await, Ok(1));
    assert_eq!(log.bounds(stream).await.unwrap().end, 2);
}
