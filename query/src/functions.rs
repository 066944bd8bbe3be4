//! The functions that queries may call.
//!
//! **Invariant:** none of them makes a value that is much larger than what it is given: no limit on memory
//! sees a value before it is made.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::functions_window::all_default_window_functions;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Of single values.
const SCALAR: [&str; 56] = [
    "abs",
    "bit_length",
    "btrim",
    "ceil",
    "character_length",
    "coalesce",
    "contains",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "ends_with",
    "exp",
    "floor",
    "from_unixtime",
    "get_field",
    "greatest",
    "initcap",
    "isnan",
    "least",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "power",
    "regexp_count",
    "regexp_like",
    "reverse",
    "right",
    "round",
    "rtrim",
    "signum",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "to_date",
    "to_local_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "trunc",
    "upper",
];

/// Of many values: those that would put them all together.
const NOT_AGGREGATE: [&str; 2] = ["array_agg", "string_agg"];

/// Lets queries call them.
pub(crate) fn allow(builder: SessionStateBuilder) -> SessionStateBuilder {
    let aggregate: Vec<Arc<AggregateUDF>> = all_default_aggregate_functions()
        .into_iter()
        .filter(|function| !NOT_AGGREGATE.contains(&function.name()))
        .collect();
    builder
        .with_scalar_functions(scalar())
        .with_aggregate_functions(aggregate)
        .with_window_functions(all_default_window_functions())
}

fn scalar() -> Vec<Arc<ScalarUDF>> {
    let all = datafusion::functions::all_default_functions();
    all.into_iter().filter(|function| SCALAR.contains(&function.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_allowed_is_there() {
        let there = scalar();
        for name in SCALAR {
            assert!(there.iter().any(|function| function.name() == name), "{name}");
        }
    }
}
