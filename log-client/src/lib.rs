//! The event log, as Everlog uses it: a few topics of ordered records, and one compacted topic of
//! rows. One trait, two backends.
//!
//! **Architecture invariant:** this is the only crate that names rdkafka.

mod api;
pub mod embedded;
pub mod kafka;
mod metadata;
mod metrics;

pub use api::*;
pub use metadata::{ChangeError, append_metadata_change, follow_metadata};
