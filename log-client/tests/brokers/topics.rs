//! Topics are made as they must be, and refused, with what to change, where they are not.

use everlog_log_client::LogError;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::{KafkaBroker, tool};

use crate::support::options;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

fn servers() -> &'static str {
    KafkaBroker::shared().bootstrap_servers()
}

async fn refused(options: &KafkaOptions) -> String {
    match KafkaLog::connect(options.clone()).await {
        Err(LogError::Setup(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn topics_are_made_once_and_as_they_must_be() {
    let options = options("made", servers(), 1);
    let made = KafkaLog::ensure_topics(options.clone()).await.unwrap();
    let names = ["invocations", "log", "journal", "metadata", "members", "delayed"];
    assert_eq!(made, names.map(|name| format!("made.{name}")));
    assert!(KafkaLog::ensure_topics(options.clone()).await.unwrap().is_empty());
    let reports = KafkaLog::check_topics(options).await.unwrap();
    let problems: Vec<_> = reports.iter().flat_map(|report| &report.problems).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let sizes: Vec<_> = reports.iter().map(|report| (report.partitions, report.policy)).collect();
    assert_eq!(
        sizes,
        [
            (Some(2), "delete"),
            (Some(2), "delete"),
            (Some(2), "compact"),
            (Some(1), "delete"),
            (Some(1), "compact"),
            (Some(1), "delete"),
        ]
    );
    let described = tool(servers(), TOPICS, &["--describe", "--topic", "made.log"]);
    for setting in
        ["retention.ms=-1", "message.timestamp.type=LogAppendTime", "min.insync.replicas=1"]
    {
        assert!(described.contains(setting), "{described}");
    }
}

#[tokio::test]
async fn a_topic_with_a_wrong_setting_is_refused_with_what_to_change() {
    let options = options("wrong", servers(), 1);
    KafkaLog::ensure_topics(options.clone()).await.unwrap();
    for (setting, wrong, right) in [
        ("cleanup.policy", "compact", "delete"),
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1000000", "-1"),
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("unclean.leader.election.enable", "true", "false"),
        ("max.message.bytes", "1048588", ""),
    ] {
        let configs = |value: &str| {
            let change = format!("{setting}={value}");
            let topic = ["--alter", "--entity-type", "topics", "--entity-name", "wrong.log"];
            tool(servers(), CONFIGS, &[&topic[..], &["--add-config", &change]].concat());
        };
        configs(wrong);
        let reason = refused(&options).await;
        let says = format!("topic wrong.log has {setting}={wrong} and needs {right}");
        assert!(reason.contains(&says), "{reason}");
        // What it says to do is what helps.
        let (_, change) = reason.rsplit_once("--add-config ").unwrap();
        configs(change.strip_prefix(&format!("{setting}=")).unwrap());
        KafkaLog::connect(options.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_with_another_number_of_partitions_or_none_is_refused() {
    let wanted = options("size", servers(), 1);
    KafkaLog::ensure_topics(wanted.clone()).await.unwrap();
    for (other, says) in [
        (KafkaOptions { partitions: 3, ..wanted.clone() }, "size.log has 2 partitions and needs 3"),
        (
            KafkaOptions { delayed_partitions: 2, ..wanted.clone() },
            "set kafka.delayed_partitions = 1",
        ),
        (
            options("none", servers(), 1),
            "none.invocations does not exist: run `everlog topics ensure`",
        ),
    ] {
        let reason = refused(&other).await;
        assert!(reason.contains(says), "{reason}");
    }
    // Fewer replicas than asked for are told, and can be used.
    let more = KafkaOptions { replication_factor: 3, ..wanted };
    let reports = KafkaLog::check_topics(more.clone()).await.unwrap();
    assert!(reports.iter().all(|report| report.problems.iter().all(|problem| !problem.grave)));
    assert!(reports[0].problems[0].what.contains("is on 1 brokers and not 3"));
    KafkaLog::connect(more).await.unwrap();
    let many = options("many", servers(), 3);
    let error = KafkaLog::ensure_topics(many).await.unwrap_err();
    assert!(error.to_string().contains("set kafka.replication_factor"), "{error}");
}
