//! An executor: owns partitions, folds their logs into tables on disk, and runs their functions.
//!
//! Entry point: [`Executor::start`]. The heart is `shell`, one task per partition: read → apply →
//! commit → act. `store` keeps the tables, [`invoker`] talks to the functions, and gateways ask by
//! way of the owner API.
//!
//! **Architecture invariant:** this crate decides nothing about an invocation; `partition` does.
//! What it does in the world follows from records that are durable, accepted and committed.

mod awaiting;
mod clock;
mod config;
mod desk;
mod executor;
mod failpoints;
mod holdings;
pub mod invoker;
mod metrics;
mod owner_api;
mod pages;
mod shell;
pub mod store;
mod timers;

pub use config::{ExecutorConfig, ExecutorLimits, STANDBYS_MAX, ServiceConcurrency};
pub use desk::Standing;
pub use executor::{Executor, StartError};
