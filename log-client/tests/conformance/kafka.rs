//! The cases on a real Apache Kafka: one broker for all, topics of its own for each case.

use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::KafkaBroker;

use crate::cases::for_each_case;
use crate::support::PARTITIONS;

macro_rules! on_kafka {
    ($($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let options = KafkaOptions {
                topic_prefix: concat!(stringify!($case), ".").to_owned(),
                partitions: PARTITIONS,
                replication_factor: 1,
                ..KafkaOptions::new(KafkaBroker::shared().bootstrap_servers())
            };
            KafkaLog::ensure_topics(options.clone()).await.unwrap();
            let log = KafkaLog::connect(options).await.unwrap();
            crate::cases::$case(log).await;
        }
    )*};
}

for_each_case!(on_kafka);
