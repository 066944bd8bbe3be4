//! A real Apache Kafka for tests: one broker, or a cluster of them.

mod cluster;
mod ports;
mod script;

use std::path::Path;
use std::sync::LazyLock;

pub use cluster::{ClusterOptions, KafkaCluster, Listener, tool};
pub use ports::free_port;

use crate::script::Script;

/// A running broker. Dropping it stops the broker.
#[derive(Debug)]
pub struct KafkaBroker {
    _script: Script,
    bootstrap_servers: String,
}

impl KafkaBroker {
    /// Starts a broker in a temporary directory.
    ///
    /// Panics, with what the script says, where Java or Maven is missing or Kafka cannot be
    /// fetched: a test that needs a broker fails without one.
    pub fn start() -> Self {
        Self::run(None)
    }

    /// Starts the broker that lives in `directory`, at the address it had before, or makes one.
    pub fn start_in(directory: &Path) -> Self {
        Self::run(Some(directory))
    }

    /// The broker that all tests of a process share; it stops with the process.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<KafkaBroker> = LazyLock::new(KafkaBroker::start);
        &SHARED
    }

    /// Where clients connect, as `host:port`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    fn run(directory: Option<&Path>) -> Self {
        let mut script = Script::spawn_run(directory);
        let bootstrap_servers = script.await_broker();
        Self { _script: script, bootstrap_servers }
    }
}
