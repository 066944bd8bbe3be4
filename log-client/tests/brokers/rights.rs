//! Rights that are missing, and granted or taken while everything runs: nothing stops for good, and
//! nothing has to be started again.

use std::collections::BTreeMap;
use std::time::Duration;

use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_log_client::{AppendError, EventLog, LogError, RowChange};
use everlog_log_schema::PartitionId;
use everlog_test_kafka::{ClusterOptions, KafkaCluster};

use crate::support::{STREAM, append_at_last, options, read, soon};

const ACLS: &str = "org.apache.kafka.tools.AclCommand";

/// One broker that lets `everlog` in by password, and in nothing that it is not granted.
fn cluster() -> KafkaCluster {
    let jaas =
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_everlog=\"secret\";";
    KafkaCluster::with(
        &ClusterOptions::new(1)
            .property(
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            )
            .property("super.users", "User:ANONYMOUS")
            .listener("CLIENTS", "SASL_PLAINTEXT")
            .property("listener.name.clients.sasl.enabled.mechanisms", "PLAIN")
            .property("listener.name.clients.plain.sasl.jaas.config", jaas),
    )
}

fn as_everlog(cluster: &KafkaCluster) -> KafkaOptions {
    let properties = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "everlog"),
        ("sasl.password", "secret"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    KafkaOptions {
        properties: BTreeMap::from(properties),
        append_stall_max: Duration::from_secs(5),
        ..options("acl", &cluster.bootstrap_servers_of("CLIENTS"), 1)
    }
}

/// Grants or takes rights, for all topics of the prefix, as docs/kafka.md says.
fn acls(cluster: &KafkaCluster, change: &str, resource: &[&str], operations: &[&str]) {
    let mut arguments = vec![change, "--allow-principal", "User:everlog"];
    if change == "--remove" {
        arguments.push("--force");
    }
    arguments.extend(resource);
    for operation in operations {
        arguments.extend(["--operation", operation]);
    }
    arguments.extend(["--resource-pattern-type", "prefixed"]);
    cluster.tool(ACLS, &arguments);
}

const TOPICS: [&str; 2] = ["--topic", "acl."];
const GROUPS: [&str; 2] = ["--group", "acl."];
const TRANSACTIONS: [&str; 2] = ["--transactional-id", "acl."];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_waits_and_goes_on_when_it_is_granted() {
    let cluster = cluster();
    let everlog = as_everlog(&cluster);
    let own = KafkaOptions { properties: BTreeMap::new(), ..everlog.clone() };
    let own = KafkaOptions { bootstrap_servers: cluster.bootstrap_servers(), ..own };
    KafkaLog::ensure_topics(own).await.unwrap();
    let error = KafkaLog::connect(everlog.clone()).await.unwrap_err();
    assert!(
        matches!(&error, LogError::Unavailable(reason) if reason.contains("docs/kafka.md")),
        "{error:?}"
    );

    acls(&cluster, "--add", &TOPICS, &["Describe", "DescribeConfigs"]);
    let log = connected(&everlog).await;
    let mut appender = log.appender(STREAM).unwrap();
    let refused = match appender.append("refused".into()) {
        Ok(appending) => soon(appending).await,
        Err(error) => Err(error),
    };
    let Err(AppendError::Unknown(reason) | AppendError::Refused(reason)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        reason.contains("authorization failed") && reason.contains("docs/kafka.md"),
        "{reason}"
    );
    let mut reader = log.reader(STREAM, 0).unwrap();
    let error = soon(reader.next()).await.unwrap_err();
    assert!(
        matches!(&error, LogError::Unavailable(reason) if reason.contains("docs/kafka.md")),
        "{error:?}"
    );
    let error = soon(log.checkpointer(PartitionId(0))).await.map(drop).unwrap_err();
    assert!(matches!(&error, LogError::Unavailable(_)), "{error:?}");

    acls(&cluster, "--add", &TOPICS, &["Read", "Write", "Delete"]);
    acls(&cluster, "--add", &TRANSACTIONS, &["Write", "Describe"]);
    append_at_last(&log, STREAM, "granted").await;
    let records = read(&log, STREAM, 1).await;
    assert_eq!(records, ["granted"], "what was refused was never written, and no group is needed");
    acls(&cluster, "--add", &GROUPS, &["Read"]);
    let row = RowChange { key: "key".into(), value: Some("value".into()) };
    soon(async {
        loop {
            if let Ok(mut checkpointer) = log.checkpointer(PartitionId(0)).await
                && checkpointer.commit(vec![row.clone()]).await.is_ok()
            {
                return;
            }
        }
    })
    .await;

    // Taken and granted while it runs.
    acls(&cluster, "--remove", &TOPICS, &["Read", "Write"]);
    soon(async {
        let mut appender = log.appender(STREAM).unwrap();
        while let Ok(appending) = appender.append("perhaps".into()) {
            if appending.await.is_err() {
                return;
            }
        }
    })
    .await;
    acls(&cluster, "--add", &TOPICS, &["Read", "Write"]);
    let offset = append_at_last(&log, STREAM, "again").await;
    let records = read(&log, STREAM, usize::try_from(offset).unwrap() + 1).await;
    assert_eq!(records.last().map(String::as_str), Some("again"));
}

/// Connects once the brokers know of a right that was just granted.
async fn connected(options: &KafkaOptions) -> std::sync::Arc<KafkaLog> {
    soon(async {
        loop {
            match KafkaLog::connect(options.clone()).await {
                Ok(log) => return log,
                Err(LogError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}
