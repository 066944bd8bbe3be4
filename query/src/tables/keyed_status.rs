//! `sys_keyed_service_status`: which invocation holds an object key.

use everlog_log_schema::{InvocationId, Row, RowKey, partition_key_of};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, Reach};
use crate::table::Table;

/// The table.
#[derive(Debug)]
pub(crate) struct KeyedStatus;

/// An object key that is held.
#[derive(Debug)]
pub(crate) struct Record {
    service: String,
    key: String,
    holder: InvocationId,
}

type C = Column<Record>;

static COLUMNS: [Column<Record>; 4] = [
    C::new("partition_key", Kind::Large, |at| Cell::Large(partition_key_of(&at.key).0)),
    C::new("service_name", Kind::Text, |at| Cell::text(&at.service)),
    C::new("service_key", Kind::Text, |at| Cell::text(&at.key)),
    C::new("invocation_id", Kind::Text, |at| Cell::made(&at.holder)),
];

impl Table for KeyedStatus {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "sys_keyed_service_status";

    fn columns() -> &'static [C] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        let lock = |service: &str, key: &str| RowKey::Lock {
            service: service.to_owned(),
            key: key.to_owned(),
        };
        let end = RowKey::Queue { service: String::new(), key: String::new(), place: 0 };
        let all = ranges::range(&lock("", ""), &end);
        let of_object = |service: Option<&str>, key: &str| match service {
            Some(service) => {
                let after = ranges::text_after(key);
                vec![ranges::range(&lock(service, key), &lock(service, &after))]
            }
            None => vec![all.clone()],
        };
        ranges::of_objects(filters, ("service_name", "service_key"), partitions, of_object)
            .unwrap_or_else(|| ranges::everywhere(partitions, std::slice::from_ref(&all)))
    }

    fn read(_: &mut Hidden, (): &mut (), stored: (RowKey, Row), records: &mut Vec<Record>) {
        if let (RowKey::Lock { service, key }, Row::Lock(row)) = stored {
            records.push(Record { service, key, holder: row.holder });
        }
    }
}
