//! Runs `broker.sh`.
//!
//! **Invariant:** no broker outlives the process that started it: the script ends the broker when
//! the pipe to this process closes, which the system does even for a process that is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/broker.sh");
/// Brokers of tests live so briefly that it does not pay to compile them well.
const JAVA_FLAGS: &str = "-XX:TieredStopAtLevel=1";

/// The script, with the broker that it runs. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Script(Child);

impl Script {
    /// Starts the broker that lives in a directory, or in a temporary one.
    pub(crate) fn spawn_run(directory: Option<&Path>) -> Self {
        let mut command = Command::new(PATH);
        command.arg("run").args(directory);
        Self::spawn(&mut command)
    }

    /// Starts the broker of a cluster.
    pub(crate) fn spawn_serve(directory: &Path) -> Self {
        let mut command = Command::new(PATH);
        command.arg("serve").arg(directory).env("BROKER_JAVA_FLAGS", JAVA_FLAGS);
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().expect("failed to run broker.sh"))
    }

    /// Waits until the broker serves, and tells where.
    pub(crate) fn await_broker(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.take().expect("it is piped, and read once");
        BufReader::new(stdout).read_line(&mut line).expect("failed to read from broker.sh");
        let servers = line.trim().strip_prefix("bootstrap.servers=");
        servers.expect("broker.sh started no broker; what it says is above").to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The folder with Kafka's jars, which are fetched where they are missing.
pub(crate) fn fetched() -> &'static Path {
    static FETCHED: LazyLock<PathBuf> = LazyLock::new(|| {
        let fetched = Command::new(PATH).arg("fetch").stderr(Stdio::inherit()).output();
        let fetched = fetched.expect("failed to run broker.sh");
        assert!(fetched.status.success(), "broker.sh fetched no Kafka; what it says is above");
        PathBuf::from(String::from_utf8_lossy(&fetched.stdout).trim())
    });
    &FETCHED
}
