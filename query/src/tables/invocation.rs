//! `sys_invocation`: all that is known of each invocation.

use everlog_log_schema::owner_api::RowRange;
use everlog_log_schema::{
    AttemptError, Awaited, Entry, InvocationId, InvocationRow, Outcome, Row, RowKey, SignalId,
    Status, StatusKind, command_kind_name, redacted,
};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, LOWEST_ID, Reach};
use crate::table::Table;
use crate::tables::{service_type, target_text};

/// The table.
#[derive(Debug)]
pub(crate) struct Invocation;

/// An invocation as a query sees it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) id: InvocationId,
    pub(super) row: InvocationRow,
    /// How it ended, where that was asked for: the code and the message of a failure.
    outcome: Option<Result<(), (u32, String)>>,
    /// Whether what the function says is not shown.
    hidden: bool,
}

type C = Column<Record>;

/// The columns, in the order in which they are known.
pub(super) static COLUMNS: [Column<Record>; 52] = [
    C::new("id", Kind::Text, |at| Cell::made(&at.id)),
    C::absent("vqueue_id", Kind::Text),
    C::new("target", Kind::Text, |at| Cell::made(&target_text(&at.row.target))),
    C::new("target_service_name", Kind::Text, |at| Cell::text(&at.row.target.service)),
    C::new("target_service_key", Kind::Text, |at| {
        Cell::maybe(at.row.target.key.as_deref(), Cell::text)
    }),
    C::new("target_handler_name", Kind::Text, |at| Cell::text(&at.row.target.handler)),
    C::new("target_service_ty", Kind::Text, |at| Cell::text(service_type(at.row.kind))),
    C::new("scope", Kind::Text, |at| Cell::maybe(at.row.scope.as_deref(), Cell::text)),
    C::new("limit_key", Kind::Text, |at| Cell::maybe(at.row.limit_key.as_deref(), Cell::text)),
    C::new("idempotency_key", Kind::Text, |at| {
        Cell::maybe(at.row.idempotency_key.as_deref(), Cell::text)
    }),
    C::new("invoked_by", Kind::Text, |at| Cell::text(invoked_by(&at.row))),
    C::absent("invoked_by_service_name", Kind::Text),
    C::new("invoked_by_id", Kind::Text, |at| {
        Cell::maybe(at.row.caller, |caller| Cell::made(&caller.life.invocation))
    }),
    C::absent("invoked_by_subscription_id", Kind::Text),
    C::absent("invoked_by_target", Kind::Text),
    C::new("restarted_from", Kind::Text, |at| {
        Cell::maybe(at.row.restarted_from, |old| Cell::made(&old))
    }),
    C::new("pinned_deployment_id", Kind::Text, deployment),
    C::new("pinned_service_protocol_version", Kind::Small, |at| {
        Cell::maybe(at.row.pin.as_ref(), |pin| Cell::Small(pin.protocol_version))
    }),
    C::new("trace_id", Kind::Text, |at| {
        // The second part of `version-trace-span-flags`.
        let parent = at.row.traceparent.as_deref();
        Cell::maybe(parent.and_then(|parent| parent.split('-').nth(1)), Cell::text)
    }),
    C::new("journal_size", Kind::Small, |at| Cell::Small(at.row.entries)),
    C::new("journal_commands_size", Kind::Small, |at| Cell::Small(at.row.commands)),
    C::new("created_at", Kind::Time, |at| Cell::Millis(at.row.created_at)),
    C::absent("created_using_restate_version", Kind::Text),
    C::new("modified_at", Kind::Time, |at| Cell::Millis(at.row.modified_at)),
    C::new("inboxed_at", Kind::Time, |at| in_status_since(at, StatusKind::Pending)),
    C::new("scheduled_at", Kind::Time, |at| in_status_since(at, StatusKind::Scheduled)),
    C::new("scheduled_start_at", Kind::Time, |at| {
        if let Status::Scheduled { at } = at.row.status { Cell::Millis(at) } else { Cell::None }
    }),
    C::absent("running_at", Kind::Time),
    C::new("completed_at", Kind::Time, |at| {
        if let Status::Completed { at, .. } = at.row.status { Cell::Millis(at) } else { Cell::None }
    }),
    C::new("completion_retention", Kind::Duration, |at| Cell::Millis(at.row.retention)),
    C::new("journal_retention", Kind::Duration, |at| {
        Cell::Millis(at.row.journal_retention.unwrap_or(at.row.retention))
    }),
    C::new("suspended_waiting_for_completions", Kind::Numbers, completions),
    C::new("suspended_waiting_for_signals", Kind::Texts, signals),
    C::absent("suspended_waiting_future_json", Kind::Text),
    C::new("retry_count", Kind::Large, attempts),
    C::absent("last_start_at", Kind::Time),
    C::new("next_retry_at", Kind::Time, |at| {
        if let Status::BackingOff { until } = at.row.status {
            Cell::Millis(until)
        } else {
            Cell::None
        }
    }),
    C::new("last_attempt_deployment_id", Kind::Text, deployment),
    C::absent("last_attempt_server", Kind::Text),
    C::new("last_failure", Kind::Text, |at| of_error(at, |error| said(at, &error.message))),
    C::new("last_failure_error_code", Kind::Text, |at| {
        of_error(at, |error| Cell::made(&error.code))
    }),
    C::absent("last_failure_related_entry_index", Kind::Large),
    C::absent("last_failure_related_entry_name", Kind::Text),
    C::absent("last_failure_related_entry_type", Kind::Text),
    C::new("last_failure_related_command_index", Kind::Large, |at| {
        of_error(at, |error| Cell::maybe(error.command_index, |index| Cell::Large(index.into())))
    }),
    C::new("last_failure_related_command_name", Kind::Text, |at| {
        of_error(at, |error| Cell::maybe(error.command_name.as_deref(), Cell::text))
    }),
    C::new("last_failure_related_command_type", Kind::Text, |at| {
        of_error(at, |error| {
            Cell::maybe(error.command_kind, |kind| Cell::text(command_kind_name(kind)))
        })
    }),
    C::absent("last_awaiting_on_future_json", Kind::Text),
    C::new("status", Kind::Text, |at| Cell::text(at.row.status.kind().name())),
    C::new("completion_result", Kind::Text, |at| {
        Cell::maybe(at.outcome.as_ref(), |outcome| match outcome {
            Ok(()) => Cell::text("success"),
            Err(_) => Cell::text("failure"),
        })
    }),
    C::new("completion_failure", Kind::Text, |at| match &at.outcome {
        Some(Err((code, message))) => {
            let Cell::Text(said) = said(at, message) else { return Cell::None };
            Cell::made(&format_args!("[{code}] {said}"))
        }
        Some(Ok(())) | None => Cell::None,
    }),
    C::new("partition_key", Kind::Large, |at| Cell::Large(at.id.partition_key.0)),
];

impl Table for Invocation {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_invocation";
    const COUNTABLE: bool = false;
    const LATE: &'static [&'static str] = &["completion_result", "completion_failure"];

    fn columns() -> &'static [Column<Record>] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        reach(filters, partitions)
    }

    fn read(hidden: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        records.extend(record(hidden, stored));
    }

    fn late(record: &Record) -> Option<RowRange> {
        outcome_range(record)
    }

    fn take_late(record: &mut Record, row: Row) -> usize {
        take_outcome(record, row)
    }
}

/// Which rows answer a query about invocations: those of the ids or of the object keys that it names.
pub(super) fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
    let end = RowKey::Journal(LOWEST_ID, 0);
    let up_to = |from, after: Option<InvocationId>| {
        let below = after.map_or(end.clone(), RowKey::Invocation);
        vec![ranges::range(&RowKey::Invocation(from), &below)]
    };
    let of_id = |id| up_to(id, ranges::id_after(id));
    let names = ("target_service_name", "target_service_key");
    ranges::of_ids(filters, "id", partitions, of_id)
        .or_else(|| {
            // All invocations of an object have the partition key of its own.
            ranges::of_objects(filters, names, partitions, |_, key| {
                let (first, last) = ranges::ids_of_key(key);
                up_to(first, ranges::id_after(last))
            })
        })
        .unwrap_or_else(|| ranges::everywhere(partitions, &up_to(LOWEST_ID, None)))
}

/// Reads a row.
pub(super) fn record(hidden: &mut Hidden, stored: (RowKey, Row)) -> Option<Record> {
    let (RowKey::Invocation(id), Row::Invocation(row)) = stored else { return None };
    if row.has_expired() {
        return None;
    }
    let hidden = hidden.is_of(&row.target);
    Some(Record { id, row: *row, outcome: None, hidden })
}

/// The part of its journal that holds how it ended.
pub(super) fn outcome_range(record: &Record) -> Option<RowRange> {
    let Status::Completed { parts, .. } = record.row.status else { return None };
    let last = parts.saturating_sub(1);
    let part = |part| RowKey::Packed(record.id, part);
    Some(ranges::range(&part(last), &part(parts.max(1))))
}

/// Takes how it ended out of that, and tells the bytes.
pub(super) fn take_outcome(record: &mut Record, row: Row) -> usize {
    let Row::Packed(entries) = row else { return 0 };
    let last = entries.into_iter().last().map(|row| row.entry);
    let Some(Entry::Output { outcome, .. }) = last else { return 0 };
    let failure = match outcome {
        Outcome::Success(_) => Ok(()),
        Outcome::Failure(failure) => Err((failure.code, failure.message)),
    };
    let bytes = failure.as_ref().err().map_or(0, |(_, message)| message.len());
    record.outcome = Some(failure);
    bytes
}

fn invoked_by(row: &InvocationRow) -> &'static str {
    match (row.restarted_from, row.caller) {
        (Some(_), _) => "restart_as_new",
        (None, Some(_)) => "service",
        (None, None) => "ingress",
    }
}

fn deployment(at: &Record) -> Cell<'_> {
    Cell::maybe(at.row.pin.as_ref(), |pin| Cell::text(&pin.deployment.0))
}

fn in_status_since(at: &Record, status: StatusKind) -> Cell<'_> {
    if at.row.status.kind() == status { Cell::Millis(at.row.modified_at) } else { Cell::None }
}

fn completions(at: &Record) -> Cell<'_> {
    let Status::Suspended(waiting) = &at.row.status else { return Cell::None };
    Cell::Numbers(waiting.completions().map(|completion| completion.0).collect())
}

fn signals(at: &Record) -> Cell<'_> {
    let Status::Suspended(waiting) = &at.row.status else { return Cell::None };
    let signals = waiting.leaves().filter_map(|leaf| match leaf {
        Awaited::Signal(SignalId::Index(index)) => Some(index.to_string().into()),
        Awaited::Signal(SignalId::Name(name)) => Some(name.into()),
        Awaited::Completion(_) => None,
    });
    Cell::Texts(signals.collect())
}

/// How many attempts the retry policy has seen, the current one included.
fn attempts(at: &Record) -> Cell<'_> {
    let counted = u64::from(at.row.policy_attempts);
    match at.row.status.kind() {
        StatusKind::Running => Cell::Large(counted + 1),
        StatusKind::BackingOff | StatusKind::Paused => Cell::Large(counted),
        StatusKind::Scheduled
        | StatusKind::Pending
        | StatusKind::Suspended
        | StatusKind::Completed => Cell::None,
    }
}

/// What a function says of its failure, as far as that is shown.
fn said<'a>(at: &Record, message: &'a str) -> Cell<'a> {
    if at.hidden { Cell::made(&redacted(message)) } else { Cell::text(message) }
}

fn of_error<'a>(at: &'a Record, cell: impl FnOnce(&'a AttemptError) -> Cell<'a>) -> Cell<'a> {
    Cell::maybe(at.row.last_error.as_ref(), cell)
}
