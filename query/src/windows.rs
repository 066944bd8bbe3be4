//! Reserves what window functions hold: DataFusion does not.
//!
//! **Invariant:** a step of windows is given no row before the memory for it, and for what the windows make
//! of it, is reserved.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, OffsetSizeTrait, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{
    Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion,
};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode::Recompute, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures_util::StreamExt as _;

use crate::answer::bytes_of;
use crate::plan::is_wide;

/// How often the rows are held: as they come, and put together.
const COPIES: usize = 2;

/// Puts a reservation in front of each step of windows.
pub(crate) fn reserved(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let with_reservations = plan.transform_up(|step| {
        let windows = if let Some(windows) = step.downcast_ref::<WindowAggExec>() {
            windows.window_expr()
        } else if let Some(windows) = step.downcast_ref::<BoundedWindowAggExec>() {
            windows.window_expr()
        } else {
            return Ok(Transformed::no(step));
        };
        let wide = wide(windows)?;
        let inputs = step.children().into_iter().map(|input| {
            Arc::new(Reserved { input: Arc::clone(input), wide }) as Arc<dyn ExecutionPlan>
        });
        let (inputs, options) = (inputs.collect(), ReplaceChildrenOptions::new(Recompute));
        step.replace_children(inputs, options).map(Transformed::yes)
    });
    with_reservations.data()
}

/// How many of the windows make texts: each may repeat the longest for every row.
fn wide(windows: &[Arc<dyn WindowExpr>]) -> Result<usize> {
    windows
        .iter()
        .try_fold(0, |wide, window| Ok(wide + usize::from(is_wide(window.field()?.data_type()))))
}

/// Rows on their way to windows.
#[derive(Debug)]
struct Reserved {
    input: Arc<dyn ExecutionPlan>,
    wide: usize,
}

/// What has gone by.
struct Passed {
    reserved: MemoryReservation,
    wide: usize,
    bytes: usize,
    rows: usize,
    longest: usize,
}

impl Passed {
    fn pass(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        self.bytes += bytes_of(&batch)?;
        self.rows += batch.num_rows();
        self.longest = batch.columns().iter().map(longest).fold(self.longest, usize::max);
        let made = self.rows.saturating_mul(self.wide).saturating_mul(self.longest);
        self.reserved.try_resize(made.saturating_add(COPIES * self.bytes))?;
        Ok(batch)
    }
}

/// The longest cell of a column, in bytes.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has 40 more")]
fn longest(column: &ArrayRef) -> usize {
    fn between<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
        let lengths = offsets.windows(2).map(|pair| match pair {
            [from, to] => to.as_usize().saturating_sub(from.as_usize()),
            _ => 0,
        });
        lengths.max().unwrap_or(0)
    }
    match column.data_type() {
        DataType::Utf8 => between(column.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => between(column.as_string::<i64>().value_offsets()),
        DataType::Binary => between(column.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => between(column.as_binary::<i64>().value_offsets()),
        other if is_wide(other) => column.get_array_memory_size(),
        _ => 0,
    }
}

impl DisplayAs for Reserved {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserved")
    }
}

impl ExecutionPlan for Reserved {
    fn name(&self) -> &'static str {
        "Reserved"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("windows have one input");
        };
        Ok(Arc::new(Self { input, wide: self.wide }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reserved = MemoryConsumer::new("windows").register(context.memory_pool());
        let wide = self.wide;
        let mut passed = Passed { reserved, wide, bytes: 0, rows: 0, longest: 0 };
        let batches = self.input.execute(partition, context)?;
        let batches = batches.map(move |batch| passed.pass(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), batches)))
    }
}
