//! Reads a table, a page of rows at a time, and makes batches of them.
//!
//! **Invariant:** what a page takes in memory is reserved before it is decoded, and no more than one page
//! of each scan is held at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use everlog_log_schema::PartitionId;
use everlog_log_schema::owner_api::{RowPage, RowRange};

use crate::cell::{Column, batch_of};
use crate::filter::Filters;
use crate::hidden::Hidden;
use crate::limits::Pace;
use crate::ranges::Reach;
use crate::source::{Source, decode, wrapped};
use crate::table::Table;

/// How much larger a row is in memory than as it is stored, beside its own type: texts and lists
/// have their own allocations.
const GROWTH: usize = 3;

/// What a scan gives.
pub(crate) struct Wanted<T: Table> {
    /// The columns, in order.
    pub(crate) columns: Vec<&'static Column<T::Record>>,
    /// Their schema.
    pub(crate) schema: SchemaRef,
    /// Which rows.
    pub(crate) filters: Filters,
    /// At most so many rows.
    pub(crate) limit: Option<usize>,
    /// How many at once.
    pub(crate) pace: &'static Pace,
}

/// Reads some partitions, one after the other.
pub(crate) struct Scan<T: Table> {
    source: Source,
    wanted: Arc<Wanted<T>>,
    rest: VecDeque<Reach>,
    memory: T::Memory,
    /// What is read of a page and not given yet.
    records: VecDeque<T::Record>,
    /// How many rows of a page, where they are counted alone, are not given yet.
    counted: usize,
    hidden: Hidden,
    reserved: MemoryReservation,
    given: usize,
}

impl<T: Table> Scan<T> {
    pub(crate) fn new(
        source: Source,
        wanted: Arc<Wanted<T>>,
        reaches: Vec<Reach>,
        reserved: MemoryReservation,
    ) -> Self {
        let (rest, memory, records) = (reaches.into(), T::Memory::default(), VecDeque::new());
        let hidden = Hidden::new(Arc::clone(&source.metadata.borrow()));
        Self { source, wanted, rest, memory, records, counted: 0, hidden, reserved, given: 0 }
    }

    /// The next batch; none at the end. Batches may be empty, and others follow.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        let Wanted { columns, schema, filters, limit, pace } = &*Arc::clone(&self.wanted);
        if limit.is_some_and(|limit| self.given >= limit) {
            return Ok(None);
        }
        let counts = T::COUNTABLE && columns.is_empty() && filters.is_empty();
        if self.records.is_empty() && self.counted == 0 {
            let Some((partition, page)) = self.page().await? else { return Ok(None) };
            if counts {
                self.counted = page.rows.len();
            } else {
                self.read(partition, page).await?;
            }
        }
        if counts {
            let rows = self.counted.min(pace.rows);
            self.counted -= rows;
            self.given += rows;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = RecordBatch::try_new_with_options(Arc::clone(schema), vec![], &options)?;
            return Ok(Some(batch));
        }
        let rows = self.records.len().min(pace.rows);
        let records: Vec<_> = self.records.drain(..rows).collect();
        let batch = batch_of(Arc::clone(schema), columns, &records, pace)?;
        self.given += rows;
        if self.records.is_empty() {
            let held = T::remembered_bytes(&self.memory) + batch.get_array_memory_size();
            self.reserved.try_resize(held)?;
        }
        Ok(Some(batch))
    }

    /// Asks for the next page; none at the end.
    async fn page(&mut self) -> Result<Option<(PartitionId, RowPage)>, DataFusionError> {
        // What is remembered is of one partition.
        while self.rest.front().is_some_and(|reach| reach.ranges.is_empty()) {
            self.rest.pop_front();
            self.memory = T::Memory::default();
        }
        let Some(reach) = self.rest.front_mut() else { return Ok(None) };
        let page = self.source.page(reach.partition, &mut reach.ranges).await.map_err(wrapped)?;
        Ok(Some((reach.partition, page)))
    }

    /// Reads the records of a page that pass.
    async fn read(&mut self, partition: PartitionId, page: RowPage) -> Result<(), DataFusionError> {
        self.reserve(&page, T::remembered_bytes(&self.memory))?;
        let mut records = Vec::new();
        for (key, value) in page.rows {
            let stored = decode(&key, &value).map_err(wrapped)?;
            T::read(&mut self.hidden, &mut self.memory, stored, &mut records);
        }
        let Wanted { columns, filters, .. } = &*Arc::clone(&self.wanted);
        let is_late = |column: &str| T::LATE.contains(&column);
        records.retain(|record| filters.pass(record, T::columns(), |column| !is_late(column)));
        if columns.iter().any(|column| is_late(column.name)) || filters.any(is_late) {
            self.complete(partition, &mut records).await?;
            records.retain(|record| filters.pass(record, T::columns(), is_late));
        }
        self.records = records.into();
        Ok(())
    }

    /// Reads what else belongs to the records.
    async fn complete(
        &mut self,
        partition: PartitionId,
        records: &mut [T::Record],
    ) -> Result<(), DataFusionError> {
        let ranges = records.iter().enumerate().filter_map(|(at, record)| {
            let range = T::late(record)?;
            Some((range.from.clone(), (at, range)))
        });
        let late: BTreeMap<_, (usize, RowRange)> = ranges.collect();
        let mut rest: Vec<RowRange> = late.values().map(|(_, range)| range.clone()).collect();
        // What is taken stays beside the records.
        let mut held = self.reserved.size();
        while !rest.is_empty() {
            let page = self.source.page(partition, &mut rest).await.map_err(wrapped)?;
            self.reserve(&page, held)?;
            for (key, value) in page.rows {
                let record = late.get(&key).and_then(|(at, _)| records.get_mut(*at));
                if let Some(record) = record {
                    let (_, row) = decode(&key, &value).map_err(wrapped)?;
                    held += T::take_late(record, row);
                }
            }
        }
        self.reserved.try_resize(held)
    }

    /// Reserves what a page and its records take, beside what is held.
    fn reserve(&self, page: &RowPage, held: usize) -> Result<(), DataFusionError> {
        let stored: usize = page.rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        let records = page.rows.len() * size_of::<T::Record>();
        self.reserved.try_resize(held + stored * (1 + GROWTH) + records)
    }
}
