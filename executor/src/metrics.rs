//! What an executor counts, in the process's default registry.

use std::sync::LazyLock;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, default_registry};

pub(crate) static RECORDS_APPENDED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_records_appended_total", "Records acknowledged by the event log.")
});
pub(crate) static COMMANDS_APPENDED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_commands_appended_total", "Commands in acknowledged records.")
});
pub(crate) static RECORDS_APPLIED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_records_applied_total", "Records applied to the tables.")
});
pub(crate) static MESSAGES_REJECTED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_messages_rejected_total", "Inbox messages that could not be read.")
});
pub(crate) static ATTEMPTS_STARTED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("everlog_executor_attempts_started_total", "Attempts started."));
pub(crate) static ATTEMPTS_FAILED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("everlog_executor_attempts_failed_total", "Attempts that failed."));
pub(crate) static ATTEMPTS_OPEN: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("everlog_executor_attempts_open", "Attempts that are open now."));
pub(crate) static INVOCATIONS_WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "everlog_executor_invocations_waiting",
        "Running invocations that wait in memory for a place; more may wait on disk.",
    )
});
pub(crate) static MESSAGES_SENT: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_messages_sent_total", "Messages that have arrived in an inbox.")
});
pub(crate) static OUTBOX_LENGTH: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("everlog_executor_outbox_length", "Messages that have not arrived in an inbox yet.")
});
pub(crate) static STATE_BYTES_READ: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_state_bytes_read_total",
        "Bytes of state, keys and values, that attempts began with.",
    )
});
pub(crate) static TIMERS_FIRED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("everlog_executor_timers_fired_total", "Timers found due."));
pub(crate) static PARTITIONS_OWNED: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("everlog_executor_partitions_owned", "Partitions owned now."));
pub(crate) static TAKEOVERS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("everlog_executor_takeovers_total", "Terms begun."));
pub(crate) static HAND_OVERS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_hand_overs_total",
        "Partitions handed over to an executor that asked for them.",
    )
});
pub(crate) static PINGS_MISSED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_pings_missed_total", "Pings that no owner has answered in time.")
});
pub(crate) static PARTITIONS_FOLLOWED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("everlog_executor_partitions_followed", "Partitions followed now without owning them.")
});
pub(crate) static CALLERS_WAITING: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("everlog_executor_callers_waiting", "Callers waiting for an answer."));
pub(crate) static FLUSH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram("everlog_executor_flush_seconds", "Time taken to flush the tables.")
});
pub(crate) static CHECKPOINTS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_checkpoints_total",
        "Checkpoints committed to the journal topic, each in one transaction.",
    )
});
pub(crate) static CHECKPOINTS_FAILED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_checkpoints_failed_total",
        "Checkpoints that were not committed, or of which that is not known. They are repeated.",
    )
});
pub(crate) static CHECKPOINT_ROWS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_checkpoint_rows_total",
        "Rows, tombstones included, that checkpoints wrote to the journal topic.",
    )
});
pub(crate) static CHECKPOINT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "everlog_executor_checkpoint_seconds",
        "Time taken to write a checkpoint to the journal topic.",
    )
});
pub(crate) static RESTORES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "everlog_executor_restores_total",
        "Partitions whose tables were restored from the journal topic.",
    )
});
pub(crate) static ROWS_RESTORED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("everlog_executor_rows_restored_total", "Rows read from the journal topic for them.")
});
pub(crate) static RESTORE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "everlog_executor_restore_seconds",
        "Time taken to restore the tables of a partition from the journal topic.",
    )
});

fn histogram(name: &str, help: &str) -> Histogram {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help));
    registered(histogram.expect("the options are constant"))
}

fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::with_opts(Opts::new(name, help)).expect("the options are constant"))
}

fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::with_opts(Opts::new(name, help)).expect("the options are constant"))
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(collector: C) -> C {
    default_registry().register(Box::new(collector.clone())).expect("each name is registered once");
    collector
}
