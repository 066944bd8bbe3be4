//! What the embedded log counts, in the process-wide registry.
//!
//! Kafka's client keeps statistics of its own; these are for the log that has no broker to ask.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, histogram_opts, register_histogram, register_int_counter};

/// Upper bounds of the append latency's buckets, in seconds: from memory speed to a stalled disk.
const LATENCY_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256,
    0.512, 1.0, 2.0, 4.0, 8.0,
];

/// The counters of all embedded logs of the process.
pub(crate) struct Metrics {
    pub(crate) records: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) batches: IntCounter,
    pub(crate) fsyncs: IntCounter,
    pub(crate) write_failures: IntCounter,
    pub(crate) append_seconds: Histogram,
}

fn counter(name: &str, help: &str) -> IntCounter {
    register_int_counter!(name, help).expect("each name is registered once")
}

/// The only set there is: a registry takes each name once.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    records: counter("everlog_log_records_total", "records appended to the embedded log"),
    bytes: counter("everlog_log_bytes_total", "payload bytes appended to the embedded log"),
    batches: counter("everlog_log_batches_total", "writes of the embedded log, each of one batch"),
    fsyncs: counter(
        "everlog_log_fsyncs_total",
        "writes of the embedded log that ended in an fsync",
    ),
    write_failures: counter(
        "everlog_log_write_failures_total",
        "writes of the embedded log that failed, so that it was reopened",
    ),
    append_seconds: register_histogram!(histogram_opts!(
        "everlog_log_append_seconds",
        "time from queueing a record until it is durable",
        LATENCY_BUCKETS.to_vec()
    ))
    .expect("each name is registered once"),
});
