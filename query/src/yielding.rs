//! Has each step of a plan give way to others now and then.
//!
//! DataFusion has tables alone do so. A join of joins works for years on what it has read of them, and
//! would neither see that its time is up nor leave its thread to another query.
//!
//! **Invariant:** between two moments at which a query can be ended, a step makes one batch of rows.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// Puts a point at which it can be ended behind each step.
pub(crate) fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let with_ends = plan.transform_up(|step| {
        if step.children().is_empty() {
            return Ok(Transformed::no(step));
        }
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(step)) as Arc<dyn ExecutionPlan>))
    });
    with_ends.data()
}
