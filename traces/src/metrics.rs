//! What is counted of spans, in the process's default registry.

use std::sync::LazyLock;

use prometheus::{IntCounter, register_int_counter};

pub(crate) static SENT: LazyLock<IntCounter> =
    LazyLock::new(|| counter("everlog_traces_spans_sent_total", "Spans that the collector took."));
pub(crate) static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_traces_spans_dropped_total",
        "Spans that were dropped: too many waited, or the collector did not take them.",
    )
});

fn counter(name: &str, help: &str) -> IntCounter {
    register_int_counter!(name, help).expect("the name is registered once")
}
