//! The settings of Kafka and of clusters, with their types and defaults.
//!
//! Invariant: a secret is never serialized: what is shown of it is that it is there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use everlog_log_client::kafka::{KafkaOptions, is_secret_property, property_problem};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::units::{Bounded, Period, period_from};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";
/// The longest name of a member, in bytes: Kafka's own limit of a `group.instance.id`.
const NAME_BYTES_MAX: usize = 249;

/// How Kafka is reached and used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) bootstrap_servers: Option<Brokers>,
    pub(crate) topic_prefix: TopicPrefix,
    pub(crate) producers: Bounded<1, 64>,
    pub(crate) replication_factor: Bounded<1, 32_767>,
    pub(crate) delayed_partitions: Bounded<1, 1_024>,
    #[serde(deserialize_with = "period_from::<_, 100>")]
    pub(crate) append_stall_max: Period,
    pub(crate) properties: Properties,
}

/// How the processes of a cluster know each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterSettings {
    pub(crate) name: Option<MemberName>,
    pub(crate) address: HostPort,
    pub(crate) secret: Option<Secret>,
    pub(crate) standbys: Bounded<0, 2>,
    #[serde(deserialize_with = "period_from::<_, 1_000>")]
    pub(crate) session_timeout: Period,
    #[serde(deserialize_with = "period_from::<_, 100>")]
    pub(crate) checkpoint_interval: Period,
    pub(crate) history_age_max: Period,
}

/// Hosts with their ports, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Brokers(String);

/// What the names of topics begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TopicPrefix(pub(crate) String);

/// The name of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct MemberName(pub(crate) String);

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct HostPort(pub(crate) String);

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// Properties of librdkafka. What is a number or a switch in the file is the text that it is for
/// librdkafka.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties(BTreeMap<String, String>);

impl Default for Kafka {
    fn default() -> Self {
        let options = KafkaOptions::new("");
        Self {
            bootstrap_servers: None,
            topic_prefix: TopicPrefix(options.topic_prefix),
            producers: Bounded(options.producers),
            replication_factor: Bounded(options.replication_factor.into()),
            delayed_partitions: Bounded(options.delayed_partitions),
            append_stall_max: Period(options.append_stall_max),
            properties: Properties::default(),
        }
    }
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            name: None,
            address: HostPort("127.0.0.1:5122".into()),
            secret: None,
            standbys: Bounded(1),
            session_timeout: Period(Duration::from_secs(6)),
            checkpoint_interval: Period(Duration::from_secs(5)),
            history_age_max: Period(Duration::from_hours(24)),
        }
    }
}

impl Kafka {
    /// How the log on Kafka is reached; nothing where no brokers are set.
    pub(super) fn options(&self, partitions: u32) -> Option<KafkaOptions> {
        Some(KafkaOptions {
            bootstrap_servers: self.bootstrap_servers.clone()?.0,
            topic_prefix: self.topic_prefix.0.clone(),
            partitions,
            delayed_partitions: self.delayed_partitions.0,
            replication_factor: u16::try_from(self.replication_factor.0).unwrap_or(u16::MAX),
            append_stall_max: self.append_stall_max.0,
            producers: self.producers.0,
            properties: self.properties.0.clone(),
        })
    }
}

impl ClusterSettings {
    /// The name of this process among the members. One that was not set is made once, and is
    /// another after a restart.
    pub(crate) fn member_name(&self) -> &str {
        static MADE: LazyLock<String> = LazyLock::new(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let name: String =
                host.chars().filter(|letter| is_name_letter(*letter)).take(200).collect();
            format!("{name}-{:08x}", rand::random::<u32>())
        });
        self.name.as_ref().map_or_else(|| MADE.as_str(), |name| &name.0)
    }
}

/// The letters that Kafka takes in names of topics and members.
fn is_name_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter)
}

impl TryFrom<String> for Brokers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        for broker in text.split(',') {
            HostPort::try_from(broker.trim().to_owned())?;
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for TopicPrefix {
    type Error = String;

    fn try_from(prefix: String) -> Result<Self, String> {
        const PREFIX_BYTES_MAX: usize = 200;
        if prefix.len() > PREFIX_BYTES_MAX {
            return Err(format!("it is longer than {PREFIX_BYTES_MAX} letters"));
        }
        match prefix.chars().find(|letter| !is_name_letter(*letter)) {
            Some(letter) => Err(format!(
                "`{letter}` may not stand in the name of a topic: a-z, A-Z, 0-9, `.`, `_` and `-` may"
            )),
            None => Ok(Self(prefix)),
        }
    }
}

impl TryFrom<String> for MemberName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("it has {} letters, and needs 1 to {NAME_BYTES_MAX}", name.len()));
        }
        match name.chars().find(|letter| !is_name_letter(*letter)) {
            Some(letter) => {
                Err(format!("`{letter}` may not stand in it: a-z, A-Z, 0-9, `.`, `_` and `-` may"))
            }
            None => Ok(Self(name)),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let (_, port) = parts.ok_or_else(|| format!("`{text}` is not HOST:PORT"))?;
        port.parse::<u16>().map_err(|_| format!("`{port}` is no port"))?;
        Ok(Self(text))
    }
}

impl From<Brokers> for String {
    fn from(brokers: Brokers) -> Self {
        brokers.0
    }
}

impl From<TopicPrefix> for String {
    fn from(prefix: TopicPrefix) -> Self {
        prefix.0
    }
}

impl From<MemberName> for String {
    fn from(name: MemberName) -> Self {
        name.0
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.0
    }
}

impl Secret {
    /// The secret itself: to compare with, never to show.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        // What is not a text is not shown either: it is a secret all the same.
        match Value::deserialize(deserializer)? {
            Value::String(text) if text.is_empty() => Err(Error::custom("it is empty")),
            Value::String(text) => Ok(Self(text)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Err(Error::custom("it is no text: write it in quotes")),
        }
    }
}

impl Properties {
    /// The properties as they may be shown.
    fn shown(&self) -> impl Iterator<Item = (&String, &str)> {
        let show = |name: &str, value| if is_secret_property(name) { HIDDEN } else { value };
        self.0.iter().map(move |(name, value)| (name, show(name, value.as_str())))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let written = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let mut properties = BTreeMap::new();
        for (name, value) in written {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(switch) => switch.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(Error::custom("it is no text"));
                }
            };
            if let Some(problem) = property_problem(&name, &text) {
                return Err(Error::custom(problem));
            }
            properties.insert(name, text);
        }
        Ok(Self(properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_not_named_has_one_made_up_name() {
        let settings = ClusterSettings::default();
        let name = settings.member_name();
        assert_eq!(name, settings.member_name());
        assert!(MemberName::try_from(name.to_owned()).is_ok(), "{name}");
        let named = ClusterSettings { name: Some(MemberName("a".into())), ..settings };
        assert_eq!(named.member_name(), "a");
    }

    #[test]
    fn names_and_addresses_are_within_their_limits() {
        for (text, fits) in [("", true), ("shop.", true), ("a b", false), ("é", false)] {
            assert_eq!(TopicPrefix::try_from(text.to_owned()).is_ok(), fits, "{text}");
        }
        for (letters, fits) in [(0, false), (1, true), (249, true), (250, false)] {
            assert_eq!(MemberName::try_from("a".repeat(letters)).is_ok(), fits, "{letters}");
        }
        for (letters, fits) in [(200, true), (201, false)] {
            assert_eq!(TopicPrefix::try_from("a".repeat(letters)).is_ok(), fits, "{letters}");
        }
        for (text, fits) in
            [("a:1", true), ("[::1]:1", true), ("a", false), (":1", false), ("a:65536", false)]
        {
            assert_eq!(HostPort::try_from(text.to_owned()).is_ok(), fits, "{text}");
            let two = format!("b:2, {text}");
            assert_eq!(Brokers::try_from(two).is_ok(), fits, "{text}");
        }
    }
}
