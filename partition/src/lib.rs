//! The partition state machine: what a partition knows, and what it does next.
//!
//! All it learns arrives as a record from the log; all it wants done leaves as an [`Action`]. Two
//! replicas that apply the same records therefore hold the same rows, byte for byte.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness, no hash maps. This crate depends
//! on `log-schema` alone.

mod acceptance;
mod action;
mod answers;
mod apply;
mod declare;
mod error;
mod expiry;
mod future;
mod journal;
mod life;
mod on_announce;
mod on_append;
mod on_attach;
mod on_attempt_failed;
mod on_checkpointed;
mod on_complete;
mod on_end;
mod on_ingest;
mod on_invoke;
mod on_order;
mod on_outbox_delivered;
mod on_restart;
mod on_signal;
mod on_suspend;
mod on_timer_fired;
mod outbox;
mod pack;
pub mod planted;
mod promises;
mod queue;
pub mod reads;
mod retry;
mod state;
mod tables;
mod transition;

pub use acceptance::{Acceptance, Ignored};
pub use action::Action;
pub use apply::{Logged, SUPPORTED_LEVEL, apply};
pub use error::ApplyError;
pub use future::{Prospect, Settled, Standing, could_settle, resolve};
pub use life::{journal_kept_until, kept_until, retained_until};
pub use retry::after_failure;
pub use tables::{MemoryTables, Tables, TablesError};

#[cfg(test)]
mod tests;
