//! The log that servers of tests keep: `E2E_LOG=kafka` has each of them keep it in a Kafka that the
//! process of the tests starts, in topics of its own. Without it they keep it in their folders.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};
use everlog_test_kafka::KafkaBroker;

/// The variable that chooses. It has no prefix of ours: servers would take it for a setting.
const CHOICE: &str = "E2E_LOG";
/// Partitions where a test does not say: a new set of topics for each server costs something.
const PARTITIONS: u32 = 6;

/// Whether the servers of these tests keep their log in a Kafka.
#[must_use]
pub fn on_kafka() -> bool {
    std::env::var(CHOICE).is_ok_and(|choice| choice == "kafka")
}

/// What tells a server where its log is.
pub(crate) fn log_arguments() -> Result<Vec<String>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    match std::env::var(CHOICE).as_deref() {
        Err(_) | Ok("embedded") => return Ok(Vec::new()),
        Ok("kafka") => {}
        Ok(other) => bail!("{CHOICE} is `{other}`: there are `embedded` and `kafka`"),
    }
    let servers = KafkaBroker::shared().bootstrap_servers();
    let prefix = format!("e2e-{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let settings = [
        format!("partitions={PARTITIONS}"),
        format!("kafka.topic_prefix={prefix}"),
        "kafka.delayed_partitions=1".into(),
        // After a kill it is the same member.
        "cluster.name=e2e".into(),
        "cluster.address=127.0.0.1:0".into(),
    ];
    let settings = settings.into_iter().flat_map(|setting| ["--set".into(), setting]);
    Ok(["--kafka".into(), servers.into()].into_iter().chain(settings).collect())
}
