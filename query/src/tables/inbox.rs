//! `sys_inbox`: the invocations that wait for their object key.

use everlog_log_schema::{InvocationId, PartitionId, Row, RowKey, partition_key_of};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, Reach};
use crate::table::Table;

/// The table.
#[derive(Debug)]
pub(crate) struct Inbox;

/// A place in a queue.
#[derive(Debug)]
pub(crate) struct Record {
    service: String,
    key: String,
    place: u64,
    id: InvocationId,
}

type C = Column<Record>;

static COLUMNS: [Column<Record>; 6] = [
    C::new("partition_key", Kind::Large, |at| Cell::Large(partition_key_of(&at.key).0)),
    C::new("service_name", Kind::Text, |at| Cell::text(&at.service)),
    C::new("service_key", Kind::Text, |at| Cell::text(&at.key)),
    C::new("id", Kind::Text, |at| Cell::made(&at.id)),
    C::new("sequence_number", Kind::Large, |at| Cell::Large(at.place)),
    C::absent("created_at", Kind::Time),
];

impl Table for Inbox {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_inbox";

    fn columns() -> &'static [C] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        let first = |service: &str, key: &str| RowKey::Queue {
            service: service.to_owned(),
            key: key.to_owned(),
            place: 0,
        };
        let all = ranges::range(&first("", ""), &RowKey::Sender(PartitionId(0)));
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

    fn read(_: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        if let (RowKey::Queue { service, key, place }, Row::Queue(id)) = stored {
            records.push(Record { service, key, place, id });
        }
    }
}
