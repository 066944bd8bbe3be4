//! Properties of librdkafka that people may set: all but those that Everlog's promises rest on.
//!
//! **Invariant:** what is set here can make Everlog slower or keep it from its brokers, but makes no
//! acknowledgement untrue, no order wrong and no reader skip.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::KafkaOptions;
use crate::LogError;

/// What is said of each property that is Everlog's own.
const RESERVED: [(&str, &str); 34] = [
    ("bootstrap.servers", BROKERS),
    ("metadata.broker.list", BROKERS),
    ("enable.idempotence", ORDER),
    ("queuing.strategy", ORDER),
    ("acks", DURABLE),
    ("request.required.acks", DURABLE),
    ("message.timeout.ms", GIVEN_UP),
    ("delivery.timeout.ms", GIVEN_UP),
    ("message.send.max.retries", GIVEN_UP),
    ("retries", GIVEN_UP),
    ("delivery.report.only.error", REPORTED),
    ("message.max.bytes", SIZE),
    (
        "transactional.id",
        "each partition's checkpoints have their own, by which a deposed owner is fenced",
    ),
    ("partitioner", "the partition of a key is fixed by Everlog's format, for ever"),
    (
        "allow.auto.create.topics",
        "a topic made by accident has the wrong settings: use `everlog topics ensure`",
    ),
    ("auto.offset.reset", SKIPPED),
    ("topic.blacklist", SKIPPED),
    ("check.crcs", "a record that was damaged on its way must not be applied"),
    (
        "isolation.level",
        "each topic is read as it was written: checkpoints committed, the log as it is",
    ),
    ("enable.partition.eof", "a restore learns by it that it has read everything"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("offset.store.method", OFFSETS),
    ("group.id", GROUP),
    ("group.instance.id", "it is the member's name: set cluster.name"),
    ("group.protocol", GROUP),
    ("group.protocol.type", GROUP),
    ("group.remote.assignor", GROUP),
    ("partition.assignment.strategy", GROUP),
    ("session.timeout.ms", "set cluster.session_timeout"),
    ("enable.gapless.guarantee", "Everlog looks for gaps itself"),
    ("log.queue", "what clients say goes to Everlog's log"),
];

const BROKERS: &str = "set kafka.bootstrap_servers";
const ORDER: &str = "without it an append may land twice, or behind a later one";
const DURABLE: &str = "an append counts once all replicas in sync have it, and not sooner";
const GIVEN_UP: &str = "a record that is given up leaves a hole before those behind it; \
                        kafka.append_stall_max says how long an append is waited for";
const REPORTED: &str = "each append must learn its offset";
const SIZE: &str =
    "it follows from Everlog's limits, which every later owner must be able to apply";
const SKIPPED: &str = "a reader that skips makes state of half a log: Everlog stops instead";
const OFFSETS: &str = "how far a log was read stands in the tables, never in Kafka";
const GROUP: &str = "the members of a cluster are in one group, which Everlog names and balances";

/// Says what is wrong with a property, if anything is.
pub fn property_problem(name: &str, value: &str) -> Option<String> {
    if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
        return Some(format!("`{name}` is Everlog's own: {reason}"));
    }
    // A secret must not be in what librdkafka says of its value.
    let secret = is_secret_property(name);
    let checked = ClientConfig::new().set(name, value).create_native_config();
    checked
        .err()
        .map(|error| if secret { format!("`{name}` has a wrong value") } else { error.to_string() })
}

/// Whether a property's value must never be shown.
pub fn is_secret_property(name: &str) -> bool {
    const PARTS: [&str; 6] =
        ["password", "passphrase", "secret", "key.pem", "ssl_key", "oauthbearer.config"];
    PARTS.iter().any(|part| name.contains(part))
}

/// Refuses options with properties that are Everlog's own, or unknown.
pub(super) fn check(options: &KafkaOptions) -> Result<(), LogError> {
    let mut problems =
        options.properties.iter().filter_map(|(name, value)| property_problem(name, value));
    problems
        .next()
        .map_or(Ok(()), |problem| Err(LogError::Setup(format!("kafka.properties: {problem}"))))
}

/// Properties as they may be shown.
pub(super) fn shown(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let shown = properties.iter().map(|(name, value)| {
        (name.as_str(), if is_secret_property(name) { "(hidden)" } else { value.as_str() })
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everlog_rests_on_is_refused_by_name_with_a_reason() {
        for (name, reason) in RESERVED {
            let problem = property_problem(name, "1").unwrap();
            assert!(problem.contains(name) && problem.contains(reason), "{problem}");
        }
        for name in [
            "enable.idempotence",
            "acks",
            "message.timeout.ms",
            "auto.offset.reset",
            "isolation.level",
            "enable.auto.commit",
            "transactional.id",
            "group.id",
        ] {
            assert!(property_problem(name, "x").is_some(), "{name}");
        }
    }

    /// A name that librdkafka does not know would protect nothing.
    #[test]
    fn every_reserved_name_is_one_of_librdkafkas() {
        for (name, _) in RESERVED {
            let said = ClientConfig::new().set(name, "no such value").create_native_config();
            let unknown =
                said.err().is_some_and(|error| error.to_string().contains("No such configuration"));
            assert!(!unknown, "{name}");
        }
    }

    #[test]
    fn what_librdkafka_does_not_know_is_refused() {
        let problem = property_problem("sasl.pasword", "x").unwrap();
        assert!(problem.contains("sasl.pasword"), "{problem}");
        assert!(property_problem("security.protocol", "tls").unwrap().contains("tls"));
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("socket.timeout.ms", "6000"),
        ] {
            assert_eq!(property_problem(name, value), None, "{name}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut options = KafkaOptions::new("localhost:9092");
        for name in
            ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.client.secret"]
        {
            options.properties.insert(name.into(), "hunter2".into());
        }
        options.properties.insert("sasl.username".into(), "ann".into());
        let shown = format!("{options:?}");
        assert!(shown.contains("ann") && shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
