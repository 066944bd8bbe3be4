//! What each setting means: the one table from which unknown keys are told, texts are read, and
//! `docs/configuration.md` is written.

use everlog_log_client::kafka::is_secret_property;

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key. `NAME` and `HANDLER` stand for any name.
    pub(crate) key: &'static str,
    /// What its value is.
    pub(crate) unit: Unit,
    /// Its flag, where it has one of its own.
    pub(crate) flag: Option<&'static str>,
    /// What it does.
    pub(crate) what: &'static str,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A text.
    Text,
    /// A path, from the folder in which the program is started.
    Path,
    /// An IP address and a port.
    Address,
    /// A host, by name or address, and a port.
    HostPort,
    /// One of some words.
    Word(&'static str),
    /// Yes or no.
    Switch,
    /// A number.
    Number(&'static str),
    /// A duration.
    Duration,
    /// A size in bytes.
    Bytes,
    /// Several texts.
    Texts,
    /// A text that is never shown.
    Secret,
    /// A property of librdkafka.
    Property,
}

impl Unit {
    /// Says what is expected.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "a text",
            Self::Path => "a path",
            Self::Address => "an address such as 127.0.0.1:8080",
            Self::Word(expected) | Self::Number(expected) => expected,
            Self::HostPort => "a host and a port such as everlog-1:5122",
            Self::Switch => "true or false",
            Self::Duration => "a duration such as 30s or 1h 30m",
            Self::Bytes => "a size in bytes such as 256MiB",
            Self::Texts => "a list of texts",
            Self::Property => "a property of librdkafka that Everlog does not need for itself",
        }
    }
}

const fn setting(
    key: &'static str,
    unit: Unit,
    flag: Option<&'static str>,
    what: &'static str,
) -> Setting {
    Setting { key, unit, flag, what }
}

/// A number that is at least 1.
const COUNT: Unit = Unit::Number("a number from 1 on");

/// All settings, in the order in which they are shown.
pub(crate) const SETTINGS: [Setting; 55] = [
    setting(
        "data_dir",
        Unit::Path,
        Some("--data-dir"),
        "The folder that holds everything. Made if it is not there.",
    ),
    setting(
        "data_dir_warn_bytes",
        Unit::Bytes,
        None,
        "A data folder larger than this is warned of at the start.",
    ),
    setting(
        "ephemeral",
        Unit::Switch,
        Some("--ephemeral"),
        "Keeps everything in a temporary folder that is removed at the end. `data_dir` does not count then; one of a later layer turns this off.",
    ),
    setting(
        "partitions",
        Unit::Number("a number from 1 to 1024"),
        Some("--partitions"),
        "The number of partitions. Fixed when the data folder is made.",
    ),
    setting(
        "fsync",
        Unit::Switch,
        Some("--no-fsync"),
        "Whether an acknowledgement waits for the disk. If not, a loss of power may lose what was acknowledged.",
    ),
    setting(
        "ingress_address",
        Unit::Address,
        Some("--ingress-address"),
        "Where calls are taken in. Port 0 lets the system choose.",
    ),
    setting(
        "admin_address",
        Unit::Address,
        Some("--admin-address"),
        "Where functions are registered, invocations managed and metrics read. It trusts whoever reaches it.",
    ),
    setting(
        "admin_hosts",
        Unit::Texts,
        None,
        "The host names by which requests may address the admin port, beside `localhost` and IP addresses; `*` is any. Where none is set, any may, unless it listens on the loopback address.",
    ),
    setting(
        "cors_origins",
        Unit::Texts,
        Some("--cors-origin"),
        "Web pages of these origins may call, such as `https://shop.example`; `*` is any. None unless set.",
    ),
    setting(
        "register",
        Unit::Texts,
        Some("--register"),
        "The functions that answer at these addresses are registered, again whenever they change.",
    ),
    setting(
        "log",
        Unit::Text,
        None,
        "How much is logged: error, warn, info, debug, or per part, as in `info,everlog_gateway=debug`.",
    ),
    setting(
        "log_format",
        Unit::Word("human or json"),
        Some("--log-format"),
        "How logs are written: for people, or one JSON object per line.",
    ),
    setting(
        "otlp_endpoint",
        Unit::Text,
        None,
        "The collector that traces are sent to by OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added. Also `OTEL_EXPORTER_OTLP_ENDPOINT`, which this overrides. Nothing is traced unless set; empty: neither.",
    ),
    setting(
        "trace_sample_ratio",
        Unit::Number("a number from 0 to 1"),
        None,
        "How large a part of the traces that begin here is recorded. A caller that has decided for its trace is obeyed.",
    ),
    setting(
        "tls_ca_file",
        Unit::Path,
        None,
        "Certificates in PEM of authorities that are trusted, beside the usual ones, to vouch for deployments and the collector of traces.",
    ),
    setting(
        "request_identity_file",
        Unit::Path,
        None,
        "Requests to deployments are signed with the last Ed25519 key in this PEM file, so that functions can refuse all others. It is read again when it changes. Nothing is signed unless set.",
    ),
    setting(
        "open_attempts_max",
        COUNT,
        Some("--open-attempts-max"),
        "How many attempts are open at once. Further invocations wait on disk.",
    ),
    setting(
        "deployment_concurrency_max",
        COUNT,
        None,
        "How many attempts one deployment has at once. A slow one keeps no other waiting.",
    ),
    setting(
        "attempt_memory_max",
        Unit::Bytes,
        None,
        "How much memory take the journals and the state that attempts begin with, where those are large: over 64 KiB. One that needs more begins when no other large one does.",
    ),
    setting(
        "protocol_version_max",
        Unit::Number("a number from 5 to 8"),
        None,
        "The highest version of the service protocol that new invocations are run with. What a deployment speaks bounds it too; an invocation that has begun stays with its version.",
    ),
    setting(
        "inactivity_timeout",
        Unit::Duration,
        Some("--inactivity-timeout"),
        "A function that waits for so long is asked to suspend, unless its service says otherwise. `0s`: always at once.",
    ),
    setting(
        "abort_timeout",
        Unit::Duration,
        Some("--abort-timeout"),
        "How long after that it has to end its attempt, unless its service says otherwise.",
    ),
    setting(
        "eager_state_bytes_max",
        Unit::Bytes,
        None,
        "Of an object's state, so much is sent with the start of an attempt; the rest is asked for.",
    ),
    setting(
        "timers_in_memory_max",
        COUNT,
        None,
        "How many timers that calls wait for each partition keeps in memory. The tables hold them all: with fewer they are read more often.",
    ),
    setting(
        "unkeyed_retention",
        Unit::Duration,
        None,
        "How long a function's call without idempotency key is kept after its end, unless its service asks for more.",
    ),
    setting(
        "history_age_max",
        Unit::Duration,
        None,
        "How long records stay in the log after the tables hold them.",
    ),
    setting(
        "history_bytes_max",
        Unit::Bytes,
        None,
        "How much of the log stays after the tables hold it, over all partitions.",
    ),
    setting(
        "requests_max",
        COUNT,
        None,
        "How many calls wait for their answers at once. One more is refused with 429. Half as many attaches may wait beside them, and half as many sends, questions and ends of awakeables be handled.",
    ),
    setting(
        "service_requests_max",
        COUNT,
        None,
        "How many calls of one service wait at once, so that a slow one leaves places to the others. Half of `requests_max` unless set.",
    ),
    setting(
        "body_bytes_in_flight_max",
        Unit::Bytes,
        None,
        "How much of request bodies is held before it is in the log. More is refused with 429.",
    ),
    setting(
        "query.queries_max",
        COUNT,
        None,
        "How many questions in SQL are answered at once, those whose answer is still being read included. One more is refused with 429.",
    ),
    setting(
        "query.time_max",
        Unit::Duration,
        None,
        "How long such a question may take. One that takes longer is refused.",
    ),
    setting(
        "query.memory_max",
        Unit::Bytes,
        None,
        "How much memory such a question may take, its answer included. One that needs more is refused.",
    ),
    setting(
        "query.rows_max",
        COUNT,
        None,
        "How many rows such a question may be answered with. One with more is refused.",
    ),
    setting(
        "retry.initial_interval",
        Unit::Duration,
        None,
        "The delay before the first retry of a failed attempt, unless its service says otherwise, as in all of `retry`.",
    ),
    setting(
        "retry.factor",
        Unit::Number("a number from 1 to 1000"),
        None,
        "By how much each further delay exceeds the one before.",
    ),
    setting("retry.max_interval", Unit::Duration, None, "No delay is longer."),
    setting(
        "retry.max_attempts",
        Unit::Number("a number from 0 on"),
        None,
        "How many attempts there are in all. 0: without end.",
    ),
    setting(
        "retry.on_max_attempts",
        Unit::Word("pause or kill"),
        None,
        "What follows the last attempt: the invocation waits to be resumed, or ends with the last error.",
    ),
    setting(
        "kafka.bootstrap_servers",
        Unit::Text,
        Some("--kafka"),
        "The brokers of Kafka that are asked first, as `host:port`, with commas between them.",
    ),
    setting(
        "kafka.topic_prefix",
        Unit::Text,
        None,
        "What the names of all topics begin with, so that several Everlogs share a Kafka.",
    ),
    setting(
        "kafka.producers",
        Unit::Number("a number from 1 to 64"),
        None,
        "How many producers share the partitions. More of them let more appends be under way at once.",
    ),
    setting(
        "kafka.replication_factor",
        Unit::Number("a number from 1 to 32767"),
        None,
        "On how many brokers `everlog topics ensure` puts each topic. With 3 or more, two must have what is acknowledged.",
    ),
    setting(
        "kafka.delayed_partitions",
        Unit::Number("a number from 1 to 1024"),
        None,
        "The number of partitions of the topic of delays. The other topics have `partitions`, or one.",
    ),
    setting(
        "kafka.append_stall_max",
        Unit::Duration,
        None,
        "An append that no broker has acknowledged for so long has an unknown outcome, and its owner announces itself anew. From 100ms on.",
    ),
    setting(
        "kafka.properties.PROPERTY",
        Unit::Property,
        None,
        "Any property of librdkafka, for all clients, such as `security.protocol`. Those that Everlog's promises rest on are refused.",
    ),
    setting(
        "cluster.name",
        Unit::Text,
        None,
        "The name of this process among the members, one each. The same after a restart, it keeps its partitions meanwhile. Unless set: the host's name and a random part.",
    ),
    setting(
        "cluster.address",
        Unit::HostPort,
        None,
        "Where the other members reach this process. Executors listen on its port: on the loopback address where the host is one, else on all addresses. Port 0 lets the system choose.",
    ),
    setting(
        "cluster.secret",
        Unit::Secret,
        None,
        "What the members of a cluster prove by that they belong to it: the same for all.",
    ),
    setting(
        "cluster.standbys",
        Unit::Number("a number from 0 to 2"),
        None,
        "How many executors beside the owner keep a partition's tables up to date, to take it over at once.",
    ),
    setting(
        "cluster.session_timeout",
        Unit::Duration,
        None,
        "A member that Kafka has not heard of for so long is held to be gone. From 1s on, and within the brokers' own bounds.",
    ),
    setting(
        "cluster.checkpoint_interval",
        Unit::Duration,
        None,
        "How often the tables' changes are written to the journal topic. From 100ms on.",
    ),
    setting(
        "cluster.history_age_max",
        Unit::Duration,
        None,
        "How long records stay in the log on Kafka after a checkpoint holds them.",
    ),
    setting(
        "services.NAME.concurrency",
        COUNT,
        None,
        "How many attempts of this service are open at once. No limit unless set.",
    ),
    setting(
        "services.NAME.handlers.HANDLER.concurrency",
        COUNT,
        None,
        "The same for one handler of it.",
    ),
];

/// What stands before the properties of librdkafka, whose names have dots themselves.
const PROPERTIES: [&str; 2] = ["kafka", "properties"];

/// Whether parts of a key are the beginning of a property's name, and not sections.
pub(crate) fn is_within_property(path: &[String]) -> bool {
    path.len() > PROPERTIES.len() && path.iter().zip(PROPERTIES).all(|(part, name)| part == name)
}

/// A key with the name of a property as one part.
pub(crate) fn folded(path: &[String]) -> Vec<String> {
    match path.split_at_checked(PROPERTIES.len()) {
        Some((above, name)) if is_within_property(path) => {
            above.iter().cloned().chain([name.join(".")]).collect()
        }
        Some(_) | None => path.to_vec(),
    }
}

/// Whether a setting's value must not be shown.
pub(crate) fn is_secret(path: &[String]) -> bool {
    match find(path).map(|setting| setting.unit) {
        Some(Unit::Secret) => true,
        Some(Unit::Property) => path.last().is_some_and(|name| is_secret_property(name)),
        Some(_) | None => false,
    }
}

/// Finds the setting that a key names.
pub(crate) fn find(path: &[String]) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| {
        let mut pattern = setting.key.split('.');
        let fits = path.iter().all(|part| pattern.next().is_some_and(|name| names(name, part)));
        fits && pattern.next().is_none()
    })
}

/// Whether a key is the beginning of a setting's.
pub(crate) fn is_section(path: &[String]) -> bool {
    SETTINGS.iter().any(|setting| {
        let mut pattern = setting.key.split('.');
        let fits = path.iter().all(|part| pattern.next().is_some_and(|name| names(name, part)));
        fits && pattern.next().is_some()
    })
}

/// Finds the key that a misspelt one most probably means: one that reads like it, ends like it, or
/// is a section of that name.
pub(crate) fn nearest(path: &[String]) -> Option<String> {
    const ALIKE: f64 = 0.6;
    let wanted = path.join(".").to_lowercase();
    let candidates = SETTINGS.iter().flat_map(|setting| {
        let key = named_as(setting.key, path);
        let parts: Vec<&str> = key.split('.').collect();
        let section = parts.iter().take(path.len()).copied().collect::<Vec<_>>().join(".");
        let last = parts.last().copied().unwrap_or_default().to_owned();
        [(key.clone(), key.clone()), (last, key), (section.clone(), section)]
    });
    let rated = candidates.map(|(reads, means)| {
        (strsim::normalized_damerau_levenshtein(&reads.to_lowercase(), &wanted), means)
    });
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, means)| means)
}

/// Whether a part of a setting's key stands for a name.
pub(crate) fn is_name(part: &str) -> bool {
    part.starts_with(|letter: char| letter.is_ascii_uppercase())
}

fn names(pattern: &str, part: &str) -> bool {
    is_name(pattern) || pattern == part
}

/// A setting's key with the names that a path has in their places.
fn named_as(key: &str, path: &[String]) -> String {
    let parts = key.split('.').enumerate().map(|(index, part)| match path.get(index) {
        Some(name) if is_name(part) => name,
        Some(_) | None => part,
    });
    parts.collect::<Vec<_>>().join(".")
}
