//! A log that lost records, at either end, says so and moves nobody.

use everlog_log_client::{Bounds, EventLog, LogError};
use everlog_test_kafka::{KafkaBroker, tool};

use crate::support::{STREAM, append_at_last, log, options, soon};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

#[tokio::test]
async fn a_log_that_is_shorter_than_what_was_read_is_out_of_range() {
    let servers = KafkaBroker::shared().bootstrap_servers();
    let options = options("shorter", servers, 1);
    let log = log(options.clone()).await;
    for text in ["0", "1", "2"] {
        append_at_last(&log, STREAM, text).await;
    }
    // As after an unclean election: the topic lost what it had, and takes new records.
    tool(servers, TOPICS, &["--delete", "--topic", "shorter.log"]);
    soon(async {
        while everlog_log_client::kafka::KafkaLog::ensure_topics(options.clone()).await.is_err() {}
    })
    .await;
    let again = crate::support::log(options).await;
    append_at_last(&again, STREAM, "new").await;
    for log in [&again, &log] {
        let mut reader = log.reader(STREAM, 3).unwrap();
        let error = soon(reader.next()).await.unwrap_err();
        assert_eq!(error, LogError::OutOfRange { wanted: 3, start: 0, end: 1 });
    }
}

#[tokio::test]
async fn a_log_that_starts_after_what_was_read_is_out_of_range() {
    let log = log(options("later", KafkaBroker::shared().bootstrap_servers(), 1)).await;
    for text in ["0", "1", "2"] {
        append_at_last(&log, STREAM, text).await;
    }
    soon(log.trim(STREAM, 2)).await.unwrap();
    assert_eq!(soon(log.bounds(STREAM)).await.unwrap(), Bounds { start: 2, end: 3 });
    let mut reader = log.reader(STREAM, 1).unwrap();
    let error = soon(reader.next()).await.unwrap_err();
    assert_eq!(error, LogError::OutOfRange { wanted: 1, start: 2, end: 3 });
}
