//! A real Apache Kafka for tests: starts `broker.sh` and waits until the broker answers.
//!
//! **Invariant:** no broker outlives the process that started it: the script stops the broker when
//! the pipe to this process closes, which the system does even for a process that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// A running broker. Dropping it stops the broker.
#[derive(Debug)]
pub struct KafkaBroker {
    script: Child,
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
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/broker.sh"))
            .arg("run")
            .args(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("failed to run broker.sh");
        let mut line = String::new();
        let stdout = script.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("failed to read from broker.sh");
        let bootstrap_servers = line
            .trim()
            .strip_prefix("bootstrap.servers=")
            .expect("broker.sh started no broker; what it says is above")
            .to_owned();
        Self { script, bootstrap_servers }
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
