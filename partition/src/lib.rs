//! The partition state machine: what a partition knows, and what it does next.
//!
//! All it learns arrives as a record from the log; all it wants done leaves as an [`Action`]. Two
//! replicas that apply the same records therefore hold the same rows, byte for byte.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness, no hash maps. This crate depends
//! on `log-schema` alone.

mod action;
mod apply;
mod error;
mod tables;

pub use action::Action;
pub use apply::{Acceptance, Ignored, Logged, SUPPORTED_LEVEL, apply};
pub use error::ApplyError;
pub use tables::{MemoryTables, Tables, TablesError};
