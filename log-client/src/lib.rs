//! The event log, as Everlog uses it: a few topics of ordered records, and one compacted topic of
//! rows. One trait, two backends.
//!
//! **Architecture invariant:** this is the only crate that names rdkafka.

mod api;
pub mod embedded;
pub mod kafka;
mod metrics;

pub use api::*;
