//! Which rows of which partitions a table is made of, and which of them a query can be answered from.
//!
//! **Invariant:** the ranges of a partition follow each other, as the owner API wants them.

use everlog_log_schema::owner_api::RowRange;
use everlog_log_schema::{
    InvocationId, PartitionId, PartitionKey, RowKey, partition_key_of, partition_of,
};

use crate::filter::Filters;

/// Below every other id.
pub(crate) const LOWEST_ID: InvocationId = InvocationId { partition_key: PartitionKey(0), uuid: 0 };

/// What is read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The partition.
    pub(crate) partition: PartitionId,
    /// The ranges of its rows.
    pub(crate) ranges: Vec<RowRange>,
}

/// The row keys from one on and below another.
pub(crate) fn range(from: &RowKey, below: &RowKey) -> RowRange {
    RowRange { from: from.to_bytes().into(), below: below.to_bytes().into() }
}

/// These ranges of every partition.
pub(crate) fn everywhere(partitions: u32, ranges: &[RowRange]) -> Vec<Reach> {
    let reach = |partition| Reach { partition: PartitionId(partition), ranges: ranges.to_vec() };
    (0..partitions).map(reach).collect()
}

/// The rows of the invocations whose ids a query names in `column`; none where it names none.
///
/// What is no id is no invocation's.
pub(crate) fn of_ids(
    filters: &Filters,
    column: &str,
    partitions: u32,
    ranges: impl Fn(InvocationId) -> Vec<RowRange>,
) -> Option<Vec<Reach>> {
    let ids = filters.texts(column)?;
    let ids = ids.into_iter().filter_map(|text| text.parse::<InvocationId>().ok());
    let found = ids.map(|id| (partition_of(id.partition_key, partitions), ranges(id)));
    Some(gathered(found))
}

/// The rows of the objects whose keys a query names in `column`, of services it may name too; none
/// where it names no keys. `ranges` are those of a service and key, or of a key of any service.
pub(crate) fn of_objects(
    filters: &Filters,
    (service, key): (&str, &str),
    partitions: u32,
    ranges: impl Fn(Option<&str>, &str) -> Vec<RowRange>,
) -> Option<Vec<Reach>> {
    let keys = filters.texts(key)?;
    let services = filters.texts(service);
    let found = keys.into_iter().map(|key| {
        let ranges = match &services {
            None => ranges(None, key),
            Some(services) => {
                services.iter().flat_map(|service| ranges(Some(service), key)).collect()
            }
        };
        (partition_of(partition_key_of(key), partitions), ranges)
    });
    Some(gathered(found))
}

/// What is read of each partition, once, in order.
fn gathered(found: impl Iterator<Item = (PartitionId, Vec<RowRange>)>) -> Vec<Reach> {
    let mut reaches: std::collections::BTreeMap<PartitionId, Vec<RowRange>> =
        std::collections::BTreeMap::new();
    for (partition, ranges) in found {
        reaches.entry(partition).or_default().extend(ranges);
    }
    let reach = |(partition, mut ranges): (PartitionId, Vec<RowRange>)| {
        ranges.sort_by(|one, other| one.from.cmp(&other.from));
        ranges.dedup();
        Reach { partition, ranges }
    };
    reaches.into_iter().map(reach).collect()
}

/// The lowest id above another, if there is one.
pub(crate) fn id_after(id: InvocationId) -> Option<InvocationId> {
    if let Some(uuid) = id.uuid.checked_add(1) {
        return Some(InvocationId { uuid, ..id });
    }
    let partition_key = PartitionKey(id.partition_key.0.checked_add(1)?);
    Some(InvocationId { partition_key, uuid: 0 })
}

/// The lowest text above another.
pub(crate) fn text_after(text: &str) -> String {
    format!("{text}\0")
}

/// The first and the last id that an invocation of an object key may have.
pub(crate) fn ids_of_key(key: &str) -> (InvocationId, InvocationId) {
    let partition_key = partition_key_of(key);
    let id = |uuid| InvocationId { partition_key, uuid };
    (id(0), id(u128::MAX))
}
