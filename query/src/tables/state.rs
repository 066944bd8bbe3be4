//! `state`: what objects remember, a row for each key.

use bytes::Bytes;
use everlog_log_schema::{PartitionId, Row, RowKey, Seq, partition_key_of};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, Reach};
use crate::table::Table;

/// The table.
#[derive(Debug)]
pub(crate) struct State;

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Record {
    service: String,
    key: String,
    name: Bytes,
    /// None where it is not shown.
    value: Option<Bytes>,
    length: usize,
}

type C = Column<Record>;

static COLUMNS: [Column<Record>; 9] = [
    C::new("partition_key", Kind::Large, |at| Cell::Large(partition_key_of(&at.key).0)),
    C::absent("scope", Kind::Text),
    C::new("service_name", Kind::Text, |at| Cell::text(&at.service)),
    C::new("service_key", Kind::Text, |at| Cell::text(&at.key)),
    // With a mark in place of what is no text.
    C::new("key", Kind::Text, |at| Cell::Text(String::from_utf8_lossy(&at.name))),
    C::new("key_length", Kind::Large, |at| Cell::Large(at.name.len() as u64)),
    C::new("value_utf8", Kind::Text, |at| {
        let text = at.value.as_ref().and_then(|value| str::from_utf8(value).ok());
        Cell::maybe(text, Cell::text)
    }),
    C::new("value", Kind::Bytes, |at| {
        Cell::maybe(at.value.as_ref(), |value| Cell::Bytes(value.as_ref().into()))
    }),
    C::new("value_length", Kind::Large, |at| Cell::Large(at.length as u64)),
];

impl Table for State {
    type Record = Record;
    type Memory = ();

    const NAME: &'static str = "state";

    fn columns() -> &'static [C] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        let first = |service: &str, key: &str| RowKey::State {
            service: service.to_owned(),
            key: key.to_owned(),
            name: Bytes::new(),
        };
        let all = ranges::range(&first("", ""), &RowKey::Outbox(PartitionId(0), Seq(0)));
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
        if let (RowKey::State { service, key, name }, Row::State(value)) = stored {
            let length = value.len();
            let value = (!hidden.is_state_of(&service)).then_some(value);
            records.push(Record { service, key, name, value, length });
        }
    }
}
