//! A deterministic simulation of one partition and all that surrounds it.
//!
//! The real `apply` runs among models of the log, the inbox, disks, executors, gateways and
//! functions: they promise what Kafka and a disk promise, and withhold the rest. Each seed enables a
//! random subset of faults, then heals the world, then judges it.
//!
//! **Invariant:** one thread, one generator, virtual time: a seed tells its whole story.

pub mod attempt;
pub mod bug;
pub mod callers;
pub mod coverage;
pub mod env;
pub mod executor;
pub mod fault;
pub mod future;
pub mod history;
pub mod inbox;
pub mod journal;
pub mod log;
pub mod observer;
pub mod operators;
pub mod program;
pub mod properties;
pub mod rng;
pub mod run;
pub mod world;

#[cfg(test)]
mod scenarios;
