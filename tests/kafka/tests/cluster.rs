//! The cluster of tests does what its tests ask of it.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use everlog_test_kafka::{ClusterOptions, KafkaCluster, free_port};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// Waits until a topic's replicas on these brokers, and no others, are in sync.
fn in_sync(cluster: &KafkaCluster, wanted: &[&str]) {
    // A paused broker takes connections, and is silent: until the others know, the tool may ask it.
    let settings = cluster.data(0).with_file_name("tools.properties");
    fs::write(&settings, "request.timeout.ms=2000\ndefault.api.timeout.ms=8000\n")
        .expect("failed to write");
    let settings = settings.to_str().expect("folders of tests have names that are text");
    let describe = ["--describe", "--topic", "t", "--command-config", settings];
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let described = cluster.try_tool(TOPICS, &describe);
        if let Some((_, behind)) = described.as_ref().ok().and_then(|text| text.split_once("Isr: "))
        {
            let ids = behind.split_whitespace().next().unwrap_or_default();
            let mut found: Vec<_> = ids.split(',').collect();
            found.sort_unstable();
            if found == wanted {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{wanted:?}: {described:?}");
    }
}

#[test]
fn brokers_are_killed_paused_and_started_again() {
    let advertised: Vec<_> = (0..3).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let cluster = KafkaCluster::with(&ClusterOptions::new(3).proxied(advertised.clone()));
    assert_eq!(cluster.bootstrap_servers_of("PROXIED"), advertised.join(","));
    for address in cluster.addresses("PROXIED") {
        assert!(TcpStream::connect(&address).is_ok(), "{address}");
        assert!(!advertised.contains(&address));
    }
    cluster.tool(
        TOPICS,
        &["--create", "--topic", "t", "--replication-factor", "3", "--partitions", "1"],
    );
    in_sync(&cluster, &["1", "2", "3"]);
    cluster.kill(1);
    in_sync(&cluster, &["1", "3"]);
    cluster.restart(1);
    in_sync(&cluster, &["1", "2", "3"]);
    cluster.pause(2);
    in_sync(&cluster, &["1", "2"]);
    cluster.resume(2);
    in_sync(&cluster, &["1", "2", "3"]);
    cluster.kill(0);
    assert!(cluster.log(0).contains("Kafka Server started"));
    assert!(TcpStream::connect(&cluster.addresses("PLAINTEXT")[0]).is_err(), "it is gone");
}
