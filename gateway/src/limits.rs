//! What one gateway takes on at most. What is refused for want of room is refused with a status
//! and a time to come back: a gateway under load answers, it does not fall over.
//!
//! Limits on what is written (bodies, keys, headers) are in `everlog_log_schema::limits`, because
//! every process must agree on them.

use std::time::Duration;

use everlog_log_schema::{Millis, OnMaxAttempts, RetryPolicy};
use tokio::sync::Semaphore;

/// What holds for services that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDefaults {
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// How long the outcome of a call without an idempotency key is kept (a duration): long enough
    /// for a caller that lost its connection.
    pub unkeyed_retention: Millis,
}

impl Default for ServiceDefaults {
    fn default() -> Self {
        Self {
            retry: RetryPolicy {
                initial_interval: Millis(500),
                factor_permille: 2_000,
                max_interval: Millis(60_000),
                max_attempts: Some(70),
                on_max_attempts: OnMaxAttempts::Pause,
            },
            unkeyed_retention: Millis(10 * 60 * 1_000),
        }
    }
}

/// The limits of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayLimits {
    /// Calls that wait for their answers at once; one more gets 429.
    pub requests_max: usize,
    /// Those of one service; one more gets 429, and other services go on.
    pub service_requests_max: usize,
    /// Attaches that wait at once, beside the calls; one more gets 429.
    pub attaches_max: usize,
    /// Sends, questions and ends of awakeables being handled at once, beside the calls, so that a
    /// function can be told what its callers wait for; one more gets 429.
    pub short_requests_max: usize,
    /// Bytes of request bodies that are read but not yet in the log; more get 429.
    pub body_bytes_in_flight_max: usize,
    /// Requests to the admin port being handled at once; one more gets 429. Health, version and
    /// metrics are told all the same.
    pub admin_requests_max: usize,
    /// Bytes of large answers on their way to their callers; those of more wait in the tables.
    pub answer_bytes_in_flight_max: usize,
    /// Open connections at the ingress; one more gets 429 and is closed.
    pub connections_max: usize,
    /// Open connections at the admin port; one more gets 429 and is closed.
    pub admin_connections_max: usize,
    /// How long a request's head may take to arrive, and a connection may stay without a request.
    pub head_deadline: Duration,
    /// How long a request's body may pause.
    pub body_idle_max: Duration,
    /// How long a request's body may take in all.
    pub body_total_max: Duration,
    /// How long a caller may take nothing in of what is sent to it.
    pub write_stall_max: Duration,
    /// How long a caller may take to read an answer that is large, or on a stream of HTTP/2.
    pub answer_total_max: Duration,
    /// How long a call whose append has an unknown outcome is sent again.
    pub resend_max: Duration,
    /// How long a question that does not wait for an invocation (output, verdict of a send) is
    /// asked again while its partition has no owner.
    pub question_max: Duration,
    /// How long a discovery may take in all.
    pub discovery_max: Duration,
    /// A deployment's manifest, in bytes.
    pub manifest_bytes_max: usize,
}

impl GatewayLimits {
    /// The limits where so many calls may wait at once: one service gets half of that, attaches
    /// half as many beside, and so do requests that wait for no function. There are connections for
    /// all of them, as over HTTP/1.1 each needs one, and some that are idle.
    pub fn of_requests(requests_max: usize) -> Self {
        const IDLE_CONNECTIONS: usize = 1_024;
        // Nobody means more, and places are counted by what cannot count further.
        let requests_max = requests_max.min(Semaphore::MAX_PERMITS / 4);
        let half = requests_max.div_ceil(2);
        Self {
            requests_max,
            service_requests_max: half,
            attaches_max: half,
            short_requests_max: half,
            connections_max: requests_max.saturating_add(2 * half).saturating_add(IDLE_CONNECTIONS),
            admin_connections_max: 1_024,
            body_bytes_in_flight_max: 256 << 20,
            admin_requests_max: 256,
            answer_bytes_in_flight_max: 256 << 20,
            head_deadline: Duration::from_mins(1),
            body_idle_max: Duration::from_secs(10),
            body_total_max: Duration::from_mins(5),
            write_stall_max: Duration::from_secs(30),
            answer_total_max: Duration::from_mins(5),
            resend_max: Duration::from_mins(5),
            question_max: Duration::from_secs(10),
            discovery_max: Duration::from_secs(10),
            manifest_bytes_max: 4 << 20,
        }
    }
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self::of_requests(10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_a_place_has_a_connection() {
        for requests_max in [1, 2, 3, 10_000, usize::MAX] {
            let limits = GatewayLimits::of_requests(requests_max);
            let places = limits.requests_max + limits.attaches_max + limits.short_requests_max;
            assert!(limits.connections_max > places, "{requests_max}");
            assert!(limits.connections_max <= Semaphore::MAX_PERMITS, "{requests_max}");
            assert!(limits.service_requests_max > 0, "{requests_max}");
            assert!(limits.admin_connections_max > limits.admin_requests_max);
        }
    }
}
