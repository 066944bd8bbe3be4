//! SQL over what all executors know: invocations, journals, queues, state, and what is registered.
//!
//! A query is planned and run here, by DataFusion, over tables whose rows are asked of the owners of all
//! partitions, page by page. Its invariants: a query only reads, an answer is whole or refused, and what a
//! query takes (time, memory, rows, threads) is limited, so that none does harm to the process that it runs in.
//!
//! **Architecture invariant:** it knows owners by the owner API alone, and nobody but the binary knows it.

mod answer;
mod cell;
mod engine;
mod filter;
mod functions;
mod hidden;
mod limits;
mod plan;
mod provider;
mod ranges;
mod registered;
mod scan;
mod source;
mod statement;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod windows;
mod yielding;

pub use engine::{Engine, StartError};
pub use limits::QueryLimits;
