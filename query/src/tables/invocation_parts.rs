//! `sys_invocation_status` and `sys_invocation_state`: the two tables that tools know beside
//! `sys_invocation`, the first of what is recorded, the second of attempts.

use std::sync::LazyLock;

use everlog_log_schema::owner_api::RowRange;
use everlog_log_schema::{Row, RowKey, StatusKind};

use super::invocation::{self, COLUMNS, Record};
use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::Reach;
use crate::table::Table;

/// What of an invocation is recorded.
#[derive(Debug)]
pub(crate) struct InvocationStatus;

/// How the attempts of an invocation that has not completed do.
#[derive(Debug)]
pub(crate) struct InvocationState;

type C = Column<Record>;

/// The columns that are about attempts.
const OF_ATTEMPTS: [&str; 12] = [
    "retry_count",
    "last_start_at",
    "next_retry_at",
    "last_attempt_deployment_id",
    "last_attempt_server",
    "last_failure",
    "last_failure_error_code",
    "last_failure_related_entry_index",
    "last_failure_related_entry_name",
    "last_failure_related_entry_type",
    "last_failure_related_command_index",
    "last_failure_related_command_name",
];

static STATUS: LazyLock<Vec<C>> = LazyLock::new(|| {
    let own = C::new("status", Kind::Text, |at| Cell::text(status(at.row.status.kind())));
    let others = |column: &&C| column.name != "status" && !OF_ATTEMPTS.contains(&column.name);
    COLUMNS.iter().filter(others).copied().chain([own]).collect()
});

static STATE: LazyLock<Vec<C>> = LazyLock::new(|| {
    let in_flight = C::new("in_flight", Kind::Flag, |at| {
        Cell::Flag(at.row.status.kind() == StatusKind::Running)
    });
    let named = |column: &&C| {
        OF_ATTEMPTS.contains(&column.name) || ["id", "partition_key"].contains(&column.name)
    };
    COLUMNS.iter().filter(named).copied().chain([in_flight]).collect()
});

impl Table for InvocationStatus {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_invocation_status";
    const COUNTABLE: bool = false;
    const LATE: &'static [&'static str] = invocation::Invocation::LATE;

    fn columns() -> &'static [C] {
        &STATUS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        invocation::reach(filters, partitions)
    }

    fn read(hidden: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        records.extend(invocation::record(hidden, stored));
    }

    fn late(record: &Record) -> Option<RowRange> {
        invocation::outcome_range(record)
    }

    fn take_late(record: &mut Record, row: Row) -> usize {
        invocation::take_outcome(record, row)
    }
}

impl Table for InvocationState {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_invocation_state";
    const COUNTABLE: bool = false;

    fn columns() -> &'static [C] {
        &STATE
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        invocation::reach(filters, partitions)
    }

    fn read(hidden: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        let record = invocation::record(hidden, stored);
        records.extend(record.filter(|at| at.row.status.kind() != StatusKind::Completed));
    }
}

/// The status as this table tells it: what has begun and does not wait is invoked.
fn status(kind: StatusKind) -> &'static str {
    match kind {
        StatusKind::Scheduled => "scheduled",
        StatusKind::Pending => "inboxed",
        StatusKind::Running | StatusKind::BackingOff => "invoked",
        StatusKind::Suspended => "suspended",
        StatusKind::Paused => "paused",
        StatusKind::Completed => "completed",
    }
}
