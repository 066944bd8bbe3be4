//! All settings of a server, with their types and defaults. What each field means is said once, in
//! [`table`](super::table), for people; a test holds the two equal.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use everlog_executor::{ExecutorLimits, ServiceConcurrency};
use everlog_gateway::{GatewayLimits, ServiceDefaults};
use everlog_log_client::kafka::KafkaOptions;
use everlog_log_schema::RetryPolicy;
use everlog_log_schema::metadata::PROTOCOL_VERSIONS;
use everlog_query::QueryLimits;
use serde::{Deserialize, Serialize};

use super::kafka::{ClusterSettings, Kafka};
use super::units::{Bounded, ByteSize, Factor, Partitions, Period, Ratio, count};

/// A version of the service protocol that Everlog speaks.
type ProtocolVersion = Bounded<{ *PROTOCOL_VERSIONS.start() }, { *PROTOCOL_VERSIONS.end() }>;

/// The settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) data_dir_warn_bytes: ByteSize,
    pub(crate) ephemeral: bool,
    pub(crate) partitions: Partitions,
    pub(crate) fsync: bool,
    pub(crate) ingress_address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) register: Vec<String>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) trace_sample_ratio: Ratio,
    pub(crate) tls_ca_file: Option<PathBuf>,
    pub(crate) request_identity_file: Option<PathBuf>,
    pub(crate) open_attempts_max: NonZeroUsize,
    pub(crate) deployment_concurrency_max: NonZeroUsize,
    pub(crate) attempt_memory_max: ByteSize,
    pub(crate) protocol_version_max: ProtocolVersion,
    pub(crate) inactivity_timeout: Period,
    pub(crate) abort_timeout: Period,
    pub(crate) eager_state_bytes_max: ByteSize,
    pub(crate) timers_in_memory_max: NonZeroUsize,
    pub(crate) unkeyed_retention: Period,
    pub(crate) history_age_max: Period,
    pub(crate) history_bytes_max: ByteSize,
    pub(crate) requests_max: NonZeroUsize,
    pub(crate) service_requests_max: Option<NonZeroUsize>,
    pub(crate) body_bytes_in_flight_max: ByteSize,
    pub(crate) query: Query,
    pub(crate) retry: Retry,
    pub(crate) kafka: Kafka,
    pub(crate) cluster: ClusterSettings,
    pub(crate) services: BTreeMap<String, ServiceSettings>,
}

/// What questions in SQL may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are named as in the configuration")]
pub(crate) struct Query {
    pub(crate) queries_max: NonZeroUsize,
    pub(crate) time_max: Period,
    pub(crate) memory_max: ByteSize,
    pub(crate) rows_max: NonZeroUsize,
}

/// How failed attempts are tried again where neither service nor handler says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    pub(crate) initial_interval: Period,
    pub(crate) factor: Factor,
    pub(crate) max_interval: Period,
    pub(crate) max_attempts: u32,
    pub(crate) on_max_attempts: OnMaxAttempts,
}

/// What follows the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnMaxAttempts {
    /// The invocation waits for somebody to resume it.
    Pause,
    /// The invocation ends with the last error.
    Kill,
}

/// What is set for one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServiceSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) handlers: BTreeMap<String, HandlerSettings>,
}

/// What is set for one handler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HandlerSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<NonZeroUsize>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        let executor = ExecutorLimits::default();
        let gateway = GatewayLimits::default();
        Self {
            data_dir: "./.everlog".into(),
            data_dir_warn_bytes: ByteSize(2 << 30),
            ephemeral: false,
            partitions: Partitions(24),
            fsync: true,
            ingress_address: local(8080),
            admin_address: local(9070),
            admin_hosts: Vec::new(),
            cors_origins: Vec::new(),
            register: Vec::new(),
            log: "info,apache_avro=error".into(),
            log_format: LogFormat::Human,
            otlp_endpoint: None,
            trace_sample_ratio: Ratio(1.0),
            tls_ca_file: None,
            request_identity_file: None,
            open_attempts_max: count(executor.open_attempts_max),
            deployment_concurrency_max: count(executor.deployment_concurrency_max),
            attempt_memory_max: ByteSize(executor.attempt_memory_max),
            protocol_version_max: Bounded(executor.protocol_version_max),
            inactivity_timeout: Period(executor.inactivity_timeout),
            abort_timeout: Period(executor.abort_timeout),
            eager_state_bytes_max: ByteSize(executor.eager_state_bytes_max),
            timers_in_memory_max: count(executor.timers_in_memory_max),
            unkeyed_retention: Period(executor.unkeyed_retention),
            history_age_max: Period(executor.history_age_max),
            history_bytes_max: ByteSize(executor.history_bytes_max),
            requests_max: count(gateway.requests_max),
            service_requests_max: None,
            body_bytes_in_flight_max: ByteSize(gateway.body_bytes_in_flight_max as u64),
            query: Query::default(),
            retry: Retry::default(),
            kafka: Kafka::default(),
            cluster: ClusterSettings::default(),
            services: BTreeMap::new(),
        }
    }
}

impl Default for Query {
    fn default() -> Self {
        let limits = QueryLimits::default();
        Self {
            queries_max: count(limits.queries_max),
            time_max: Period(limits.time_max),
            memory_max: ByteSize(limits.memory_max as u64),
            rows_max: count(limits.rows_max),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_interval: Period(Duration::from_millis(500)),
            factor: Factor(2.0),
            max_interval: Period(Duration::from_mins(1)),
            max_attempts: 70,
            on_max_attempts: OnMaxAttempts::Pause,
        }
    }
}

impl Settings {
    /// The limits of the executor.
    pub(crate) fn executor_limits(&self) -> ExecutorLimits {
        ExecutorLimits {
            open_attempts_max: self.open_attempts_max.get(),
            history_age_max: self.history_age_max.0,
            history_bytes_max: self.history_bytes_max.0,
            protocol_version_max: self.protocol_version_max.0,
            inactivity_timeout: self.inactivity_timeout.0,
            abort_timeout: self.abort_timeout.0,
            deployment_concurrency_max: self.deployment_concurrency_max.get(),
            attempt_memory_max: self.attempt_memory_max.0,
            concurrency: self.services.iter().map(ServiceSettings::concurrency).collect(),
            eager_state_bytes_max: self.eager_state_bytes_max.0,
            timers_in_memory_max: self.timers_in_memory_max.get(),
            unkeyed_retention: self.unkeyed_retention.0,
            ..ExecutorLimits::default()
        }
    }

    /// The limits of an executor of a cluster: other executors restore its tables from the journal
    /// topic, and nothing but age trims the log behind a checkpoint.
    pub(crate) fn cluster_limits(&self) -> ExecutorLimits {
        ExecutorLimits {
            journal: true,
            checkpoint_interval: self.cluster.checkpoint_interval.0,
            standbys: usize::try_from(self.cluster.standbys.0).unwrap_or(usize::MAX),
            history_age_max: self.cluster.history_age_max.0,
            history_bytes_max: u64::MAX,
            ..self.executor_limits()
        }
    }

    /// How the log on Kafka is reached; nothing where no brokers are set.
    pub(crate) fn kafka_options(&self) -> Option<KafkaOptions> {
        self.kafka.options(self.partitions.0)
    }

    /// What holds for services that do not say otherwise.
    pub(crate) fn service_defaults(&self) -> ServiceDefaults {
        let Retry { initial_interval, factor, max_interval, max_attempts, .. } = self.retry;
        ServiceDefaults {
            retry: RetryPolicy {
                initial_interval: initial_interval.0.into(),
                factor_permille: factor.permille(),
                max_interval: max_interval.0.into(),
                max_attempts: (max_attempts > 0).then_some(max_attempts),
                on_max_attempts: match self.retry.on_max_attempts {
                    OnMaxAttempts::Pause => everlog_log_schema::OnMaxAttempts::Pause,
                    OnMaxAttempts::Kill => everlog_log_schema::OnMaxAttempts::Kill,
                },
            },
            unkeyed_retention: self.unkeyed_retention.0.into(),
        }
    }

    /// The limits of questions in SQL.
    pub(crate) fn query_limits(&self) -> QueryLimits {
        QueryLimits {
            queries_max: self.query.queries_max.get(),
            time_max: self.query.time_max.0,
            memory_max: self.query.memory_max.in_memory(),
            rows_max: self.query.rows_max.get(),
            ..QueryLimits::default()
        }
    }

    /// The limits of the gateway.
    pub(crate) fn gateway_limits(&self) -> GatewayLimits {
        let limits = GatewayLimits::of_requests(self.requests_max.get());
        let of_service = self.service_requests_max.map(NonZeroUsize::get);
        GatewayLimits {
            service_requests_max: of_service.unwrap_or(limits.service_requests_max),
            body_bytes_in_flight_max: self.body_bytes_in_flight_max.in_memory(),
            ..limits
        }
    }
}

impl ServiceSettings {
    /// How many attempts of a service there are at once, with its name.
    fn concurrency((name, settings): (&String, &Self)) -> (String, ServiceConcurrency) {
        let handlers = settings.handlers.iter();
        let limited =
            handlers.filter_map(|(name, handler)| Some((name.clone(), handler.concurrency?)));
        let (concurrency, handlers) = (settings.concurrency, limited.collect());
        (name.clone(), ServiceConcurrency { concurrency, handlers })
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_is_set_and_default_otherwise() {
        let settings = Settings::default();
        assert_eq!(settings.executor_limits(), ExecutorLimits::default());
        assert_eq!(settings.service_defaults(), ServiceDefaults::default());
        let settings = Settings {
            open_attempts_max: count(1),
            history_age_max: Period(Duration::from_secs(2)),
            history_bytes_max: ByteSize(3),
            protocol_version_max: Bounded(5),
            inactivity_timeout: Period(Duration::ZERO),
            abort_timeout: Period(Duration::from_secs(5)),
            requests_max: count(6),
            body_bytes_in_flight_max: ByteSize(7),
            deployment_concurrency_max: count(8),
            attempt_memory_max: ByteSize(13),
            eager_state_bytes_max: ByteSize(9),
            timers_in_memory_max: count(14),
            unkeyed_retention: Period(Duration::from_secs(10)),
            services: serde_json::from_str(
                r#"{ "A": { "concurrency": 11, "handlers": { "b": { "concurrency": 12 }, "c": {} } } }"#,
            )
            .unwrap(),
            ..settings
        };
        let executor = ExecutorLimits {
            open_attempts_max: 1,
            history_age_max: Duration::from_secs(2),
            history_bytes_max: 3,
            protocol_version_max: 5,
            inactivity_timeout: Duration::ZERO,
            abort_timeout: Duration::from_secs(5),
            deployment_concurrency_max: 8,
            attempt_memory_max: 13,
            eager_state_bytes_max: 9,
            timers_in_memory_max: 14,
            unkeyed_retention: Duration::from_secs(10),
            concurrency: BTreeMap::from([(
                "A".into(),
                ServiceConcurrency {
                    concurrency: NonZeroUsize::new(11),
                    handlers: BTreeMap::from([("b".into(), count(12))]),
                },
            )]),
            ..ExecutorLimits::default()
        };
        assert_eq!(settings.executor_limits(), executor);
        let gateway = settings.gateway_limits();
        assert_eq!((gateway.requests_max, gateway.body_bytes_in_flight_max), (6, 7));
        assert_eq!(gateway.service_requests_max, 3);
        let settings = Settings { service_requests_max: NonZeroUsize::new(5), ..settings };
        assert_eq!(settings.gateway_limits().service_requests_max, 5);
    }

    #[test]
    fn an_executor_of_a_cluster_writes_checkpoints_and_has_its_own_limits() {
        let mut settings = Settings { requests_max: count(6), ..Settings::default() };
        settings.cluster.checkpoint_interval = Period(Duration::from_secs(3));
        settings.cluster.history_age_max = Period(Duration::from_secs(4));
        settings.cluster.standbys = Bounded(2);
        let expected = ExecutorLimits {
            journal: true,
            checkpoint_interval: Duration::from_secs(3),
            history_age_max: Duration::from_secs(4),
            history_bytes_max: u64::MAX,
            standbys: 2,
            ..ExecutorLimits::default()
        };
        assert_eq!(settings.cluster_limits(), expected);
    }
}
