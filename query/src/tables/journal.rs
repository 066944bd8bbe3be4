//! `sys_journal`: the entries of all journals, live and packed.

use std::borrow::Cow;
use std::collections::BTreeSet;

use everlog_log_schema::{
    CompletionId, Effect, Entry, InvocationId, JournalRow, NotificationId, Row, RowKey,
    command_kind_name, command_name, notification_kind_name,
};

use crate::cell::{Cell, Column, Kind};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::ranges::{self, LOWEST_ID, Reach};
use crate::table::Table;
use crate::tables::target_text;

/// The version of journals whose entries are commands and notifications.
const VERSION: u32 = 2;
/// What remembering an id takes, in bytes, with what a set has around it.
const ID_BYTES: usize = 64;

/// The table.
#[derive(Debug)]
pub(crate) struct Journal;

/// An entry.
#[derive(Debug)]
pub(crate) struct Record {
    id: InvocationId,
    index: u32,
    row: JournalRow,
}

/// What was read of a partition. Live journals come first; one that is packed in between would come
/// again.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    live: BTreeSet<InvocationId>,
    /// The packed journal that is being read, and how many of its entries were.
    packed: Option<(InvocationId, u32)>,
}

type C = Column<Record>;

static COLUMNS: [Column<Record>; 16] = [
    C::new("partition_key", Kind::Large, |at| Cell::Large(at.id.partition_key.0)),
    C::new("id", Kind::Text, |at| Cell::made(&at.id)),
    C::new("index", Kind::Small, |at| Cell::Small(at.index)),
    C::new("entry_type", Kind::Text, |at| Cell::made(&entry_type(&at.row.entry))),
    C::new("name", Kind::Text, |at| Cell::maybe(name(&at.row.entry), Cell::Text)),
    C::absent("completed", Kind::Flag),
    C::new("invoked_id", Kind::Text, |at| match effect(&at.row.entry) {
        Some(Effect::Call(call)) => Cell::made(&call.callee),
        Some(_) | None => Cell::None,
    }),
    C::new("invoked_target", Kind::Text, |at| match effect(&at.row.entry) {
        Some(Effect::Call(call)) => Cell::made(&target_text(&call.target)),
        Some(_) | None => Cell::None,
    }),
    C::new("sleep_wakeup_at", Kind::Time, |at| match effect(&at.row.entry) {
        Some(Effect::Sleep { wake_at, .. }) => Cell::Millis(*wake_at),
        Some(_) | None => Cell::None,
    }),
    C::absent("promise_name", Kind::Text),
    // What entries carry is shown nowhere.
    C::absent("raw", Kind::Bytes),
    C::new("raw_length", Kind::Large, |at| Cell::Large(at.row.entry.payload_bytes())),
    C::new("version", Kind::Small, |_| Cell::Small(VERSION)),
    C::absent("entry_json", Kind::Text),
    C::absent("entry_lite_json", Kind::Text),
    C::new("appended_at", Kind::Time, |at| Cell::Millis(at.row.at)),
];

impl Table for Journal {
    type Record = Record;
    type Memory = Memory;

    const NAME: &'static str = "sys_journal";
    const COUNTABLE: bool = false;

    fn columns() -> &'static [C] {
        &COLUMNS
    }

    fn reach(filters: &Filters, partitions: u32) -> Vec<Reach> {
        let live_end = RowKey::Open(LOWEST_ID, CompletionId(0));
        let packed_end = RowKey::Object { service: String::new(), key: String::new() };
        let between = |from, after: Option<InvocationId>| {
            let live = after.map_or(live_end.clone(), |after| RowKey::Journal(after, 0));
            let packed = after.map_or(packed_end.clone(), |after| RowKey::Packed(after, 0));
            vec![
                ranges::range(&RowKey::Journal(from, 0), &live),
                ranges::range(&RowKey::Packed(from, 0), &packed),
            ]
        };
        ranges::of_ids(filters, "id", partitions, |id| between(id, ranges::id_after(id)))
            .unwrap_or_else(|| ranges::everywhere(partitions, &between(LOWEST_ID, None)))
    }

    fn read(_: &mut Hidden, memory: &mut Memory, stored: (RowKey, Row), records: &mut Vec<Record>) {
        match stored {
            (RowKey::Journal(id, index), Row::Journal(row)) => {
                memory.live.insert(id);
                records.push(Record { id, index, row });
            }
            (RowKey::Packed(id, _), Row::Packed(rows)) if !memory.live.contains(&id) => {
                let before = memory.packed.filter(|(of, _)| *of == id).map_or(0, |(_, read)| read);
                let indexes = before..=u32::MAX;
                let read = indexes.zip(rows).map(|(index, row)| Record { id, index, row });
                let length = records.len();
                records.extend(read);
                let read = u32::try_from(records.len() - length).unwrap_or(u32::MAX);
                memory.packed = Some((id, before.saturating_add(read)));
            }
            _ => {}
        }
    }

    fn remembered_bytes(memory: &Memory) -> usize {
        memory.live.len() * ID_BYTES
    }
}

/// What an entry is, as the service protocol names it.
fn entry_type(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "Command: Input".into(),
        Entry::Command { kind, .. } => format!("Command: {}", command_kind_name(*kind)),
        Entry::Output { .. } => "Command: Output".into(),
        Entry::Notification { id, .. } => {
            let kind = match id {
                NotificationId::Completion { kind, .. } => notification_kind_name(*kind),
                NotificationId::Signal(_) => "Signal",
            };
            format!("Notification: {kind}")
        }
    }
}

/// The name that the function gave it.
fn name(entry: &Entry) -> Option<Cow<'_, str>> {
    match entry {
        Entry::Command { bytes, .. } => command_name(bytes).map(Cow::Owned),
        Entry::Output { name, .. } => (!name.is_empty()).then_some(Cow::Borrowed(name)),
        Entry::Input { .. } | Entry::Notification { .. } => None,
    }
}

fn effect(entry: &Entry) -> Option<&Effect> {
    if let Entry::Command { effect, .. } = entry { Some(effect) } else { None }
}
