//! What a gateway counts, in the default registry: the admin port shows it at `/metrics`.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, exponential_buckets, register_histogram,
    register_int_counter, register_int_counter_vec, register_int_gauge,
};

/// The counters of this process.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);

/// One field per metric.
pub(crate) struct Metrics {
    /// Requests answered, by port and status.
    pub(crate) requests: IntCounterVec,
    /// Requests being handled.
    pub(crate) in_flight: IntGauge,
    /// The time from a call's last body byte to its answer, in seconds.
    pub(crate) call_seconds: Histogram,
    /// The time from a message's last body byte to its place in the inbox, in seconds.
    pub(crate) append_seconds: Histogram,
    /// Messages sent again because their append had an unknown outcome.
    pub(crate) resends: IntCounter,
    /// Attaches repeated because the owner was not available or silent.
    pub(crate) reattaches: IntCounter,
}

impl Metrics {
    fn register() -> Self {
        const FIRST_BUCKET_SECONDS: f64 = 0.000_5;
        let buckets =
            || exponential_buckets(FIRST_BUCKET_SECONDS, 2.0, 16).expect("positive bounds");
        let registered = "the name is registered once";
        Self {
            requests: register_int_counter_vec!(
                "everlog_gateway_requests_total",
                "Requests answered, by port and status.",
                &["port", "status"]
            )
            .expect(registered),
            in_flight: register_int_gauge!(
                "everlog_gateway_requests_in_flight",
                "Requests being handled at the ingress, waiting calls included."
            )
            .expect(registered),
            call_seconds: register_histogram!(
                "everlog_gateway_call_seconds",
                "Time from a call's last body byte to its answer.",
                buckets()
            )
            .expect(registered),
            append_seconds: register_histogram!(
                "everlog_gateway_append_seconds",
                "Time from a message's last body byte to its place in the inbox.",
                buckets()
            )
            .expect(registered),
            resends: register_int_counter!(
                "everlog_gateway_resends_total",
                "Messages sent again because the outcome of their append was unknown."
            )
            .expect(registered),
            reattaches: register_int_counter!(
                "everlog_gateway_reattaches_total",
                "Attaches repeated because the owner was unavailable or silent."
            )
            .expect(registered),
        }
    }
}
