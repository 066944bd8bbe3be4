//! `sys_promise`: the promises of workflows that are completed.

use everlog_log_schema::{InvocationId, Outcome, PartitionKey, Row, RowKey, partition_key_of};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, Reach};
use crate::table::Table;

/// The table.
#[derive(Debug)]
pub(crate) struct Promise;

/// A promise.
#[derive(Debug)]
pub(crate) struct Record {
    service: String,
    key: String,
    name: String,
    outcome: Outcome,
    /// Whether what it was completed with is not shown.
    hidden: bool,
}

type C = Column<Record>;

static COLUMNS: [Column<Record>; 9] = [
    C::new("partition_key", Kind::Large, |at| Cell::Large(partition_key_of(&at.key).0)),
    C::absent("scope", Kind::Text),
    C::new("service_name", Kind::Text, |at| Cell::text(&at.service)),
    C::new("service_key", Kind::Text, |at| Cell::text(&at.key)),
    C::new("key", Kind::Text, |at| Cell::text(&at.name)),
    C::new("completed", Kind::Flag, |_| Cell::Flag(true)),
    C::new("completion_success_value", Kind::Bytes, |at| {
        Cell::maybe(value(at), |value| Cell::Bytes(value.into()))
    }),
    C::new("completion_success_value_utf8", Kind::Text, |at| {
        Cell::maybe(value(at).and_then(|value| str::from_utf8(value).ok()), Cell::text)
    }),
    C::new("completion_failure", Kind::Text, |at| match &at.outcome {
        Outcome::Failure(failure) if at.hidden => Cell::made(&format_args!("[{}]", failure.code)),
        Outcome::Failure(failure) => {
            Cell::made(&format_args!("[{}] {}", failure.code, failure.message))
        }
        Outcome::Success(_) => Cell::None,
    }),
];

impl Table for Promise {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_promise";

    fn columns() -> &'static [C] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        let first = |service: &str, key: &str| RowKey::Promise {
            service: service.to_owned(),
            key: key.to_owned(),
            name: String::new(),
        };
        let lowest = InvocationId { partition_key: PartitionKey(0), uuid: 0 };
        let all = ranges::range(&first("", ""), &RowKey::Expiring(lowest));
        let of_object = |service: Option<&str>, key: &str| match service {
            Some(service) => {
                let after = ranges::text_after(key);
                vec![ranges::range(&first(service, key), &first(service, &after))]
            }
            None => vec![all.clone()],
        };
        ranges::of_objects(filters, ("service_name", "service_key"), partitions, of_object)
            .unwrap_or_else(|| ranges::everywhere(partitions, std::slice::from_ref(&all)))
    }

    fn read(hidden: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        if let (RowKey::Promise { service, key, name }, Row::Promise(outcome)) = stored {
            let hidden = hidden.is_state_of(&service);
            records.push(Record { service, key, name, outcome, hidden });
        }
    }
}

fn value(at: &Record) -> Option<&[u8]> {
    match &at.outcome {
        Outcome::Success(value) if !at.hidden => Some(value),
        Outcome::Success(_) | Outcome::Failure(_) => None,
    }
}
