//! What queries may take.

use std::time::Duration;

use datafusion::error::DataFusionError;

/// The text of a query, in bytes.
pub(crate) const SQL_BYTES_MAX: usize = 64 << 10;
/// The words and signs of a query, its values and commas aside: no tree of expressions or plans gets
/// deeper, and planning takes time with the square of it.
pub(crate) const TOKENS_MAX: usize = 1_000;
/// The steps of a query's plan, those of its parts counted each time they are used.
pub(crate) const PLAN_STEPS_MAX: usize = 500;
/// How often a query puts texts together (`||`): each doubles a text at most, and no limit on
/// memory sees a text before it is made.
pub(crate) const CONCATENATIONS_MAX: usize = 4;
/// The stack of a thread that plans queries, in bytes: enough for the deepest tree that the limits
/// let through.
pub(crate) const STACK_BYTES: usize = 64 << 20;
/// The expressions of a plan, as they may come to stand in it: each with what its columns are computed
/// of, once for each step of the plan.
pub(crate) const EXPRESSIONS_MAX: usize = 500_000;

/// How much is worked on at once. A step of a plan may hold a batch of rows that no limit on memory
/// has seen, of which each row may repeat the largest cell; so rows and cells are bounded together.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The rows of a batch.
    pub(crate) rows: usize,
    /// The largest cell, in bytes; none where any will do.
    pub(crate) cell_bytes_max: Option<usize>,
    /// The partitions that one table of a query is read from at the same time.
    pub(crate) partitions: usize,
    /// How many texts may be made of a row.
    pub(crate) made_max: usize,
    /// What they are called.
    pub(crate) made_name: &'static str,
}

/// For nearly all queries.
pub(crate) const QUICK: Pace = Pace {
    rows: 512,
    cell_bytes_max: Some(8 << 10),
    partitions: 4,
    made_max: 64,
    made_name: "texts that are computed",
};

/// For queries that meet larger cells, or too little memory for the quick pace.
pub(crate) const CAREFUL: Pace = Pace {
    rows: 4,
    cell_bytes_max: None,
    partitions: 1,
    made_max: 8,
    made_name: "texts that are computed beside cells larger than 8 KiB",
};

/// A cell is larger than the pace allows.
#[derive(Debug, thiserror::Error)]
#[error("a cell is too large for this pace")]
pub(crate) struct LargeCell;

impl Pace {
    /// Refuses a cell that is too large.
    pub(crate) fn check_cell(&self, bytes: usize) -> Result<(), DataFusionError> {
        if self.cell_bytes_max.is_some_and(|max| bytes > max) {
            Err(DataFusionError::External(Box::new(LargeCell)))
        } else {
            Ok(())
        }
    }
}

/// The limits of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Queries at once, those whose answer is still being read included; one more is refused.
    pub queries_max: usize,
    /// How long a query may take.
    pub time_max: Duration,
    /// What a query may hold in memory, its answer included, in bytes.
    pub memory_max: usize,
    /// The rows that a query is answered with.
    pub rows_max: usize,
    /// How long a partition that has no owner is asked again.
    pub partition_wait_max: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            queries_max: 4,
            time_max: Duration::from_secs(30),
            memory_max: 256 << 20,
            rows_max: 100_000,
            partition_wait_max: Duration::from_secs(10),
        }
    }
}
