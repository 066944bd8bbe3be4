//! A table as DataFusion sees it: what can be left out of it, and streams of its rows.
//!
//! **Invariant:** a condition is called exact only where [`Filters`] checks it for every row.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::stream::try_unfold;

use crate::cell::{Column, schema_of};
use crate::filter::{Filters, OneOf};
use crate::limits::Pace;
use crate::ranges::Reach;
use crate::scan::{Scan, Wanted};
use crate::source::Source;
use crate::table::Table;

/// A table over rows of all partitions.
pub(crate) struct Provider<T> {
    source: Source,
    partitions: u32,
    pace: &'static Pace,
    schema: SchemaRef,
    table: PhantomData<T>,
}

impl<T: Table> Provider<T> {
    pub(crate) fn new(source: Source, partitions: u32, pace: &'static Pace) -> Self {
        let schema = schema_of(T::columns());
        Self { source, partitions, pace, schema, table: PhantomData }
    }
}

impl<T: Table> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }
}

#[async_trait]
impl<T: Table> TableProvider for Provider<T> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let checked = |filter: &&Expr| match OneOf::read(filter, T::columns()) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(checked).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..T::columns().len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let columns: Vec<&'static Column<T::Record>> =
            projection.iter().filter_map(|at| T::columns().get(*at)).collect();
        let filters = Filters::of(filters, T::columns());
        let reaches = T::reach(&filters, self.partitions);
        let pace = self.pace;
        let wanted = Wanted::<T> { columns, schema: Arc::clone(&schema), filters, limit, pace };
        let wanted = Arc::new(wanted);
        let parts = dealt(reaches, pace.partitions).into_iter().map(|reaches| {
            let (source, wanted) = (self.source.clone(), Arc::clone(&wanted));
            Arc::new(Part { source, wanted, reaches }) as Arc<dyn PartitionStream>
        });
        let exec = StreamingTableExec::try_new(schema, parts.collect(), None, [], false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// Deals the partitions out, so that some are read at the same time. There is always one part.
fn dealt(reaches: Vec<Reach>, at_once: usize) -> Vec<Vec<Reach>> {
    let mut parts: Vec<Vec<Reach>> = Vec::new();
    parts.resize_with(reaches.len().clamp(1, at_once), Vec::new);
    let count = parts.len();
    for (at, reach) in reaches.into_iter().enumerate() {
        if let Some(part) = parts.get_mut(at % count) {
            part.push(reach);
        }
    }
    parts
}

/// Some of the partitions of a table.
struct Part<T: Table> {
    source: Source,
    wanted: Arc<Wanted<T>>,
    reaches: Vec<Reach>,
}

impl<T: Table> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(T::NAME).field("reaches", &self.reaches).finish_non_exhaustive()
    }
}

impl<T: Table> PartitionStream for Part<T> {
    fn schema(&self) -> &SchemaRef {
        &self.wanted.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reserved = MemoryConsumer::new(T::NAME).register(context.memory_pool());
        let wanted = Arc::clone(&self.wanted);
        let scan = Scan::new(self.source.clone(), wanted, self.reaches.clone(), reserved);
        let batches = try_unfold(scan, |mut scan| async move {
            Ok(scan.next().await?.map(|batch| (batch, scan)))
        });
        let schema = Arc::clone(&self.wanted.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}
