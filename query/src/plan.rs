//! What a plan would take that no limit on memory sees in time.
//!
//! **Invariant:** a plan is worked on only if what it can make at once, beside what is reserved, is bounded:
//! its steps and expressions while it is optimised, and what it makes of each batch of rows afterwards.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable as _, LogicalPlan, Operator};
use everlog_gateway::SqlError;

use crate::limits::{EXPRESSIONS_MAX, PLAN_STEPS_MAX, Pace};
use crate::source::wrapped;
use crate::statement::too_complex;

/// Refuses plans that do more than read, or that grow too large once they are optimised.
pub(crate) fn check_planned(plan: &LogicalPlan) -> Result<()> {
    let options =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let verified = options.verify_plan(plan);
    verified.map_err(|error| wrapped(SqlError::NotAllowed(error.strip_backtrace())))?;
    let mut steps = 0;
    // Each use of a part counts, as each is worked on apart.
    plan.apply_with_subqueries(|_| {
        steps += 1;
        let more = steps <= PLAN_STEPS_MAX;
        Ok(if more { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    too_complex("steps of its plan", steps, PLAN_STEPS_MAX).map_err(wrapped)?;
    let mut expressions = 0;
    largest_column(plan, &mut expressions)?;
    // A condition may be copied into each step.
    let expressions = steps.saturating_mul(expressions);
    too_complex("expressions in its plan", expressions, EXPRESSIONS_MAX).map_err(wrapped)
}

/// How large the largest column is, once what it is computed of stands where it is named, as the
/// optimiser puts it. Adds to `all` what the expressions of the plan come to that way.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has 30 more")]
fn largest_column(plan: &LogicalPlan, all: &mut usize) -> Result<usize> {
    let mut below = 1;
    for input in plan.inputs() {
        below = below.max(largest_column(input, all)?);
    }
    let mut largest = below;
    for expr in plan.expressions() {
        let mut size: usize = 0;
        expr.apply(|part| {
            let of_part = match part {
                Expr::Column(_) | Expr::OuterReferenceColumn(..) => below,
                Expr::Alias(_) => 0,
                Expr::ScalarSubquery(subquery) => largest_column(&subquery.subquery, all)?,
                Expr::InSubquery(within) => largest_column(&within.subquery.subquery, all)?,
                Expr::Exists(exists) => largest_column(&exists.subquery.subquery, all)?,
                Expr::SetComparison(set) => largest_column(&set.subquery.subquery, all)?,
                _ => 1,
            };
            size = size.saturating_add(of_part);
            Ok(TreeNodeRecursion::Continue)
        })?;
        *all = all.saturating_add(size);
        if makes_columns(plan) {
            largest = largest.max(size);
        }
    }
    Ok(largest)
}

fn makes_columns(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_))
}

/// Refuses optimised plans that would make too much of one batch of rows.
pub(crate) fn check_optimised(plan: &LogicalPlan, pace: &Pace) -> Result<()> {
    let (mut made, mut spread) = (0, 0);
    plan.apply_with_subqueries(|step| {
        if matches!(step, LogicalPlan::Window(_) | LogicalPlan::Unnest(_)) {
            spread += 1;
        }
        // The conditions of a table compare texts, and make none.
        if !matches!(step, LogicalPlan::TableScan(_)) {
            let input = merge_schema(&step.inputs());
            for expr in step.expressions() {
                made += made_by(&expr, &input, pace)?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    too_complex(pace.made_name, made, pace.made_max).map_err(wrapped)?;
    if pace.cell_bytes_max.is_none() {
        too_complex("windows and unnested lists beside cells larger than 8 KiB", spread, 0)
            .map_err(wrapped)?;
    }
    Ok(())
}

/// How many texts, or lists, an expression makes of each row. A text that is written in the query
/// itself may be repeated for each row, and is a cell like others.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has 30 more")]
fn made_by(expr: &Expr, input: &DFSchema, pace: &Pace) -> Result<usize> {
    let mut made = 0;
    expr.apply(|part| {
        let makes = match part {
            Expr::Literal(value, _) => {
                pace.check_cell(value.size())?;
                false
            }
            Expr::ScalarFunction(_) | Expr::Case(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
            Expr::BinaryExpr(BinaryExpr { op, .. }) => *op == Operator::StringConcat,
            _ => false,
        };
        if makes && part.get_type(input).is_ok_and(|of| is_wide(&of)) {
            made += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(made)
}

/// Whether values of a type may be long.
pub(crate) fn is_wide(of: &DataType) -> bool {
    !(of.is_primitive() || of.is_null() || *of == DataType::Boolean)
}
